"""The engine plan: worked examples by hand, properties, and the rows of the real table."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewild.config import load_benchmarks, read_study
from rewild.config.gpus import GPUS, Gpu
from rewild.config.models import load_models
from rewild.config.runners import find_runner
from rewild.core.errors import ConfigError
from rewild.engines.plan import (
    GPU_COUNTS,
    STEP,
    Architecture,
    architecture_of,
    find_gpu,
    plan,
    plan_on,
    with_share,
)
from rewild.evaluation.judged.job import answer_spec
from rewild.responses.spec import make_spec

ROOT = Path(__file__).resolve().parents[2]
LLAMA_8B = Architecture(
    "llama-8b",
    8_030_261_248,
    32,
    4096,
    32,
    8,
    128,
    128_256,
    False,
    native_context=131_072,
    precision="bf16",
    inner_size=14_336,
)
QWEN_72B = replace(
    LLAMA_8B,
    name="q72",
    parameters=72_706_203_648,
    attention_layers=80,
    inner_size=29_568,
    hidden_size=8192,
    heads=64,
    vocabulary=152_064,
    native_context=32_768,
)


def test_a_worked_example():
    """Llama-3.1-8B in bf16 on one H100: every number by hand."""
    made = plan(LLAMA_8B, "H100-80")
    assert made.gpus == 1
    assert made.weight_bytes == 2 * 8_030_261_248
    assert made.kv_bytes == 2 * 32 * 8 * 128 * 2 == 131_072
    # Sampling takes more than a feed-forward layer: logits of 1,024 sequences, and the hidden states.
    assert made.activation_bytes == 2 * 16_384 * 4096 + 14 * 1024 * 128_256
    assert made.activation_bytes > 2 * 16_384 * (2 * 4096 + 3 * 14_336)
    assert made.graph_bytes == int(0.92 * 2**30 / 32 / 51 * 32 * 51)
    usable = int(int(79.1 * 2**30) * 0.95) - 2**30 - made.activation_bytes - made.graph_bytes
    assert made.kv_tokens == (usable - made.weight_bytes) // 131_072 == 462_275
    assert made.context == 131_072, "the cache holds more than the model can read"


def test_fewest_gpus_then_longest_context():
    """Qwen2.5-72B: 145 GB of weights need two H100. What vLLM 0.32 keeps for a step of 16,384 tokens,
    1,024 draws and the graphs of 80 layers leaves a cache of less than the paper's 20,000; four have room."""
    made = plan(QWEN_72B, "H100-80")
    assert made.gpus == 2
    assert made.kv_bytes == 2 * 80 * 4 * 128 * 2, "eight KV heads, four on each GPU"
    assert made.context == 12_032
    assert made.context % STEP == 0
    assert plan(QWEN_72B, "H100-80", context=20_000).gpus == 4
    assert plan(QWEN_72B, "H200-141").context == 32_768


def test_smaller_batches_of_vllm_leave_more_cache():
    """`compute.vllm` is in the arithmetic: with fewer draws, tokens and graphs two H100 hold 20,000."""
    _, types = with_share("H100-80", None, None, {"max_num_seqs": 64, "max_num_batched_tokens": 8192})
    made = plan(QWEN_72B, "H100-80", types)
    assert made.activation_bytes == 2 * 8192 * (2 * 8192 + 3 * 29_568 // 2)
    assert made.graph_bytes == int(0.92 * 2**30 / 32 / 51 * 80 * 19)
    assert (made.gpus, made.context) == (2, 30_464)


def test_the_memory_of_a_real_start_is_as_measured():
    """docs/gpu.md: an 8B at a share of 0.9, for 1,024 and 512 sequences; the plan has at most 1.5 % less."""
    for sequences, measured in ((1024, 432_896), (512, 435_040)):
        _, types = with_share("H100-80", None, 0.9, {"max_num_seqs": sequences})
        assert 0.985 * measured < plan_on(LLAMA_8B, types["H100-80"], 1).kv_tokens < measured


def test_latent_attention_is_not_divided():
    """DeepSeek-Coder-V2: 60 layers x (512 + 64) x 2 bytes a token, on each GPU."""
    made = architecture_of(load_models(ROOT / "config")["deepseek-coder-v2-instruct"])
    assert [made.kv_bytes(n) for n in GPU_COUNTS] == [60 * (512 + 64) * 2] * 4
    assert made.gpu_counts() == GPU_COUNTS


def test_a_window_bounds_what_a_layer_keeps():
    """Gemma-2 and Mistral 7B: half of the layers, or all, keep 4,096 tokens at most."""
    models = load_models(ROOT / "config")
    gemma, mistral = (architecture_of(models[slug]) for slug in ("gemma-2-9b-it", "openhermes-2-mistral-7b"))
    layer = 2 * 8 * 256 * 2
    assert gemma.sequence_bytes(3000, 1) == 42 * layer * 3000
    assert gemma.sequence_bytes(8000, 1) == 21 * layer * (8000 + 4096)
    assert mistral.sequence_bytes(20_000, 1) == mistral.sequence_bytes(4096, 1)
    assert mistral.longest(mistral.sequence_bytes(4096, 1), 1) == 32_768
    assert gemma.longest(gemma.sequence_bytes(5000, 1), 1) == 5000


def test_fp8_halves_all_but_the_embeddings():
    fp8 = replace(LLAMA_8B, precision="fp8")
    embeddings = 2 * 128_256 * 4096
    assert fp8.weight_bytes == (8_030_261_248 - embeddings) + 2 * embeddings
    tied = replace(LLAMA_8B, precision="fp8", tied_embeddings=True)
    assert tied.weight_bytes == (8_030_261_248 - embeddings // 2) + 2 * (embeddings // 2)


def test_kv_heads_are_held_more_than_once_when_there_are_fewer_than_gpus():
    two = replace(LLAMA_8B, kv_heads=2)
    assert [two.kv_bytes(n) // (2 * 32 * 128 * 2) for n in GPU_COUNTS] == [2, 1, 1, 1]


def test_tensor_parallelism_divides_the_heads():
    assert replace(LLAMA_8B, heads=12, kv_heads=4).gpu_counts() == (1, 2, 4)
    assert replace(LLAMA_8B, heads=28, kv_heads=4).gpu_counts() == (1, 2, 4)
    assert replace(LLAMA_8B, heads=24, kv_heads=3).gpu_counts() == (1,)
    assert LLAMA_8B.gpu_counts() == (1, 2, 4, 8)


def test_a_hybrid_keeps_a_cache_for_its_attention_layers_only():
    jamba = load_models(ROOT / "config")["ai21-jamba-1.5-mini"]
    made = architecture_of(jamba)
    assert made.attention_layers == 4
    assert made.kv_bytes(1) == 2 * 4 * 8 * 128 * 2
    assert made.state_bytes == 28 * (2 * 4096) * (16 + 4) * 2
    assert made.sequence_bytes(1000, 2) == 1000 * made.kv_bytes(2) + made.state_bytes // 2


def test_a_mixture_holds_every_expert():
    mixtral = architecture_of(load_models(ROOT / "config")["mixtral-8x7b-instruct-v0.1"])
    assert mixtral.weight_bytes == 2 * 46_702_792_704


def test_a_wanted_context_takes_the_gpus_it_needs():
    assert plan(QWEN_72B, "H100-80", context=8_192).context == 8_192
    wider = plan(QWEN_72B, "H100-80", context=32_768)
    assert (wider.gpus, wider.context) == (4, 32_768)
    with pytest.raises(ConfigError, match="made for 32768"):
        plan(QWEN_72B, "H100-80", context=40_000)


def test_what_does_not_fit_says_why():
    huge = replace(QWEN_72B, parameters=700_000_000_000)
    with pytest.raises(
        ConfigError,
        match=r"q72 does not fit on 8 GPUs of type H100-80: 175 GB of weights .* 9[3-9]\.\d GiB are missing",
    ):
        plan(huge, "H100-80")
    with pytest.raises(ConfigError, match="unknown GPU type 'H100'; did you mean 'H100-80'"):
        plan(LLAMA_8B, "H100")


def test_a_gpu_of_the_configuration():
    own = {"L40S-48": Gpu(memory_gib=44.4, utilization=0.9, reserve_gib=3.0)}
    made = plan(LLAMA_8B, "L40S-48", own)
    kept = 3 * 2**30 + made.weight_bytes + made.activation_bytes + made.graph_bytes
    assert made.kv_tokens == (int(int(44.4 * 2**30) * 0.9) - kept) // 131_072
    assert made.activation_bytes == 2 * 8192 * (2 * 4096 + 3 * 14_336), "vLLM's smaller steps of smaller GPUs"
    assert find_gpu("L40S-48", own).memory == int(44.4 * 2**30)


ARCHITECTURES = st.builds(
    Architecture,
    name=st.just("m"),
    parameters=st.integers(10**8, 3 * 10**11),
    attention_layers=st.integers(1, 120),
    hidden_size=st.sampled_from([1024, 2048, 4096, 8192, 12288]),
    heads=st.sampled_from([8, 12, 16, 28, 32, 40, 64, 96]),
    kv_heads=st.sampled_from([1, 2, 4, 8, 16, 32]),
    head_dim=st.sampled_from([64, 80, 128, 256]),
    vocabulary=st.integers(1_000, 260_000),
    tied_embeddings=st.booleans(),
    native_context=st.integers(512, 300_000),
    precision=st.sampled_from(["bf16", "fp8"]),
    state_bytes=st.sampled_from([0, 0, 10**7]),
    inner_size=st.sampled_from([0, 4096, 28_672]),
)
GPU = st.builds(Gpu, memory_gib=st.floats(8, 200), utilization=st.floats(0.5, 1), reserve_gib=st.floats(0, 6))


@given(ARCHITECTURES, GPU, st.integers(1, 4))
def test_more_gpus_never_shorten_the_context(architecture, gpu, sequences):
    contexts = [plan_on(architecture, gpu, n, sequences=sequences).context for n in GPU_COUNTS]
    assert contexts == sorted(contexts)


def _fewest(architecture, gpu):
    fitting = [n for n in architecture.gpu_counts() if plan_on(architecture, gpu, n).fits]
    return min(fitting, default=99)


@given(ARCHITECTURES, GPU)
def test_fp8_never_needs_more_gpus_nor_shortens_the_context(architecture, gpu):
    small, large = replace(architecture, precision="fp8"), replace(architecture, precision="bf16")
    assert _fewest(small, gpu) <= _fewest(large, gpu)
    for n in GPU_COUNTS:
        assert plan_on(small, gpu, n).context >= plan_on(large, gpu, n).context


@given(ARCHITECTURES, GPU, st.sampled_from(GPU_COUNTS), st.integers(1, 4))
def test_a_plan_stays_within_the_memory(architecture, gpu, gpus, sequences):
    made = plan_on(architecture, gpu, gpus, sequences=sequences)
    assert made.context <= architecture.native_context
    assert made.context * sequences <= made.kv_tokens or not made.kv_bytes
    if made.fits:
        assert (
            made.weight_bytes + made.activation_bytes + made.kv_tokens * made.kv_bytes + gpu.reserve
            <= gpu.memory * gpu.utilization + 1
        )


@pytest.mark.parametrize("gpu", sorted(GPUS))
def test_every_model_with_dimensions_has_a_plan(gpu):
    without = set()
    for model in load_models(ROOT / "config").values():
        if "dgm" not in model.roles:
            continue
        d = model.dimensions
        if None in (model.native_context, d.vocab, d.kv_heads or d.latent):
            with pytest.raises(ConfigError, match=r"no engine plan without"):
                architecture_of(model)
            without.add(model.slug)
            continue
        assert plan(architecture_of(model), gpu).gpus in GPU_COUNTS
    assert without == {"mistral-7b-tulu"}


@pytest.mark.heavy
def test_the_command_prints_plan_and_paper_side_by_side():
    done = subprocess.run(
        [sys.executable, "-m", "rewild", "plan", "qwen2.5-72b-instruct", "llama-2-7b-chat-hf"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
        env={"PYTHONPATH": "workflow", "COLUMNS": "120", "PATH": "/usr/bin"},
    )
    rows = {words[0]: words[1:] for line in done.stdout.splitlines() if len(words := line.split()) > 8}
    assert rows["qwen2.5-72b-instruct"][:3] == ["2", "→", "4"]
    assert "12,032" in rows["qwen2.5-72b-instruct"]
    assert rows["llama-2-7b-chat-hf"][0] == "1"
    assert "GPU-hours: for 1,000,000 conversations" in done.stdout


@pytest.mark.heavy
def test_planning_imports_nothing_heavy():
    code = (
        "import sys, rewild.engines.plan, rewild.generation.spec; "
        "print([m for m in ('torch', 'polars', 'numpy', 'pandas', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
        env={"PYTHONPATH": "workflow"},
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("share", [None, 0.6, 0.85])
def test_what_is_planned_is_what_vllm_is_given(root: Path, share: float | None) -> None:
    """Of responses and of a benchmark's answers: weights, reserve and a full context fit into the share."""
    models = load_models(root / "config")
    study = read_study("wildchat50m", root / "config")
    assert study.responses is not None
    about = GPUS["H100-80"]
    compute = study.responses.compute.model_copy(update={"gpu": "H100-80", "gpu_memory_utilization": share})
    responses = study.responses.model_copy(update={"compute": compute})
    answers = study.judging.answers.model_copy(update={"engine": "vllm", "compute": compute, "limits": None})
    judging = study.judging.model_copy(update={"answers": answers})
    mine = study.model_copy(update={"responses": responses, "judging": judging})
    rows = load_benchmarks(root / "config", models).values()
    runner = find_runner(next(b.runner for b in rows if b.judged))
    jobs = [make_spec(mine, slug, models) for slug in ("qwen2.5-72b-instruct", "llama-3.1-8b-instruct")]
    jobs += [answer_spec(mine, run, runner, models, {}) for run in ("q72", "l8i")]
    for job in jobs:
        assert job.plan is not None
        assert job.memory_share == (share or about.utilization), job.model
        room = int(about.memory * job.memory_share) - about.reserve - job.plan.weight_bytes
        room -= job.plan.activation_bytes + job.plan.graph_bytes
        assert job.plan.context * job.plan.kv_bytes <= room, job.model
        assert job.plan.cache_bytes == room
