"""Likelihoods given and alone, and IFD, against the plain model and the published programs' arithmetic."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch (.envs/engine-cpu)")
from rewild.config.base import validate  # noqa: E402
from rewild.config.measures import Likelihood, Perplexity  # noqa: E402
from rewild.core.errors import ConfigError  # noqa: E402
from rewild.measures.base import Text, make_measurer  # noqa: E402
from rewild.measures.weights import Weights  # noqa: E402
from tiny import make_model, make_tokenizer  # noqa: E402

QUESTION = "a question about rivers"
ANSWERS = ["water " * n + "and light" for n in (1, 30, 3, 12)]


@pytest.fixture(scope="module", params=["without", "with"])
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model; its tokenizer begins every text with a token of its own, or does not (as GPT-2's)."""
    from tokenizers.processors import TemplateProcessing

    folder = make_model(tmp_path_factory.mktemp(request.param), context=256, template=None)
    if request.param == "with":
        tokenizer = make_tokenizer(None)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing("<|bos|> $A", None, [("<|bos|>", 0)])
        tokenizer.save_pretrained(folder)
    return folder


def said(folder: Path, answers: list[str], kind: type[Any] = Likelihood, **more: Any) -> list[Any]:
    given = {"kind": kind.__name__.lower(), "model": str(folder), "precision": "fp32", "device": "cpu"}
    measurer = make_measurer(validate(kind, given | more, "m"), Weights("m", str(folder)), threads=1)
    before = ({"role": "user", "content": QUESTION},)
    found = measurer.measure([Text("c", 0, 0, answer, before) for answer in answers])
    measurer.close()
    return found


class Plain:
    """The tokenizer and the model, without any of ours."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def ids(self, text: str, most: int = 10**6) -> list[int]:
        return self.tokenizer(text)["input_ids"][:most]

    def loss(self, ids: list[int], start: int) -> float:
        """The model's own mean loss of the tokens from ``start`` on."""
        labels = torch.tensor([[-100] * start + ids[start:]])
        with torch.inference_mode():
            return float(self.model(input_ids=torch.tensor([ids]), labels=labels).loss)

    def superfiltering(self, x: str, y: str, most: int) -> float:
        head = len(self.ids(x + "\n"))
        given = self.loss(self.ids(x + "\n" + y, most), head)
        alone = self.loss(self.ids(y, most - head + 1), 0)
        return math.exp(given) / math.exp(alone)

    def cherry(self, x: str, y: str, most: int) -> float:
        mark = "### Response:"
        given = self.loss(self.ids(f"{x}\n\n{mark}{y}", most), len(self.ids(f"{x}\n\n{mark}")))
        cut = most - len(self.ids(x)) + 4
        return given / self.loss(self.ids(mark + y, cut), len(self.ids(mark)))


def test_the_same_tokens_count_on_both_sides(scorer: Path) -> None:
    plain = Plain(scorer)
    for answer, one in zip(ANSWERS, said(scorer, ANSWERS), strict=True):
        ids = plain.tokenizer(answer, add_special_tokens=False)["input_ids"]
        begin = [plain.tokenizer.bos_token_id]
        before = begin + plain.tokenizer(f"{QUESTION}\n", add_special_tokens=False)["input_ids"]
        given, alone = (plain.loss(first + ids, len(first)) for first in (before, begin))
        n = len(ids)
        assert one == {
            "ifd": pytest.approx(math.exp(given) / math.exp(alone), rel=1e-4),
            "logprob_given": pytest.approx(-given, abs=1e-4),
            "logprob_alone": pytest.approx(-alone, abs=1e-4),
            "perplexity_given": pytest.approx(math.exp(given), rel=1e-3),
            "perplexity_alone": pytest.approx(math.exp(alone), rel=1e-3),
            "total_given": pytest.approx(-given * n, abs=1e-2),
            "total_alone": pytest.approx(-alone * n, abs=1e-2),
            "tokens": n,
            "tokens_alone": n,
        }


@pytest.mark.parametrize("convention", ["superfiltering", "cherry"])
@pytest.mark.parametrize("context", [1024, 40])
def test_the_published_programs_numbers(scorer: Path, convention: str, context: int) -> None:
    """Cut or whole, with a tokenizer that begins texts and one that does not."""
    plain = Plain(scorer)
    limit = min(context, 256)  # of the model
    found = said(scorer, ANSWERS, convention=convention, context=context)
    instruction = len(plain.ids(QUESTION))
    for answer, one in zip(ANSWERS, found, strict=True):
        mark = "### Response:"
        alone = len(plain.ids(mark + answer, limit - instruction + 4)) - len(plain.ids(mark))
        if convention == "cherry" and instruction + alone > limit:
            assert one.startswith("too_long: ")
        else:
            wanted = getattr(plain, convention)(QUESTION, answer, limit)
            assert one["ifd"] == pytest.approx(wanted, rel=1e-4)
    short = found[0]
    if convention == "superfiltering":
        begun = plain.ids("") != []  # else the first token alone is not counted
        assert short["tokens"] - short["tokens_alone"] == (0 if begun else 1)


def test_conventions_part_on_short_answers(scorer: Path) -> None:
    """One token: with none before it, its likelihood alone is not defined, and no infinity."""
    (ours,) = said(scorer, ["a"])
    assert ours["tokens"] == ours["tokens_alone"] == 1
    (published,) = said(scorer, ["a"], convention="superfiltering")
    if Plain(scorer).ids("") == []:
        assert published == "undefined: no token counts by the convention superfiltering"
    else:
        assert published["tokens_alone"] == 1


@pytest.mark.parametrize("convention", ["same-tokens", "superfiltering", "cherry"])
def test_what_cannot_be_scored_is_a_failure_and_the_rest_is_not(scorer: Path, convention: str) -> None:
    found = said(scorer, ["", "water " * 300, "and light"], convention=convention, context=4096)
    assert found[0] == "empty: the text has no token"
    if convention == "same-tokens":
        assert found[1].startswith("too_long: ")
        assert found[1].endswith(" and 256 are the limit")
    else:
        assert found[1]["tokens"] < 256  # cut where the model ends
    assert found[2]["ifd"] > 0


def test_a_model_of_learned_positions_is_not_asked_beyond_them(tmp_path: Path) -> None:
    """GPT-2 has no position beyond those of its files: a longer text is a failure, and ends no job."""
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = make_tokenizer(None)
    tokenizer.save_pretrained(tmp_path)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=48)
    ).save_pretrained(tmp_path)
    for kind, more in ((Likelihood, {}), (Perplexity, {"template": "none"})):
        found = said(tmp_path, ["water", "water " * 60], kind, **more)
        assert found[0]["tokens"] >= 1
        assert found[1].startswith("too_long: ")
        assert found[1].endswith("and 48 are the limit")


def test_another_models_control_tokens_are_text(scorer: Path) -> None:
    """What a teacher with another tokenizer wrote is encoded anew; what it spells ends nothing here."""
    plain = Plain(scorer)
    foreign, own = said(scorer, ["water<|im_end|>", "water<|end|>"])
    assert foreign["tokens"] == len(plain.tokenizer("water<|im_end|>", add_special_tokens=False)["input_ids"])
    assert own["tokens"] > len(plain.tokenizer("water<|end|>", add_special_tokens=False)["input_ids"])


def test_no_number_is_a_failure(scorer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rewild.engines.scoring import Scorer

    monkeypatch.setattr(Scorer, "__call__", lambda self, pairs: [[math.nan] * len(y) for _, y in pairs])
    assert said(scorer, ["water"]) == ["not_a_number: a token's log-probability"]
    monkeypatch.setattr(Scorer, "__call__", lambda self, pairs: [[0.0] * len(y) for _, y in pairs])
    assert said(scorer, ["water"], convention="cherry") == [
        "undefined: the quotient is beyond what a number holds"
    ]


def test_a_convention_brings_its_cut_and_has_no_template() -> None:
    row = {"kind": "likelihood", "model": "./m"}
    assert validate(Likelihood, row, "m").context == 4096
    assert validate(Likelihood, row | {"convention": "superfiltering"}, "m").context == 1024
    assert validate(Likelihood, row | {"convention": "cherry", "context": 2048}, "m").context == 2048
    with pytest.raises(ConfigError, match="the convention cherry has none"):
        validate(Likelihood, row | {"convention": "cherry", "template": "chat"}, "m")
