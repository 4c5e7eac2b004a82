"""A SLURM site: what differs from one cluster to the next. One untracked file, ``profiles/slurm/site.yaml``.

The profile and the rules read it while they are parsed, so it is light: pydantic and YAML only. What only the
cluster itself can answer (does the partition exist?) is asked by :mod:`rewild.site`.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from rewild.config.base import Strict, validate
from rewild.errors import ConfigError
from rewild.reading import read_yaml

FILE = Path("profiles/slurm/site.yaml")
TEMPLATE = Path("profiles/slurm/site.example.yaml")
PLACEHOLDER = "FILL-IN"  # stands in the template wherever only the site knows
VARIABLE = "REWILD_SITE"  # names another file

# What SLURM and the plugin read alike: to the plugin 30:00 is thirty hours, and `infinite` is no time.
TIME = re.compile(r"\d+-\d+(:\d+){0,2}|\d+:\d+:\d+")
UNQUOTED = re.compile(r"""max_runtime["']?\s*:\s+(\d+(?::\d+)+)\s*(?:[,}#]|$)""", re.MULTILINE)

Name = Annotated[str, Field(min_length=1)]


class Partition(Strict):
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
        if isinstance(value, str) and PLACEHOLDER not in value and not TIME.fullmatch(value):
            raise ValueError(
                f"'{value}' is no time here: write days-hours:minutes:seconds (2-00:00:00), "
                "hours:minutes:seconds, or minutes as a number; for one without end, 365-00:00:00"
            )
        return value

    @model_validator(mode="after")
    def _models_of_gpus(self) -> Partition:
        if self.available_gpu_models and not self.max_gpu:
            raise ValueError("a partition with available_gpu_models needs max_gpu")
        return self


class Site(Strict):
    """``profiles/slurm/site.yaml``. No key has a default: a site says what it is, with null for 'none'."""

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
    setup: list[Name] = Field(description="Shell commands before every job, such as `module load cuda/12.8`")
    scratch: Name | None = Field(
        description="A shared folder for weights and images that are downloaded; null leaves the usual places"
    )
    containers: Name | None = Field(
        description="A folder of image files TOOL-VERSION.sif; null pulls images from their registry"
    )

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

    def shell(self) -> str:
        """Shell commands that prepare a job, ending in ``; `` where there are any."""
        commands = list(self.setup)
        if self.weights:
            commands.append(f'export HF_HOME="{self.weights}"')
        return "".join(f"{command}; " for command in commands)

    @property
    def weights(self) -> str | None:
        """``HF_HOME`` of every job: where weights lie, and a token that was stored by a login."""
        return f"{expanded(self.scratch)}/huggingface" if self.scratch else None

    @property
    def images(self) -> str | None:
        """The folder of image files."""
        return expanded(self.containers) if self.containers else None


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
    if found := UNQUOTED.search(path.read_text(encoding="utf-8")):
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
