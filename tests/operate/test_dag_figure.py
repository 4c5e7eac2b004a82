"""The figure of a study's rules: what is read from Snakemake, what is left out, the order of rules."""

from __future__ import annotations

from pathlib import Path

from matplotlib.patches import FancyArrowPatch

from rewild.operate.dag import COLUMNS, DOWN, Rules, draw_rules, rule_files, rules_of

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    "all",
    "fetch_bbh",
    "prepare_prompts_s",
    "answer_shard",
    "make_mix",
    "train_run",
    "check_run",
    "build_env",
]
EDGES = [(1, 4), (2, 3), (3, 4), (2, 4), (4, 5), (5, 6), (6, 5), (6, 3), (7, 3), (6, 0)]
DOT = "\n".join(
    [f'\t{i}[label = "{name}", color = "0.1 0.6 0.85"];' for i, name in enumerate(NAMES)]
    + [f"\t{a} -> {b}" for a, b in EDGES]
)
STATS = (
    "Job stats:\njob  count\n---  ---\n"
    + "".join(f"{n}  {i + 1}\n" for i, n in enumerate(NAMES))
    + "total  36\n"
)
FILES = {
    "fetch": "fetch",
    "prepare_prompts": "prompts",
    "answer_shard": "responses",
    "make_mix": "training",
    "train_run": "training",
    "check_run": "training",
}


def test_rules_counts_and_arrows() -> None:
    rules = rules_of(DOT, STATS, FILES, {"train_run", "answer_shard"})
    assert rules.jobs == {
        "fetch_released": 2,
        "prepare_prompts": 3,
        "answer_shard": 4,
        "make_mix": 5,
        "train_run": 6,
        "check_run": 7,
    }
    assert rules.needs["make_mix"] == {"fetch_released", "answer_shard"}  # prompts follow from responses
    assert rules.needs["train_run"] == {"make_mix"}
    assert rules.back["train_run"] == {"check_run"}  # a run that starts from another
    assert rules.back["answer_shard"] == {"check_run"}  # a fine-tune that answers
    assert rules.column["fetch_released"] == "data"
    assert rules.column["check_run"] == "training"
    assert rules.gpu == {"train_run", "answer_shard"}


def test_a_rule_in_no_file_stands_in_the_last_column() -> None:
    assert rules_of(DOT, STATS, {}, ()).column["train_run"] == "results"


def test_the_figure_names_every_rule_and_its_jobs() -> None:
    figure = draw_rules(rules_of(DOT, STATS, FILES, {"train_run"}), "The study s")
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"answer_shard", "4 jobs", "The study s", "responses"} <= texts
    assert "27 jobs of 6 rules. Orange: on GPUs. Dashed: from later rules. Not drawn: environments" in texts


def test_arrows_are_drawn_in_the_same_order_every_time() -> None:
    """Sets of names have another order in every process; a file in docs/ must not change by itself."""
    names = [f"rule_{i}" for i in range(20)]
    rules = Rules(
        jobs=dict.fromkeys([*names, "last"], 1),
        needs={"last": set(names)},
        back={},
        column={**dict.fromkeys(names, "data"), "last": "responses"},
        gpu=set(),
    )
    arrows = [p for p in draw_rules(rules, "x").axes[0].patches if isinstance(p, FancyArrowPatch)]
    heights = {name: i for i, name in enumerate(names)}
    found = [round((p._posA_posB[0][1] - 1.9 * DOWN) / DOWN) for p in arrows]  # type: ignore[attr-defined]
    assert found == [heights[name] for name in sorted(names)]


def test_the_files_of_rules_are_read() -> None:
    files, gpu = rule_files(ROOT)
    assert files["answer_shard"] == "responses"
    assert files["prepare_prompts"] == "prompts"
    assert "answer_shard" in gpu
    assert "check_pilot" not in gpu


def test_every_file_of_rules_has_a_column() -> None:
    files = {path.stem for path in (ROOT / "workflow/rules").glob("*.smk")} - {"common"}
    assert {file for own in COLUMNS.values() for file in own} == files
