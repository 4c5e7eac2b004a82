"""Judge factors of a tiny judge, against its own probabilities: all the vocabulary, sequence by sequence."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch (.envs/engine-cpu)")
import tiny  # noqa: E402
from rewild.config.base import validate  # noqa: E402
from rewild.config.measures import Factors  # noqa: E402
from rewild.config.measures.factors import criteria  # noqa: E402
from rewild.engines.base import EngineError  # noqa: E402
from rewild.measures.base import Text, make_measurer  # noqa: E402
from rewild.measures.factors import question  # noqa: E402
from rewild.measures.weights import Weights  # noqa: E402
from tiny import make_model, make_tokenizer  # noqa: E402

ASKED = ({"role": "user", "content": "a question about rivers"},)
TEXTS = [Text("c", 0, 0, answer, ASKED) for answer in ("water and light", "music " * 20, "the <|end|> code")]
TWO = ["factuality", "readability"]


@pytest.fixture(scope="module", params=["digits", "whole numbers"])
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its tokenizer writes 10 as two tokens, or as one; a space before it is a token of its own, or not."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "whole numbers":
            patch.setattr(tiny, "WORDS", [*tiny.WORDS, "10", "7"])
        folder = make_model(tmp_path_factory.mktemp("judge"), context=4096)
    sizes = [len(Plain(folder).ids(text)) for text in ("10", " 10", " 7")]
    assert sizes == ([2, 3, 2] if request.param == "digits" else [1, 1, 1])
    return folder


def said(folder: Path, texts: list[Text] = TEXTS, **more: Any) -> list[Any]:
    given = {"kind": "factors", "model": str(folder), "precision": "fp32", "device": "cpu", "least_mass": 0}
    settings = validate(Factors, given | {"criteria": TWO} | more, "m")
    measurer = make_measurer(settings, Weights("m", str(folder)), threads=1)
    found = measurer.measure(texts)
    measurer.close()
    return found


class Plain:
    """The tokenizer and the model, without any of ours."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.known: dict[tuple[int, ...], Any] = {}
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def next(self, ids: list[int]) -> Any:
        if tuple(ids) not in self.known:
            with torch.inference_mode():
                logits = self.model(input_ids=torch.tensor([ids])).logits[0, -1]
            self.known[tuple(ids)] = logits.double().softmax(-1)
        return self.known[tuple(ids)]

    def scores(self, text: str, scale: int) -> list[float]:
        """The probability that an answer begins with each number, and with no longer one of the scale."""
        shown = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": "%s"}], tokenize=False, add_generation_prompt=True
        )
        head, tail = shown.split("%s")
        start = self.tokenizer(head, add_special_tokens=False)["input_ids"] + self.ids(text)
        start += self.tokenizer(tail, add_special_tokens=False)["input_ids"]
        found = [0.0] * scale
        for space in ("", " "):
            ways = [self.ids(f"{space}{n}") for n in range(1, scale + 1)]
            for n, way in enumerate(ways):
                p = 1.0
                for k, token in enumerate(way):
                    p *= float(self.next(start + way[:k])[token])
                found[n] += p
                for m, shorter in enumerate(ways):
                    if m != n and way[: len(shorter)] == shorter:
                        found[m] -= p
        return found


@pytest.mark.parametrize("order", ["down", "both"])
def test_expected_scores_are_the_judges_own(judge: Path, order: str) -> None:
    plain = Plain(judge)
    found = said(judge, TEXTS[:2], order=order)
    for text, one in zip(TEXTS, found, strict=False):
        each = []
        for name in TWO:
            ways = {o: plain.scores(question(criteria()[name], text, 10, o), 10) for o in ("up", "down")}
            masses = {o: sum(p) for o, p in ways.items()}
            means = {o: sum(n * p for n, p in enumerate(ways[o], 1)) / masses[o] for o in ways}
            used = ["up", "down"] if order == "both" else [order]
            mixed = [sum(ways[o][n] / masses[o] for o in used) / len(used) for n in range(10)]
            each.append(sum(means[o] for o in used) / len(used))
            assert one[name] == pytest.approx(each[-1], abs=1e-3)
            assert one[f"{name}_mass"] == pytest.approx(sum(masses[o] for o in used) / len(used), rel=1e-3)
            entropy = -sum(p * math.log2(p) for p in mixed if p > 0)
            assert one[f"{name}_entropy"] == pytest.approx(entropy, abs=1e-3)
            if order == "both":
                assert one[f"{name}_order"] == pytest.approx(means["down"] - means["up"], abs=1e-3)
        assert one["overall"] == pytest.approx(sum(each) / 2, abs=1e-3)
        assert one["scored"] == 2
        assert 1 < one["overall"] < 10
    assert [one["words"] for one in found] == [3, 20]


def test_company_changes_no_score(judge: Path) -> None:
    """Three texts in one batch, or each alone; a text that spells a control token is text."""
    together = said(judge)
    for text, one in zip(TEXTS, together, strict=True):
        (alone,) = said(judge, [text])
        assert one == pytest.approx(alone, abs=1e-4)


def test_a_judge_that_does_not_score_has_no_score(judge: Path) -> None:
    """A tiny judge would say anything; what it gave the numbers is kept."""
    (one,) = said(judge, TEXTS[:1], least_mass=0.9)
    assert one["overall"] is one["factuality"] is one["readability_entropy"] is None
    assert one["scored"] == 0
    assert 0 < one["factuality_mass"] < 0.9


def test_what_cannot_be_judged_is_a_failure_and_the_rest_is_not(judge: Path) -> None:
    long = Text("d", 0, 0, "numbers " * 5000, ASKED)
    first, empty, last = said(judge, [long, Text("e", 0, 0, " \n", ASKED), TEXTS[0]])
    assert first.startswith("too_long: ")
    assert first.endswith("4096 are the limit (factuality)")
    assert empty == "empty: the response has no words"
    assert last["scored"] == 2


def test_a_tokenizer_without_numbers_is_no_judges(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = make_model(tmp_path, context=512)
    words = {w: n for n, w in enumerate(["<unk>", "<|bos|>", "<|eos|>", "water"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|bos|>", eos_token="<|eos|>", unk_token="<unk>"
    )
    fast.chat_template = make_tokenizer().chat_template
    fast.save_pretrained(folder)
    with pytest.raises((EngineError, ValueError), match=r"numbers of the scale|written"):
        said(folder)
