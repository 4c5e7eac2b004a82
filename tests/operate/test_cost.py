"""What a study is reckoned to cost: against sums done another way, and what a study measured itself."""

from __future__ import annotations

import json
import re
from ast import literal_eval
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from conftest import Run
from rewild.config import load_benchmarks, load_models, load_study
from rewild.config.assumptions import load_assumptions
from rewild.config.base import validate
from rewild.config.gpus import GPUS
from rewild.config.measures.labels import find_scheme
from rewild.config.reasoning import Reasoning
from rewild.config.recipes import load_recipes
from rewild.core.errors import ConfigError
from rewild.core.table import write_table
from rewild.engines.plan import architecture_of, plan_on
from rewild.engines.roofline import Traffic, forecast, traffic
from rewild.evaluation.harness.settings import target_of
from rewild.measures.base import Text
from rewild.measures.labels import question
from rewild.measures.throughput.analysis import THROUGHPUT
from rewild.operate.cost.base import CostInputs, conversations, total, under
from rewild.operate.cost.estimate import answering_hours, estimate, mix_size
from rewild.operate.cost.jobs import hours_of_jobs
from rewild.operate.cost.report import print_cost
from synthesis_data import write_measured

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


def test_responses_by_hand(inputs: CostInputs) -> None:
    """From the rooflines of two plans: one GPU with a short context, and four."""
    found, turns = lines(inputs, "responses"), 2.5
    for slug, gpus, context in ((L27, 1, 2048), (Q72, 4, 20_000)):
        line, shape = found[slug], architecture_of(inputs.models[slug])
        use = traffic(inputs.assumed, round(0.75 * context), round(0.2 * context))
        made = forecast(shape, GPUS["H100-80"], plan_on(shape, GPUS["H100-80"], gpus), use)
        assert (line.gpus, line.basis, line.jobs) == (gpus, "predicted", 101)
        assert line.read == pytest.approx(CONVERSATIONS * turns * use.read)
        assert line.written == pytest.approx(CONVERSATIONS * turns * use.written)
        hours = CONVERSATIONS * turns * made.seconds / 3600
        start = 1.5 / 60 + shape.weight_bytes / 1e9 / 3600  # from nothing, and a GB of weights per second
        pilot = 64 * turns * made.seconds / 3600
        assert line.gpu_hours == pytest.approx(gpus * (hours + pilot + 101 * start))
        assert line.hours == pytest.approx(hours / 100 + start)
    assert found[L27].written < found[Q72].written, "a context of 2,048 cuts answers at a fifth of it"


def test_the_cheapest_plans_cost_half_of_the_fewest_gpus(inputs: CostInputs) -> None:
    """Of the paper's 52 models, by one model of cost: near its 10,000 H100-hours, and under 5,000."""
    hours = {}
    for objective in ("fewest", "cheapest"):
        found = lines(under(inputs, objective), "responses")
        listed = [line for what, line in found.items() if inputs.models[what].listed.appendix_c]
        assert len(listed) == 52
        hours[objective] = total(listed, "gpu_hours")
    assert 7_000 < hours["fewest"] < 13_000
    assert hours["cheapest"] < 5_000
    assert lines(under(inputs, "cheapest"), "responses") == lines(inputs, "responses"), "the default"


def test_a_study_says_what_its_conversations_hold(tmp_path: Path, inputs: CostInputs) -> None:
    tokens = {"prompt": 30.0, "answer": 50.0, "turns": 1.0}
    small = make_inputs(tmp_path, responses={"compute": {"tokens": tokens}})
    line = lines(small, "responses")[Q72]
    assert line.read == pytest.approx(CONVERSATIONS * 30)
    assert line.written == pytest.approx(CONVERSATIONS * 50, rel=1e-3)
    assert line.gpu_hours < lines(inputs, "responses")[Q72].gpu_hours / 5


def test_a_benchmark_that_scores_options_asks_for_each(inputs: CostInputs) -> None:
    """About 200 million tokens a run, most of them MMLU-Pro's: each of its options reads the whole prompt."""
    (line,) = [line for line in estimate(inputs) if (line.stage, line.what) == ("benchmarks", "l8i")]
    taken = inputs.study.evaluation.benchmarks if inputs.study.evaluation else []
    asked = {slug: inputs.assumed.questions[slug] for slug in taken}
    assert line.read == pytest.approx(
        sum(asked[slug].questions * asked[slug].requests * asked[slug].read for slug in asked)
    )
    assert 190e6 < line.read < 210e6
    assert pytest.approx(160e6, rel=0.01) == 12_032 * 9.5 * 1400
    target = target_of(inputs.study, "l8i", inputs.models)
    one = answering_hours(inputs, target, ["mmlu-pro"])
    shape = architecture_of(target.row, "bf16")
    made = plan_on(shape, GPUS["H100-80"], 1)
    by_hand = forecast(shape, GPUS["H100-80"], made, Traffic(1400, 1400, 1, 1400.5)).seconds * 12_032 * 9.5
    assert one == pytest.approx(by_hand / 3600)


def test_options_are_counted_as_lm_eval_has_them() -> None:
    """From its task definitions, where it is installed: BBH's options, and what MMLU-Pro and GPQA score."""
    (folder, *_) = [
        *(ROOT / ".envs").glob("lm-eval*/lib/python*/site-packages/lm_eval/tasks/leaderboard"),
        None,
    ]
    if folder is None:
        pytest.skip("lm-eval is not installed")
    asked, options, questions = load_assumptions(ROOT).questions, 0, 0
    for path in (folder / "bbh_mc").glob("*.yaml"):
        found = re.search(r"^doc_to_choice: (\[.*\])", path.read_text(), re.MULTILINE)
        if found:
            number = {"causal_judgement": 187, "penguins_in_a_table": 146, "snarks": 178}.get(path.stem, 250)
            questions, options = questions + number, options + number * len(literal_eval(found[1]))
    assert asked["bbh"].questions == questions
    assert asked["bbh"].requests == pytest.approx(options / questions, abs=0.05)
    for task in ("mmlu_pro/mmlu_pro.yaml", "gpqa/_template_yaml"):
        assert "output_type: multiple_choice" in (folder / task).read_text()


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


AIR: dict[str, Any] = {"kind": "synthesis", "name": "air", "model": "meta-llama-3-8b-instruct"}
AIR |= {
    "count": 1_000_000,
    "shards": 4,
    "turns": 2,
    "system": {"text": "x" * 470},
    "role": {"text": "y" * 940},
}
ANOTHER = {"answers": {"model": "llama-3.3-70b-instruct", "limits": {"max_output": 100}}}


def writing(results: Path, **changes: Any) -> dict[str, Any]:
    return lines(make_inputs(results, "smoke", prompts={"sources": [AIR | changes]}), "synthesis")


def test_prompts_that_models_write_are_reckoned_step_by_step(tmp_path: Path) -> None:
    """By hand: 10 tokens of a header, prompts of 296 tokens, answers of 441; 4.7 letters are a token."""
    n = 1_000_000
    one, two = writing(tmp_path)["air/0"], writing(tmp_path, **ANOTHER)
    read = [10 + 100, 10 + 296, 10 + 296 + 441 + 300]
    assert one.read == pytest.approx(n * sum(read))
    assert one.written == pytest.approx(n * (296 + 441 + 296))
    assert (one.jobs, one.gpus, one.basis) == (5, 1, "predicted")
    assert list(two) == ["air/0", "air/1", "air/2"]
    assert [line.jobs for line in two.values()] == [5, 4, 4]
    assert [line.written / n for line in two.values()] == pytest.approx([296, 100, 296])
    read[2] += 100 - 441
    assert [line.read / n for line in two.values()] == pytest.approx(read)
    assert two["air/1"].gpus > two["air/0"].gpus
    assert all(line.hours > 0 for line in two.values())
    known = make_inputs(tmp_path, "smoke", prompts={"sources": [AIR | ANOTHER]})
    asked = hours_of_jobs(known)
    assert {what: asked["synthesis", what] for what in two} == {w: line.hours for w, line in two.items()}
    (weights,) = lines(known, "weights").values()
    assert weights.disk >= 2 * (8_030_261_248 + 70_553_706_496)


def test_shards_of_prompts_that_were_measured_count_for_the_rest(tmp_path: Path) -> None:
    for shard in ("0000", "0001"):
        write_measured(tmp_path / f"smoke/synthesis/air/0/{shard}.parquet", gpus=1, rows=250_000)
    found = writing(tmp_path)["air/0"]
    assert (found.basis, found.read, found.written) == ("measured", 4 * 30, 4 * 70)
    assert found.hours == pytest.approx((1500 + 300) / 3600)
    tried = 128 / 1_000_000
    assert found.gpu_hours == pytest.approx((4 * 1500 * (1 + tried) + 5 * 300) / 3600)


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
    start = 1.5 / 60 + 13_476_831_232 / 1e9 / 3600
    assert fast.hours == pytest.approx(500_000 * 3000 / 30_000 / 3600 / 100 + start)
    other = lines(own, "responses")[Q72]
    assert (other.basis, other.read) == ("predicted", pytest.approx(500_000 * 296))
    run = lines(own, "training")["l8b-q72-250k"]
    assert (run.basis, run.hours, run.gpu_hours) == ("measured", 4.0, 16.0)


def test_hours_of_jobs_by_hand(inputs: CostInputs, tmp_path: Path) -> None:
    """One job each: a shard of 50,000 answers to be graded, a run's judged benchmarks, lm-eval's."""
    found, a = hours_of_jobs(inputs), inputs.assumed
    pair = inputs.study.preferences["l8i-pairs"]
    usual, one = architecture_of(inputs.models["llama-3.1-8b"]), a.prompt_tokens.value + a.answer_tokens.value
    reads = forecast(usual, GPUS["H100-80"], plan_on(usual, GPUS["H100-80"], 1), Traffic(one, one, 1, one))
    start = a.start_hours(usual.weight_bytes)
    graded = pair.prompts * pair.samples * reads.prefill / 3600
    assert found["grades", "l8i-pairs"] == pytest.approx(graded / pair.shards + start)
    both = found["benchmarks", "q72"] + found["judged", "q72"]
    (line,) = [line for line in estimate(inputs) if (line.stage, line.what) == ("benchmarks", "q72")]
    start = a.start_hours(architecture_of(inputs.models[Q72]).weight_bytes)
    assert both - 2 * start == pytest.approx(line.hours - line.jobs * start), (
        "the same questions, in two jobs"
    )
    assert found["benchmarks", "q72"] > found["judged", "q72"] > start
    assert found["training", "l8b-q72-250k"] == pytest.approx(lines(inputs, "training")["l8b-q72-250k"].hours)
    slow = make_inputs(tmp_path, evaluation={"backend": "hf"})
    assert ("benchmarks", "q72") not in hours_of_jobs(slow), "the speeds are vLLM's"


def test_judges_cost_dollars(inputs: CostInputs) -> None:
    found = lines(inputs, "judging")["mt-bench"]
    calls = 160 * len(inputs.study.runs)
    assert found.dollars == pytest.approx(calls * (1500 * 0.15 + 200 * 0.60) / 1e6)


def test_what_judges_and_runs_reason_is_counted(inputs: CostInputs) -> None:
    thinks = {"reasoning": validate(Reasoning, {"budget": 800, "expected": 300}, "reasoning")}
    models = {slug: row.model_copy(update=thinks) for slug, row in inputs.models.items()}
    longer = replace(inputs, models=models)
    calls = 160 * len(inputs.study.runs)
    assert lines(longer, "judging")["mt-bench"].dollars == pytest.approx(calls * (225 + 500 * 0.60) / 1e6)
    plain, more = (lines(one, "benchmarks")["q72"] for one in (inputs, longer))
    benchmarks = inputs.study.evaluation.benchmarks if inputs.study.evaluation else []
    asked = [q for slug in benchmarks if (q := inputs.assumed.questions.get(slug)) and q.written]
    assert more.written - plain.written == 300 * sum(q.questions * q.requests for q in asked) > 0
    assert more.read == plain.read
    assert more.gpu_hours > plain.gpu_hours


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
    written = lines(replace(inputs, study=study), "responses")[Q72].written
    assert written == pytest.approx(1000 * 2.5 * 441, rel=0.01), "but for answers longer than the limit"


def test_the_command(rewild: Run) -> None:
    run = rewild(ROOT, "cost", "wildchat50m", "--models", f"{Q72},{L27}", "--json")
    assert run.returncode == 0, run.stdout
    found = json.loads(run.stdout)
    assert found["conversations"] == CONVERSATIONS
    assert {line["what"] for line in found["lines"] if line["stage"] == "responses"} == {Q72, L27}
    assert found["gpu_hours"] == pytest.approx(sum(line["gpu_hours"] for line in found["lines"]))
    mine = sum(line["gpu_hours"] for line in found["lines"] if line["stage"] == "responses")
    assert found["responses_gpu_hours"]["cheapest"] == pytest.approx(mine)
    shown = rewild(ROOT, "cost", "wildchat50m").stdout
    assert "GPU-hours of all responses" in shown
    assert "10,000" in shown
    assert "roofline, arithmetic: 0.64 (measured: share of the bf16 arithmetic" in shown
    row = next(line.split() for line in shown.splitlines() if line.startswith(" GPU-hours of all responses"))
    fewest, cheapest = (int(word.replace(",", "")) for word in row[5:7])
    assert fewest > 1.5 * cheapest
    assert rewild(ROOT, "cost", "wildchat50").stdout.startswith(
        "error: unknown study 'wildchat50'; did you mean"
    )


def test_labels_cost_gpu_hours_or_dollars(tmp_path: Path) -> None:
    """Of each text the rubric, half the conversation before it, and itself; by the roofline or a price."""
    row = {"kind": "label", "scheme": "quality", "model": "llama-3.1-8b-instruct", "attempts": 2}
    price = {"input": 0.15, "output": 0.60, "date": "2026-01-01", "source": "a test"}
    guard = {"kind": "safety", "model": "guard", "engine": "openai"}
    made = make_inputs(
        tmp_path,
        measures={"q": row, "r": row | {"of": "responses"}, "s": guard, "p": row | {"model": "rubric"}},
        judging={"prices": {"guard": price}},
    )
    found, turns, models = lines(made, "measures"), 2.5, 52
    rubric = len(question(find_scheme("quality"), "prompts", Text("", 0, 0, ""))) / 4.7
    prompts, answers = CONVERSATIONS * turns, CONVERSATIONS * turns * len(made.study.responses.models)
    assert len(made.study.responses.models) >= models
    read = 10 + rubric + (turns - 1) / 2 * (296 + 441) + 296
    assert found["q"].read == pytest.approx(prompts * read)
    assert found["q"].written == pytest.approx(prompts * (10 + 50 + 10))
    shape = architecture_of(made.models["llama-3.1-8b-instruct"])
    cached = made.assumed.roofline.prefix.value * rubric
    use = Traffic(read, read - cached, 70, read + 70)
    each = forecast(shape, GPUS["H100-80"], plan_on(shape, GPUS["H100-80"], 1), use).seconds
    start = 1.5 / 60 + shape.weight_bytes / 1e9 / 3600
    assert found["q"].gpu_hours == pytest.approx(prompts * each / 3600 + 100 * start)
    assert found["r"].jobs == 100 * len(made.study.responses.models)
    guarded = 10 + 300 + (turns - 1) / 2 * (296 + 441) + 296 + 441
    assert found["s"].dollars == pytest.approx(answers * (guarded * 0.15 + 10 * 0.60) / 1e6)
    assert [found[name].gpu_hours for name in ("s", "p")] == [0, 0]
    assert found["p"].dollars == 0


def test_magpies_sets_stand_beside_the_papers_hours(tmp_path: Path) -> None:
    """Prompts of a source, and the part of its model's answers that goes to it; no other paper's row."""
    found = make_inputs(tmp_path, "magpie")
    shown = Console(width=140, record=True, file=StringIO())
    print_cost(found, estimate(found), each=False, console=shown)
    text = shown.export_text()
    for published, source, model, paper in (
        ("MAGPIE-Air", "air", "meta-llama-3-8b-instruct", "206"),
        ("MAGPIE-Pro", "pro", "meta-llama-3-70b-instruct", "614"),
    ):
        (row,) = [line for line in text.splitlines() if f"GPU-hours of {published} " in line]
        hours = []
        for objective in ("fewest", "cheapest"):
            inputs = under(found, objective)
            asked = found.study.responses.origins_of(model)
            part = conversations(found, [source]) / conversations(found, asked)
            answers = lines(inputs, "responses")[model].gpu_hours * part
            hours.append(f"{lines(inputs, 'synthesis')[f'{source}/0'].gpu_hours + answers:,.0f}")
        assert row.split()[3:6] == [paper, *hours]
    assert "GPU-hours of all responses" not in text


def test_a_mix_that_a_filter_cuts_is_as_large_as_what_it_keeps(tmp_path: Path) -> None:
    found = make_inputs(tmp_path, "magpie")
    mixes = found.study.mixes
    assert {name: mix_size(found, mixes[name]) for name in ("air-filtered", "pro-filtered", "pro-mix")} == {
        "air-filtered": 300_000,
        "pro-filtered": 300_000,
        "pro-mix": 450_000,
    }


def test_a_mix_of_samples_is_as_large_as_the_set_that_sampled_them(tmp_path: Path) -> None:
    found = make_inputs(tmp_path, "teachers")
    mixes = found.study.mixes
    assert {mix_size(found, mixes[name]) for name in ("five-best", "t0.3-p1.0")} == {100_000}
