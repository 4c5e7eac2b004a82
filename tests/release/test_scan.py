"""Planted personal data, secrets and control tokens are found in texts, and nothing in plain prose."""

from __future__ import annotations

import pytest

from rewild.config.release import Release
from rewild.operate.release.scan import Scanner, make_scanner


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return make_scanner(Release.model_validate({}).personal)


PLANTED = {
    "EMAIL_ADDRESS": ("Write to ", "ada@example.org", " today."),
    "PHONE_NUMBER": ("Call me at ", "(212) 555-0187", " after six."),
    "CREDIT_CARD": ("It was paid with ", "4111 1111 1111 1111", "."),
    "IBAN_CODE": ("The account is ", "GB33BUKB20201555555555", "."),
    "IP_ADDRESS": ("The server is ", "192.0.2.17", "."),
    "US_SSN": ("My social security number is ", "536-22-1234", "."),
    "AWS Access Key": ("key = ", "AKIAIOSFODNN7EXAMPLE", ""),
    "Private Key": ("", "BEGIN RSA PRIVATE KEY", "-----\nMIIE"),
    "Hugging Face token": ("login with ", "hf_" + "Ab" * 17, ""),
    "<|im_end|>": ("An answer", "<|im_end|>", ""),
    "[/INST]": ("A question ", "[/INST]", " An answer"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_is_found_where_it_stands(scanner: Scanner, kind: str) -> None:
    before, planted, after = PLANTED[kind]
    for lead in ("", "First a line.\n"):
        text = lead + before + planted + after
        found = {(k, text[start:end]) for _, k, start, end, _ in scanner(text) if k == kind}
        assert found == {(kind, planted)}


PLAIN = [
    "Explain photosynthesis to a child.",
    "In 1969 people landed on the moon; 8746 of 12000 letters were kept.",
    "def password(): return get_password('name')",
    "<p>Some <s>old</s> <b>HTML</b></p> and a token of thanks",
    "第一章：雨が降っていた。",
    "",
]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_text_has_nothing(scanner: Scanner, text: str) -> None:
    assert scanner(text) == []


def test_a_text_longer_than_the_model_reads_is_read_to_its_end(
    scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanner, "_longest", 1000)
    text = "leaf " * 1001 + "ada@example.org"
    assert [(k, text[s:e]) for _, k, s, e, _ in scanner(text)] == [("EMAIL_ADDRESS", "ada@example.org")]


def test_persons_are_found_when_they_are_asked_for() -> None:
    found = make_scanner(["PERSON"])("My neighbour is Ada Lovelace.")
    assert [kind for _, kind, *_ in found] == ["PERSON"]
