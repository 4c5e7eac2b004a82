"""What a model answers with for preference pairs. Light to import: the workflow plans with it."""

from __future__ import annotations

from dataclasses import replace

from rewild.config.preferences import Preference
from rewild.config.study import Study
from rewild.generation.spec import Spec


def seed_of(study: Study, preference: Preference) -> int:
    """The seed of the draw and of the answers."""
    return study.seed if preference.seed is None else preference.seed


def preference_spec(spec: Spec, preference: Preference, seed: int) -> Spec:
    """A model's settings in the study, but sampling as the pairs want it. Every prompt is one user turn."""
    return replace(spec, seed=seed, sampling=preference.sampling, history="reference", origins=())
