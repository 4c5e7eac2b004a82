"""What a study is reckoned to cost: against sums done another way, and what a study measured itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from conftest import Run
from rewild.config import load_benchmarks, load_models, load_study
from rewild.config.recipes import load_recipes
from rewild.core.errors import ConfigError
from rewild.core.table import write_table
from rewild.measures.throughput.analysis import THROUGHPUT
from rewild.operate.cost.assumptions import load_assumptions
from rewild.operate.cost.estimate import CostInputs, estimate, law, total
from rewild.operate.cost.jobs import hours_of_jobs

ROOT = Path(__file__).resolve().parents[2]
CONVERSATIONS = 837_989
L27, Q72 = "llama-2-7b-chat-hf", "qwen2.5-72b-instruct"


def make_inputs(results: Path, study: str = "wildchat50m", **over: object) -> CostInputs:
    found = load_study(ROOT / "config", study, over)
    models = load_models(ROOT / "config", found)
    return CostInputs(
        found,
        models,
        load_recipes(ROOT / "config"),
        load_benchmarks(ROOT / "config", models),
        {},
        load_assumptions(ROOT),
        results,
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> CostInputs:
    return make_inputs(tmp_path_factory.mktemp("results"))


def lines(inputs: CostInputs, stage: str) -> dict[str, Any]:
    return {line.what: line for line in estimate(inputs) if line.stage == stage}


def test_tokens_of_a_conversation_are_the_sum_over_its_turns() -> None:
    """Against an explicit sum over turns of a geometric number of turns with mean 2.5."""
    stop = 1 / 2.5
    read = written = 0.0
    for n in range(1, 400):
        chance = stop * (1 - stop) ** (n - 1)
        read += chance * sum(t * 296 + (t - 1) * 441 for t in range(1, n + 1))
        written += chance * n * 441
    assert load_assumptions(ROOT).tokens() == pytest.approx((read, written))
    assert load_assumptions(ROOT).tokens({1: 3, 3: 1}) == pytest.approx(
        ((3 * 296 + (6 * 296 + 3 * 441)) / 4, 1.5 * 441)
    )


def test_speeds_pass_through_the_two_published_ones(inputs: CostInputs) -> None:
    assert law(inputs, 2048, 6_738_415_616) == pytest.approx(37_357)
    assert law(inputs, 20_000, 72_706_203_648) == pytest.approx(3163)
    assert 3163 < law(inputs, 8192, 8e9) < 37_357


def test_responses_by_hand(inputs: CostInputs) -> None:
    found = lines(inputs, "responses")
    read, written = inputs.assumed.tokens()
    slowest, fastest = found[Q72], found[L27]
    assert (slowest.gpus, fastest.gpus) == (2, 1)
    assert slowest.read == pytest.approx(CONVERSATIONS * read)
    hours = CONVERSATIONS * (read + written) / 3163 / 3600
    started = 101 * 5 / 60  # a hundred shards and a pilot, five minutes each
    pilot = 64 * (read + written) / 3163 / 3600
    assert slowest.gpu_hours == pytest.approx(2 * (hours + started + pilot))
    assert slowest.hours == pytest.approx(hours / 100 + 5 / 60)
    assert fastest.jobs == 101


def test_the_listed_models_cost_about_what_the_paper_says(inputs: CostInputs) -> None:
    """10,000 H100-hours. An estimate from two speeds that were half or twice it would be worthless."""
    found = lines(inputs, "responses")
    listed = [line for what, line in found.items() if inputs.models[what].listed.appendix_c]
    assert len(listed) == 52
    assert 5_000 < total(listed, "gpu_hours") < 20_000


def test_training_scales_with_conversations_epochs_and_parameters(inputs: CostInputs) -> None:
    found = lines(inputs, "training")
    assert found["l8b-q72-250k"].gpu_hours == pytest.approx(5.5 * 4)
    assert found["l8b-q72-500k"].gpu_hours == pytest.approx(11 * 4)
    assert found["teachers-q72"].gpu_hours == pytest.approx(5.5 * 4 * 2 * 100 / 250)
    assert found["q7b-q72-250k"].hours == pytest.approx(5.5 * 7_615_616_512 / 8_030_261_248)
    assert found["re-wild"].hours == pytest.approx(5.5 * 366_550 / 250_000)
    assert found["l8b-q72-250k"].disk == pytest.approx(2 * 8_030_261_248)


def test_a_subset_costs_its_share(tmp_path: Path, inputs: CostInputs) -> None:
    part = make_inputs(tmp_path, models=[Q72], runs="l8b-q72-*")
    assert lines(part, "responses") == {Q72: lines(inputs, "responses")[Q72]}
    assert set(lines(part, "training")) == {"l8b-q72-100k", "l8b-q72-250k", "l8b-q72-500k"}


def test_what_the_study_measured_comes_first(tmp_path: Path, inputs: CostInputs) -> None:
    row: dict[str, Any] = dict.fromkeys(THROUGHPUT.columns)
    row |= {
        "model": L27,
        "engine": "vllm",
        "hardware": "H100",
        "gpus": 1,
        "parameters": 6.7,
        "context": 2048,
        "shards": 2,
        "conversations": 1000,
        "input_tokens": 2_000_000,
        "output_tokens": 1_000_000,
        "generate_seconds": 100.0,
        "tokens_per_second": 30_000.0,
        "seconds_per_1000_conversations": 100.0,
    }
    folder = tmp_path / "wildchat50m"
    frame = pl.DataFrame([row], schema=THROUGHPUT.dtypes)
    write_table(folder / "throughput/throughput.csv", frame, THROUGHPUT, {})
    training = folder / "runs/l8b-q72-250k/training.json"
    training.parent.mkdir(parents=True)
    training.write_text(json.dumps({"hours": 4.0}))
    report = folder / "prompts/report.json"
    report.parent.mkdir(parents=True)
    report.write_text(json.dumps({"kept": 500_000, "turns": {"1": 500_000}}))
    own = replace(inputs, results=tmp_path)

    fast = lines(own, "responses")[L27]
    assert fast.basis == "measured"
    assert fast.read == pytest.approx(500_000 * 2000)
    assert fast.hours == pytest.approx(500_000 * 3000 / 30_000 / 3600 / 100 + 5 / 60)
    other = lines(own, "responses")[Q72]
    assert (other.basis, other.read) == ("published", pytest.approx(500_000 * 296))
    run = lines(own, "training")["l8b-q72-250k"]
    assert (run.basis, run.hours, run.gpu_hours) == ("measured", 4.0, 16.0)


def test_hours_of_jobs_by_hand(inputs: CostInputs, tmp_path: Path) -> None:
    """One job each: a shard of 50,000 answers to be graded, a run's judged benchmarks, lm-eval's."""
    found, a = hours_of_jobs(inputs), inputs.assumed
    start = a.start_minutes.value / 60
    pair = inputs.study.preferences["l8i-pairs"]
    scored = pair.prompts * pair.samples * (a.prompt_tokens.value + a.answer_tokens.value)
    rate = law(inputs, 4096, a.training_parameters.value)
    assert found["grades", "l8i-pairs"] == pytest.approx(scored / rate / 3600 / pair.shards + start)
    both = found["benchmarks", "q72"] + found["judged", "q72"] - 2 * start
    (line,) = [line for line in estimate(inputs) if (line.stage, line.what) == ("benchmarks", "q72")]
    assert both == pytest.approx(line.hours - line.jobs * start), "the same questions, in two jobs"
    assert found["benchmarks", "q72"] > found["judged", "q72"] > start
    assert found["training", "l8b-q72-250k"] == pytest.approx(lines(inputs, "training")["l8b-q72-250k"].hours)
    slow = make_inputs(tmp_path, evaluation={"backend": "hf"})
    assert ("benchmarks", "q72") not in hours_of_jobs(slow), "the speeds are vLLM's"


def test_judges_cost_dollars(inputs: CostInputs) -> None:
    found = lines(inputs, "judging")["mt-bench"]
    calls = 160 * len(inputs.study.runs)
    assert found.dollars == pytest.approx(calls * (1500 * 0.15 + 200 * 0.60) / 1e6)


def test_a_data_set_of_unknown_size_is_an_error_that_says_where_to_state_it(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    prompts = inputs.study.prompts
    assert prompts is not None
    source = prompts.sources[0].model_copy(update={"repository": "me/mine"})
    study = inputs.study.model_copy(update={"prompts": prompts.model_copy(update={"sources": [source]})})
    with pytest.raises(
        ConfigError, match=r"'wildchat' has is not known; add me/mine to 'conversations' in reso"
    ):
        estimate(replace(inputs, study=study))
    limited = prompts.model_copy(update={"sources": [source], "limit": 1000})
    study = inputs.study.model_copy(update={"prompts": limited})
    assert lines(replace(inputs, study=study), "responses")[Q72].written == pytest.approx(1000 * 2.5 * 441)


def test_the_command(rewild: Run) -> None:
    run = rewild(ROOT, "cost", "wildchat50m", "--models", f"{Q72},{L27}", "--json")
    assert run.returncode == 0, run.stdout
    found = json.loads(run.stdout)
    assert found["conversations"] == CONVERSATIONS
    assert {line["what"] for line in found["lines"] if line["stage"] == "responses"} == {Q72, L27}
    assert found["gpu_hours"] == pytest.approx(sum(line["gpu_hours"] for line in found["lines"]))
    shown = rewild(ROOT, "cost", "wildchat50m").stdout
    assert "GPU-hours of all responses" in shown
    assert "10,000" in shown
    assert "fastest: 37,357 (published: paper, section 2.2" in shown
    assert rewild(ROOT, "cost", "wildchat50").stdout.startswith(
        "error: unknown study 'wildchat50'; did you mean"
    )
