"""Measures by a model: perplexity and reward, with tiny models, against the plain libraries one by one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch (.envs/engine-cpu)")
import polars as pl  # noqa: E402

from rewild.config.base import validate  # noqa: E402
from rewild.config.measures import Length, Perplexity, Reward  # noqa: E402
from rewild.core.measures import about_measure, read_measure  # noqa: E402
from rewild.core.table import write_table  # noqa: E402
from rewild.engines.base import EngineError  # noqa: E402
from rewild.generation.schema import RESPONSES  # noqa: E402
from rewild.measures.base import Text, make_measurer  # noqa: E402
from rewild.measures.run import Part, measure_part  # noqa: E402
from rewild.measures.weights import Weights  # noqa: E402
from rewild.prompts.schema import SHARD  # noqa: E402
from tiny import make_model, make_tokenizer  # noqa: E402

QUESTION = {"role": "user", "content": "a question about rivers"}
ANSWERS = ["water " * n + "and light" for n in (1, 30, 3, 12, 2)]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("scorer"), context=256)


def row(kind: type[Any], folder: Path, **more: Any) -> Any:
    name = kind.__name__.lower()
    given = {"kind": name, "model": str(folder), "precision": "fp32", "device": "cpu", "context": 128}
    return validate(kind, given | more, "measures.m")


def said(settings: Any, folder: Path, texts: list[Text]) -> list[Any]:
    measurer = make_measurer(settings, Weights("m", str(folder)), threads=1)
    found = measurer.measure(texts)
    measurer.close()
    return found


def alone(folder: Path, before: str, text: str, begin: bool) -> list[float]:
    """Log-probabilities of a text's tokens, one sequence, the plain model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    given = [tokenizer.bos_token_id] if begin else []
    given += tokenizer(before, add_special_tokens=False)["input_ids"] if before else []
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logprobs = model(torch.tensor([[*given, *ids]])).logits[0].log_softmax(-1)
    return [float(logprobs[len(given) - 1 + n, token]) for n, token in enumerate(ids)]


@pytest.mark.parametrize(
    ("settings", "before", "begin"),
    [
        ({"given": "nothing"}, "", True),
        ({"template": "none"}, "a question about rivers\n", True),
        ({}, "<|user|>\na question about rivers<|end|>\n<|assistant|>\n", False),
    ],
)
def test_perplexity_is_the_plain_models(
    scorer: Path, settings: dict[str, Any], before: str, begin: bool
) -> None:
    found = said(
        row(Perplexity, scorer, **settings), scorer, [Text("c", 0, 0, a, (QUESTION,)) for a in ANSWERS]
    )
    for answer, one in zip(ANSWERS, found, strict=True):
        expected = alone(scorer, before, answer, begin)
        mean = sum(expected) / len(expected)
        assert one == {
            "logprob": pytest.approx(mean, abs=1e-4),
            "perplexity": pytest.approx(math.exp(-mean), rel=1e-3),
            "total": pytest.approx(sum(expected), abs=1e-2),
            "tokens": len(expected),
        }


def test_the_same_tokens_are_counted_whatever_is_given(scorer: Path) -> None:
    texts = [Text("c", 0, 0, a, (QUESTION,)) for a in ANSWERS]
    alone_, given = (
        said(row(Perplexity, scorer, given=g), scorer, texts) for g in ("nothing", "conversation")
    )
    assert [x["tokens"] for x in alone_] == [x["tokens"] for x in given]
    assert [x["logprob"] for x in alone_] != [x["logprob"] for x in given]


def test_what_cannot_be_scored_is_a_failure(scorer: Path) -> None:
    found = said(
        row(Perplexity, scorer, given="nothing"),
        scorer,
        [Text("c", 0, 0, t) for t in ("", "water " * 200, "a")],
    )
    assert found[0] == "empty: the text has no token"
    assert str(found[1]).startswith("too_long: ")
    assert not isinstance(found[2], str)


def test_a_model_without_a_template_scores_without_one(tmp_path: Path) -> None:
    folder = make_model(tmp_path, template=None)
    (found,) = said(row(Perplexity, folder, template="none"), folder, [Text("c", 0, 0, "water", (QUESTION,))])
    assert not isinstance(found, str)
    with pytest.raises(EngineError, match="no chat template"):
        said(row(Perplexity, folder), folder, [Text("c", 0, 0, "water", (QUESTION,))])


def test_tokens_are_those_of_the_named_tokenizer(scorer: Path) -> None:
    settings = validate(Length, {"kind": "length", "tokenizer": str(scorer)}, "measures.m")
    tokenizer = make_tokenizer()
    for answer, one in zip(
        ANSWERS, said(settings, scorer, [Text("c", 0, 0, a) for a in ANSWERS]), strict=True
    ):
        tokens = len(tokenizer(answer, add_special_tokens=False)["input_ids"])
        assert one == {"words": len(answer.split()), "characters": len(answer), "tokens": tokens}


def test_rewards_are_the_plain_models_and_an_output_is_named(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    from test_reward import make

    folder = make(tmp_path / "two", outputs=2)
    texts = [Text("c", 0, 0, a, (QUESTION,)) for a in ANSWERS]
    found = said(row(Reward, folder, output="LABEL_1"), folder, texts)
    tokenizer, model = make_tokenizer(), AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for answer, one in zip(ANSWERS, found, strict=True):
        chat = [QUESTION, {"role": "assistant", "content": answer}]
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.inference_mode():
            assert one == {"reward": pytest.approx(float(model(input_ids=ids).logits[0, 1]), abs=1e-5)}
    with pytest.raises(EngineError, match="has 2 outputs, not one"):
        said(row(Reward, folder), folder, texts)
    with pytest.raises(EngineError, match=r"no output 'LABEL_2'.*did you mean"):
        said(row(Reward, folder, output="LABEL_2"), folder, texts)


@pytest.mark.parametrize("history", ["reference", "self"])
def test_what_is_given_is_what_the_model_saw(scorer: Path, tmp_path: Path, history: str) -> None:
    """Later turns of a conversation: after the original answers, or after the model's own."""
    chat = [
        ("user", "rivers"),
        ("assistant", "cities"),
        ("user", "music"),
        ("assistant", "code"),
        ("user", "light"),
    ]
    shard = {
        "conversation_id": "c", "source": "s", "source_id": "c", "shard": "0000", "language": "English",
        "n_turns": 3, "messages": [{"role": r, "content": c} for r, c in chat], "tags": [],
    }  # fmt: skip
    prompts, texts = tmp_path / "prompts.parquet", tmp_path / "texts.parquet"
    write_table(prompts, pl.DataFrame([shard], schema=SHARD.dtypes), SHARD, {})
    rows = [
        {
            "conversation_id": "c", "turn": turn, "model": "m", "history": history, "prompt": asked,
            "response": answer, "failure": None if answer else "empty", "truncation": "none", "attempts": 1,
            "engine": "transformers", "recipe": "r",
        }
        for turn, (asked, answer) in enumerate([("rivers", "water"), ("music", None), ("light", "numbers")])
    ]  # fmt: skip
    write_table(texts, pl.DataFrame(rows, schema=RESPONSES.dtypes), RESPONSES, {})
    out = tmp_path / "out.parquet"
    measure = row(Perplexity, scorer, template="none")
    part = Part("m", measure, "m", [texts], [prompts], Weights("m", str(scorer)))
    measure_part(part, out, work=tmp_path / "work")
    found = read_measure([out], "m", "m")
    assert found["failure"][1] == "no_response: the model did not answer"
    assert found["total"][0] == pytest.approx(sum(alone(scorer, "rivers\n", "water", True)), abs=1e-3)
    if history == "self":
        assert str(found["failure"][2]).startswith("no_context: ")
    else:
        before = "rivers\ncities\nmusic\ncode\nlight\n"
        assert found["total"][2] == pytest.approx(sum(alone(scorer, before, "numbers", True)), abs=1e-3)
    assert about_measure(out)["identity"]["weights"].keys() == {"sha256"}
