"""Figures and tables of a study's data: their numbers, what is left out and why, and mistakes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import described as d
from mixes_data import name_of
from rewild.cli.report import app
from rewild.config.base import validate
from rewild.config.data import Data, DataSet
from rewild.config.measures.safety import guards
from rewild.config.study import Study
from rewild.core.errors import ConfigError, DataError
from rewild.core.plotting import save
from rewild.core.table import read_table, write_table
from rewild.measures.similarity.summary import Options
from rewild.measures.space.schema import SETS as COVERED
from rewild.prompts.synthesis.schema import WRITTEN, Manifest, Spent
from rewild.report.data.figures import draw
from rewild.report.data.numbers import NUMBERS, Files, Reader, edges_of, numbers
from rewild.report.data.plan import PRINTED, VIEWS, Use, categories_of, plan_data
from rewild.report.data.tables import Costs, make, safety
from rewild.training.mixes.schema import TRAIN

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "workflow/rewild/papers/magpie/data"
SETS = {"air": {"source": "air", "title": "Air", "responses": "m"}, "pro": {"source": "pro", "title": "Pro"}}
LEVELS = {"quality": d.QUALITY, "difficulty": d.DIFFICULTY}


def a_study(**sections: Any) -> Study:
    sources = [{"kind": "files", "name": s, "files": [f"{s}.jsonl"]} for s in d.SOURCES]
    given = {"name": "s", "title": "s", "source": "computed", "prompts": {"sources": sources}, "data": {}}
    return validate(
        Study, given | {"responses": {"engine": "transformers", "models": ["m"]}} | sections, "study s"
    )


class Place:
    """Measures of a study's two sets, and what is made of them."""

    def __init__(self, root: Path, count: int = 8, **data: Any) -> None:
        self.root, self.count = root, count
        self.prompts = d.write_prompts(root, count)
        self.files: list[Path] = []
        self.data = validate(Data, {"sets": SETS} | data, "data")
        self.sets = self.data.resolved(dict.fromkeys(d.SOURCES), {s: ["m"] for s in d.SOURCES})
        self.uses: dict[str, list[Use]] = {}
        self.mixes: dict[str, Path] = {}

    def add(self, role: str, kind: str, said: list[Any], subject: str = "prompts") -> Place:
        """A measure that plays a part: of each conversation, what it says of its turn."""
        self.files.append(d.write_measure(self.root, role, kind, [[one] for one in said], subject))
        column = next(iter(d.COLUMNS[kind]))
        levels = LEVELS.get(role, ())
        self.uses[role] = [
            Use(role, name, role, column, subject, str(row.title), levels)  # type: ignore[arg-type]
            for name, row in self.sets.items()
        ]
        return self

    def reader(self, written: list[Path] | None = None) -> Reader:
        return Reader(Files(self.files, self.prompts, written or [], self.mixes), self.sets)

    def numbers(self, view: str, *roles: str, written: list[Path] | None = None) -> pl.DataFrame:
        uses = [use for role in roles for use in self.uses[role]]
        return numbers(view, uses, self.reader(written), self.data, 50)

    def table(self, name: str, *roles: str, **given: Any) -> Any:
        uses = [use for role in roles for use in self.uses[role]]
        published = PAPER / f"{PRINTED[name]}.csv"
        options = Options(seed=50, resamples=200)
        return make(name, uses, self.reader(), options, published=published, **given)


def test_shares_of_levels_are_of_texts_that_have_a_value(tmp_path: Path) -> None:
    """Even numbers are Air's: poor, good, good, and one that failed."""
    said = ["poor", "good", "good", "good", "good", "good", None, "excellent"]
    rows = [{"quality": one} if one else "no_reply: prose" for one in said]
    found = Place(tmp_path).add("quality", "quality", rows).numbers("labels", "quality")
    air = found.filter(series="Air")
    assert air["label"].to_list() == list(d.QUALITY), "every level, in order, also one that nobody has"
    assert air.select("n", "texts", "failed").rows() == [
        (0, 3, 1),
        (1, 3, 1),
        (0, 3, 1),
        (2, 3, 1),
        (0, 3, 1),
    ]
    assert air["value"].to_list() == pytest.approx([0, 1 / 3, 0, 2 / 3, 0])
    assert found.filter(series="Pro", label="excellent")["value"].to_list() == [0.25]
    assert found["measure"].unique().to_list() == ["quality.quality"]


def test_intervals_are_over_conversations(tmp_path: Path) -> None:
    """Against the normal approximation of a share; turns of one conversation are one draw."""
    chance = random.Random(1)
    said = [{"quality": chance.choice(["good", "poor"])} for _ in range(800)]
    place = Place(tmp_path, 800).add("quality", "quality", said)
    row = place.numbers("labels", "quality").filter(series="Air", label="good").row(0, named=True)
    half = 1.96 * (row["value"] * (1 - row["value"]) / row["texts"]) ** 0.5
    assert (row["ci_high"] - row["ci_low"]) / 2 == pytest.approx(half, rel=0.1)
    assert row["interval"] == "bootstrap"
    twice = [[one, one] for one in said]
    place.files = [d.write_measure(tmp_path, "quality", "quality", twice)]
    again = place.numbers("labels", "quality").filter(series="Air", label="good").row(0, named=True)
    assert again["texts"] == 2 * row["texts"]
    assert again["ci_high"] - again["ci_low"] == pytest.approx(row["ci_high"] - row["ci_low"], rel=1e-6)


def test_categories_stand_by_their_share_in_all_sets(tmp_path: Path) -> None:
    names = ["Math", "Others", "Math", "Planning", "Others", "Planning", "Math", "Planning"]
    place = Place(tmp_path).add("category", "category", [{"category": n} for n in names])
    found = place.numbers("categories", "category")
    assert found.filter(series="Air").select("label", "value").rows() == [
        ("Math", 0.75), ("Planning", 0.0), ("Others", 0.25)
    ]  # fmt: skip


def test_a_histogram_counts_every_text_once(tmp_path: Path) -> None:
    chance = random.Random(3)
    values = [chance.gauss(0.5, 0.2) for _ in range(400)]
    place = Place(tmp_path, 400).add("distance", "neighbour", [{"distance": v, "repeats": 0} for v in values])
    found = place.numbers("distances", "distance")
    for title, mine in (("Air", values[::2]), ("Pro", values[1::2])):
        bars = found.filter(pl.col("series") == title, pl.col("label").is_null())
        assert bars["n"].sum() == len(mine)
        assert bars["value"].sum() == pytest.approx(1)
        for low, high, n in bars.select("low", "high", "n").rows():
            inside = [v for v in mine if (low is None or v >= low) and (high is None or v < high)]
            assert n == len(inside)
        assert bars["low"].null_count() == bars["high"].null_count() == 1, "one open bar at each end"
        assert found.filter(series=title, label="median")["value"][0] == pytest.approx(np.median(mine))
        mean = found.filter(series=title, label="mean").row(0, named=True)
        assert mean["value"] == pytest.approx(np.mean(mine))
        assert mean["ci_low"] < mean["value"] < mean["ci_high"]


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    st.integers(5, 60),
    st.booleans(),
)
def test_ends_of_bars_rise_and_are_not_many(values: list[float], bins: int, logarithmic: bool) -> None:
    edges = edges_of(np.array(values), bins, logarithmic=logarithmic)
    assert len(edges) >= 1
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= bins + 3


def test_verbs_and_their_objects(tmp_path: Path) -> None:
    air = [("write", "poem"), ("write", "poem"), ("write", "code"), ("explain", None), (None, None)]
    said = [pair for one in air for pair in (one, ("make", "cake"))]
    rows = [{"verb": verb, "object": noun} for verb, noun in said]
    found = Place(tmp_path, 10, verbs=2, nouns=1).add("verbs", "verbs", rows).numbers("verbs", "verbs")
    shown = found.filter(series="Air").select("label", "second", "n", "value", "texts", "failed").rows()
    assert shown == [
        ("write", None, 3, 0.75, 4, 1), ("write", "poem", 2, 0.5, 4, 1), ("explain", None, 1, 0.25, 4, 1)
    ]  # fmt: skip


def written(root: Path, settings: list[tuple[float, float]], count: int) -> list[Path]:
    """The prompts of both sources with the settings that they were sampled with, in turn."""
    files = []
    for source in d.SOURCES:
        rows = [
            {"conversation_hash": f"{source}/{i}", "temperature": t, "top_p": p}
            for i in range(count)
            for t, p in [settings[i % len(settings)]]
        ]
        path = root / f"synthesis/{source}/prompts.parquet"
        path.parent.mkdir(parents=True)
        pl.DataFrame(rows).write_parquet(path)
        files.append(path)
    return files


def test_a_setting_has_the_mean_number_of_its_levels(tmp_path: Path) -> None:
    """very easy is 1, very hard 5 (MAGPIE, appendix D.3)."""
    air = ["very easy", "hard", "medium", "very hard"]
    said = [{"difficulty": one} for level in air for one in (level, "easy")]
    place = Place(tmp_path).add("difficulty", "difficulty", said)
    files = written(tmp_path, [(1.0, 1.0), (1.2, 0.99)], 4)
    found = place.numbers("settings", "difficulty", written=files)
    assert found.filter(series="Air").select("label", "second", "value", "n").rows() == [
        ("1", "1", 2.0, 2), ("1.2", "0.99", 4.5, 2)
    ]  # fmt: skip
    draw("settings", found)
    with pytest.raises(DataError, match=r"data\.sets\.pro: no file of prompts .* has pro/\d, one of"):
        place.numbers("settings", "difficulty", written=files[:1])


def test_a_panel_without_a_value_is_a_sentence(tmp_path: Path) -> None:
    place = Place(tmp_path).add("quality", "quality", ["no_reply: x"] * 8)
    place.add("difficulty", "difficulty", [{"difficulty": "easy"}] * 8)
    found = place.numbers("labels", "quality", "difficulty")
    empty = found.filter(panel="quality")
    assert empty.select("series", "texts", "failed", "value").rows() == [
        ("Air", 0, 4, None),
        ("Pro", 0, 4, None),
    ]
    first, second = draw("labels", found).axes
    assert [t.get_text() for t in first.texts] == ["left out: none of 8 texts has a value"]
    assert not first.patches
    assert len(second.patches) == 2 * len(d.QUALITY)


@pytest.mark.filterwarnings("error:constrained_layout")
@pytest.mark.parametrize("view", ["labels", "distances", "lengths", "categories", "verbs"])
def test_every_figure_is_the_same_bytes_and_names_stay_text(tmp_path: Path, view: str) -> None:
    place = Place(tmp_path, 40)
    place.sets["air"] = place.sets["air"].model_copy(update={"title": "$x_1$ <b>\u202eevil\n" + "long " * 20})
    chance = random.Random(2)
    place.add("quality", "quality", [{"quality": chance.choice(d.QUALITY)} for _ in range(40)])
    place.add("category", "category", [{"category": chance.choice(["$a$", "b_c"])} for _ in range(40)])
    place.add("distance", "neighbour", [{"distance": 0.5, "repeats": 0}] * 40)
    place.add("prompt_length", "length", [{"words": chance.randrange(900)} for _ in range(40)])
    place.add("verbs", "verbs", [{"verb": chance.choice("ab$"), "object": "$o^"} for _ in range(40)])
    role = {
        "labels": "quality", "distances": "distance", "lengths": "prompt_length", "categories": "category",
        "verbs": "verbs",
    }[view]  # fmt: skip
    found = place.numbers(view, role)
    for name in ("one", "two"):
        save(draw(view, found), tmp_path / name)
    for suffix in ("svg", "pdf", "png"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_statistics_add_up_to_the_texts(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.add("prompt_length", "length", [{"words": n, "characters": 0} for n in range(8)])
    rows = [{"words": 10 * n, "characters": 0} if n else "no_response" for n in range(8)]
    place.add("response_length", "length", rows, "m")
    made = place.table("statistics", "prompt_length", "response_length")
    cells = {(c["row"], c["column"]): c for c in made.frame.to_dicts()}
    assert cells["Air", "Conversations"]["computed"] == cells["Air", "Turns"]["computed"] == 4
    assert cells["Air", "Words per prompt"]["computed"] == 3
    assert cells["Air", "Words per response"]["computed"] == 40
    assert cells["Air", "Words per response"]["note"] == "1 without a value"
    assert cells["Air", "Words, all"]["computed"] == 12 + 120
    assert cells["Pro", "Words, all"]["computed"] == 16 + 160
    assert any("MAGPIE-Air-300K-Raw 300K" in note for note in made.grid.notes)


def test_topic_diversity_is_that_of_the_projection(tmp_path: Path) -> None:
    rows = [("air", 9, 0, 5, 5, None, 0.25), ("web", 7, 0, 5, 4, "too_long: 1", 0.125)]
    write_table(tmp_path / "tsne/sets.csv", COVERED.frame(rows, "sets"), COVERED, {})
    made = Place(tmp_path).table("topics", coverage=[tmp_path / "tsne/sets.csv"])
    assert made.frame.select("row", "column", "computed", "note").rows() == [
        ("air", "tsne", 0.25, None), ("web", "tsne", 0.125, "1 without a vector")
    ]  # fmt: skip
    assert any("Table 6 are lost" in note for note in made.grid.notes)


def test_unsafe_categories_are_shares_of_all_texts(tmp_path: Path) -> None:
    air = [(True, "S10,S2"), (False, None), (True, "S2"), (None, None)]
    said = [pair for one in air for pair in (one, (False, None))]
    rows = [{"unsafe": u, "categories": c} if u is not None else "no_reply: x" for u, c in said]
    place = Place(tmp_path).add("safety", "safety", rows)
    made = place.table("safety", "safety")
    cells = {(c["row"], c["column"]): c["computed"] for c in made.frame.to_dicts()}
    assert list(dict.fromkeys(row for row, _ in cells)) == ["Unsafe", "S2", "S10"]
    assert [cells[row, "Air"] for row in ("Unsafe", "S2", "S10")] == pytest.approx(
        [200 / 3, 200 / 3, 100 / 3]
    )
    assert [cells[row, "Pro"] for row in ("Unsafe", "S2", "S10")] == [0, 0, 0]
    assert any("less than 1% of Air" in note for note in made.grid.notes)
    named = {"S1": "Violence", "S2": "Theft"}
    rows = list(safety(place.uses["safety"], place.reader(), Options(resamples=100), named))
    assert [(c["row"], c["computed"]) for c in rows if c["column"] == "Air"] == [
        ("Unsafe", pytest.approx(200 / 3)), ("S1, Violence", 0), ("S2, Theft", pytest.approx(200 / 3)),
        ("S10", pytest.approx(100 / 3)),
    ]  # fmt: skip


def test_the_table_of_safety_has_the_guard_s_categories() -> None:
    found = categories_of(
        a_study(measures={"s": {"kind": "safety", "model": "o/guard", "revision": "0" * 40}})
    )
    assert found == dict(guards()["llama-guard-2"].categories)
    assert categories_of(a_study()) == {}


def test_questions_that_several_prompts_are_like_count_once(tmp_path: Path) -> None:
    air = [
        ("x/eval.json", "q1", 0.95),
        ("x/eval.json", "q1", 0.99),
        ("x/eval.json", "q2", 0.5),
        ("hard", "h", 0.1),
    ]
    said = [pair for one in air for pair in (one, ("hard", "h", 0.2))]
    rows = [
        {"similarity": s, "benchmark": b, "question": q, "contaminated": s > 0.9} for b, q, s in said
    ]  # fmt: skip
    made = Place(tmp_path).add("contamination", "match", rows).table("contamination", "contamination")
    assert made.frame.select("row", "column", "computed").rows() == [
        ("hard", "Air", 0), ("hard", "Pro", 0), ("eval.json", "Air", 1), ("eval.json", "Pro", 0)
    ]  # fmt: skip
    assert any("at most 10 of AlpacaEval 2 (above 0.9)" in note for note in made.grid.notes)


def measurement(path: Path, model: str, hours: float, gpus: int, conversations: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    blank = dict.fromkeys(
        ("prefill_seconds", "decode_seconds", "peak_memory", "tokens_per_second", "input_output_ratio",
         "prefill_decode_ratio", "seconds_per_1000_conversations")
    )  # fmt: skip
    said = {
        "study": "s", "model": model, "shard": path.stem, "engine": "vllm", "engine_arguments": {},
        "sampling": {}, "context": 8192, "parameters": 8.0, "gpus": gpus, "conversations": conversations,
        "rows": conversations, "failures": 0, "input_tokens": 1, "output_tokens": 1, "load_seconds": 36.0,
        "generate_seconds": hours * 3600 - 36, "versions": {}, "hardware": {},
    }  # fmt: skip
    path.write_text(json.dumps(said | blank), encoding="utf-8")
    return path


def manifest(path: Path, source: str, hours: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"source": source, "spent": [{"gpus": 4, "gpu_hours": hours}]}), encoding="utf-8"
    )
    return path


def test_the_paper_s_hours_give_the_paper_s_dollars(tmp_path: Path) -> None:
    """Section 3.4: 4 GPUs, 1.55 and 50 hours for 3M (here 4 of 3M's rate); 3.5 and 150 for 1M."""
    place = Place(tmp_path)
    for name, published in (("air", "MAGPIE-Air"), ("pro", "MAGPIE-Pro")):
        row = {"title": published, "published": published, "responses": name}
        place.sets[name] = place.sets[name].model_copy(update=row)
    answered = [
        measurement(tmp_path / "air/0000.json", "air", 25, 4, 1_500_000),
        measurement(tmp_path / "air/0001.json", "air", 25, 4, 1_500_000),
        measurement(tmp_path / "pro/0000.json", "pro", 150, 4, 1_000_000),
    ]
    wrote = [
        manifest(tmp_path / "air.json", "air", 6.2 * 4 / 3_000_000),
        manifest(tmp_path / "pro.json", "pro", 14.0 * 4 / 1_000_000),
    ]
    made = place.table("costs", given=Costs(answered, wrote, 1.79, "a page"))
    cells = {(c["row"], c["column"]): c for c in made.frame.to_dicts()}
    air, pro = (cells[row, "Dollars per 1,000"] for row in ("MAGPIE-Air", "MAGPIE-Pro"))
    assert air["computed"] == pytest.approx(1000 * 206.2 * 1.79 / 3_000_000)
    assert pro["computed"] == pytest.approx(1000 * 614 * 1.79 / 1_000_000)
    assert (air["published"], air["within_rounding"]) == (0.12, True)
    assert (pro["published"], pro["within_rounding"]) == (1.1, True)
    assert cells["MAGPIE-Air", "GPU hours of step 2"]["computed"] == pytest.approx(200 * 4 / 3_000_000)
    assert cells["MAGPIE-Air", "GPU hours"]["published"] == 206
    made.write_csv(tmp_path / "costs.csv")
    assert (tmp_path / "costs.csv-metadata.json").exists()


@pytest.mark.parametrize(
    ("gpus", "spent", "price", "note"),
    [
        (0, [{"gpus": 4, "gpu_hours": 1}], 2.0, "answered without a GPU"),
        (1, [{"gpus": 0, "gpu_hours": 0}], 2.0, "written without a GPU"),
        (1, [], 2.0, "the manifest of the prompts says nothing of time"),
        (1, [{"gpus": 4, "gpu_hours": 1}], None, "nobody says"),
    ],
)
def test_a_cost_that_is_not_known_is_not_shown(
    tmp_path: Path, gpus: int, spent: list[Any], price: float | None, note: str
) -> None:
    place = Place(tmp_path)
    answered = [measurement(tmp_path / "m/0000.json", "m", 1, gpus, 8)]
    wrote = tmp_path / "air.json"
    wrote.write_text(json.dumps({"source": "air", "spent": spent}), encoding="utf-8")
    made = place.table("costs", given=Costs(answered, [wrote], price, "nobody says"))
    cells = {(c["row"], c["column"]): c for c in made.frame.to_dicts()}
    assert cells["Air", "Dollars per 1,000"]["computed"] is None
    assert note in {c["note"] for c in made.frame.filter(row="Air").to_dicts()}
    assert cells["MAGPIE-Air, published", "Dollars per 1,000"]["published"] == 0.12, "beside it all the same"


def test_faults_in_files_name_file_and_cure(tmp_path: Path) -> None:
    place = Place(tmp_path).add("quality", "quality", [{"quality": "fine"}] * 8)
    with pytest.raises(DataError, match=r"quality\.quality: 'fine' is no level of it \(very poor, poor"):
        place.numbers("labels", "quality")
    place.files = []
    with pytest.raises(DataError, match="no file of the measure quality of prompts"):
        place.numbers("labels", "quality")
    place.sets["air"] = place.sets["air"].model_copy(update={"source": "water"})
    with pytest.raises(DataError, match=r"data\.sets\.air: the source 'water' has no prompts .*: air, pro"):
        place.reader()
    (tmp_path / "m.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match=r"m\.json: not the manifest of prompts"):
        Costs([], [tmp_path / "m.json"], 1.0, "x").hours_of_prompts()


LENGTH = {"kind": "length", "of": "prompts"}


def test_what_a_study_lacks_is_left_out_with_the_reason() -> None:
    plan = plan_data(a_study(measures={"long": LENGTH, "answer": {"kind": "length"}}))
    assert list(plan.views) == ["lengths"]
    assert [(u.role, u.set, u.subject, u.column) for u in plan.views["lengths"]] == [
        ("prompt_length", "air", "prompts", "words"),
        ("prompt_length", "pro", "prompts", "words"),
        ("response_length", "air", "m", "words"),
        ("response_length", "pro", "m", "words"),
    ]
    assert plan.tables == ("statistics", "costs")
    why = {(x.view, x.role): x.reason for x in plan.left_out}
    assert why["labels", "quality"] == ("no measure says it: add {kind: label, of: prompts, scheme: quality}")
    assert why["settings", "distance"] == "no source of prompts is sampled with several settings"
    assert why["system", "quality"] == "data.system names no sets"
    shown = {view for view, _ in why} | set(plan.views)
    assert shown == {*VIEWS, "topics", "safety", "contamination"}, (
        "every figure is shown, or left out with a reason"
    )


def label(scheme: str, **more: Any) -> dict[str, Any]:
    return {"kind": "label", "scheme": scheme, "model": "rubric", **more}


REWARD = {"kind": "reward", "model": "o/m", "revision": "0" * 40}
ROWS: dict[str, dict[str, Any]] = {
    "quality": label("quality"),
    "difficulty": label("difficulty"),
    "category": label("category"),
    "reward": REWARD,
    "difference": {"kind": "difference", "left": "reward", "right": {"measure": "reward", "subject": "m"}},
    "length": LENGTH,
    "space": {"kind": "embedding", "of": "prompts"},
    "neighbour": {"kind": "neighbour", "of": "prompts", "space": "space"},
    "match": {"kind": "match", "of": "prompts", "space": "space", "files": ["released:mt-bench"]},
    "verbs": {"kind": "verbs", "of": "prompts"},
    "safety": {"kind": "safety", "model": "o/guard", "revision": "0" * 40},
}


def test_kinds_have_the_columns_that_figures_read() -> None:
    measures = a_study(measures=ROWS).measures
    for name in set(measures) - {"space"}:
        row = measures[name]
        columns = {column: (value.form, "") for column, value in row.columns().items()}
        assert columns == d.COLUMNS[name]
    assert measures["quality"].columns()["quality"].levels == d.QUALITY
    assert measures["difficulty"].columns()["difficulty"].levels == d.DIFFICULTY


def test_labels_by_several_are_laid_side_by_side_as_far_as_there_are_looks() -> None:
    rows = ROWS | {f"by-{n}": label("quality", temperature=n / 10) for n in range(1, 4)}
    plan = plan_data(a_study(measures=rows, data={"measures": {"quality": "by-2"}}))
    assert [u.measure for u in plan.views["labels"] if u.role == "quality"] == ["by-2", "by-2"]
    assert [u.series for u in plan.views["annotators"]] == [
        f"air, {name}" for name in ("quality", "by-1", "by-2", "by-3")
    ]
    left = {(x.role, x.set): x.reason for x in plan.left_out if x.view == "annotators"}
    assert left["quality", "pro"] == "a figure tells 7 apart, and 4 measures label each set"
    assert left["difficulty", None].startswith("it compares measures, and 1 of the study's is {kind: label")


def test_a_source_of_several_settings_and_sets_with_and_without_a_system_prompt() -> None:
    wrote = {"kind": "synthesis", "name": "wrote", "model": "m", "count": 100}
    sources = [wrote | {"sampling": {"temperature": [1.0, 1.2]}}, wrote | {"name": "plain"}]
    plan = plan_data(
        a_study(prompts={"sources": sources}, measures=ROWS, data={"system": ["plain", "wrote"]})
    )
    assert {u.set for u in plan.views["settings"]} == {"wrote"}
    assert [u.set for u in plan.views["system"] if u.role == "quality"] == ["plain", "wrote"]
    assert {row.responses for row in plan.sets.values()} == {"m"}, "it wrote them, and answers"


def test_what_synthesis_writes_has_what_is_read() -> None:
    assert {"conversation_hash", "temperature", "top_p"} <= set(WRITTEN.columns)
    assert {"source", "spent"} <= set(Manifest.model_fields)
    assert {"gpus", "gpu_hours"} <= set(Spent.model_fields)


def test_responses_of_a_set_are_the_writer_s_or_the_only_model_s() -> None:
    data = validate(Data, {}, "data")
    found = data.resolved({"air": "a", "web": None}, {"air": ["b", "a"], "web": ["b"]})
    assert {name: row.responses for name, row in found.items()} == {"air": "a", "web": "b"}
    found = data.resolved({"air": "a", "web": None}, {"air": ["b", "c"], "web": ["b", "c"]})
    assert [row.responses for row in found.values()] == [None, None]
    named = validate(Data, {"sets": {"x": {"responses": "gone"}}}, "data")
    assert named.resolved({"air": None}, {"air": ["b"]})["x"].responses is None, "left out on a command line"
    assert named.resolved({"air": None}, None)["x"].responses == "gone", "of imports, their files say"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"sets": {"x": {"source": "airs"}}}},
         r"data\.sets\.x\.source: no source of prompts 'airs'; did you mean 'air'"),
        ({"data": {"sets": {"x": {"responses": "n"}}}},
         r"data\.sets\.x\.responses: 'n' does not answer these prompts"),
        ({"data": {"sets": {"x": {"mix": "y"}}}}, r"data\.sets\.x\.mix: no mix 'y'"),
        ({"data": {"system": ["air", "por"]}}, r"data\.system: no set 'por'; did you mean 'pro'"),
        ({"data": {"measures": {"prompt_lenght": "x"}}},
         r"'prompt_lenght' is not one of .*did you mean 'prompt_length'"),
        ({"data": {"measures": {"prompt_length": "lnog"}}, "measures": {"long": LENGTH}},
         r"data\.measures\.prompt_length: no measure 'lnog'; did you mean 'long'"),
        ({"data": {"measures": {"verbs": "long"}}, "measures": {"long": LENGTH}},
         r"data\.measures\.verbs: 'long' is no \{kind: verbs, of: prompts\}"),
        ({"measures": {"a": LENGTH, "b": LENGTH}},
         r"data\.measures\.prompt_length: 'a', 'b' are such measures; name the one"),
        ({"data": {"sets": {"x": {}, "y": {"title": "x"}}}}, "sets: two are called 'x'"),
        ({"data": {"sets": {f"s{i}": {} for i in range(8)}}}, "8 are more than 7"),
        ({"data": {"price": {"dollars": 1.0}}}, r"data\.price\.source' is missing"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_key_and_the_nearest(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        a_study(**sections)


def test_the_commands_write_what_their_rules_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = Place(tmp_path / "results/s")
    place.add("long", "length", [{"words": n, "characters": 0} for n in range(8)])
    sources = [{"kind": "files", "name": s, "files": [f"{s}.jsonl"]} for s in d.SOURCES]
    study = {"name": "s", "title": "S & co", "source": "computed", "prompts": {"sources": sources},
             "measures": {"long": LENGTH}, "data": {"resamples": 100}}  # fmt: skip
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")

    def run(*words: object) -> Any:
        return CliRunner().invoke(app, [*map(str, words), "--config", str(ROOT / "config")])

    prompts = f"--prompts={place.prompts[0]}"
    done = run("draw-data", "s.yaml", "lengths", *place.files, prompts, "--out", "o/lengths")
    assert done.exit_code == 0, done.output + str(done.exception)
    done = run(
        "tabulate-data", "s.yaml", "statistics", *place.files, prompts, "--out", "o/statistics",
        "--published", PAPER / "sizes.csv",
    )  # fmt: skip
    assert done.exit_code == 0, done.output + str(done.exception)
    done = run("list-data", "s.yaml", "o/lengths.csv", "o/statistics.csv", "--out", "o")
    assert done.exit_code == 0, done.output + str(done.exception)
    made = {path.name for path in (tmp_path / "o").iterdir()}
    assert made >= {f"lengths.{s}" for s in ("svg", "pdf", "png", "csv")}
    assert made >= {f"statistics.{s}" for s in ("csv", "md", "tex", "html")} | {"data.md", "left_out.csv"}
    assert read_table(tmp_path / "o/lengths.csv", NUMBERS).filter(label="median")["value"].to_list() == [3, 4]
    page = (tmp_path / "o/data.md").read_text(encoding="utf-8")
    assert "| prompt_length | air | long.words | 4 | 0 |" in page
    assert "| categories | category | all | no measure says it: add {kind: label, of: prompts," in page
    refused = run("draw-data", "s.yaml", "verbs", prompts, "--out", "o/x")
    assert isinstance(refused.exception, ConfigError)
    assert "there is no figure 'verbs': no measure says it: add {kind: verbs, of: prompts}" in str(
        refused.exception
    )
    assert isinstance(run("draw-data", "s.yaml", "verb", prompts, "--out", "o/x").exception, ConfigError)


def test_a_set_of_a_mix_is_what_the_mix_kept(tmp_path: Path) -> None:
    kept = [0, 2, 3]  # two of Air's, one of Pro's
    rows = [
        {"id": f"m/{n}", "source": "m", "source_id": name_of(n), "language": "English", "n_turns": 1,
         "characters": 1, "cut": False, "messages": [{"role": "user", "content": "?"}]}
        for n in kept
    ]  # fmt: skip
    write_table(tmp_path / "train.parquet", pl.DataFrame(rows, schema=TRAIN.dtypes), TRAIN, {})
    place = Place(tmp_path, sets={"raw": {"source": "air"}, "kept": {"source": "air", "mix": "chosen"}})
    place.add("prompt_length", "length", [{"words": n, "characters": 0} for n in range(8)])
    place.mixes = {"chosen": tmp_path / "train.parquet"}
    found = place.numbers("lengths", "prompt_length")
    means = found.filter(label="mean").select("series", "texts", "value").rows()
    assert means == [("raw", 4, 3.0), ("kept", 2, 1.0)]
    place.mixes = {}
    with pytest.raises(DataError, match=r"data\.sets\.kept: the file of the mix 'chosen' was not given"):
        place.numbers("lengths", "prompt_length")


def test_responses_of_a_set_of_a_mix_are_the_mix_s_model_s() -> None:
    data = validate(Data, {"sets": {"x": {"source": "web", "mix": "one"}}}, "data")
    answering = {"web": ["a", "b"]}
    assert data.resolved({"web": None}, answering, {"one": ["b"]})["x"].responses == "b"
    assert data.resolved({"web": None}, answering, {"one": ["a", "b"]})["x"].responses is None


def test_a_set_of_nothing_in_particular_is_all_prompts(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.sets = {"all": DataSet.model_validate({"title": "All"})}
    place.add("prompt_length", "length", [{"words": 3, "characters": 0}] * 8)
    assert place.numbers("lengths", "prompt_length")["texts"].unique().to_list() == [8]
    assert name_of(0) in place.reader().talks["conversation_id"].to_list()
