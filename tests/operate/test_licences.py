"""`rewild accept`: a licence is accepted once, by its name, after what it covers is shown."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rewild.__main__ import app
from rewild.cli.operate import inputs_of
from rewild.core.errors import ConfigError
from rewild.operate.licences import accept, read_accepted
from rewild.operate.preflight import _licences, used_models

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    return Path(shutil.copytree(ROOT / "config", tmp_path / "config"))


def run(config: Path, *arguments: str, given: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["accept", "--config", str(config), *arguments], input=given)
    return done.exit_code, done.output + (f"error: {done.exception}" if done.exception else "")


def test_what_it_covers_is_shown_and_then_it_is_asked(config: Path) -> None:
    code, said = run(config, "llama3.1", given="n\n")
    assert code == 1
    assert "The licence llama3.1 covers 8 models" in said
    shown = "llama-3.1-8b-instruct: https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct"
    assert f"{shown}; the hub asks for consent there, too (used by teachers, wildchat50m)" in said
    assert "error: llama3.1 is not accepted; nothing is written" in said
    assert run(config, "llama3.1")[0] == 1, "nobody answers"
    assert not (config / "accepted.yaml").exists()
    code, said = run(config, "llama3.1", given="y\n")
    assert (code, list(read_accepted(config))) == (0, ["llama3.1"])
    day = read_accepted(config)["llama3.1"]
    code, said = run(config, "llama3.1")
    assert (code, said) == (0, f"llama3.1 is accepted already, on {day}\n")
    accept(config, "gemma", "2026-01-02")
    assert read_accepted(config) == {"gemma": "2026-01-02", "llama3.1": day}


def test_names_that_cannot_be_accepted(config: Path) -> None:
    assert "no licence 'lama3.1'; did you mean 'llama3.1'?" in run(config, "lama3.1")[1]
    for name in ("apache-2.0", "cc0-1.0"):
        assert "asks for no consent" in run(config, name, "--yes")[1]
    (config / "accepted.yaml").write_text("licences: {llama3.1: yes}")
    with pytest.raises(
        ConfigError, match=r"accepted\.yaml: licences\.llama3\.1: input should be a valid string"
    ):
        read_accepted(config)


def test_a_licence_of_data_alone(config: Path) -> None:
    """What a release asks for by `rewild accept`, though no model of the table has it."""
    code, said = run(config, "cc-by-sa-4.0", given="y\n")
    assert (code, list(read_accepted(config))) == (0, ["cc-by-sa-4.0"])
    assert "covers no model of the table" in said
    assert "It asks: What is made from it is passed on under the same licence." in said


def test_preflight_takes_what_is_accepted(config: Path) -> None:
    inputs = inputs_of("wildchat50m", None, None, config.parent / "results", config)
    used = used_models(inputs)
    check = _licences(inputs, used, [])
    assert check.state == "missing"
    assert "accept each by its name: rewild accept " in check.detail
    names = {model.row.licence or "unknown" for model in used.values()}
    for name in sorted(names - {"apache-2.0", "mit"}):
        accept(config, name, "2026-01-02")
    assert _licences(inputs, used, list(read_accepted(config))).state == "ok"


def test_it_is_the_users_own_file() -> None:
    assert "/config/accepted.yaml" in (ROOT / ".gitignore").read_text().splitlines()
