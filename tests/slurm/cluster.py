"""A SLURM on this machine: real daemons, invented nodes with invented GPUs, no accounting.

Debian's packages read /etc/slurm, and the jobs' own srun finds its configuration only there: the tests need
root, the packages, and no SLURM that is somebody else's. Ports are free ones, the GPUs have no driver, no
cgroups are used, and limits on waiting are for a slow machine: where all is well none of them is reached.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

PROGRAMS = ("sbatch", "scontrol", "squeue", "scancel", "slurmctld", "slurmd", "munged")
SEARCHED = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
ETC = Path("/etc/slurm")
MARK = "# Written by rewild's tests"
NAME = "rewildtest"
NODES = ("cpu1", "gpu1", "gpu2", "spare1")  # spare1 may be taken away: preemption
GPUS = 8
DAEMONS = ("slurmctld", *(f"slurmd-{node}" for node in NODES))

CONFIGURATION = f"""{MARK}
ClusterName={NAME}
SlurmctldHost={{host}}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=60
SlurmctldPort={{port}}
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
MinJobAge=7200
CompleteWait=0
SlurmctldTimeout=30
SlurmdTimeout=300
MessageTimeout=30
JobRequeue=0
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
GRES = f"{MARK}\nNodeName=gpu[1-2],spare1 Name=gpu Type=h100 File={{state}}/gpus/gpu[0-{GPUS - 1}]\n"


class NoSlurmError(Exception):
    """No SLURM came up on this machine; the message says what its daemons said last."""


def reason_against() -> str | None:
    """Why no SLURM can be started here; None if one can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]
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
        self.held: TextIO | None = None

    def start(self) -> None:
        """Bring up the controller and the nodes; returns when every node is idle.

        Raises:
            NoSlurmError: they did not come up; what did is to be ended with :meth:`stop`.
        """
        for name in ("ctld", "run", "log", "gpus", *(f"slurmd/{node}" for node in NODES)):
            (self.state / name).mkdir(parents=True)
        for i in range(GPUS):
            make_device(self.state / f"gpus/gpu{i}", i)
        try:
            self._hold()
            self._configure()
            self._authenticate()
            self.start_controller()
            for node in NODES:
                self._daemon(f"slurmd-{node}", "slurmd", "-N", node)
            wait(self._idle, 120, "idle nodes")
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            raise NoSlurmError(f"{error}; its logs end with: {self._last_words() or 'nothing'}") from error

    def _hold(self) -> None:
        """Keep other runs of these tests off: /etc/slurm is one for the machine."""
        ETC.mkdir(exist_ok=True)
        held = (ETC / "rewild-tests.lock").open("w")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoSlurmError(f"another run of these tests has {held.name}") from None
        self.held = held

    def _configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        port, *ports = free_ports(1 + len(NODES))
        nodes = [NODE.format(name=n, host=host, port=p) for n, p in zip(NODES, ports, strict=True)]
        nodes = [node if "=cpu" in node else f"{node} Gres=gpu:h100:{GPUS}" for node in nodes]
        text = CONFIGURATION.format(host=host, state=self.state, port=port, nodes="\n".join(nodes))
        (ETC / "slurm.conf").write_text(text)
        (ETC / "gres.conf").write_text(GRES.format(state=self.state))

    def _authenticate(self) -> None:
        """Start a munged unless one answers."""
        if munge_answers():
            return
        subprocess.run(["install", "-d", "-o", "munge", "-g", "munge", "-m", "755", "/run/munge"], check=True)
        program = shutil.which("munged", path=SEARCHED)
        subprocess.run(["runuser", "-u", "munge", "--", str(program), "--force"], check=True, timeout=60)
        wait(munge_answers, 60, "munged to answer")
        self.pids["munged"] = int(Path("/run/munge/munged.pid").read_text())

    def _idle(self) -> bool:
        found = subprocess.run(["sinfo", "-h", "-N", "-o", "%T"], capture_output=True, text=True, check=False)
        return set(found.stdout.split()) == {"idle"}

    def _last_words(self) -> str:
        logs = sorted((self.state / "log").glob("*.log"))
        return " | ".join(f"{p.stem}: {lines[-1]}" for p in logs if (lines := p.read_text().splitlines()))

    def _daemon(self, name: str, program: str, *arguments: str) -> None:
        subprocess.run([str(shutil.which(program, path=SEARCHED)), *arguments], check=True, timeout=60)
        wait(lambda: self._pid(name) is not None, 60, f"{name} to start")
        self.pids[name] = self._pid(name) or 0

    def _pid(self, name: str) -> int | None:
        """What a daemon's own file says; None before it is written."""
        path = self.state / f"run/{name}.pid"
        text = path.read_text().strip() if path.exists() else ""
        return int(text) if text else None

    def start_controller(self) -> None:
        """Start slurmctld; it takes up the state it left."""
        self._daemon("slurmctld", "slurmctld")

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs go on without it."""
        self._end("slurmctld")

    def _end(self, name: str) -> None:
        pid = self.pids.pop(name, None)
        if pid is None:
            return
        end(pid, signal.SIGTERM)
        try:
            wait(lambda: not alive(pid), 60, f"{name} to end")
        except AssertionError:
            end(pid, signal.SIGKILL)
        (self.state / f"run/{name}.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Cancel every job, end every daemon and what is left of jobs, take the configuration away."""
        if self.held is None:
            return
        for name in DAEMONS:  # one that was slow to start is known by its file only
            if name not in self.pids and (pid := self._pid(name)):
                self.pids[name] = pid
        if self.pids:
            with suppress(subprocess.SubprocessError, AssertionError):
                if "slurmctld" not in self.pids:  # a test failed while it was away
                    self.start_controller()
                self.ask("scancel", "--user", "root")
                wait(lambda: not self.ask("squeue", "-h").strip(), 60, "jobs to end")
        for name in reversed(list(self.pids)):
            self._end(name)
        for pid in jobs_processes():
            end(pid, signal.SIGKILL)
        for name in ("slurm.conf", "gres.conf", "rewild-tests.lock"):
            (ETC / name).unlink(missing_ok=True)
        self.held.close()

    @staticmethod
    def ask(*command: str) -> str:
        """What a command of SLURM's prints."""
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout

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


def make_device(path: Path, number: int) -> None:
    """Something to stand for a GPU, which nobody opens.

    With a device SLURM sets CUDA_VISIBLE_DEVICES. Where none may be made, an empty file is counted too.
    """
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(240, number))  # numbers for local use: no driver
    except OSError:
        path.touch()


def free_ports(number: int) -> list[int]:
    """Ports that nobody has, below those of clients: a daemon finds its own free again after a stop."""
    found: list[int] = []
    for port in range(17011, 32000):
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("", port))
            found.append(port)
        if len(found) == number:
            break
    return found


def jobs_processes() -> list[int]:
    """Processes of this cluster's jobs, which outlive a controller that is away."""
    mark, found = f"SLURM_CLUSTER_NAME={NAME}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def end(pid: int, number: int) -> None:
    """Signal a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
