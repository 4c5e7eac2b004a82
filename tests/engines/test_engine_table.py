"""The table of engines: what configuration, rules and code read of it."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from rewild.config.base import validate
from rewild.config.engines import ENGINES, EngineRow, engines_that, find_engine
from rewild.config.responses import Compute, Responses
from rewild.core.errors import ConfigError
from rewild.engines import EngineError, make_engine
from rewild.engines.base import About, Engine

ROOT = Path(__file__).resolve().parents[2]


class Parrot(Engine):
    """Says back what it was asked."""

    def about(self) -> About:
        return About("parrot")

    def embed(self, texts):
        return [(float(len(text)),) for text in texts]


def test_every_row_is_a_class_with_the_methods_that_it_claims() -> None:
    """By their source, as torch and vLLM are not here."""
    for name, row in ENGINES.items():
        module, _, made = row.path.partition(":")
        source = (ROOT / "workflow" / Path(*module.split("."))).with_suffix(".py").read_text()
        assert f"class {made}(Engine)" in source, name
        for what in ("generate", "score", "classify", "embed"):
            assert (f"    def {what}(self" in source) == (what in row.can), (name, what)
        for argument in row.takes:
            assert f"        {argument}: " in source, (name, argument)


def test_another_engine_is_a_row_and_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "parrot", EngineRow(f"{__name__}:Parrot", ("embed",)))
    engine = make_engine("parrot")
    assert engine.embed(["ab", "c"]) == [(2.0,), (1.0,)]
    assert engines_that("embed") == ("sentence-transformers", "parrot")
    with pytest.raises(EngineError) as error:
        engine.score([])
    assert str(error.value) == "the engine 'parrot' cannot score (engines that can: transformers, vllm)"


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown engine 'vlm', did you mean 'vllm'\?|'vllm'"):
        make_engine("vlm")
    with pytest.raises(ConfigError) as error:
        find_engine("classifier", "generate")
    assert str(error.value) == (
        "the engine 'classifier' cannot generate (engines that can: transformers, vllm, openai)"
    )
    with pytest.raises(ConfigError) as error:
        validate(Responses, {"models": ["a"], "engine": "transfomers"}, "study x: responses")
    assert "study x: responses: engine: 'transfomers' is not one of" in str(error.value)
    assert "did you mean 'transformers'?" in str(error.value)
    with pytest.raises(ConfigError, match="'classifier' is not one of 'transformers', 'vllm' or 'openai'"):
        validate(Responses, {"models": ["a"], "engine": "classifier"}, "study x: responses")


def test_environments_are_the_tables_unless_a_study_says_otherwise() -> None:
    compute = validate(Compute, {"environments": {"vllm": "vllm-cpu"}}, "compute")
    assert [compute.environment(name) for name in ENGINES] == [
        "engine-cpu", "vllm-cpu", None, "engine-cpu", "measures",
    ]  # fmt: skip
    for row in ENGINES.values():
        assert row.environment is None or (ROOT / f"envs/{row.environment}.txt").is_file()


def test_the_table_imports_nothing_heavy() -> None:
    source = inspect.getsource(inspect.getmodule(EngineRow))  # type: ignore[arg-type]
    assert "import torch" not in source
