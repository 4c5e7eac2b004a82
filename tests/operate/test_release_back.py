"""The way back: what was released is read by the package `datasets`, by its cards, and is the same again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest
import yaml

from release_data import ROOT, bytes_of, write_results
from rewild.config.base import validate
from rewild.config.prompts import Hub, Prompts, hub_file
from rewild.operate.release.make import make_release
from rewild.operate.release.scan import control_tokens
from rewild.prompts.prepare import prepare

PYTHONS = [ROOT / ".envs" / name / "bin/python" for name in ("data", "lm-eval-cpu")]
READ = """
import json, sys
from pathlib import Path
from rewild.prompts.hub import _narrow, stream_dataset, whole
for line in sys.stdin:
    repository, subset, split, out, narrow = json.loads(line)
    keep = _narrow if narrow else whole
    stream_dataset(repository, Path(out), revision=None, split=split, narrow=keep, subset=subset)
"""
SOURCES = {"people-s": "people_s", "asked": "asked"}


@pytest.mark.heavy
def test_every_table_of_a_release_comes_back_by_the_hubs_own_reader(tmp_path: Path) -> None:
    python = next((p for p in PYTHONS if (p.parents[1] / "ready").exists()), None)
    if python is None:
        pytest.skip("needs the package datasets: .envs/lm-eval-cpu (make test builds it) or .envs/data")
    case = write_results(tmp_path / "here")
    folder = case.folder / "release"
    made = make_release(case, folder, lambda: control_tokens, lambda line: None)
    there = tmp_path / "there"
    shutil.copytree(folder / "datasets", there / "lab")
    asked, own = [], {}
    for entry in made["repositories"]:
        if entry["kind"] == "dataset":
            card = (folder / entry["folder"] / "README.md").read_text().split("---\n")[1]
            for config in yaml.safe_load(card)["configs"]:
                for part in config["data_files"]:
                    out = f"out/{len(asked)}.parquet"
                    asked.append((f"lab/{entry['name']}", config["config_name"], part["split"], out, False))
                    own[out] = [folder / entry["folder"] / path for path in part["path"]]
    hubs = {
        name: validate(
            Hub,
            {
                "kind": "hub",
                "name": name,
                "repository": "lab/small-prompts",
                "revision": "a" * 40,
                "split": split,
            },
            "test",
        )
        for name, split in SOURCES.items()
    }
    asked += [(hub.repository, None, hub.split, hub_file(hub), True) for hub in hubs.values()]
    run = subprocess.run(
        [python, "-c", READ],
        input="\n".join(map(json.dumps, asked)),
        cwd=there,
        env=os.environ
        | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT / "workflow")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert len(own) == 8  # two sources, two models, the same two measured, pairs, and judgments
    for out, paths in own.items():
        assert bytes_of(pl.read_parquet(there / out)) == bytes_of(
            pl.concat([pl.read_parquet(p) for p in paths])
        )
    prompts = validate(Prompts, {"sources": [hub.model_dump() for hub in hubs.values()], "shards": 2}, "test")
    prepare("back", prompts, tmp_path / "again", root=there)
    for shard in ("0000.parquet", "0001.parquet"):
        one, two = (
            pl.read_parquet(f / "shards" / shard) for f in (case.folder / "prompts", tmp_path / "again")
        )
        assert bytes_of(one) == bytes_of(two)
