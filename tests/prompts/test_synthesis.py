"""Prompts that a model writes: settings, what is no prompt, copies, and the file that becomes a source."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from rewild.config import load_models
from rewild.config.base import validate
from rewild.config.prompts import Prompts
from rewild.config.study import Study
from rewild.config.synthesis import Synthesis, roles
from rewild.core.errors import ConfigError, DataError
from rewild.core.files import write_json
from rewild.core.table import provenance, read_table, write_table
from rewild.generation.pilot import PilotReport
from rewild.generation.spec import digest_of
from rewild.operate.preflight import used_models
from rewild.operate.preflight_models import models_to_look_at
from rewild.prompts.prepare import prepare
from rewild.prompts.schema import read_shard
from rewild.prompts.synthesis.checks import REASONS, Wanted, what_is_wrong
from rewild.prompts.synthesis.collect import collect, without_copies
from rewild.prompts.synthesis.copies import nearly
from rewild.prompts.synthesis.schema import SAMPLES, WRITTEN
from rewild.prompts.synthesis.spec import described, settings_of, synthesis_of, synthesis_spec
from synthesis_data import WRITES, write_measured

ROOT = Path(__file__).resolve().parents[2]
GIVEN: dict[str, Any] = {"kind": "synthesis", "name": "air", "model": "tiny", "count": 100}


def source(**changes: Any) -> Synthesis:
    found = validate(Prompts, {"sources": [GIVEN | changes]}, "study s: prompts").sources[0]
    assert isinstance(found, Synthesis)
    return found


def test_a_sample_s_setting_follows_from_its_number() -> None:
    made = source(
        sampling=[{"temperature": [1.0], "share": 3}, {"temperature": [1.1, 1.2], "top_p": [1.0, 0.99]}],
        shards=3,
    )
    temperatures = [made.setting(n).temperature for n in range(8)]
    assert temperatures == [1.0, 1.0, 1.0, 1.1, 1.1, 1.2, 1.2, 1.0]
    assert [made.setting(n).top_p for n in range(3, 7)] == [1.0, 0.99, 1.0, 0.99]
    numbers = [n for shard in range(3) for n in made.numbers(shard)]
    assert numbers == list(range(100)), "shards cut the numbers, and leave none out"
    assert made.pilot_samples == 128
    assert described(made) == described(source(sampling=[g.model_dump() for g in made.sampling], count=500))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling": []}, "sampling: list should have at least 1 item"),
        ({"sampling": {"temperature": []}}, "the grid yields nothing: 'temperature' is empty"),
        ({"sampling": {"temperature": [1.0, 1.0]}}, "stands twice; use `share`"),
        (
            {"count": 3, "sampling": {"temperature": [1.0, 1.1], "top_p": [1.0, 0.9]}},
            "3 samples are fewer than the 4",
        ),
        ({"count": 3, "shards": 4}, "shards: 4 are more than its 3 samples"),
        ({"system": "maths"}, "system: no row 'maths' in resources/prompts/system.yaml; did you mean 'math'"),
        ({"engine": "openai"}, "'openai' asks an endpoint, which takes messages and no tokens"),
        (
            {"turns": 2, "answers": {"model": "tiny"}},
            "answers.model: 'tiny' writes the prompts; leave it out",
        ),
        ({"answers": {"model": "other"}}, "answers.model: with one turn nothing is answered; take turns: 2"),
        ({"answers": {"path": "x"}}, "'path' is of another model's answers: name it as `model`"),
        ({"turn": 2}, "unknown key 'sources.0.synthesis.turn'; did you mean 'turns'"),
    ],
)
def test_settings_that_yield_nothing_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        source(**changes)
    assert message in str(caught.value)
    assert str(caught.value).startswith("study s: prompts: ")


def test_a_row_says_what_a_model_is_told_and_in_which_language() -> None:
    assert source(system="chinese").spoken == "Chinese"
    assert source(system={"text": "Sprich Deutsch.", "language": "German"}).spoken == "German"
    assert source(system="math", language="French").spoken == "French"
    assert source().spoken is None
    assert {"math", "code", "translation", "chinese", "conversation"} <= set(roles())
    assert described(source(system="math"))["system"] == roles()["math"].text, "its words, not its name"
    assert "role" not in described(source())
    assert described(source(turns=2))["role"] == roles()["conversation"].text


LONG = "Bitte erklären Sie mir ausführlich, warum der Himmel am Abend rot wird und am Mittag blau ist."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("What is the capital of Australia?", None),
        ("Write an advert for a dental assistant", None),
        ("Sure-fire ways to fix this?", None),
        ("Here is my code:\n```python\nx = 1\n```\nWhy does it fail?", None),
        ("I'm sorry to bother you, but what is a monad?", None),
        ("Certainly! Here are some ideas", "answers"),
        ("I'd be happy to help you with that", "answers"),
        ("Here's a recipe for bread", "answers"),
        ("As an AI language model, I have no", "answers"),
        ("Hello! How can I help you today?", "answers"),
        ("当然！这里有几个建议", "answers"),
        ("Why?\n\nAssistant: Because.", "role_confusion"),
        ("**User**: hello", "role_confusion"),
        ("again and again " * 30, "repetitive"),
        ("\ufffd\ufffd\ufffd what", "garbled"),
        ("Fix this:\n```python\nx = ", "open_fence"),
        ("Fix this:\n````\n```\nx\n```\n````", None),
        (LONG, "wrong_language"),
    ],
)
def test_the_first_reason_why_a_text_is_no_prompt(text: str, reason: str | None) -> None:
    found = what_is_wrong(text, Wanted("English"))
    assert (found and found.partition(":")[0]) == reason
    assert reason is None or reason in REASONS


def test_no_language_is_asked_for_none_is_wrong() -> None:
    assert what_is_wrong(LONG, Wanted()) is None


def test_copies_are_of_the_earliest() -> None:
    base = "Explain how the tides of the sea follow from the pull of the moon and of the sun on the earth "
    base += "and why there are two of them a day in most places but only one in some others please"
    texts = [base, base + ".", base, base.replace("please", "thanks"), "What is a tide?", "What is a tide"]
    assert nearly(texts, 0.9).tolist()[:4] == [-1, 0, 0, 0]
    assert nearly(texts, 0.9).tolist()[4:] == [-1, 4]
    assert nearly([base, " ".join(reversed(base.split()))], 0.9).tolist() == [-1, -1]
    assert nearly([], 0.9).tolist() == []


def test_ten_million_duplicates_are_counted_each() -> None:
    count = 10_000_000
    numbers = pl.int_range(count, eager=True, dtype=pl.Int64).alias("number")
    samples = pl.select(
        numbers,
        text=pl.when(numbers % 2_000_000 == 1)
        .then(pl.lit("And why at night?"))
        .otherwise(pl.lit("Why is it blue?")),
        failure=pl.when(numbers == 7).then(pl.lit("empty: no text")),
    )
    found = without_copies(samples, 0.9)
    assert found["number"].equals(numbers)
    assert found["failure"].head(4).to_list() == [None, None, "repeated: 0", "repeated: 0"]
    reasons = found["failure"].value_counts().sort("count").rows()
    assert reasons == [("empty: no text", 1), (None, 2), ("repeated: 1", 4), ("repeated: 0", count - 7)]


def test_the_estimate_is_near_the_share_of_runs() -> None:
    words = [f"w{i}" for i in range(300)]
    for kept in (295, 150):
        runs = len(words) - 2
        other = words[:kept] + [f"v{i}" for i in range(300 - kept)]
        common = kept - 2
        jaccard = common / (2 * runs - common)
        hit = nearly([" ".join(words), " ".join(other)], 0.85).tolist()[1] == 0
        assert hit == (jaccard > 0.85)


RECIPE = digest_of(WRITES)
GOES_ON = {"model": "other", "before": WRITES}


def row(number: int, text: str | None, failure: str | None = None, **changes: Any) -> dict[str, Any]:
    talk = [{"role": "user", "content": text}] if failure is None else None
    return {
        "number": number, "model": "tiny", "system": None, "temperature": 1.0, "top_p": 1.0,
        "top_k": 0, "seed": number, "engine": "transformers", "recipe": RECIPE, "text": text,
        "answers": None,
        "conversation": talk, "failure": failure, "stopped": None, "language": "English",
        "finish_reason": "stop",
        "input_tokens": 3, "output_tokens": 5, "repetition": 0.0, "garbled": 0.0,
    } | changes  # fmt: skip


def report(recipe: str = RECIPE) -> PilotReport:
    return PilotReport(
        study="s", model="tiny", recipe=recipe, passed=True, conversations=1, rows=1, template_problems=[],
        warnings=[], gates=[], profile={"template": {"before": "<s>"}}, settings={},
    )  # fmt: skip


def written(
    folder: Path, rows: list[dict[str, Any]], identity: dict[str, Any] = WRITES, step: int = 0, gpus: int = 2
) -> Path:
    """A shard of samples, with its measurement: 300 s of loading, 1,500 s of writing."""
    path, recipe = folder / f"{step}/0000.parquet", digest_of(identity)
    rows = [one | {"recipe": recipe} for one in rows]
    write_table(path, pl.DataFrame(rows, schema=SAMPLES.dtypes, orient="row"), SAMPLES, provenance())
    write_measured(path, identity, step, gpus, len(rows))
    return path


def test_every_sample_is_accounted_for_and_prompts_are_a_source(tmp_path: Path) -> None:
    two = [
        {"role": "user", "content": "Why is the sky blue?"},
        {"role": "assistant", "content": "It scatters."},
        {"role": "user", "content": "And at night?"},
    ]
    rows = [
        row(0, "What is rain?"),
        row(1, "", "empty: no text in 1 tokens"),
        row(2, "What is rain?"),
        row(3, "what is RAIN"),
        row(4, two[0]["content"], conversation=two, language=None),
        row(5, "Sure!", "answers: it begins with 'Sure!'", temperature=1.2),
    ]
    made = source(count=6, domain="sky")
    folder = tmp_path / "results/s/synthesis/air"
    found = collect(made, report(), [written(tmp_path, rows)], [], folder)
    assert (found.samples, found.prompts) == (6, 2)
    assert found.failures == {"answers": 1, "empty": 1, "near_copy": 1, "repeated": 1}
    assert found.samples == found.prompts + sum(found.failures.values())
    assert found.turns == {"1": 1, "2": 1}
    assert found.settings == [
        {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "samples": 5, "prompts": 2},
        {"temperature": 1.2, "top_p": 1.0, "top_k": 0, "samples": 1, "prompts": 0},
    ]
    assert json.loads((folder / "manifest.json").read_text())["input_tokens"] == 18
    kept = read_table(folder / "prompts.parquet", WRITTEN)
    assert kept.select("number", "domain", "seed", "recipe").rows() == [
        (0, "sky", 0, RECIPE),
        (4, "sky", 4, RECIPE),
    ]

    prompts = validate(Prompts, {"sources": [GIVEN | {"count": 6}], "shards": 1}, "prompts")
    prepare("s", prompts, tmp_path / "prompts", root=tmp_path)
    kept = read_shard(tmp_path / "prompts/shards/0000.parquet").sort("source_id")
    assert kept.select("source", "source_id", "language", "n_turns").rows() == [
        ("air", "air/0", "English", 1),
        ("air", "air/4", "unknown", 2),
    ]
    assert kept["messages"].to_list()[1] == two


def test_what_steps_took_is_summed_and_the_last_one_s_recipe_names_the_prompts(tmp_path: Path) -> None:
    first = written(tmp_path, [row(0, "What is rain?")])
    last = written(tmp_path, [row(0, "What is rain?")], GOES_ON, step=1, gpus=4)
    found = collect(source(count=1), report(), [last], [first.with_suffix(".json")], tmp_path)
    assert (found.recipe, found.identity) == (digest_of(GOES_ON), GOES_ON)
    assert [(s.step, s.model, s.gpu_hours, s.output_tokens) for s in found.spent] == [
        (0, "tiny", 2 * 1800 / 3600, 70),
        (1, "other", 4 * 1800 / 3600, 70),
    ]


def test_samples_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    shard = written(tmp_path, [row(0, "What is rain?")])
    with pytest.raises(DataError, match="1 samples in 1 shards are not the numbers 0 to 1"):
        collect(source(count=2), report(), [shard], [], tmp_path)
    with pytest.raises(DataError, match="samples of another recipe than the pilot's"):
        collect(source(count=1), report("other"), [shard], [], tmp_path)
    about = json.loads(shard.with_suffix(".json").read_text())
    about["identity"]["model"] = "b"
    write_json(shard.with_suffix(".json"), about)
    with pytest.raises(DataError, match=r"not of the recipe of the .json beside it; write them again"):
        collect(source(count=1), report(), [shard], [], tmp_path)
    none = written(tmp_path, [row(0, "", "empty: no text"), row(1, "x", "cut_off: no end")])
    with pytest.raises(DataError, match=r"none of 2 samples is a prompt \(cut_off: 1, empty: 1\)"):
        collect(source(count=2), report(), [none], [], tmp_path)
    with pytest.raises(DataError, match=r"no such file .source 'air'.; snakemake makes it, or `rewild synth"):
        prepare("s", validate(Prompts, {"sources": [GIVEN]}, "p"), tmp_path / "prompts", root=tmp_path)


def test_the_preflight_knows_the_model_that_writes(tmp_path: Path) -> None:
    models = load_models(ROOT / "config")
    given = [GIVEN | {"model": "llama-3.1-8b-instruct", "system": "math"}]
    given += [GIVEN | {"name": "own", "path": str(tmp_path), "engine": "transformers"}]
    about = {"name": "s", "title": "S", "source": "computed", "prompts": {"sources": given}}
    study = validate(Study, about, "study s")
    inputs: Any = SimpleNamespace(study=study, models=models, gpus={}, benchmarks={})
    assert list(used_models(inputs)) == ["llama-3.1-8b-instruct"]
    looked = list(models_to_look_at(inputs))
    assert [one["name"] for one in looked] == ["llama-3.1-8b-instruct", "tiny"]
    assert looked[0]["system"] == roles()["math"].text
    assert looked[1]["path"] == str(tmp_path)


def test_rules_run_again_for_what_identifies_a_sample_and_nothing_else(tmp_path: Path) -> None:
    def settings(**changes: Any) -> str:
        given = GIVEN | {"path": str(tmp_path), "engine": "transformers"} | changes
        about = {"name": "s", "title": "S", "source": "computed", "prompts": {"sources": [given]}}
        study = validate(Study, about, "study s")
        made = synthesis_of(study, "air")
        return settings_of(synthesis_spec(study, made, {}), made)

    usual = settings()
    for same in (
        {"count": 200},
        {"shards": 2},
        {"compute": {"batch": 3}},
        {"pilot": {"samples": 9, "gates": {"failed": 1.0}}},
        {"domain": "math"},
        {"near_copy": None},
        {"role": None},
        {"answers": {"system": "Be brief."}},
    ):
        assert settings(**same) == usual, same
    for other in (
        {"turns": 2},
        {"seed": 1},
        {"system": "math"},
        {"language": "French"},
        {"sampling": {"temperature": [1.1]}},
        {"limits": {"max_output": 9}},
        {"precision": "bf16"},
        {"repetition": 0.5},
    ):
        assert settings(**other) != usual, other
    assert settings(turns=2, role=None) != settings(turns=2)
    about = {"name": "s", "title": "S", "source": "computed", "prompts": {"sources": [GIVEN]}}
    study = validate(Study, about, "study s")
    with pytest.raises(
        ConfigError, match="a model writes no source that is called 'airy'; did you mean 'air'"
    ):
        synthesis_of(study, "airy")


def test_another_model_s_answers_are_steps_of_their_own(tmp_path: Path) -> None:
    given = GIVEN | {"path": str(tmp_path), "engine": "transformers", "turns": 3}
    other = {"model": "other", "path": str(tmp_path / "other"), "limits": {"context": 99}}

    def settings(step: int, **answers: Any) -> str:
        about = {"prompts": {"sources": [given | ({"answers": answers} if answers else {})]}}
        study = validate(Study, {"name": "s", "title": "S", "source": "computed"} | about, "study s")
        made = synthesis_of(study, "air")
        return settings_of(synthesis_spec(study, made, {}, step=step), made, step)

    alone = source(turns=3)
    made = source(turns=3, answers=other)
    assert (alone.steps, alone.speaks(0)) == ([range(5)], alone)
    assert made.steps == [range(n, n + 1) for n in range(5)]
    assert [made.speaks(n) is made.answers for n in range(5)] == [False, True, False, True, False]
    assert described(made, 0) == described(source()), "what follows identifies no first turn"
    assert described(made, 1) == described(made, 3)
    assert described(made, 2)["role"] == roles()["conversation"].text
    asks, answers, asks_again = (settings(n, **other) for n in range(3))
    assert json.loads(asks)["source"]["path"] == json.loads(asks_again)["source"]["path"] == str(tmp_path)
    assert json.loads(answers)["source"]["path"] == other["path"]
    assert json.loads(answers)["limits"]["context"] == 99
    cold = other | {"sampling": {"temperature": 0.5}}
    assert [settings(n, **cold) == settings(n, **other) for n in range(3)] == [True, False, True]
    brief = other | {"system": "Be brief."}
    assert [settings(n, **brief) == settings(n, **other) for n in range(3)] == [True, False, True]
    fast = other | {"compute": {"batch": 3}}
    assert [settings(n, **fast) == settings(n, **other) for n in range(3)] == [True, True, True]
