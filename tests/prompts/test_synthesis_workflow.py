"""The jobs of a source that a model writes: each loads one model, and goes on from the step before."""

from __future__ import annotations

import pytest

from parsed import jobs

pytestmark = pytest.mark.heavy
AIR = {"kind": "synthesis", "name": "air", "model": "llama-3.1-8b-instruct", "count": 1000, "shards": 2}
MANIFEST = "results/smoke/synthesis/air/manifest.json"


def planned(**changes):
    """The jobs of :data:`AIR`, by step and shard, and the one that collects."""
    found = jobs(MANIFEST, study="smoke", prompts={"sources": [AIR | changes]})
    steps = {
        (int(job.wildcards.step), job.wildcards.shard): job
        for job in found
        if job.rule.name == "synthesise_shard"
    }
    (collects,) = (job for job in found if job.rule.name == "collect_synthesis")
    return steps, collects


def test_one_model_takes_all_turns_in_one_job_a_shard():
    steps, collects = planned(turns=2)
    assert sorted(steps) == [(0, "0000"), (0, "0001")]
    assert not steps[0, "0000"].input.before
    assert [str(path) for path in collects.input.earlier] == []


def test_another_model_s_answers_are_jobs_with_its_weights_and_gpus():
    steps, collects = planned(turns=2, answers={"model": "llama-3.3-70b-instruct"})
    assert sorted(steps) == [(step, shard) for step in (0, 1, 2) for shard in ("0000", "0001")]
    folder = "results/smoke/synthesis/air"
    for (step, shard), job in steps.items():
        asks = step % 2 == 0
        assert ("Llama-3.1-8B" if asks else "Llama-3.3-70B") in str(job.input.weights)
        assert (job.resources.gpu > 1) != asks, "the 70B takes more than one GPU"
        before = [f"{folder}/{step - 1}/{shard}.parquet"] if step else []
        assert [str(path) for path in job.input.before] == before
        assert list(job.params.before) == [f"--before={path}" for path in before]
    assert [str(path) for path in collects.input.shards] == [f"{folder}/2/000{n}.parquet" for n in (0, 1)]
    assert [str(path) for path in collects.input.earlier] == [
        f"{folder}/{step}/000{n}.json" for step in (0, 1) for n in (0, 1)
    ]


def test_an_endpoint_answers_without_weights():
    steps, _ = planned(
        turns=2,
        answers={
            "model": "gpt-4o-mini",
            "engine": "openai",
            "compute": {"endpoint": "http://localhost:1/v1"},
            "limits": {"context": 8192, "max_output": 512},
        },
    )
    assert not steps[1, "0000"].input.weights
    assert (steps[1, "0000"].resources.gpu, steps[2, "0000"].resources.gpu) == (0, 1)
