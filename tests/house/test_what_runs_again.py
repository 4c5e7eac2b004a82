"""Which rules another value of each setting runs again: those of the table, and none for what only says how.

Every field of every section of two studies gets another value, and what Snakemake compares of each job (the
parameters, the inputs) is made again. ``tests/house/test_rerun_triggers.py`` asks Snakemake itself, of a few.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import pytest

from flips import ALWAYS as AFTER_ALL
from flips import Planned
from parsed import rules
from rewild.config import stages
from rewild.config.base import CUT, ENVIRONMENT, HOW, LISTED, RESULT, SHOWN, Section, identity, part
from rewild.config.responses import ModelSettings
from rewild.config.vllm import VllmArguments

pytestmark = pytest.mark.heavy
ALWAYS = {"all", *AFTER_ALL}  # the whole study, its configuration, its home and the list that this reads
ANSWERS = {"run_pilot", "answer_shard", "sample_answers"}
TRAINS = {"preflight_run", "train_run", "postflight_run"}
NAMES = {"collect_scores", "draw_loss", "state_findings"}  # the names of runs are in what they make
STATES = {"draw_figure", "fill_table", "compare_judgments", "state_findings"}
CARDS = {"describe_mix", "describe_pairs"}
VIEWS = {"draw_candidates", "tabulate_candidates", "show_candidates"}
RANKS = {"rank_candidates", "judge_candidates", *VIEWS}
WRITES = {"pilot_synthesis", "synthesise_shard", "collect_synthesis"}
PLAN = re.compile(r"study\.responses\.compute\.gpu|models\.\*\.(dimensions|parameters)\.")
"""They reach answers as the context of the engine plan, where the study sets none."""

Expected = tuple[set[str], set[str]]
TABLE: dict[str, Expected] = {
    # field, or those that begin so → rules that run again, and those that may, by what the value touches
    "study.title": ({"make_viewer", "list_data", "show_candidates"}, set()),
    "study.source": ({"make_table", "draw_figure"}, {"fill_table"}),
    "study.seed": (
        {"run_pilot", "answer_shard", "make_mix", "evaluate_run", "answer_benchmarks", "judge_answers"}
        | {"draw_preference_prompts", "sample_answers", "score_similarity", "merge_similarity"}
        | {"measure_diversity", *TRAINS, *STATES, *RANKS},
        {"summarise_measure", "draw_data", "tabulate_data", *WRITES},
    ),
    "study.data.": ({"draw_data", "tabulate_data"}, {"list_data"}),
    "study.data.sets.": ({"tabulate_data"}, {"draw_data", "list_data"}),
    "study.prompts.": ({"prepare_prompts"}, set()),
    "study.prompts.sources.": ({"prepare_prompts"}, WRITES),
    "study.prompts.sources.*.shards": ({"prepare_prompts"}, {*WRITES, "measure_throughput"}),
    "study.prompts.sources.*.pilot.": ({"pilot_synthesis"}, set()),
    "study.prompts.shards": (
        {"prepare_prompts", "collect_responses"},
        {"run_pilot", "draw_preference_prompts", "measure_throughput", "measure_texts", "postflight_run"}
        | {"draw_data", "tabulate_data", "make_mix", "summarise_measure", "rank_candidates"},
    ),
    "study.measures.": (
        {"measure_texts"},
        {"summarise_measure", "draw_data", "tabulate_data", "list_data"},
    ),
    "study.measures.*.whole": (  # other files, and those that read them
        set(),
        {"measure_texts", "summarise_measure", "draw_data", "tabulate_data", "list_data"}
        | {"make_mix", "rank_candidates"},
    ),
    "study.teachers.": (RANKS, set()),
    "study.teachers.predictors.*.label": (VIEWS, set()),
    "study.similarity.": ({"score_similarity"}, set()),
    "study.similarity.synonyms": ({"score_similarity"}, {"get_wordnet"}),
    "study.similarity.blocks": ({"score_similarity", "merge_similarity"}, {"make_viewer"}),
    "study.similarity.drawn": (set(), set()),
    "study.similarity.sampled.": ({"merge_similarity"}, set()),
    "study.similarity.interval": ({"merge_similarity"}, set()),
    "study.similarity.bootstrap": ({"merge_similarity"}, set()),
    "study.diversity.": ({"measure_diversity"}, set()),
    "study.responses.": (ANSWERS, set()),
    "study.responses.history": ({"run_pilot", "answer_shard"}, set()),  # samples are of first turns
    "study.responses.sampling.": ({"run_pilot", "answer_shard"}, set()),  # samples have their own
    "study.responses.overrides.": ({"run_pilot", "answer_shard"}, {"sample_answers", *CARDS}),
    "study.responses.overrides.*.gates": ({"check_pilot"}, set()),
    "study.responses.pilot.conversations": ({"run_pilot"}, set()),
    "gates.": ({"check_pilot"}, set()),
    "gates.repetition": ({"run_pilot"}, set()),
    "gates.garbage": ({"run_pilot"}, set()),
    "study.demo.text": ({"make_demo_model", "make_questions"}, set()),
    "study.demo.models.": (
        {"make_demo_model"},
        {"collect_scores", "plot_similarity", "evaluate_run", *RANKS},
    ),
    "study.mixes.": ({"make_mix"}, NAMES),
    "study.mixes.*.label": ({"describe_mix"}, NAMES),
    "study.mixes.*.title": ({"describe_mix"}, set()),
    "study.mixes.*.tokenizer": ({"describe_mix"}, set()),
    "study.mixes.*.sources.*.licence": ({"describe_mix"}, set()),
    "study.mixes.*.sources.*.model": (
        {"make_mix"},
        {*NAMES, "describe_mix", "compare_inherited_style", "compare_judgments", "fill_table"},
    ),
    "study.mixes.*.sources.*.length_control": ({"make_mix"}, {*NAMES, "describe_mix"}),
    "study.preferences.*.prompts": ({"draw_preference_prompts", "pair_answers"}, set()),
    "study.preferences.*.origins": ({"draw_preference_prompts", "pair_answers"}, set()),
    "study.preferences.*.contamination": ({"draw_preference_prompts", "pair_answers"}, set()),
    "study.preferences.*.model": ({"sample_answers", "pair_answers"}, {*NAMES, "describe_pairs"}),
    "study.preferences.*.sampl": ({"sample_answers", "pair_answers"}, set()),
    "study.preferences.*.scorer": ({"score_answers", "pair_answers"}, set()),
    "study.preferences.*.unfinished": ({"score_answers", "pair_answers"}, set()),
    "study.preferences.*.repetition": ({"score_answers", "pair_answers"}, set()),
    "study.preferences.*.garbled": ({"score_answers", "pair_answers"}, set()),
    "study.preferences.*.at_least": ({"pair_answers"}, set()),
    "study.preferences.*.margin": ({"pair_answers"}, set()),
    "study.preferences.*.seed": ({"draw_preference_prompts", "sample_answers", "pair_answers"}, set()),
    "study.preferences.*.shards": ({"sample_answers", "pair_answers", "describe_pairs"}, set()),
    "study.preferences.*.label": ({"describe_pairs"}, NAMES),
    "study.preferences.*.title": ({"describe_pairs"}, set()),
    "study.preferences.*.licence": ({"describe_pairs"}, set()),
    "study.preferences.*.tokenizer": ({"describe_pairs"}, set()),
    "study.runs.": (TRAINS, NAMES),
    "study.runs.*.model": (TRAINS, {*NAMES, "evaluate_run", "answer_benchmarks"}),
    "study.runs.*.mix": (TRAINS, {*NAMES, "compare_inherited_style", "compare_judgments", "fill_table"}),
    "study.runs.*.label": ({"collect_scores", "draw_loss"}, set()),
    "study.inherited_style.": ({"compare_inherited_style"}, set()),
    "study.findings.": (STATES, {"collect_scores"}),
    "study.judging.": ({"judge_answers"}, set()),
    "study.judging.baselines": ({"judge_answers", "score_judgments"}, set()),
    "study.judging.limits": ({"answer_benchmarks", "score_judgments"}, set()),
    "study.judging.answers.": ({"answer_benchmarks"}, set()),
    "study.viewer.": ({"make_viewer"}, set()),
    "study.evaluation.": ({"evaluate_run"}, set()),
    "study.evaluation.limit": ({"evaluate_run", "answer_benchmarks", "score_judgments"}, set()),
    "study.evaluation.max_empty": ({"score_benchmark"}, set()),
    "recipes.": (TRAINS, set()),
    "recipes.*.gates": ({"postflight_run"}, set()),
    "recipes.*.title": (set(), set()),
    "recipes.*.unstated": (set(), set()),
    "recipes.*.source": (set(), set()),
    "recipes.*.note": (set(), set()),
    "models.": (set(), {*ANSWERS, *TRAINS, "answer_benchmarks", "evaluate_run"}),
    "models.*.hub": (TRAINS, {*ANSWERS, "answer_benchmarks", "evaluate_run"}),
    "models.*.revision": (TRAINS, {*ANSWERS, "answer_benchmarks", "evaluate_run"}),
    "models.*.revision_source": (set(), set()),
    "models.*.abbreviation": (set(), NAMES),
    "models.*.kind": (set(), {"collect_scores"}),
    "models.*.licence": (set(), {"describe_mix"}),
    "benchmarks.": ({"evaluate_run"}, set()),
    "benchmarks.*.runner": ({"score_judgments"}, {"answer_benchmarks", "judge_answers"}),
    "benchmarks.*.dataset": (set(), {"evaluate_run"}),  # the demo has files of its own
    "benchmarks.*.revision": (set(), {"evaluate_run"}),
    "benchmarks.*.files": (set(), {"answer_benchmarks", "judge_answers", "score_judgments"}),
    "benchmarks.*.metric": ({"score_benchmark"}, set()),
    "benchmarks.*.judge": ({"judge_answers"}, set()),
    # What reads these has benchmarks.yaml itself as an input.
    "benchmarks.*.scale.": (set(), set()),
    "benchmarks.*.higher_is_better": (set(), set()),
    # Only in what lm-eval is told; its own row says it, where a study allows code.
    "benchmarks.*.runs_code": (set(), {"evaluate_run"}),
}
UNTRIED = re.compile(
    r"""^(
    study\.(imports|demo|measures|teachers|coverage|filters|preferences|inherited_style|responses\.(models|overrides)|evaluation\.(settings|runs))
    |study\.teachers\.(bases|teachers|origins|benchmarks|runs|likelihoods|variants|predictors|car)(\..*)?
    |study\.responses\.overrides\.\*\.gpus          # needs a GPU
    |study\.measures\.\*\.constrained             # needs vLLM
    |study\.evaluation\.backend                     # vllm needs one
    |study\.findings\.(base|size|pair|lead|radar)   # they name what the runs are
    |study\.judging\.(baselines|local)|study\.mixes\.\*\.sources\.\*\.count|study\.runs\.\*\.(model|mix|recipe)
    |study\.mixes\.\*\.sources\.\*\.(model|length_control)
    |study\.mixes\.\*\.filters\.measures            # they name a measure of the study
    |study\.(prompts\.sources|preferences)\.\*\.filters
    |study\.prompts\.sources\.\*\.(name|model|system|answers\..*)
    |study\.measures\.\*\.(engine|scheme|model|revision|of|left|right|space)(\..*)?
    |study\.data\.(measures|system|price|sets\..*)|study\.mixes\.\*\.filters\.measures\..*
    |study\.measures\.\*\.(engine|scheme|model|revision|of|left|right|space)(\..*)?|study\.data\.sets\..*
    |.*\.kind|benchmarks\.\*\.(slug|judged|judge|revision|source|citation|files|scale\.max)
    |recipes\.\*\.(warmup_ratio|precision|attention|fsdp|beta|unstated)
    |models\.\*\.(folder|native|api|endpoint|base|parameters\.active|quantized_revision|listed\.copies|dimensions\..*)
    )$""",
    re.VERBOSE,
)
"""Fields of which another value needs another change besides, in one of the two studies."""
STUDIES: list[dict[str, Any]] = [
    {"study": "demo"},
    {"study": "wildchat50m", "models": "qwen2-7b-instruct", "runs": "l8b-q7-250k"},
]


@pytest.fixture(scope="module", params=STUDIES, ids=lambda config: config["study"])
def planned(request: pytest.FixtureRequest) -> Planned:
    return Planned(**request.param)


def expected(name: str) -> Expected | None:
    """The entry of the table for a field: the longest that fits."""
    if ".gates." in name and name.startswith("study.prompts."):
        return {"check_synthesis_pilot"}, set()
    if ".gates." in name:
        return TABLE.get(name[name.index("gates.") :], TABLE["gates."])
    fits = [key for key in TABLE if name == key or (name.startswith(key) and not key.endswith("d"))]
    return TABLE[max(fits, key=len)] if fits else None


def test_every_field_runs_again_what_depends_on_it(planned: Planned) -> None:
    made_here = {rule.removesuffix(f"_{planned.name}") for rule, _ in planned.jobs}
    wrong, untried = {}, []
    for name, mark, ran in planned.walk():
        if ran is None:
            untried += [] if UNTRIED.match(name) else [name]
            continue
        found = ran - ALWAYS
        must, may = expected(name) or (set[str](), set[str]())
        if PLAN.match(name):
            must, may = set(), {*ANSWERS, *WRITES, "answer_benchmarks", "tabulate_data"}  # the price of a GPU
        elif mark == HOW:
            must = may = set()
        elif mark == SHOWN:
            must, may = TABLE.get(name, (set(), set()))
        elif mark in (ENVIRONMENT, LISTED):
            must, may = set(), found - ({"train_run", "make_mix"} if name != "study.name" else set())
        elif expected(name) is None:
            wrong[name] = "not in the table"
        if not must & made_here <= found <= must | may:
            wrong[name] = f"ran {sorted(found)}, not {sorted(must & made_here)} (or {sorted(may)})"
    assert not wrong, "\n".join(f"{name}: {said}" for name, said in wrong.items())
    assert not untried, f"see OTHER in tests/flips.py; no other value was found for: {', '.join(untried)}"


def test_a_gpu_identifies_nothing_where_the_context_is_set(planned: Planned) -> None:
    responses = planned.study.responses
    if responses.compute.gpu is None:
        pytest.skip("this study runs on the CPU")
    found = []
    for kind, share in ((responses.compute.gpu, None), ("H200-141", 0.8)):
        compute = responses.compute.model_copy(update={"gpu": kind, "gpu_memory_utilization": share})
        limits = responses.limits.model_copy(update={"context": 4096})
        changed = responses.model_copy(update={"compute": compute, "limits": limits})
        planned.put(planned.study.model_copy(update={"responses": changed}))
        found.append({key: one for key, one in planned.triggers().items() if key[0] in ANSWERS})
    planned.put()
    assert found[0] == found[1]


@pytest.mark.parametrize(("name", "value"), [("max_num_seqs", 512), ("kv_cache_dtype", "fp8")])
def test_an_argument_of_vllm_identifies_what_its_mark_says(
    planned: Planned, name: str, value: object
) -> None:
    responses = planned.study.responses
    if responses.engine != "vllm":
        pytest.skip("this study has no vLLM")
    vllm = VllmArguments.model_validate({name: value})
    marks = vllm.marked
    compute = responses.compute.model_copy(update={"vllm": vllm})
    own = ModelSettings.model_validate({"vllm": vllm})
    found = []
    for update in ({"compute": compute}, {"overrides": {responses.models[0]: own}}):
        planned.put(planned.study.model_copy(update={"responses": responses.model_copy(update=update)}))
        found.append(planned.changed() - ALWAYS)
    planned.put()
    assert marks == {name: HOW if name == "max_num_seqs" else RESULT}
    assert found == [set() if marks[name] == HOW else {"run_pilot", "answer_shard"}] * 2


@pytest.mark.parametrize(
    ("stage", "rule"),
    [
        ("demo", {"make_demo_model", "make_questions"}),
        ("prompts", {"prepare_prompts"}),
        ("synthesis", WRITES),
        ("responses", {*ANSWERS, "answer_benchmarks"}),
        ("collect", {"collect_responses"}),
        ("similarity", {"score_similarity"}),
        ("measures", {"measure_texts"}),
        ("mixes", {"make_mix"}),
        ("pairs", {"draw_preference_prompts", "pair_answers"}),
        ("grades", {"score_answers"}),
        ("training", TRAINS),
        ("evaluation", {"evaluate_run"}),
        ("judging", {"judge_answers"}),
    ],
)
def test_a_raised_stage_version_runs_its_stage_again(
    planned: Planned, stage: str, rule: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_here = {name.removesuffix(f"_{planned.name}") for name, _ in planned.jobs}
    monkeypatch.setitem(stages.VERSIONS, stage, 99)
    planned.put()  # what it identifies is kept with each job
    found = planned.changed()
    monkeypatch.undo()
    planned.put()
    assert found == rule & made_here
    assert not planned.changed()


def test_every_rule_depends_on_its_code_or_on_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its parameters: `code` or `stage`, or settings in which the version of its stage stands."""
    named = WRITES - {"collect_synthesis"} | {
        "run_pilot",
        "answer_shard",
        "sample_answers",
        "evaluate_run",
        "judge_answers",
        *TRAINS,
    }
    for rule in rules():
        if rule.name == "all" or rule.name.startswith("answer_benchmarks_"):
            continue
        if rule.name not in named:
            keys = {name for name, _ in rule.params._allitems()}
            assert keys & {"code", "stage"}, f"{rule.name}: neither its code nor its stage is a parameter"


def test_the_code_of_a_rule_is_that_of_the_command_it_calls() -> None:
    """The hash of another command's code would say nothing."""
    for rule in rules():
        code = dict(rule.params._allitems()).get("code")
        cells = [cell.cell_contents for cell in getattr(code, "__closure__", None) or ()]
        # `code` of a command; of fetch_model it is whether the model's own may run.
        if cells and isinstance(cells[-1], str):
            command = cells[-1]
            assert re.search(rf"rewild (--words <\(.*\) )?{command} ", rule.shellcmd), (rule.name, command)


def test_a_field_without_a_mark_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"Odd\.size: say what it identifies"):

        class Odd(Section):
            size: int = 1


def test_an_identity_has_what_identifies_and_nothing_else() -> None:
    class Inner(Section, marks=RESULT):
        size: int = 1
        batch: Annotated[int, HOW] = 2
        label: Annotated[str, SHOWN] = "x"

    class Outer(Section):
        inner: Annotated[Inner, part("grades")] = Inner()
        many: Annotated[list[Inner], RESULT]
        speed: Annotated[Inner, HOW] = Inner()
        shards: Annotated[int, CUT] = 4

    outer = Outer(many=[Inner(), Inner(size=3)])
    assert identity(outer) == {"many": [{"size": 1}, {"size": 3}]}
    assert identity(outer, "grades") == {"inner": {"size": 1}}
    assert identity(outer, "shown") == {"inner": {"label": "x"}, "many": [{"label": "x"}, {"label": "x"}]}
    assert identity(outer, "cut", "result") == {"many": [{"size": 1}, {"size": 3}], "shards": 4}
