"""Cards of mixes against counts made by hand; the commands; the rule that makes a mix again."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from mixes_data import conversation, write_responses
from rewild.config import load_models, load_study
from rewild.config.base import identity, validate
from rewild.config.study import Study
from rewild.training.mixes.build import build
from rewild.training.mixes.card import lengths, write_card
from rewild.training.mixes.read import Place

ROOT = Path(__file__).resolve().parents[2]
MODELS = load_models(ROOT / "config")


def a_study(mix: dict[str, Any]) -> Study:
    return validate(
        Study,
        {
            "name": "s",
            "title": "S",
            "source": "computed",
            "seed": 7,
            "prompts": {"sources": [{"kind": "demo"}]},
            "responses": {"models": ["qwen2.5-72b-instruct", "llama-2-7b-chat-hf"]},
            "mixes": {"m": mix},
        },
        "study s",
    )


def words(texts: list[str]) -> list[int]:
    """A tokenizer anyone can follow: a token per word."""
    return [len(text.split()) for text in texts]


def test_a_card_counts_what_is_in_the_mix(tmp_path: Path) -> None:
    results = tmp_path / "results/s"
    model = "qwen2.5-72b-instruct"
    write_responses(results, model, [row for n in range(9) for row in conversation(n, model)])
    (tmp_path / "own.jsonl").write_text(
        json.dumps({"q": "one two three", "a": "four five"}) + "\n", encoding="utf-8"
    )
    study = a_study(
        {
            "title": "A | test",
            "tokenizer": "llama-2-7b-chat-hf",
            "sources": [
                {"kind": "responses", "model": model, "licence": "ODC-BY", "count": 6},
                {
                    "kind": "files",
                    "files": ["own.jsonl"],
                    "format": {"kind": "pair", "prompt": "q", "response": "a"},
                    "licence": "CC0-1.0",
                    "count": 1,
                },
            ],
        }
    )
    folder = results / "mixes/m"
    mix = study.mixes["m"]
    outcomes = build("m", mix, Place(tmp_path, results), folder, study="s", seed=7)
    card = write_card(folder, "m", study, outcomes, models=MODELS | study.made, count=words)

    rows = pl.read_parquet(folder / "train.parquet").to_dicts()
    answers = [[m["content"] for m in r["messages"] if m["role"] == "assistant"] for r in rows]
    everything = [[m["content"] for m in r["messages"]] for r in rows]
    assert (card["conversations"], card["turns"]) == (7, sum(map(len, answers)))
    for key, texts in (("train_tokens", answers), ("total_tokens", everything)):
        each = sorted(sum(len(text.split()) for text in parts) for parts in texts)
        found = card[key]
        assert (found["sum"], found["min"], found["max"]) == (sum(each), each[0], each[-1])
        assert found["median"] == each[3]  # of seven
        assert found["mean"] == round(sum(each) / 7, 2)
    assert card["answer_characters"]["sum"] == sum(len(text) for parts in answers for text in parts)
    assert card["by_source"]["own"]["total_tokens"]["sum"] == 5
    assert card["by_source"]["own"]["train_tokens"]["sum"] == 2
    assert card["languages"]["unknown"] == 1
    assert sum(card["languages"].values()) == 7
    assert card["licences"] == {model: ["prompts: ODC-BY", f"answers: {model}: qwen"], "own": ["CC0-1.0"]}
    assert card["outcomes"][model] == {"read": 9, "drawn": 6, "not_drawn": 3}
    digest = sha256((folder / "train.parquet").read_bytes()).hexdigest()
    assert card["checksums"] == {"train.parquet": digest}
    assert card["made_from"]["settings"] == identity(mix)
    assert card["made_from"]["sources"][model] == {"recipe": "r" * 16}

    assert json.loads((folder / "card.json").read_text(encoding="utf-8")) == card
    page = (folder / "card.md").read_text(encoding="utf-8")
    assert page.startswith("# A \\| test\n")
    for said in (digest, "tokenizer of `llama-2-7b-chat-hf`", "prompts: ODC-BY", "| not_drawn | 3 |"):
        assert said in page


def test_without_a_tokenizer_no_tokens_are_shown(tmp_path: Path) -> None:
    results = tmp_path / "results/s"
    model = "llama-2-7b-chat-hf"
    write_responses(results, model, [row for n in range(3) for row in conversation(n, model)])
    study = a_study({"sources": [{"kind": "responses", "model": model}]})
    folder = results / "mixes/m"
    outcomes = build("m", study.mixes["m"], Place(tmp_path, results), folder, study="s", seed=7)
    card = write_card(folder, "m", study, outcomes, models=MODELS | study.made, count=None)
    assert "train_tokens" not in card
    assert card["tokens"] is None
    assert "tokens" not in (folder / "card.md").read_text(encoding="utf-8").split("## Made from")[0]
    assert card["licences"][model] == ["prompts: not stated in the study", f"answers: {model}: llama2"]


def test_quantiles_are_values_that_occur() -> None:
    import numpy as np

    found = lengths(np.arange(1, 101))
    assert found == {
        "sum": 5050,
        "mean": 50.5,
        "min": 1,
        "p05": 5,
        "p25": 25,
        "median": 50,
        "p75": 75,
        "p95": 95,
        "p99": 99,
        "max": 100,
    }


@pytest.mark.parametrize(
    ("mixes", "message"),
    [
        ({"m": {"sources": [{"kind": "responses", "model": "b"}]}}, "mixes.m: 'b' is not among responses"),
        (
            {
                "m": {
                    "sources": [
                        {
                            "kind": "responses",
                            "model": "llama-2-7b-chat-hf",
                            "length_control": {"model": "llama-2-7b"},
                        }
                    ]
                }
            },
            "'llama-2-7b' is not among responses.models; did you mean 'llama-2-7b-chat-hf'?",
        ),
    ],
)
def test_a_mix_of_models_that_do_not_answer(mixes: dict[str, Any], message: str) -> None:
    from rewild.core.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        a_study(mixes["m"])
    assert message in str(caught.value)


def test_what_is_drawn_from_must_be_there() -> None:
    from rewild.core.errors import ConfigError

    row = {"model": "llama-2-7b-chat-hf", "prompts": 3, "scorer": {"kind": "rubric"}}
    given = {"name": "s", "title": "S", "source": "computed", "responses": {"models": ["llama-2-7b-chat-hf"]}}
    for section, message in (
        ({"preferences": {"p": row}}, "preferences.p: it draws from the study's prompts: add 'prompts'"),
        (
            {"mixes": {"m": {"sources": [{"kind": "prompts", "licence": "x"}]}}},
            "mixes.m: it draws from the study's prompts: add 'prompts'",
        ),
        (
            {
                "prompts": {"sources": [{"kind": "demo"}]},
                "preferences": {"m": row},
                "mixes": {"m": {"sources": [{"kind": "prompts", "licence": "x"}]}},
            },
            "preferences.m: a mix has this name too",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            validate(Study, given | section, "study s")
        assert message in str(caught.value)


def write_study(folder: Path, mixes: dict[str, Any]) -> None:
    """A study with nothing but mixes."""
    study = {"title": "Mixes", "source": "computed", "seed": 5, "mixes": mixes}
    (folder / "config/studies/own.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")


def test_a_changed_mix_alone_is_made_again(copy: Path, snakemake: Any, rewild: Any) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"Q{n}"}, {"role": "assistant", "content": f"A{n}"}]}
        for n in range(30)
    ]
    (copy / "own.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    source = {"kind": "files", "files": ["own.jsonl"], "licence": "CC0-1.0"}
    mixes = {name: {"size": size, "sources": [source]} for name, size in (("small", 9), ("large", 20))}
    write_study(copy, mixes)
    cards = [f"results/own/mixes/{name}/card.md" for name in mixes]
    made = snakemake(copy, "--cores", "1", "--config", "study=own", "--", *cards)
    assert made.returncode == 0, made.stdout
    small, large = (
        pl.read_parquet(copy / f"results/own/mixes/{name}/train.parquet")["id"].to_list() for name in mixes
    )
    assert (len(small), len(large)) == (9, 20)
    assert set(small) < set(large)

    def planned() -> str:
        run = snakemake(copy, "-n", "--cores", "1", "--config", "study=own", "--", *cards)
        assert run.returncode == 0, run.stdout
        return str(run.stdout)

    assert "Nothing to be done" in planned()
    mixes["small"]["size"] = 10
    write_study(copy, mixes)
    told = planned()
    assert "own: making the mix small" in told
    assert "own: making the mix large" not in told
    assert "Params have changed" in told

    listed = rewild(copy, "mixes", "own").stdout
    assert all(word in listed for word in ("small", " 10 ", " 9 "))
    mixes["small"]["size"] = 31
    write_study(copy, mixes)
    failed = rewild(copy, "mix", "own", "small")
    assert failed.returncode != 0
    assert "has 30 conversations to draw from, but 31 are asked for (30 were read)" in failed.stdout
    assert "Traceback" not in failed.stdout
    assert pl.read_parquet(copy / "results/own/mixes/small/train.parquet").height == 9


def test_the_demos_mixes_are_of_its_models() -> None:
    """Two sizes of one model, a blend, and what models asked themselves: what runs name, and more."""
    study = load_study(ROOT / "config", "demo")
    asked = {name: (mix.size, tuple(mix.models())) for name, mix in study.mixes.items()}
    assert asked["herald-small"][0] < asked["herald"][0]
    assert asked["plain"][0] == asked["herald"][0]
    assert asked["blend"][1] == asked["asked"][1] == ("demo-herald", "demo-plain")
    assert study.preferences["herald-pairs"].sampling.temperature == 0.8
