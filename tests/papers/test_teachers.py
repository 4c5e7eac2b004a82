"""Every verdict on the claims of `teachers`, with its numbers; on changed evidence the checks give others."""

from __future__ import annotations

import re
from itertools import combinations
from math import sqrt
from pathlib import Path

import pytest
from scipy.stats import rankdata, spearmanr

from published_rooms import ROOT, Room, check_claims
from rewild.core.errors import DataError
from rewild.papers.teachers.grid import FAMILIES

ROOM = Room("teachers")

# Every verdict of a check, with a part of what must have been computed.
VERDICTS = {
    "five-bases": ("reproduced", "5: Qwen2-1.5B, Gemma-2-2B"),
    "twenty-generators": ("reproduced_otherwise", "19 in Table 6, and GPT-4 in Table 2"),
    "larger-not-stronger": ("reproduced", "42 of 115 cases (36.5 %)"),
    "car-almost-all": ("reproduced", "39 of 40 comparisons"),
    "seven-families": ("reproduced", "7: Phi-3"),
    "car-all": ("reproduced_otherwise", "39 of 40 comparisons; by average all"),
    "gpt4-outperformed": ("reproduced", "6 of 6; the nearest, Llama-3-70b-Instruct, is 2.9"),
    # (16.09 + 13.7) / 2 = 14.895, printed 14.90; (15.71 + 11.8) / 2 = 13.755
    "average-performance": ("reproduced", "15 of 15 rows; with WR in place of LC 0"),
    "alpaca-eval-size": ("reproduced", "805"),
    "arena-hard-size": ("reproduced", "500"),
    "text-settings": ("reproduced", "3 of 3"),
    "families-superior": ("reproduced_otherwise", "Qwen2 4, 6, 6, 5, 5; Qwen2.5 2, 2, 1, 2, 2"),
    "two-best": ("reproduced", "Qwen2.5-72B 1.8, Gemma-2-9B 2.2, Gemma-2-27B 3.8; Kendall's W 0.93"),
    "paradox-universal": ("reproduced_otherwise", "in 5 of 6 families"),
    "paradox-gemma-2": ("reproduced", "better on 4 of 5"),
    "paradox-phi-3": ("reproduced", "better on 5 of 5"),
    "paradox-llama-31": ("reproduced", "better on 4 of 5"),
    "paradox-qwen2": ("reproduced", "better on 5 of 5"),
    "paradox-qwen25": ("reproduced", "better on 4 of 5"),
    "familys-help": ("reproduced", "3 of 3; Qwen2 0.75 on Qwen2-1.5B, at most 0.62 (Qwen2.5-3B)"),
    "own-version-gemma": ("reproduced", "Gemma-2-2B rank 1 of 19"),
    "own-version": ("contradicted", "Qwen2-1.5B rank 18 of 19"),
    "all-above-gpt4": ("reproduced", "6 of 6"),
    "rejection-sampling": ("reproduced", "Llama-3.1-Minitron-4B +0.165, Qwen2.5-3B-Instruct +0.650"),
    "table3-second-base": ("contradicted", "3 of 3 numbers are those of Table 6's Qwen2.5-3B"),
    "table3-greedy-run": ("contradicted", "2 of 3 numbers"),
    "rho-of-twenty": ("reproduced_otherwise", "n = 20: 9 of 45 values are possible; n = 19: 43 of 45"),
    "difficulty-weak": ("contradicted", "IFD-GPT2 5 of 5, IFD-Self 5 of 5, PPL-GPT2 0 of 5, PPL-Self 0 of 5"),
    "length-weak": ("reproduced", "Length 0 of 5"),
    "table4-averages": ("reproduced", "9 of 9"),
    "car-potential": ("reproduced", "CAR 0.8888; mean AP on the other four base models 0.9123"),
    "effective-batch": ("reproduced", "4 × 1 × 8 = 32"),
    "self-over-gpt2": ("reproduced_otherwise", "9 of 10 comparisons; by average 2 of 2"),
    "self-still-low": ("contradicted", "PPL-Self 0 of 5, IFD-Self 5 of 5"),
}


def test_every_check_gives_its_verdict_with_evidence() -> None:
    check_claims(ROOM, VERDICTS)


def test_every_part_of_the_paper_is_covered() -> None:
    places = " ".join(f"{claim.section}; {claim.place}" for claim in ROOM.claims.values())
    parts = ["Abstract", "Section 1", "Appendix A.2", "Appendix B.2", *(f"finding {n}" for n in range(1, 6))]
    parts += [f"Section {n}" for n in ("3.2", "3.3", "4.1", "4.3", "4.4", "4.5")]
    parts += [f"Table {n}" for n in range(1, 7)] + [f"Figure {n}" for n in range(2, 7)]
    for part in parts:
        assert re.search(rf"{re.escape(part)}\b(?!\.\d)", places, re.IGNORECASE), part


def test_the_docs_count_the_claims() -> None:
    checked = sum(claim.check is not None for claim in ROOM.claims.values())
    docs = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    assert f"`papers/teachers` | 2 to 6 | {len(ROOM.claims)}, of which {checked} have a check |" in docs
    said = docs.partition("### Stronger Models")[2].partition("\n## ")[0]
    named = set(re.findall(r"[(,] ?`([a-z0-9-]+)`", said))
    assert len(named) > 8
    assert named <= set(VERDICTS)


def test_the_docs_say_how_many_named_gaps_exceed_the_benchmarks_errors() -> None:
    pairs = [name for name in VERDICTS if name.startswith("paradox-") and name != "paradox-universal"]
    clear = [ROOM.outcome(name).explanation.partition("(at most): ")[2].rstrip(".") for name in pairs]
    count = sum(len(where.split(", ")) for where in clear if where != "none")
    docs = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    assert f"Of the {5 * len(pairs)} gaps of the named pairs, {count} exceed 1.96 standard errors" in docs


@pytest.fixture(scope="module")
def performance() -> dict[str, dict[str, float]]:
    """Base model → generator → AP, from the CSV file alone."""
    found: dict[str, dict[str, float]] = {}
    six = ROOM.grid("table6")
    for row, column in six:
        if column == "LC":
            base, _, teacher = row.partition(" : ")
            found.setdefault(base, {})[teacher] = (float(six[row, "LC"]) + float(six[row, "Arena-Hard"])) / 2
    return found


def test_numbers_on_the_grid_recomputed(performance: dict[str, dict[str, float]]) -> None:
    """With SciPy, and nothing of the checks."""
    bases, teachers = list(performance), list(performance["Qwen2-1.5B"])
    assert [t for members in FAMILIES.values() for t in members] == teachers
    assert all(len(set(of.values())) == 19 for of in performance.values())  # no ties
    cases = [
        performance[b][small] > performance[b][large]
        for members in FAMILIES.values()
        for small, large in combinations(members, 2)
        for b in bases
    ]
    assert (sum(cases), len(cases)) == (42, 115)
    ranks = [rankdata([-performance[b][t] for t in teachers]) for b in bases]
    sums = [sum(r[i] for r in ranks) for i in range(19)]
    w = 12 * sum((s - 50) ** 2 for s in sums) / (25 * (19**3 - 19))
    assert round(w, 2) == 0.93
    best = sorted(zip(sums, teachers, strict=True))[:2]
    assert [(s / 5, t) for s, t in best] == [(1.8, "Qwen2.5-72B"), (2.2, "Gemma-2-9B")]
    rhos = []
    for b in bases:
        others = [sum(performance[o][t] for o in bases if o != b) for t in teachers]
        rhos.append(spearmanr([performance[b][t] for t in teachers], others).statistic)
    assert round(sum(rhos) / 5, 4) == 0.9123
    assert "Llama-3.2-3B 0.9053 and 0.9351" in ROOM.outcome("car-potential").explanation
    assert round(float(rhos[3]), 4) == 0.9351
    order = sorted(teachers, key=lambda t: -performance["Qwen2-1.5B"][t])
    assert order.index("Qwen2-1.5B") + 1 == 18


def test_numbers_of_the_other_tables_recomputed() -> None:
    two = {key: float(value) for key, value in ROOM.grid("table2").items()}

    def error(row: str) -> float:
        lc, arena = two[row, "LC"], two[row, "Arena-Hard"]
        return sqrt(lc * (100 - lc) / 805 + arena * (100 - arena) / 500) / 2

    z = {
        row: (two[row, "AP"] - two["GPT-4", "AP"]) / sqrt(error(row) ** 2 + error("GPT-4") ** 2)
        for row, column in two
        if column == "AP" and row != "GPT-4"
    }
    assert min(z, key=lambda row: z[row]) == "Llama-3-70b-Instruct"
    assert round(min(z.values()), 1) == 2.9
    four = {key: float(value) for key, value in ROOM.grid("table4").items() if key[0] != "Average"}
    good = dict.fromkeys((19, 20), 0)
    for n in good:
        values = [1 - 6 * d / (n * (n * n - 1)) for d in range(0, n * (n * n - 1) // 3 + 1, 2)]
        good[n] = sum(any(abs(rho - v) <= 0.00005 + 1e-9 for v in values) for rho in four.values())
    assert good == {19: 43, 20: 9}


MINITRON = "Llama-3.1-Minitron-4B"
CHANGES = [
    ("car-almost-all", {"table4|Gemma-2-2B|IFD-Self": "0.9530"}, "reproduced_otherwise"),
    ("car-almost-all", {"table4|Average|CAR": "0.8000", "table4|Qwen2-1.5B|CAR": "0.4000"}, "contradicted"),
    ("car-all", {"table4|Llama-3.2-3B|CAR": "0.9153"}, "reproduced"),
    ("car-all", {"table4|Average|CAR": "0.8705"}, "contradicted"),
    ("average-performance", {"table2|GPT-4|AP": "5.17"}, "contradicted"),
    ("alpaca-eval-size", {"alpaca-eval-size": "804"}, "contradicted"),
    ("text-settings", {"table5|Number of Epochs|Value": "3"}, "contradicted"),
    ("paradox-gemma-2", {f"table6|{MINITRON} : Gemma-2-27B|LC": "30.00"}, "contradicted"),
    ("familys-help", {f"table6|{MINITRON} : Gemma-2-2B|LC": "40.00"}, "contradicted"),
    ("own-version-gemma", {"table6|Gemma-2-2B : Qwen2-72B|LC": "30.00"}, "contradicted"),
    ("own-version", {"table6|Qwen2-1.5B : Qwen2-1.5B|LC": "12.00"}, "reproduced"),
    ("all-above-gpt4", {"table2|Llama-3-70b-Instruct|AP": "6.62"}, "contradicted"),
    ("rejection-sampling", {f"table3|{MINITRON} : Sampling|AP": "14.755"}, "contradicted"),
    ("table3-second-base", {"table3|Qwen2.5-3B-Instruct : Greedy|LC": "13.87"}, "not_testable"),
    ("table3-greedy-run", {f"table3|{MINITRON} : Greedy|WR": "14.50"}, "reproduced"),
    ("difficulty-weak", {"strong-correlation": "0.9"}, "reproduced"),
    ("car-potential", {"table4|Average|CAR": "-0.1000"}, "contradicted"),
    (
        "paradox-universal",
        {f"table6|{b} : Llama-3-8B|LC": "40.00" for b in ("Gemma-2-2B", "Qwen2.5-3B", "Llama-3.2-3B")},
        "reproduced",
    ),
    ("length-weak", {"strong-correlation": "0.5"}, "contradicted"),
    ("table4-averages", {"table4|Average|Length": "0.5985"}, "contradicted"),
    ("effective-batch", {"table5|Gradient Accumulation Steps|Value": "16"}, "contradicted"),
    ("self-over-gpt2", {"table4|Qwen2.5-3B|PPL-Self": "0.0614"}, "reproduced"),
    ("self-over-gpt2", {"table4|Average|PPL-Self": "0.0614"}, "contradicted"),
    ("self-still-low", {"strong-correlation": "0.9"}, "reproduced"),
    ("families-superior", {"table6|Qwen2-1.5B : Phi-3-Mini|LC": "90.00"}, "contradicted"),
]


@pytest.mark.parametrize(
    ("claim", "changes", "verdict"), CHANGES, ids=[f"{n}-{c[0]}" for n, c in enumerate(CHANGES)]
)
def test_changed_evidence_changes_the_verdict(
    tmp_path: Path, claim: str, changes: dict[str, str], verdict: str
) -> None:
    found = ROOM.outcome(claim, ROOM.changed(tmp_path / "data", changes)).verdict
    assert found == verdict != VERDICTS[claim][0]


def test_another_best_generator_is_found(tmp_path: Path) -> None:
    """One run does not change a mean rank enough; three do."""
    bases = ("Qwen2-1.5B", "Llama-3.2-3B", MINITRON)
    changes = {f"table6|{base} : Gemma-2-27B|LC": "30.00" for base in bases}
    assert ROOM.outcome("two-best", ROOM.changed(tmp_path / "data", changes)).verdict == "contradicted"


def without(folder: Path, table: str, start: str) -> Path:
    """The data without the rows of a table that start with something."""
    data = ROOM.changed(folder, {})
    lines = (data / f"{table}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (data / f"{table}.csv").write_text("".join(x for x in lines if not x.startswith(start)), encoding="utf-8")
    return data


def test_fewer_rows_change_what_is_counted(tmp_path: Path) -> None:
    data = without(tmp_path / "base", "table6", "Qwen2.5-3B :")
    assert ROOM.outcome("five-bases", data).verdict == "contradicted"
    data = without(tmp_path / "gpt", "table2", "GPT-4")
    assert ROOM.outcome("twenty-generators", data).verdict == "contradicted"
    with pytest.raises(DataError, match="claim all-above-gpt4: table2 has no number at 'GPT-4'"):
        ROOM.outcome("all-above-gpt4", data)
