"""A SLURM site: what differs from one cluster to the next. One untracked file, ``profiles/slurm/site.yaml``.

The profile and the rules read it while they are parsed, so it is light: pydantic and YAML only. What only the
cluster itself can answer (does the partition exist?) is asked by :mod:`rewild.operate.site`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from rewild.config.base import HOW, Section, validate
from rewild.core.errors import ConfigError, known_name
from rewild.core.reading import read_text
from rewild.core.reading_yaml import read_yaml

FILE = Path("profiles/slurm/site.yaml")
TEMPLATE = Path("profiles/slurm/site.example.yaml")
PLACEHOLDER = "FILL-IN"  # stands in the template wherever only the site knows
VARIABLE = "REWILD_SITE"  # names another file

# What SLURM and the plugin read alike: to the plugin 30:00 is thirty hours, and `infinite` is no time.
TIME = re.compile(r"\d+-\d+(:\d+){0,2}|\d+:\d+:\d+")
UNQUOTED = re.compile(r"""max_runtime["']?\s*:\s+(\d+(?::\d+)+)\s*(?:[,}#]|$)""", re.MULTILINE)

Name = Annotated[str, Field(min_length=1)]


class Partition(Section, marks=HOW):
    """What a partition offers. The keys are those of the plugin's option `slurm-partition-config`.

    Only these: with other limits the plugin's scores can send a job without GPUs to a partition of GPUs.
    """

    max_runtime: Annotated[int, Field(gt=0)] | Name = Field(
        description="Longest job, as SLURM writes it (2-00:00:00, '12:00:00' in quotes), or in minutes"
    )
    max_gpu: int = Field(0, ge=0, description="GPUs a node has at most; 0 is a partition of CPUs")
    available_gpu_models: list[Name] = Field(
        default_factory=list, description="The types of its GPUs, as in `sinfo -o %G`: gpu:TYPE:COUNT"
    )

    @field_validator("max_runtime")
    @classmethod
    def _time(cls, value: int | str) -> int | str:
        if isinstance(value, str) and PLACEHOLDER in value:
            return value
        # Of 0-12, twelve hours to SLURM, the plugin makes twelve minutes; of less than a minute, none.
        if isinstance(value, str) and (
            not TIME.fullmatch(value) or re.fullmatch(r"0+-\d+", value) or minutes(value) < 1
        ):
            raise ValueError(
                f"'{value}' is no time here: write days-hours:minutes:seconds (2-00:00:00), "
                "hours:minutes:seconds, or minutes as a number, a minute at least; for one without end, "
                "365-00:00:00"
            )
        return value

    @model_validator(mode="after")
    def _models_of_gpus(self) -> Partition:
        if self.available_gpu_models and not self.max_gpu:
            raise ValueError("a partition with available_gpu_models needs max_gpu")
        return self


# What the plugin takes for a GPU's name (set_gres_string): it refuses a job with another one.
GPU_NAME = re.compile(r"[A-Za-z0-9_.]+")


class Node(Section, marks=HOW):
    """What a node of a partition has, for a job."""

    cpus: int = Field(gt=0, description="CPUs that one job may have")
    memory_gb: int = Field(gt=0, description="Memory that one job may have, in GB")


class Site(Section, marks=HOW):
    """``profiles/slurm/site.yaml``. The template has every key, with null for 'none'."""

    account: Name | None = Field(description="What the jobs are charged to (sbatch --account)")
    partitions: dict[Name, Partition] = Field(
        min_length=1, description="Partitions to use; each job goes to one that it fits"
    )
    gpu_names: dict[Name, Name | None] = Field(
        description="GPU type of the engine plan → its name in SLURM; null asks for GPUs of any type"
    )
    constraint: Name | None = Field(description="Features that nodes must have (sbatch --constraint)")
    qos: Name | None = Field(description="Quality of service (sbatch --qos)")
    preemptible: bool = Field(
        description="Jobs here may be preempted: SLURM starts them again itself (--requeue)"
    )
    accounting: bool = Field(description="Whether `sacct` knows finished jobs: the efficiency report")
    setup: list[Name] = Field(description="Shell commands before every job, such as `module load cuda/13.0`")
    scratch: Name | None = Field(
        description="A shared folder for weights and images that are downloaded; null leaves the usual places"
    )
    containers: Name | None = Field(
        description="A folder of image files TOOL-VERSION.sif; null pulls images from their registry"
    )

    nodes: dict[Name, Node] = Field(
        default_factory=dict, description="Partition → what a node of it has; no job asks for more"
    )
    cpus_per_gpu: int = Field(12, gt=0, description="CPUs that a job with GPUs asks for, for each of them")
    gpu_request: Literal["gpus", "gres"] = Field(
        "gpus", description="How GPUs are asked for: sbatch --gpus, or --gres where a site takes only that"
    )
    whole_nodes: bool = Field(
        False,
        description="Whether a job with GPUs gets a whole node: shards of a model then share one, each with "
        "an engine on GPUs of its own",
    )
    staging: Name | None = Field(
        None,
        description="A folder on the node's own disk for copies of weights, such as $TMPDIR; null: none",
    )

    @model_validator(mode="after")
    def _names(self) -> Site:
        """What the plugin would refuse, job by job, is refused here."""
        given = [model for p in self.partitions.values() for model in p.available_gpu_models]
        for name in [*given, *filter(None, self.gpu_names.values())]:
            if not GPU_NAME.fullmatch(name):
                raise ValueError(
                    f"'{name}' is no name of a GPU type that Snakemake's SLURM plugin takes (letters, "
                    "digits, _ and .); ask for GPUs of any type instead: gpu_names: {TYPE: null}, "
                    "available_gpu_models: []"
                )
        for name in self.partitions:
            if not name.strip():
                raise ValueError("partitions: a name is empty")
        if self.account is not None and not self.accounts:
            raise ValueError(
                f"account: '{self.account}' names none; null where jobs are charged to no account"
            )
        for name in self.nodes:
            after = " is none of the partitions"
            known_name(name, self.partitions, "nodes:", after=after, error=ValueError)
        for name, node in self.nodes.items():
            gpus = self.partitions[name].max_gpu
            if gpus * self.cpus_per_gpu > node.cpus:
                raise ValueError(
                    f"cpus_per_gpu: {gpus} GPUs of '{name}' with {self.cpus_per_gpu} CPUs each are "
                    f"{gpus * self.cpus_per_gpu}, but a node has {node.cpus}: {node.cpus // gpus} at most"
                )
        return self

    @model_validator(mode="after")
    def _order(self) -> Site:
        if all(p.max_gpu for p in self.partitions.values()):
            raise ValueError("partitions: none without GPUs; name one for the jobs that need none")
        # Of two partitions that fit equally well the plugin takes the first.
        kinds = [bool(p.max_gpu) for p in self.partitions.values()]
        if kinds != sorted(kinds):
            raise ValueError("partitions: those without GPUs must stand first")
        return self

    def gpu_name(self, kind: str | None) -> str | None:
        """SLURM's name of a GPU type of the engine plan; None where jobs ask for GPUs of any type.

        Raises:
            ConfigError: the site does not name this type.
        """
        if kind is None:
            return None
        if kind not in self.gpu_names:
            raise ConfigError(
                f"{site_path()}: gpu_names does not say what SLURM calls the GPU type '{kind}' "
                f"(it names: {', '.join(self.gpu_names) or 'none'})"
            )
        return self.gpu_names[kind]

    @property
    def accounts(self) -> list[str]:
        """The accounts that jobs may be charged to; the plugin takes several in one text."""
        return [name for name in re.split(r"[,\s]+", self.account or "") if name]

    def fitting(self, gpus: int, model: str | None = None) -> list[str]:
        """The partitions that a job fits, as the plugin chooses: with so many GPUs on a node, of such a type.

        Jobs without GPUs go to partitions without. Empty: there is none, and the plugin would take SLURM's
        default partition.
        """
        return [
            name
            for name, p in self.partitions.items()
            if (0 < gpus <= p.max_gpu if gpus else not p.max_gpu)
            and (model is None or not p.available_gpu_models or model in p.available_gpu_models)
        ]

    def memory_mb(self, gpus: int) -> int | None:
        """The memory of the largest node for a job of so many GPUs, in MB; None where it is not said."""
        fits = self.fitting(gpus)
        found = [n.memory_gb for name, n in self.nodes.items() if name in fits]
        return max(found) * 1000 if found else None

    def engines(self, gpus: int) -> int:
        """Engines of so many GPUs that share a job."""
        most = max((self.partitions[name].max_gpu for name in self.fitting(gpus)), default=0)
        return max(most // gpus, 1) if self.whole_nodes and gpus else 1

    def of_group(self, jobs: Sequence[Mapping[str, Any]], added: Mapping[str, Any]) -> dict[str, Any]:
        """What jobs that share one ask for together, on one node.

        Args:
            jobs: what each asks for.
            added: the same as Snakemake adds it up: also what is said of a node, or for each GPU.
        """
        found = dict(added)
        for name in ("nodes", "cpus_per_gpu"):
            if name in added:
                found[name] = max(job.get(name) or 0 for job in jobs)
        requests = [job["gres"].rpartition(":") for job in jobs if job.get("gres")]
        if requests:
            found["gres"] = f"{requests[0][0]}:{sum(int(count) for _, _, count in requests)}"
        gpus = sum(int(count) for _, _, count in requests) or added.get("gpu", 0)
        most = self.memory_mb(gpus)
        return found | ({"mem_mb": min(added["mem_mb"], most)} if gpus and most else {})

    def longest(self, gpus: int) -> int:
        """The longest job of so many GPUs, in minutes."""
        found = [self.partitions[name].max_runtime for name in self.fitting(gpus)]
        return int(max(map(minutes, found), default=365 * 1440))

    def shell(self) -> str:
        """Shell commands that prepare a job, ending in ``; `` where there are any."""
        commands = list(self.setup)
        if self.weights:
            commands.append(f'export HF_HOME="{quoted(self.weights)}"')
        return "".join(f"{command}; " for command in commands)

    def places(self, root: Path) -> str:
        """The same for what jobs keep outside of homes: compiled kernels (gigabytes), copies of weights.

        Args:
            root: the repository, whose folder ``.cache`` takes them where the site names no ``scratch``.
        """
        here = re.sub(r'[\\"`$]', lambda found: "\\" + found[0], str(root / ".cache"))
        base = quoted(expanded(self.scratch)) if self.scratch else here
        found = [f'export {name}="{base}/{folder}"; ' for name, folder in CACHES.items()]
        if self.staging:
            found.append(f'export REWILD_STAGING="{quoted(expanded(self.staging))}"; ')
        return "".join(found)

    @property
    def weights(self) -> str | None:
        """``HF_HOME`` of every job: where weights lie, and a token that was stored by a login."""
        return f"{expanded(self.scratch)}/huggingface" if self.scratch else None

    @property
    def images(self) -> str | None:
        """The folder of image files."""
        return expanded(self.containers) if self.containers else None


# What vLLM, Triton and torch keep of what they compiled: by default in the home.
CACHES = {
    "VLLM_CACHE_ROOT": "vllm",
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
}


def quoted(path: str) -> str:
    """A path between double quotes of a shell: variables of the nodes are put in, nothing else happens."""
    return re.sub(r'[\\"`]|\$(?![A-Za-z_{])', lambda found: "\\" + found[0], path)


def minutes(text: str | int) -> float:
    """A time as SLURM writes it (``2-00:00:00``, ``90:00``, ``UNLIMITED``), in minutes; numbers are minutes.

    Raises:
        ConfigError: it is no time.
    """
    text = str(text).strip()
    if text.lower() in ("infinite", "unlimited"):
        return float("inf")
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if match is None:
        raise ConfigError(f"'{text}' is no time; SLURM writes 2-00:00:00 for two days")
    days, *rest = match.groups()
    given = [int(part) for part in rest if part is not None]
    if days is None and len(given) < 3:  # MM, MM:SS; else HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS
        given.insert(0, 0)
    hours, over, seconds = (*given, 0, 0)[:3]
    return 1440 * int(days or 0) + 60 * hours + over + seconds / 60


def expanded(path: str) -> str:
    """A path with ``~`` and variables of the environment put in; one that is not set stays, for the nodes."""
    return os.path.expandvars(Path(path).expanduser())


def site_path() -> Path:
    """Where the site's file is: in the repository (the current folder), or where ``REWILD_SITE`` says."""
    return Path(os.environ.get(VARIABLE) or FILE)


def load_site() -> Site:
    """Read and check the site's file.

    Raises:
        ConfigError: it is missing, a key is missing, unknown or wrong, or something is not filled in; every
            problem is named.
    """
    path = site_path()
    if not path.is_file():
        raise ConfigError(
            f"{path}: no such file. It says what this cluster is like (account, partitions, ...):\n"
            f"  cp {TEMPLATE} {path}   # then fill it in\n"
            "  rewild check-site      # names what is missing"
        )
    given = read_yaml(path)
    if open_keys := _open(given):
        raise ConfigError("\n".join(f"{path}: {key} is not filled in ({PLACEHOLDER})" for key in open_keys))
    if found := UNQUOTED.search(read_text(path)):
        raise ConfigError(
            f'{path}: max_runtime: {found[1]} needs quotes, "{found[1]}": YAML reads it as a number'
        )
    return validate(Site, given, str(path))


def site_for_profile() -> Site:
    """:func:`load_site` for ``profiles/slurm``: a mistake is one message, not a traceback through Snakemake.

    It leaves the file's place in the environment, for the rules and for the jobs: :func:`find_site`.
    """
    try:
        site = load_site()
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    os.environ[VARIABLE] = str(site_path().resolve())
    return site


def find_site() -> Site | None:
    """The site whose profile this run uses; None where the run uses another profile."""
    return load_site() if os.environ.get(VARIABLE) else None


def _open(value: object, key: str = "") -> list[str]:
    if isinstance(value, dict):
        inner = [(k, f"{key}.{k}".lstrip("."), v) for k, v in value.items()]
        return [path for k, at, v in inner for path in ([at] if PLACEHOLDER in str(k) else _open(v, at))]
    if isinstance(value, list):
        return [path for i, v in enumerate(value, 1) for path in _open(v, f"{key}, entry {i}")]
    return [key] if isinstance(value, str) and PLACEHOLDER in value else []
