"""The roofline: measured steps, published speeds, properties, and the choice of a number of GPUs."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rewild.config.assumptions import load_assumptions
from rewild.config.gpus import GPUS, Gpu
from rewild.config.models import load_models
from rewild.core.errors import ConfigError
from rewild.engines.plan import architecture_of, plan, plan_on
from rewild.engines.roofline import Traffic, choose, forecast, traffic
from test_plan import ARCHITECTURES, LLAMA_8B, QWEN_72B

ROOT = Path(__file__).resolve().parents[2]
H100 = GPUS["H100-80"]
MIX = traffic(load_assumptions(ROOT), 15_000, 4000)
SHAPES = ARCHITECTURES.filter(lambda shape: shape.parameters > 3 * shape.vocabulary * shape.hidden_size)
FAST = st.builds(
    Gpu,
    memory_gib=st.floats(20, 200),
    bandwidth_tb=st.floats(0.5, 10),
    tflops=st.floats(50, 3000),
    link_gb=st.floats(20, 1000),
)
TRAFFIC = st.builds(
    lambda read, new, written: Traffic(read, read * new, written, read + written),
    st.floats(1, 20_000),
    st.floats(0.1, 1),
    st.floats(1, 4000),
)


def test_the_steps_that_were_measured() -> None:
    """docs/gpu.md: an 8B on one H100, sequences of about 296 tokens; within 15 %, beyond CUDA graphs not."""
    measured = {1: 6.5, 8: 6.3, 64: 8.8, 128: 9.9, 256: 12.1, 384: 17.4, 512: 21.6}
    made = plan_on(LLAMA_8B, H100, 1)
    for sequences, milliseconds in measured.items():
        found = forecast(LLAMA_8B, H100, made, Traffic(256, 256, 1, 296), at_once=sequences)
        assert 1000 * sum(found.parts.values()) == pytest.approx(milliseconds, rel=0.15)
    reading = forecast(LLAMA_8B, H100, made, Traffic(4096, 4096, 1, 4096))
    assert 4096 / reading.prefill == pytest.approx(42_423, rel=0.05)
    assert forecast(LLAMA_8B, H100, made, Traffic(10, 10, 100, 60)).sequences == 512, "no graphs beyond"


def test_a_step_by_hand() -> None:
    """Qwen2.5-72B on four H100: what is read, multiplied and sent."""
    use, made = Traffic(1000, 1000, 400, 1200), plan_on(QWEN_72B, H100, 4)
    found = forecast(QWEN_72B, H100, made, use)
    kept = 1200 * 2 * 80 * 2 * 128 * 2
    many = made.cache_bytes / kept
    assert (found.sequences, found.full) == (pytest.approx(many), True)
    matrices = 72_706_203_648 - 152_064 * 8192
    assert found.parts["matrices"] == pytest.approx(
        max(2 * matrices / 4 / (3.35e12 * 0.8), 2 * matrices * many / (4 * 989e12 * 0.64))
    )
    assert found.parts["cache"] == pytest.approx(many * kept / (3.35e12 * 0.8))
    sent = (
        2 * (3 / 4) * many * 8192 * 2 / (450e9 * 0.81)
    )  # a ring: each GPU sends and gets 2 (n - 1) / n of it
    assert found.parts["communication"] == pytest.approx(2 * 80 * (26e-6 + sent))
    assert found.parts["overhead"] == pytest.approx(80 * 33e-6 + many * 4.8e-6)
    assert found.decode == pytest.approx(400 * sum(found.parts.values()) / many)
    assert found.rate == pytest.approx(1400 / found.seconds)


def test_traffic_is_that_of_a_drawn_study() -> None:
    """Against 200,000 conversations with a geometric number of turns and lognormal answers, under limits."""
    assumed, draw = load_assumptions(ROOT), random.Random(1)
    prompt, answer, sigma = 296, 441, assumed.answer_spread.value
    most_in, most_out = 1500, 400
    read = written = square = requests = computed = 0.0
    for _ in range(200_000):
        before, turn = 0.0, 0
        while turn == 0 or draw.random() < 1 - 1 / 2.5:
            turn += 1
            here = min(turn * prompt + (turn - 1) * answer, most_in)
            made = min(math.exp(draw.gauss(math.log(answer) - sigma**2 / 2, sigma)), most_out)
            read, written, square, requests = read + here, written + made, square + made**2, requests + 1
            computed += here - (assumed.roofline.prefix.value * before if here < most_in else 0)
            before = here
    found = traffic(assumed, most_in, most_out)
    assert found.read == pytest.approx(read / requests, rel=0.01)
    assert found.written == pytest.approx(written / requests, rel=0.01)
    assert found.computed == pytest.approx(computed / requests, rel=0.01)
    assert found.held == pytest.approx(read / requests + square / written / 2, rel=0.01)


@settings(max_examples=50)
@given(SHAPES, FAST, TRAFFIC, st.floats(1, 4), st.sampled_from(["bandwidth_tb", "tflops", "link_gb"]))
def test_faster_hardware_is_never_slower(shape, gpu, use, times, what) -> None:
    for count in shape.gpu_counts():
        made = plan_on(shape, gpu, count)
        faster = gpu.model_copy(update={what: times * getattr(gpu, what)})
        assert forecast(shape, faster, made, use).seconds <= forecast(shape, gpu, made, use).seconds


@settings(max_examples=50)
@given(SHAPES, FAST, TRAFFIC, st.floats(1, 3))
def test_more_memory_is_never_slower(shape, gpu, use, times) -> None:
    larger = gpu.model_copy(
        update={"memory_gib": times * gpu.memory_gib, "max_sequences": 256, "batched_tokens": 8192}
    )
    same = larger.model_copy(update={"memory_gib": gpu.memory_gib})
    for count in shape.gpu_counts():
        small, large = plan_on(shape, same, count), plan_on(shape, larger, count)
        seconds = forecast(shape, larger, large, use).seconds
        assert seconds <= forecast(shape, same, small, use).seconds * (1 + 1e-9)


@settings(max_examples=50)
@given(SHAPES, FAST, TRAFFIC)
def test_the_cheapest_plan(shape, gpu, use) -> None:
    """Never dearer than the fewest GPUs by its own model, nor fewer; the same context; heads divide."""
    types = {"mine": gpu}
    try:
        least = plan(shape, "mine", types)
    except ConfigError:
        assume(False)
    best = choose(shape, "mine", types, use)
    assert best.gpus in shape.gpu_counts()
    assert best.gpus >= least.gpus
    assert best.context == least.context <= plan_on(shape, gpu, best.gpus).context
    spent = {n: forecast(shape, gpu, plan_on(shape, gpu, n), use).gpu_seconds for n in shape.gpu_counts()}
    assert spent[best.gpus] <= spent[least.gpus]
    assert all(spent[best.gpus] * 0.749 <= spent[n] for n in spent if n >= least.gpus), "none saves a quarter"
    if best.gpus > least.gpus:
        assert spent[best.gpus] <= 0.75 * spent[least.gpus]
    assert choose(shape, "mine", types, use, objective="fewest") == least


@pytest.mark.parametrize(
    ("slug", "fewest", "cheapest"),
    [
        ("qwen2.5-72b-instruct", 2, 4),
        ("llama-3.3-70b-instruct", 2, 4),
        ("yi-1.5-34b-chat", 1, 2),
        ("qwen2.5-coder-32b-instruct", 1, 2),
        ("gemma-2-27b-it", 1, 2),
        ("llama-3.1-8b-instruct", 1, 1),
        ("qwen2.5-14b-instruct", 1, 1),
        ("llama-3.1-405b-instruct", 8, 8),
    ],
)
def test_models_of_the_study(slug: str, fewest: int, cheapest: int) -> None:
    shape = architecture_of(load_models(ROOT / "config")[slug])
    context = min(plan(shape, "H100-80").context, 20_000)
    use = traffic(load_assumptions(ROOT), round(0.75 * context), round(0.2 * context))
    plans = [choose(shape, "H100-80", None, use, objective=name) for name in ("fewest", "cheapest")]
    assert [made.gpus for made in plans] == [fewest, cheapest]
    least, best = (forecast(shape, H100, plan_on(shape, H100, made.gpus), use).gpu_seconds for made in plans)
    assert least >= (1.5 if fewest < cheapest else 1.0) * best


def test_a_mixture_reads_the_experts_that_its_sequences_touch() -> None:
    mixtral = architecture_of(load_models(ROOT / "config")["mixtral-8x7b-instruct-v0.1"])
    made, use = plan_on(mixtral, H100, 2), Traffic(100, 100, 100, 150)
    one = forecast(mixtral, H100, made, use, at_once=1).parts["matrices"]
    assert one == pytest.approx(2 * (12_879_925_248 - 32_000 * 4096) / 2 / (3.35e12 * 0.8), rel=1e-3)
    all_of_them = forecast(mixtral, H100, made, use, at_once=64).parts["matrices"]
    assert all_of_them == pytest.approx(2 * (46_702_792_704 - 32_000 * 4096) / 2 / (3.35e12 * 0.8), rel=1e-3)


def test_a_gpu_type_without_speeds_is_an_error_that_names_the_keys() -> None:
    own = {"L40S-48": Gpu(memory_gib=44.4, tflops=362)}
    with pytest.raises(
        ConfigError,
        match=r"GPU type 'L40S-48': how fast it is, is not stated: give gpus\.L40S-48\.bandwidth_tb, "
        r"gpus\.L40S-48\.link_gb in config/config\.yaml .* or set responses\.compute\.objective: fewest",
    ):
        choose(LLAMA_8B, "L40S-48", own, MIX, where="responses.compute.objective")
    assert choose(LLAMA_8B, "L40S-48", own, MIX, objective="fewest").gpus == 1
