"""A SLURM on this machine: real daemons, invented nodes with invented GPUs, no accounting.

Debian's packages read /etc/slurm, and the jobs' own srun finds its configuration only there: the tests need
root, the packages, and no SLURM that is somebody else's.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("sbatch", "scontrol", "squeue", "scancel", "slurmctld", "slurmd", "munged")
ETC = Path("/etc/slurm")
MARK = "# Written by rewild's tests"
NODES = ("cpu1", "gpu1", "gpu2", "spare1")  # spare1 may be taken away: preemption
GPUS = 8

CONFIGURATION = f"""{MARK}
ClusterName=rewildtest
SlurmctldHost={{host}}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
CryptoType=crypto/munge
SlurmctldPort=6817
SlurmdPort=6818
StateSaveLocation={{state}}/ctld
SlurmdSpoolDir={{state}}/slurmd/%n
SlurmctldPidFile={{state}}/run/slurmctld.pid
SlurmdPidFile={{state}}/run/slurmd-%n.pid
SlurmctldLogFile={{state}}/log/slurmctld.log
SlurmdLogFile={{state}}/log/slurmd-%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
InactiveLimit=0
KillWait=2
MinJobAge=900
CompleteWait=0
SlurmctldTimeout=30
SlurmdTimeout=10
MessageTimeout=10
JobRequeue=0
AccountingStorageType=accounting_storage/none
{{nodes}}
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=7-00:00:00 DefaultTime=01:00:00 State=UP
PartitionName=gpu Nodes=gpu[1-2] MaxTime=2-00:00:00 DefaultTime=01:00:00 State=UP
PartitionName=spare Nodes=spare1 MaxTime=2-00:00:00 PriorityTier=1 State=UP
PartitionName=urgent Nodes=spare1 MaxTime=2-00:00:00 PriorityTier=9 PreemptMode=OFF State=UP
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=128 Boards=1 SocketsPerBoard=2 "
    "CoresPerSocket=64 ThreadsPerCore=1 RealMemory=512000 State=UNKNOWN"
)
GRES = f"{MARK}\nNodeName=gpu[1-2],spare1 Name=gpu Type=h100 File=/dev/tty[0-{GPUS - 1}]\n"


def reason_against() -> str | None:
    """Why no SLURM can be started here; None if one can."""
    missing = [
        name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None
    ]
    if missing:
        return f"needs SLURM: no {missing[0]} on this machine (Debian: slurm-wlm and munge)"
    if os.geteuid() != 0:
        return "needs root: a SLURM of its own is started, configured in /etc/slurm"
    found = ETC / "slurm.conf"
    if found.exists() and not found.read_text().startswith(MARK):
        return f"needs a machine without a SLURM of its own: {found} is somebody's"
    if not Path("/etc/munge/munge.key").exists():
        return "needs munge's key: /etc/munge/munge.key is not there"
    return None


class Cluster:
    """Daemons that run until :meth:`stop`."""

    def __init__(self, state: Path):
        self.state = state
        self.pids: dict[str, int] = {}

    def start(self) -> None:
        """Bring up the controller and the nodes; returns when every node is idle."""
        for name in ("ctld", "run", "log", *(f"slurmd/{node}" for node in NODES)):
            (self.state / name).mkdir(parents=True)
        host = socket.gethostname().partition(".")[0]
        ETC.mkdir(exist_ok=True)
        nodes = [NODE.format(name=name, host=host, port=17011 + i) for i, name in enumerate(NODES)]
        nodes = [node if "=cpu" in node else f"{node} Gres=gpu:h100:{GPUS}" for node in nodes]
        text = CONFIGURATION.format(host=host, state=self.state, nodes="\n".join(nodes))
        (ETC / "slurm.conf").write_text(text)
        (ETC / "gres.conf").write_text(GRES)
        subprocess.run(["install", "-d", "-o", "munge", "-g", "munge", "-m", "755", "/run/munge"], check=True)
        if not munge_answers():
            subprocess.run(["runuser", "-u", "munge", "--", "/usr/sbin/munged", "--force"], check=True)
            wait(munge_answers, 20, "munged to answer")
            self.pids["munged"] = int(Path("/run/munge/munged.pid").read_text())
        self.start_controller()
        for node in NODES:
            self._daemon(f"slurmd-{node}", "/usr/sbin/slurmd", "-N", node)
        wait(lambda: set(self.ask("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"}, 30, "idle nodes")

    def _daemon(self, name: str, *command: str) -> None:
        subprocess.run(command, check=True)
        pid = self.state / f"run/{name}.pid"
        wait(lambda: pid.exists() and pid.read_text().strip() != "", 20, f"{name} to start")
        self.pids[name] = int(pid.read_text())

    def start_controller(self) -> None:
        """Start slurmctld; it takes up the state it left."""
        self._daemon("slurmctld", "/usr/sbin/slurmctld")

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs go on without it."""
        self._end("slurmctld")
        (self.state / "run/slurmctld.pid").unlink(missing_ok=True)

    def _end(self, name: str) -> None:
        pid = self.pids.pop(name, None)
        if pid is None:
            return
        end(pid, signal.SIGTERM)
        try:
            wait(lambda: not alive(pid), 15, f"{name} to end")
        except AssertionError:
            end(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Cancel every job, end every daemon, take the configuration away."""
        if "slurmctld" in self.pids:
            subprocess.run(["scancel", "--user", "root"], check=False)
            try:
                wait(lambda: not self.ask("squeue", "-h").strip(), 20, "jobs to end")
            except (AssertionError, subprocess.CalledProcessError):
                subprocess.run(["scancel", "--signal=KILL", "--user", "root"], check=False)
        for name in reversed(list(self.pids)):
            self._end(name)
        for name in ("slurm.conf", "gres.conf"):
            (ETC / name).unlink(missing_ok=True)

    @staticmethod
    def ask(*command: str) -> str:
        """What a command of SLURM's prints."""
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def jobs(self, folder: Path | None = None) -> list[dict[str, str]]:
        """Every job that the controller remembers, oldest first; of those submitted from ``folder`` only.

        Its keys are those of ``scontrol show job``; ``Rule`` is made from the comment of the plugin.
        """
        found = []
        for line in self.ask("scontrol", "show", "job", "--oneliner").splitlines():
            job = dict(re.findall(r"(\w[\w:/-]*)=(\S*)", line))
            if "JobId" in job and (folder is None or job.get("WorkDir") == str(folder)):
                found.append({**job, "Rule": job.get("Comment", "")})
        return sorted(found, key=lambda job: int(job["JobId"]))

    def of(self, folder: Path, rule: str, wildcards: str = "") -> list[dict[str, str]]:
        """The jobs of one rule, and of one file of it: ``of(folder, "answer_shard", "small_0001")``."""
        wanted = f"rule_{rule}" + (f"_wildcards_{wildcards}" if wildcards else "")
        return [
            job
            for job in self.jobs(folder)
            if (job["Rule"] == wanted if wildcards else job["Rule"].startswith(wanted))
        ]


def wait(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Look every half second until something is so."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.5)


def munge_answers() -> bool:
    """Whether a munged is at work, and not only its process or its socket left."""
    return subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def end(pid: int, number: int) -> None:
    """Signal a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
