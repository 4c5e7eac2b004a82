"""Configuration: layers, and the messages a mistake gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from rewild.config import given_study, load_defaults, load_study, read_study
from rewild.config.base import Strict, validate
from rewild.config.load import merge
from rewild.config.study import Study
from rewild.core.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config/studies").mkdir(parents=True)
    (tmp_path / "config/config.yaml").write_text("study: small\ndefaults: {seed: 7}\n")
    write(tmp_path / "config", "small", "title: Small\nsource: published\n")
    return tmp_path / "config"


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"studies/{name}.yaml").write_text(text)


def test_layers_lie_over_each_other(folder: Path) -> None:
    assert load_study(folder, "small").seed == 7
    assert load_study(folder, "small", {"seed": 9}).seed == 9
    write(folder, "small", "title: Small\nsource: published\nseed: 8\njudgments: {words: 20}\n")
    study = load_study(folder, "small", {"judgments": {"minimum": 5}})
    assert (study.seed, study.judgments.words, study.judgments.minimum) == (8, 20, 5)


def test_sections_merge_and_lists_are_replaced() -> None:
    assert merge({"a": {"x": 1, "y": [1, 2]}, "b": 1}, {"a": {"y": [3]}}) == {"a": {"x": 1, "y": [3]}, "b": 1}


def test_the_command_line_reaches_the_chosen_study_only(folder: Path) -> None:
    write(folder, "other", "title: Other\nsource: published\n")
    over = {"study": "other", "seed": 3, "mirror": "files"}
    defaults = load_defaults(folder, over)
    assert (defaults.study, defaults.mirror) == ("other", "files")
    assert [given_study(folder, name, over).seed for name in ("other", "small")] == [3, 7]


def test_defaults_that_are_handed_over_lie_below_a_study(folder: Path) -> None:
    """A workflow that uses this one as a module hands over its own ``config.yaml``."""
    write(folder, "other", "title: Other\nsource: published\n")
    over = {"study": "other", "defaults": {"seed": 99}, "title": "Mine"}
    assert given_study(folder, "other", over).seed == 99
    assert given_study(folder, "other", over).title == "Mine"
    assert given_study(folder, "small", over).title != "Mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "papres: {}",
            "study small (config/studies/small.yaml): unknown key 'papres'; did you mean 'papers'?",
        ),
        ("judgments: {word: 3}", "unknown key 'judgments.word'; did you mean 'words'?"),
        ("papers: {one: {tabels: []}}", "unknown key 'papers.one.tabels'; did you mean 'tables'?"),
        ("tables: [table1]", "'tables' is said of a paper: write 'papers: {NAME: {tables: [...]}}'"),
        ("audit: {}", "'audit' is said of a paper: write 'papers: {NAME: {audit: true}}'"),
        ("seed: ten", "seed: input should be a valid integer (it is 'ten')"),
        ("seed: -1", "seed: input should be greater than or equal to 0 (it is -1)"),
        ("style: maybe", "style: input should be a valid boolean (it is 'maybe')"),
        ("name: x", "the name is the file's; remove the key 'name' from config/studies/small.yaml"),
    ],
)
def test_a_mistake_is_named_with_study_key_and_nearest_match(folder: Path, text: str, message: str) -> None:
    write(folder, "small", f"title: Small\nsource: published\n{text}\n")
    with pytest.raises(ConfigError) as error:
        load_study(folder, "small")
    assert message in str(error.value)
    assert "study small" in str(error.value)


def test_every_mistake_is_told_at_once(folder: Path) -> None:
    write(folder, "small", "title: Small\nsorce: published\nseed: x\n")
    with pytest.raises(ConfigError) as error:
        load_study(folder, "small")
    assert len(str(error.value).splitlines()) == 3  # source missing, sorce unknown, seed not a number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: [", "small.yaml, line 2: not valid YAML"),
        ("seed: 1\nseed: 2", "small.yaml, line 2: not valid YAML: the key 'seed' stands twice"),
        ("- a\n- b", "a mapping of keys to values was expected, not a list"),
        ("", "the key 'title' is missing"),
    ],
)
def test_a_broken_file_is_named_with_its_line(folder: Path, text: str, message: str) -> None:
    write(folder, "small", text + "\n")
    with pytest.raises(ConfigError) as error:
        load_study(folder, "small")
    assert message in str(error.value)


def test_text_that_is_not_utf8_is_named(folder: Path) -> None:
    (folder / "studies/small.yaml").write_bytes(b"title: \xff\n")
    with pytest.raises(ConfigError, match=r"small\.yaml, line 1: not UTF-8 text \(byte 8 "):
        load_study(folder, "small")


def test_an_unknown_study_is_named_with_the_nearest(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown study 'smal'; did you mean 'small'\? \(studies: small\)"):
        load_study(folder, "smal")


def test_unknown_defaults_are_errors(folder: Path) -> None:
    (folder / "config.yaml").write_text("studi: small\n")
    with pytest.raises(
        ConfigError, match=r"config/config\.yaml: unknown key 'studi'; did you mean 'study'\?"
    ):
        load_defaults(folder)


def numbers(model: type[BaseModel], at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where a study has a setting that is a number with a point; ``any`` stands for a key of one's own."""
    found = []
    for key, field in model.model_fields.items():
        if field.discriminator or get_origin(field.annotation) is list:  # no key of its own leads there
            continue
        for kind in (field.annotation, *get_args(field.annotation)):
            own = ("any",) if get_origin(field.annotation) is dict else ()
            if kind is float:
                found.append((*at, key, *own))
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                found += numbers(kind, (*at, key, *own))
    return found


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
@pytest.mark.parametrize("at", numbers(Study), ids=".".join)
def test_what_is_no_finite_number_is_refused_with_its_key(
    folder: Path, at: tuple[str, ...], value: str
) -> None:
    text = "".join(f"{key}: {{" for key in at[:-1]) + f"{at[-1]}: {value}" + "}" * (len(at) - 1)
    write(folder, "small", f"title: Small\nsource: published\n{text}\n")
    with pytest.raises(ConfigError, match="study small") as error:
        load_study(folder, "small")
    line = next(line for line in str(error.value).splitlines() if f"{'.'.join(at)}: " in line)
    assert f"(it is {float(value.replace('.', ''))})" in line


def test_a_number_in_what_may_be_anything_is_finite_too() -> None:
    class Open(Strict):
        add: dict[str, Any]

    with pytest.raises(ConfigError, match=r"^study x: add\.a\.1\.b: input .* finite number \(it is nan\)$"):
        validate(Open, {"add": {"a": [1.0, {"b": float("nan")}]}}, "study x")


def test_there_are_settings_that_are_numbers_with_a_point() -> None:
    assert len(numbers(Study)) > 5
    assert Strict.model_config["allow_inf_nan"] is False


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "the environment variable REWILD_CONFIG, column 2: not JSON"),
        ("[1]", "the environment variable REWILD_CONFIG: an object was expected, not a list"),
        ('{"seed": NaN}', "the environment variable REWILD_CONFIG: not usable JSON: NaN"),
        ("[" * 5000, "the environment variable REWILD_CONFIG: not usable JSON"),
    ],
)
def test_a_broken_command_line_of_a_job_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, value: Any, message: str
) -> None:
    monkeypatch.setenv("REWILD_CONFIG", value)
    with pytest.raises(ConfigError) as error:
        read_study("small", folder)
    assert str(error.value).startswith(message)
