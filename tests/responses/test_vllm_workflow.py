"""The demo's models answer through the real vLLM, on a CPU, by the same rules as with any engine."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import yaml

from rewild.core.table import read_table
from rewild.generation.schema import RESPONSES, Measurement

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = [ROOT / ".envs" / name for name in ("engine-cpu", "vllm-cpu")]

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(
        not all((folder / "ready").exists() for folder in ENVIRONMENTS),
        reason="needs vLLM for CPUs: `make test` builds .envs/vllm-cpu where that can be installed",
    ),
]
PROMPTS, CHUNK = 96, 6
SHARD = "results/demo/responses/demo-mini/0000.parquet"
RANDOM = ["response", "output_tokens", "finish_reason", "repetition", "garbled", "response_language"]
"""The columns that follow from what was drawn; the others follow from the request alone."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with vLLM as its engine and one model; that has read little, so its answers tell nothing."""
    from conftest import copy_workflow

    folder = copy_workflow(tmp_path_factory.mktemp("vllm") / "copy")
    (folder / ".envs").mkdir()
    for environment in ENVIRONMENTS:
        (folder / ".envs" / environment.name).symlink_to(environment)
    path = folder / "config/studies/demo.yaml"
    demo = yaml.safe_load(path.read_text())
    mini = demo["demo"]["models"]["demo-mini"] | {"examples": 100}
    kept = {"title": demo["title"], "source": "computed"}
    kept["prompts"] = {"sources": [{"kind": "demo"}], "limit": PROMPTS, "shards": 2}
    responses = demo["responses"] | {
        "engine": "vllm",
        "models": ["demo-mini"],
        "compute": {"environments": {"vllm": "vllm-cpu"}, "enforce_eager": True, "chunk": CHUNK},
        "pilot": {
            "conversations": 8,
            "gates": dict.fromkeys(("empty", "unfinished", "repetitive", "garbled", "wrong_language"), 1.0),
        },
        "overrides": {},
    }
    study = kept | {"demo": {"models": {"demo-mini": mini}}, "responses": responses}
    path.write_text(yaml.safe_dump(study))
    return folder


def test_the_rules_drive_vllm_and_resume(place: Path, snakemake, monkeypatch) -> None:
    # Pilot and shard with vLLM in one process, which loads its libraries once and not thrice; then as it is.
    with monkeypatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        run = snakemake(place, "--cores", "1", "--config", "study=demo", "--", SHARD)
    assert run.returncode == 0, run.stdout
    rows = read_table(place / SHARD, RESPONSES)
    prompts = pl.read_parquet(place / "results/demo/prompts/shards/0000.parquet")
    assert rows.height == prompts["n_turns"].sum()
    answered = rows.filter(pl.col("failure").is_null())
    assert answered.height > 0.8 * rows.height
    assert set(answered["engine"]) == {"vllm"}
    assert set(answered["finish_reason"]) <= {"stop", "length"}
    assert rows["seed"].n_unique() == rows.height
    measured = Measurement.model_validate_json((place / SHARD).with_suffix(".json").read_text())
    assert measured.output_tokens == rows["output_tokens"].sum()
    assert measured.input_tokens == rows["input_tokens"].sum()
    assert measured.engine_arguments["max_model_len"] == 512
    assert measured.engine_arguments["enable_prefix_caching"] is True
    assert any(name.startswith("vllm") for name in measured.versions)

    # Half of the chunks are lost, and the shard with them: they are made again, the rest is not touched.
    chunks = sorted((place / "results/demo/work/responses/demo-mini/0000").glob("*/*.parquet"))
    assert len(chunks) == -(-prompts.height // CHUNK), chunks
    lost, kept = chunks[::2], {path: path.read_bytes() for path in chunks[1::2]}
    for path in (*lost, place / SHARD):
        path.unlink()
    run = snakemake(place, "--cores", "1", "--config", "study=demo", "--", SHARD)
    assert run.returncode == 0, run.stdout
    assert all(path.read_bytes() == content for path, content in kept.items())
    again = read_table(place / SHARD, RESPONSES)
    assert rows.drop(RANDOM).equals(again.drop(RANDOM))
    # Seeds are per request: only rounding in a batch of other rows may tip a token over.
    assert (rows["response"].fill_null("") == again["response"].fill_null("")).mean() >= 0.9
