"""Measures made from two others: values against plain sums, every missing side a failure, mistakes early."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from conftest import copy_workflow
from rewild.config.base import validate
from rewild.config.measures.derived import check_subjects
from rewild.config.study import Study
from rewild.config.subset import Subset, cut
from rewild.core.errors import ConfigError, DataError
from rewild.core.measures import about_measure, contract, read_measure
from rewild.core.table import provenance, write_table
from rewild.measures.derived import derive
from rewild.measures.summary import summarise

REWARD = {"kind": "reward", "model": "o/m", "revision": "0123456789abcdef0123456789abcdef01234567"}
LENGTH = {"kind": "length", "of": "prompts"}
GAIN = {"kind": "difference", "left": "reward", "right": {"measure": "reward", "subject": "base"}}
FIXED = {"left": {"measure": "reward", "subject": "a"}, "right": {"measure": "reward", "subject": "base"}}


def a_study(**measures: Any) -> Study:
    given = {
        "name": "s",
        "title": "s",
        "source": "computed",
        "prompts": {"sources": [{"kind": "demo"}]},
        "responses": {"engine": "transformers", "models": ["a", "b", "base"]},
        "measures": {"reward": REWARD, "length": LENGTH, "language": {"kind": "language"}} | measures,
    }
    return validate(Study, given, "study s")


def a_file(folder: Path, measure: str, subject: str, column: str, rows: Mapping[Any, Any]) -> Path:
    """A measure's file: (conversation, turn, sample) → its value, or the failure if that is a text."""
    form = "integer" if column == "words" else "number"
    schema = contract({column: (form, "")})
    made = [
        (*key, None if isinstance(value, str) else value, value if isinstance(value, str) else None)
        for key, value in rows.items()
    ]
    out = folder / f"{measure}-{subject}.parquet"
    about = {"measure": measure, "subject": subject, "digest": f"{measure}0", "identity": {}}
    write_table(out, pl.DataFrame(made, schema=schema.dtypes, orient="row"), schema, provenance([], **about))
    return out


def values(frame: pl.DataFrame, column: str) -> dict[Any, Any]:
    return {
        (c, t, s): value if failure is None else failure
        for c, t, s, value, failure in frame.select(
            "conversation_id", "turn", "sample", column, "failure"
        ).iter_rows()
    }


def test_a_reward_less_that_of_the_base_models_answer(tmp_path: Path) -> None:
    """Each sample of a model against the one answer of the base model; what has no value says which side."""
    mine = {("c1", 0, 0): 1.5, ("c1", 0, 1): 4.0, ("c1", 1, 0): "too_long: 9", ("c2", 0, 0): 2.0}
    mine |= {("c3", 0, 0): 1.0, ("c4", 0, 0): 1.0, ("c5", 0, 0): None}
    base = {("c1", 0, 0): -0.5, ("c1", 1, 0): 0.0, ("c2", 0, 0): "not_a_number: reward", ("c4", 0, 0): None}
    base |= {("c5", 0, 0): 1.0, ("c9", 0, 0): 1.0}
    files = [a_file(tmp_path, "reward", s, "reward", r) for s, r in (("a", mine), ("base", base))]
    out = tmp_path / "gain.parquet"
    measures = a_study(gain=GAIN).measures
    found = derive("gain", "a", measures, files, out)
    assert values(found, "difference") == {
        ("c1", 0, 0): 2.0,
        ("c1", 0, 1): 4.5,
        ("c1", 1, 0): "left_failed: too_long: 9",
        ("c2", 0, 0): "right_failed: not_a_number: reward",
        ("c3", 0, 0): "right_missing: reward of base has no such text",
        ("c4", 0, 0): "right_undefined: reward of base has no value",
        ("c5", 0, 0): "left_undefined: reward of a has no value",
    }
    assert read_measure([out], "gain", "a").equals(found)
    about = about_measure(out)
    assert about["failures"] == {
        "left_failed": 1, "left_undefined": 1, "right_failed": 1, "right_missing": 1, "right_undefined": 1,
    }  # fmt: skip
    (mean,) = summarise([out], resamples=50).filter(pl.col("column") == "difference")["value"]
    assert mean == pytest.approx((2.0 + 4.5) / 2)
    own = derive("gain", "base", measures, files, out)
    assert values(own, "difference")["c1", 0, 0] == 0.0
    files[1] = a_file(tmp_path, "reward", "base", "reward", base)
    swapped = a_study(gain=GAIN | {"left": GAIN["right"], "right": "reward"}).measures
    derive("gain", "a", swapped, files, out)
    assert about_measure(out)["digest"] != about["digest"]


def test_a_ratio_with_a_measure_of_prompts_and_a_zero(tmp_path: Path) -> None:
    row = {"kind": "ratio", "left": "reward", "right": {"measure": "length", "column": "words"}}
    mine = {("c1", 0, 0): 3.0, ("c1", 0, 1): 1.0, ("c2", 0, 0): 1.0, ("c3", 0, 0): 0.0}
    words = {("c1", 0, 0): 4, ("c2", 0, 0): 0, ("c3", 0, 0): 0}
    files = [
        a_file(tmp_path, "reward", "a", "reward", mine),
        a_file(tmp_path, "length", "prompts", "words", words),
    ]
    found = derive("r", "a", a_study(r=row).measures, files, tmp_path / "r.parquet")
    assert values(found, "ratio") == {
        ("c1", 0, 0): 0.75,
        ("c1", 0, 1): 0.25,
        ("c2", 0, 0): "not_a_number: ratio",
        ("c3", 0, 0): "not_a_number: ratio",
    }


def test_of_prompts_where_both_sides_name_a_model(tmp_path: Path) -> None:
    measures = a_study(gain={"kind": "difference", "of": "prompts"} | FIXED).measures
    files = [
        a_file(tmp_path, "reward", s, "reward", {("c1", 0, 0): v, ("c2", 0, 0): v})
        for s, v in (("a", 3.0), ("base", 1.0))
    ]
    found = derive("gain", "prompts", measures, files, tmp_path / "g.parquet")
    assert values(found, "difference") == {("c1", 0, 0): 2.0, ("c2", 0, 0): 2.0}
    with pytest.raises(DataError, match="no file of the measure reward of base"):
        derive("gain", "prompts", measures, files[:1], tmp_path / "g.parquet")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"g": GAIN | {"left": "rewrd"}}, r"measures\.g\.left: no measure 'rewrd'; did you mean 'reward'"),
        ({"g": GAIN | {"left": {"measure": "length", "column": "wrods"}}},
         r"measures\.g\.left: the measure 'length' has no column 'wrods'; did you mean 'words'"),
        ({"g": GAIN | {"left": "language"}}, r"g\.left: language\.language is a text, not a number"),
        ({"g": GAIN | {"right": {"measure": "reward", "subject": "bse"}}},
         r"measures\.g\.right: nobody who answers is called 'bse'; did you mean 'base'"),
        ({"g": GAIN | {"right": {"measure": "length", "subject": "a"}}},
         r"measures\.g\.right: 'length' is of prompts, which are nobody's"),
        ({"g": GAIN | {"of": "prompts"}}, r"measures\.g\.left: 'reward' is of responses, .* name whose"),
        ({"g": GAIN | {"right": {"measure": "reward", "colum": "x"}}},
         r"unknown key.*colum'; did you mean 'column'"),
        ({"g": GAIN | {"left": "h"}, "h": {"kind": "ratio", "left": "g", "right": "reward"}},
         r"measures\.g: it is made from itself \(g → h → g\)"),
        ({"g": GAIN | {"right": "g"}}, r"measures\.g: it is made from itself \(g → g\)"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_key_and_the_nearest(rows: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        a_study(**rows)


def test_who_answers_is_known_later_where_responses_are_imported() -> None:
    measures = a_study(gain=GAIN).measures
    check_subjects("study s", measures, {"base", "x"})
    with pytest.raises(ConfigError, match=r"study s: measures\.gain\.right: .*'base'; did you mean 'bases'"):
        check_subjects("study s", measures, {"bases"})


def test_a_subset_of_models_keeps_what_it_can() -> None:
    """A measure that compares with a model left out goes, and so does the mix that is filtered by it."""
    condition = {"measure": "gain", "at_least": 0}
    source = {"kind": "responses", "model": "a"}
    mixes = {
        "plain": {"sources": [source]},
        "chosen": {"sources": [source], "filters": {"measures": [condition]}},
    }
    given = a_study(gain=GAIN).model_dump(mode="json") | {"mixes": mixes}
    study = validate(Study, given, "study s")
    left, lost = cut(study, Subset(models=("a",)), "study s")
    assert (set(left.measures), set(left.mixes)) == ({"reward", "length", "language"}, {"plain"})
    assert "1 of 4 measures" in lost
    kept, _ = cut(study, Subset(models=("a", "base")), "study s")
    assert (set(kept.measures), set(kept.mixes)) == (set(study.measures), {"plain", "chosen"})


@pytest.mark.workflow
def test_files_of_both_sides_are_the_inputs_and_a_filter_waits(tmp_path: Path, snakemake: Any) -> None:
    path = copy_workflow(tmp_path) / "config/studies/demo.yaml"
    study = yaml.safe_load(path.read_text())
    study["measures"] |= {
        "reward": REWARD,
        "gain": {"kind": "difference", "left": "reward",
                 "right": {"measure": "reward", "subject": "demo-mini"}},
        "odd": {"kind": "ratio", "left": "gain", "right": {"measure": "length", "column": "words"}},
    }  # fmt: skip
    source = {"kind": "responses", "model": "demo-herald", "licence": "x"}
    study["mixes"]["chosen"] = {
        "sources": [source], "filters": {"measures": [{"measure": "odd", "at_least": 0}]},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(study))
    wanted = ["results/demo/mixes/chosen/train.parquet", "results/demo/measures/gain/summary.csv"]
    run = snakemake(tmp_path, "-n", "-p", "--config", "study=demo", "--", *wanted)
    assert run.returncode == 0, run.stdout[-3000:]
    folder = "results/demo/measures"
    rewards = [
        f"{folder}/reward/{m}/{s}.parquet" for m in ("demo-herald", "demo-mini") for s in ("0000", "0001")
    ]
    asked = "derive-measure demo gain --subject demo-herald --out"
    assert f"<(words {' '.join(rewards)}) {asked} {folder}/gain/demo-herald/derived.parquet" in run.stdout
    both = f"{folder}/gain/demo-herald/derived.parquet {folder}/length/demo-herald/all.parquet"
    assert f"<(words {both}) derive-measure demo odd --subject demo-herald" in run.stdout
    assert f"{folder}/odd/demo-herald/derived.parquet) mix demo chosen" in run.stdout
    assert "making odd of demo-plain" not in run.stdout
