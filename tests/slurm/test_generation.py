"""Generation through a real SLURM: what jobs ask for; nothing is lost or made twice when things go wrong.

Two stormy runs go on side by side; the tests of this module take their turns in this order.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from cluster import Cluster, wait
from project import MODEL, SHARDS, Project
from rewild.config import load_models, load_study
from rewild.generation.spec import memory_mb
from rewild.responses.spec import make_spec

pytestmark = pytest.mark.workflow
OVER = ("CANCELLED", "COMPLETED", "FAILED", "TIMEOUT", "PREEMPTED")


def requested(job: dict[str, str]) -> dict[str, str]:
    """What matters of a job's request."""
    keys = ("Partition", "TresPerJob", "NumNodes", "CpusPerTres", "MinMemoryNode", "TimeLimit", "Account")
    return {key: job.get(key, "") for key in keys}


def megabytes(text: str) -> int:
    """4000M or 4G, as SLURM writes it, in MB."""
    return int(float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]])


@pytest.mark.parametrize(("model", "shards"), [("small", SHARDS), ("qwen2.5-72b-instruct", ("0000",))])
def test_each_shard_asks_for_what_the_plan_says(cluster: Cluster, calm: Project, model: str, shards) -> None:
    study = load_study(calm.folder / "config", "slurm")
    plan = make_spec(study, model, load_models(calm.folder / "config", study))
    assert plan.gpus == {"small": 1, "qwen2.5-72b-instruct": 2}[model], "72 billion weights in bf16 need two"
    for shard in shards:
        (job,) = cluster.of(calm.folder, "answer_shard", f"slurm_{model}_{shard}")
        asked = requested(job)
        assert megabytes(asked.pop("MinMemoryNode")) == memory_mb(plan)
        assert asked == {
            "Partition": "gpu",
            "TresPerJob": f"gres:gpu:h100:{plan.gpus}",
            "NumNodes": "1",
            "CpusPerTres": "gres:gpu:12",
            "TimeLimit": "00:30:00",
            "Account": "testers",
        }
        assert job["NumCPUs"] == str(12 * plan.gpus)
        assert job["JobState"] == "COMPLETED"


def test_jobs_without_gpus_go_to_the_cpus(cluster: Cluster, calm: Project) -> None:
    for rule in ("prepare_prompts_slurm", "make_demo_model", "collect_responses"):
        (job,) = cluster.of(calm.folder, rule)
        assert job["Partition"] == "cpu"
        assert "gpu" not in job.get("TresPerJob", "") + job["TRES"]
    submitted = {job["Rule"].split("_wildcards_")[0] for job in cluster.jobs(calm.folder)}
    assert "rule_check_pilot" not in submitted, "a job of a second stays on the login node"
    assert "rule_write_config" not in submitted


def test_a_site_prepares_its_jobs_and_is_no_part_of_results(calm: Project) -> None:
    config = (calm.folder / "results/slurm/config.yaml").read_text()
    assert "testers" not in config
    assert "FROM_THE_SITE" not in config


def test_a_calm_run_submits_each_job_once(cluster: Cluster, calm: Project) -> None:
    names = [job["Rule"] for job in cluster.jobs(calm.folder)]
    assert sorted(names) == sorted(set(names))
    assert calm.twice() == []
    manifest = json.loads((calm.folder / MODEL / "manifest.json").read_text())
    assert manifest["rows"] == len({c for line in calm.written() for c in line["conversations"]}) > 50


@pytest.fixture(scope="module")
def weather(cluster: Cluster, storms: dict[str, Project]) -> dict[str, Project]:
    """Start both runs and let things go wrong; returns when both are left in peace."""
    stormy, taken = storms["stormy"], storms["taken"]
    for project in (stormy, taken):
        (project.faults / "pace").write_text("2")
        (project.faults / "hold").touch()  # shards wait for each other, however slow the machine is
    (stormy.faults / "hang-0001").touch()
    (stormy.faults / "truncate-0000").touch()
    # Two minutes, which the hanging shard exceeds; its second attempt has sixteen.
    minutes = "2 * attempt ** 3 if wildcards.shard == '0001' else 30"
    short = ["--set-resources", f"answer_shard:runtime={minutes}"]
    stormy.start("--retries=2", *short, "--", f"{MODEL}/manifest.json")
    taken.start(f"{MODEL}/manifest.json")

    def at_work(project: Project, chunks: int) -> bool:
        done = [line["shard"] for line in project.written()]
        return all(done.count(shard) >= chunks for shard in SHARDS)

    wait(lambda: at_work(stormy, 1), 600, "every shard's first chunk")
    # Somebody cancels a job.
    (job,) = cluster.of(stormy.folder, "answer_shard", "slurm_small_0002")
    subprocess.run(["scancel", job["JobId"]], check=True)
    # The node they run on is drained: what runs there goes on, what comes goes elsewhere.
    subprocess.run(
        ["scontrol", "update", f"nodename={job['NodeList']}", "state=drain", "reason=test"], check=True
    )
    (stormy.faults / "hold").unlink()
    # Somebody with a right to it takes the other run's node.
    wait(lambda: at_work(taken, 1), 600, "every shard's first chunk")
    urgent = ["sbatch", "--parsable", "-p", "urgent", "--gpus=h100:8", "-N1", "--mem=100", "-o", "/dev/null"]
    cluster.ask(*urgent, "--wrap", "sleep 2")
    wait(lambda: len(restarted(cluster, taken)) == len(SHARDS), 120, "all four to be preempted")
    before = len(taken.written())
    # SLURM holds preempted jobs back for a while; an operator does not have to wait.
    wait(
        lambda: {job["JobState"] for job in restarted(cluster, taken)} <= {"PENDING", "RUNNING"},
        120,
        "what they were to end",
    )
    for job in restarted(cluster, taken):
        subprocess.run(["scontrol", "update", f"JobId={job['JobId']}", "StartTime=now"], check=False)
    # The controller is away for a while.
    cluster.stop_controller()
    time.sleep(6)
    cluster.start_controller()
    # The login node crashes while the jobs that were preempted are at work again.
    wait(lambda: len(taken.written()) > before, 600, "a preempted shard to go on")
    taken.kill()
    return storms


def restarted(cluster: Cluster, project: Project) -> list[dict[str, str]]:
    """Shards' jobs that SLURM started again."""
    return [job for job in cluster.of(project.folder, "answer_shard") if job["Restarts"] == "1"]


def test_preempted_shards_go_on_from_their_chunks(cluster: Cluster, weather) -> None:
    taken = weather["taken"]
    jobs = restarted(cluster, taken)
    assert len(jobs) == len(SHARDS)
    assert {job["Requeue"] for job in jobs} == {"1"}
    assert {job["Partition"] for job in jobs} == {"spare"}
    assert taken.twice() == [], "a chunk that was kept is not made again"


def test_snakemake_killed_and_started_again(cluster: Cluster, calm: Project, weather) -> None:
    taken = weather["taken"]
    taken.start(f"{MODEL}/manifest.json")
    assert taken.finish() == 1
    assert "Directory cannot be locked" in taken.said()
    taken.start("--unlock")
    assert taken.finish() == 0
    (taken.faults / "pace").unlink()
    # The jobs of the killed run are still at work: their locks keep others off, and these are retried.
    taken.start(f"{MODEL}/manifest.json")
    turned_away = "another process is at work on these responses"
    wait(lambda: turned_away in taken.said(), 600, f"a second job for a shard to say: {turned_away}")
    (taken.faults / "hold").unlink()
    assert taken.finish() == 0, taken.said()[-5000:]
    assert "FAILED" in [job["JobState"] for job in cluster.of(taken.folder, "answer_shard")]
    assert taken.twice() == []
    assert taken.responses() == calm.responses()


def test_a_cancelled_job_is_submitted_again(cluster: Cluster, weather) -> None:
    stormy = weather["stormy"]
    assert stormy.finish() == 1, "the truncated file is found out: see below"
    jobs = cluster.of(stormy.folder, "answer_shard", "slurm_small_0002")
    assert [job["JobState"] for job in jobs] == ["CANCELLED", "COMPLETED"]
    kept = [line["job"] for line in stormy.written() if line["shard"] == "0002"]
    assert set(kept) == {job["JobId"] for job in jobs}, "each made some of the chunks"


def test_a_job_out_of_time_is_submitted_again_with_more_of_it(cluster: Cluster, weather) -> None:
    jobs = cluster.of(weather["stormy"].folder, "answer_shard", "slurm_small_0001")
    assert [(job["JobState"], job["TimeLimit"]) for job in jobs] == [
        ("TIMEOUT", "00:02:00"),
        ("COMPLETED", "00:16:00"),
    ]
    memory = [megabytes(job["MinMemoryNode"]) for job in jobs]
    assert memory[1] == memory[0], "time was short, not memory"


def test_a_drained_node_gets_no_more_jobs(cluster: Cluster, weather) -> None:
    shards = {s: cluster.of(weather["stormy"].folder, "answer_shard", f"slurm_small_{s}") for s in SHARDS}
    drained = shards["0002"][0]["NodeList"]
    stayed = [jobs[0] for jobs in (shards["0000"], shards["0003"]) if jobs[0]["NodeList"] == drained]
    assert {job["JobState"] for job in stayed} == {"COMPLETED"}, "what ran there ended there"
    for shard in ("0001", "0002"):
        assert shards[shard][-1]["NodeList"] not in ("", drained)


def test_a_truncated_file_is_refused_by_name_and_made_again_from_chunks(
    cluster: Cluster, calm: Project, weather
) -> None:
    stormy = weather["stormy"]
    path = f"{MODEL}/0000.parquet"
    assert cluster.of(stormy.folder, "answer_shard", "slurm_small_0000")[-1]["JobState"] == "COMPLETED"
    said = (stormy.folder / "logs/slurm/collect_responses/small.log").read_text()
    assert f"error: {path}: " in said
    assert "remove the file and run again (its chunks are kept)" in said
    assert "Traceback" not in said
    assert not (stormy.folder / MODEL / "manifest.json").exists()
    before = len(stormy.written())
    Path(stormy.folder / path).unlink()
    (stormy.faults / "pace").unlink()
    stormy.start(f"{MODEL}/manifest.json")
    assert stormy.finish() == 0, stormy.said()[-5000:]
    assert len(cluster.of(stormy.folder, "answer_shard", "slurm_small_0000")) == 2, "this shard alone"
    assert len(cluster.of(stormy.folder, "answer_shard", "slurm_small_0003")) == 1
    assert len(stormy.written()) == before, "from its chunks: nothing is generated again"


def test_the_storm_leaves_no_trace_in_the_results(calm: Project, weather) -> None:
    stormy = weather["stormy"]
    assert stormy.twice() == []
    assert stormy.responses() == calm.responses()
    manifests = [json.loads((p.folder / MODEL / "manifest.json").read_text()) for p in (stormy, calm)]
    assert manifests[0] == manifests[1]


def test_nothing_is_left_in_the_queue(cluster: Cluster, weather) -> None:
    wait(lambda: {job["JobState"] for job in cluster.jobs()} <= set(OVER), 60, "the last job to be over")
