"""Configuration: studies, models, benchmarks. Light to import: pydantic and YAML only."""

from __future__ import annotations

from rewild.config.benchmarks import Benchmark, find_benchmark, load_benchmarks
from rewild.config.load import given_study, left_out, load_defaults, load_study, read_study, study_names
from rewild.config.models import Model, find_model, load_models
from rewild.config.study import Defaults, Study

__all__ = [
    "Benchmark",
    "Defaults",
    "Model",
    "Study",
    "find_benchmark",
    "find_model",
    "given_study",
    "left_out",
    "load_benchmarks",
    "load_defaults",
    "load_models",
    "load_study",
    "read_study",
    "study_names",
]
