"""Subsets of a study: what `models=` and `runs=` keep, what goes with what is left out, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rewild.config import Study, left_out, load_study
from rewild.config.subset import Subset, split
from rewild.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
Q72, L70, L8I = "qwen2.5-72b-instruct", "llama-3.3-70b-instruct", "llama-3.1-8b-instruct"


def cut(**over: object) -> Study:
    return load_study(ROOT / "config", "wildchat50m", over)


@pytest.fixture(scope="module")
def whole() -> Study:
    return cut()


def needs(study: Study, run: str) -> set[str]:
    """By another way than the code's: the DGMs that a run rests on, by its own words."""
    row = study.runs[run]
    named = {source.model for mix in [study.mixes.get(row.mix or "")] if mix for source in mix.sources
             if source.kind == "responses"}  # fmt: skip
    named |= {s.length_control.model for mix in [study.mixes.get(row.mix or "")] if mix for s in mix.sources
              if s.kind == "responses" and s.length_control}  # fmt: skip
    if row.mix in study.preferences:
        named.add(study.preferences[row.mix].model)
    if row.model in study.runs:
        named |= needs(study, row.model)
    named.add(row.model)
    assert study.responses
    return named & set(study.responses.models)


def test_models_keep_exactly_the_runs_that_need_no_other(whole: Study) -> None:
    part = cut(models=[Q72, L70])
    assert part.responses
    assert part.responses.models == [L70, Q72]
    expected = {run for run in whole.runs if needs(whole, run) <= {Q72, L70}}
    assert set(part.runs) == expected
    assert {"re-wild", "re-wild-dpo-l70", "l8b-q72-l70-500k", "l8b-gpt-100k", "tulu-3-sft"} <= expected
    assert not {"re-wild-dpo-l8i", "l8b-l8i-q7-100k", "q7"} & expected
    assert set(part.mixes) == {name for name, mix in whole.mixes.items() if set(mix.models()) <= {Q72, L70}}
    assert set(part.preferences) == {"l70-pairs"}
    assert set(part.responses.overrides) == {L70, Q72}
    assert part.evaluation == whole.evaluation


def test_runs_keep_their_mixes_models_and_starts_only() -> None:
    part = cut(runs=["re-wild-dpo-l8i", "l8b-gpt-250k"])
    assert list(part.runs) == ["l8b-gpt-250k", "re-wild", "re-wild-dpo-l8i"]  # the start came along
    assert set(part.mixes) == {"gpt-250k", "re-wild"}
    assert set(part.preferences) == {"l8i-pairs"}
    assert part.responses
    assert part.responses.models == [L8I, Q72]


def test_names_as_text_patterns_and_exclusions(whole: Study) -> None:
    assert whole.responses
    everything = whole.responses.models
    for asked, expected in (
        (f"{Q72},{L70}", [L70, Q72]),
        ("gemma-2-*", ["gemma-2-9b-it", "gemma-2-27b-it"]),
        (["gemma-2-*", "-gemma-2-9b-it"], ["gemma-2-27b-it"]),
        ("-mistral-7b-tulu", [m for m in everything if m != "mistral-7b-tulu"]),
    ):
        part = cut(models=asked)
        assert part.responses
        assert part.responses.models == expected


def test_one_model_has_nothing_to_be_compared_with() -> None:
    part = cut(models=Q72)
    assert part.similarity is None
    assert part.diversity is not None
    lines = left_out(ROOT / "config", {"study": "wildchat50m", "models": Q72})
    assert lines[0] == "53 of 54 models"
    assert "similarity (it compares models, and one is left)" in lines


def test_sections_that_name_runs_follow() -> None:
    assert cut(models=[L8I]).inherited_style is None
    style = cut(models=[Q72, L8I]).inherited_style
    assert style
    assert style.runs == ["l8b-q72-500k"]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"models": "qwen2.5-72b-instrct"}, r"models=: unknown name 'qwen2.5-72b-instrct'; did you mean"),
        ({"models": "gpt*"}, r"models=: no name matches 'gpt\*'"),
        ({"models": "-*"}, "models=: nothing is left of the study's models"),
        ({"runs": "l8b-q72"}, "runs=: unknown name 'l8b-q72'; did you mean"),
        ({"runs": "l8b-q72-500k", "models": L70}, rf"'l8b-q72-500k' needs '{Q72}', which models= leaves out"),
        ({"models": 3}, r"--config models=: names with commas between them were expected, .* not 3"),
        ({"models": ""}, "names with commas"),
        ({"models": [Q72, 7]}, "names with commas"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_is_refused(over: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cut(**over)


def test_a_pattern_keeps_what_the_models_allow() -> None:
    assert set(cut(models=L70, runs="l8b-l70*").runs) == {
        f"l8b-l70-{size}" for size in ("100k", "250k", "500k")
    }
    assert "l8b-q72-l70-100k" not in cut(models=L70, runs="l8b-*").runs


def test_a_study_without_models_or_runs_says_so() -> None:
    with pytest.raises(ConfigError, match="study paper: models=: the study has no section 'responses'"):
        load_study(ROOT / "config", "paper", {"models": "a"})
    with pytest.raises(ConfigError, match="study paper: runs=: the study has no runs"):
        load_study(ROOT / "config", "paper", {"runs": "a"})


def test_a_section_called_runs_is_no_subset() -> None:
    asked, rest = split({"runs": {"x": {"model": "y"}}, "seed": 3})
    assert (asked, rest) == (Subset(), {"runs": {"x": {"model": "y"}}, "seed": 3})


def test_a_benchmark_compared_with_a_run_left_out_goes_too() -> None:
    demo = load_study(ROOT / "config", "demo")
    assert demo.evaluation
    part = load_study(ROOT / "config", "demo", {"runs": "demo-herald"})
    assert part.evaluation
    assert part.evaluation.benchmarks == [b for b in demo.evaluation.benchmarks if b != "demo-pairs"]
    assert part.judging.baselines == {}
    lines = left_out(ROOT / "config", {"study": "demo", "runs": "demo-herald"})
    assert "'demo-pairs' (compared with a run that is left out)" in lines
    whole = load_study(ROOT / "config", "demo", {"runs": "demo-herald,demo-plain"})
    assert whole.evaluation
    assert "demo-pairs" in whole.evaluation.benchmarks
    more = {"runs": "base-herald", "teachers": {"benchmarks": ["demo-pairs", "demo-chat"]}}
    judged = load_study(ROOT / "config", "demo", more)
    assert judged.evaluation
    assert "demo-pairs" not in judged.evaluation.benchmarks
    assert judged.teachers
    assert judged.teachers.benchmarks == ["demo-chat"]
    more["teachers"] = {"benchmarks": ["demo-pairs"]}
    assert load_study(ROOT / "config", "demo", more).teachers is None
