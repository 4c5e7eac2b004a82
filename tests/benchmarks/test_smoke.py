"""The study `smoke`: what it asks for, and what its report says of jobs that worked, failed, never ran."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from conftest import SITE
from parsed import jobs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def smoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The report, in an empty folder."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from gpu import smoke

    monkeypatch.chdir(tmp_path)
    return smoke


@pytest.mark.heavy
def test_it_asks_for_two_four_and_eight_gpus_and_the_report_knows_its_files(
    smoke, monkeypatch, tmp_path
) -> None:
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(SITE, sort_keys=False))
    monkeypatch.setenv("REWILD_SITE", str(tmp_path / "site.yaml"))
    monkeypatch.chdir(ROOT)
    planned = jobs(*(str(part.target) for part in smoke.PARTS), study="smoke")
    asked = {
        (job.rule.name, *job.wildcards_dict.values()): job.resources["gpu"]
        for job in planned
        if job.resources.get("gpu")
    }
    assert asked == {
        ("run_pilot", "smoke", "smoke-chat"): 2,
        ("run_pilot", "smoke", "smoke-405b"): 8,
        ("answer_shard", "smoke", "smoke-chat", "0000"): 2,
        ("train_run", "smoke", "smoke-tuned"): 4,
        ("evaluate_run", "smoke", "smoke-chat"): 1,
        ("postflight_run", "smoke", "smoke-tuned"): 1,
    }
    made = {str(file): str(job.log[0]) for job in planned if job.log for file in job.output}
    for part in smoke.PARTS:
        for file, log in part.jobs:
            assert made[str(file)] == str(log), part.title


def worked(smoke: ModuleType, part: Any, found: dict[str, Any]) -> None:
    """Every job of a part ended well, and left this record."""
    for file, log in part.jobs:
        for path in (file, log):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    record = smoke.STUDY / part.measured.replace("*", "0123")
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(found))


def test_what_worked_failed_and_never_ran_is_told_apart(smoke, monkeypatch, capsys) -> None:
    parallel, shard, largest, _, benchmark = smoke.PARTS
    worked(smoke, parallel, {"arguments": {"tensor_parallel_size": 2}})
    worked(smoke, shard, {"engine_arguments": {"tensor_parallel_size": 1}})  # not as it was to be
    worked(smoke, benchmark, {"engine": "lm-eval vllm (vllm 0.32.0, torch 2.13.0, bf16)"})
    log = dict(largest.jobs)[Path("results/smoke/pilot/smoke-405b/report.json")]
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("loading\nerror: smoke-405b: vLLM cannot load the model: CUDA out of memory | `rm`\nbye\n")
    monkeypatch.setattr(sys, "argv", ["smoke.py"])
    with pytest.raises(SystemExit) as ended:
        smoke.main()
    assert ended.value.code == 1
    rows = json.loads(Path("results/smoke/smoke.json").read_text())
    assert [row["verdict"] for row in rows] == ["PASS", "FAIL", "FAIL", "NOT RUN", "PASS"]
    assert rows[0]["why"] == "2 GPUs"
    assert (rows[1]["why"], rows[1]["log"]) == (
        "it ran on 1 GPUs, not 2",
        "results/smoke/responses/smoke-chat/0000.json",
    )
    assert rows[2]["why"].startswith("error: smoke-405b: vLLM cannot load the model: CUDA out of memory")
    assert rows[2]["log"] == "logs/smoke/run_pilot/smoke-405b.log"
    assert rows[3]["why"] == ".envs/axolotl/ready was not made, and no job for it has begun"
    assert rows[4]["why"].startswith("lm-eval vllm (vllm 0.32.0")
    table = Path("results/smoke/smoke.md").read_text()
    assert "| **FAIL** | The largest plan starts: 405 billion parameters in FP8 on 8 GPUs" in table
    assert "CUDA out of memory ¦ 'rm'` | `logs/smoke/run_pilot/smoke-405b.log` |" in table
    assert all(line.count("|") == 5 for line in table.splitlines()[2:]), "what a log says is no cell"
    assert "NOT RUN One run: FSDP over 4 GPUs" in capsys.readouterr().out


def test_all_of_it_worked(smoke, monkeypatch, capsys) -> None:
    gpus = {"smoke-chat": 2, "smoke-405b": 8}
    for part in smoke.PARTS:
        count = next((n for model, n in gpus.items() if model in part.measured), 0)
        said = {"arguments": {"tensor_parallel_size": count}, "engine": "lm-eval vllm (vllm 0.32.0)"}
        worked(smoke, part, said | {"processes": 4, "parameters": {"float32": 9}, "steps": 3})
    monkeypatch.setattr(sys, "argv", ["smoke.py"])
    with pytest.raises(SystemExit) as ended:
        smoke.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.count("PASS") == len(smoke.PARTS) == 5


def test_a_run_on_fewer_gpus_or_in_half_precision_has_not_worked(smoke) -> None:
    run = smoke.PARTS[3]
    worked(smoke, run, {"processes": 1, "parameters": {"float32": 9}})
    assert smoke.outcome(run)["why"] == "it had 1 processes, not 4"
    worked(smoke, run, {"processes": 4, "parameters": {"bfloat16": 9}})
    found = smoke.outcome(run)
    assert (found["verdict"], found["why"]) == ("FAIL", "its weights were held in bfloat16")


def test_a_job_that_was_stopped_from_outside_and_one_that_waits_for_it(smoke) -> None:
    """SLURM took the GPUs before the job said anything; nothing that follows has begun."""
    run = smoke.PARTS[3]
    worked(smoke, run, {"processes": 4, "parameters": {"float32": 9}})
    for name in ("training.json", "postflight.json", "passed"):
        (smoke.RUN / name).unlink()
    for rule in ("postflight_run", "check_run"):
        Path(f"logs/smoke/{rule}/smoke-tuned.log").unlink()
    found = smoke.outcome(run)
    assert found["verdict"] == "FAIL"
    assert found["why"] == "its log is empty: it was stopped from outside (logs/slurm/rule_train_run)"
    assert found["log"] == "logs/smoke/train_run/smoke-tuned.log"
