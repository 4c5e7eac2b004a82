"""The job of a model that answers for preference pairs. Light to import: the workflow plans with it."""

from __future__ import annotations

from dataclasses import replace

from rewild.config.preferences import Preference
from rewild.config.study import Study
from rewild.generation.spec import Job


def seed_of(study: Study, preference: Preference) -> int:
    """The seed of the draw and of the answers."""
    return study.seed if preference.seed is None else preference.seed


def preference_job(job: Job, preference: Preference, seed: int) -> Job:
    """A model's job in the study, sampling as the pairs want it. Every prompt is one user turn."""
    settings = job.settings.model_copy(update={"sampling": preference.sampling, "history": "reference"})
    return replace(job, seed=seed, settings=settings)
