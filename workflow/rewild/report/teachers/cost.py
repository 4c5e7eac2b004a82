"""What 100,000 answers of a teacher cost: as shards measured it, else by the roofline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rewild.config.assumptions import load_assumptions
from rewild.config.gpus import Gpu
from rewild.config.models import Model
from rewild.config.study import Study
from rewild.core.errors import ConfigError
from rewild.core.reading import read_model
from rewild.engines.plan import architecture_of
from rewild.engines.roofline import choose, fast_gpu, forecast, traffic
from rewild.generation.schema import Measurement
from rewild.generation.spec import limits, traffic_of
from rewild.report.data.plan import price_of
from rewild.report.teachers.predict import Price
from rewild.responses.spec import make_spec

ANSWERS = 100_000
USUAL_GPU = "H100-80"
CONTEXT, LONGEST = 8192, 4096


def prices(
    study: Study,
    teachers: Sequence[str],
    models: Mapping[str, Model],
    gpus: Mapping[str, Gpu],
    answered: Sequence[Path],
) -> dict[str, Price]:
    """Teacher → GPU-hours and dollars.

    Args:
        study: whose teachers.
        teachers: their slugs.
        models: ``models.yaml``, and the study's own.
        gpus: GPU types of the configuration.
        answered: measurements of shards, ``responses/MODEL/SHARD.json``.

    Raises:
        DataError: one of these is damaged.
    """
    shards: dict[str, list[Measurement]] = {}
    for path in answered:
        one = read_model(path, Measurement, "the measurement of a shard")
        shards.setdefault(one.model, []).append(one)
    return {t: _price(study, t, models, gpus, shards.get(t, [])) for t in teachers}


def _price(
    study: Study,
    teacher: str,
    models: Mapping[str, Model],
    gpus: Mapping[str, Gpu],
    shards: Sequence[Measurement],
) -> Price:
    rows = sum(one.rows for one in shards)
    if rows and all(one.gpus for one in shards):
        hours = sum(one.gpus * (one.load_seconds + one.generate_seconds) for one in shards) / 3600
        return _dollars(study, hours * ANSWERS / rows, "measured")
    if rows:
        return Price(None, None, "it answered without a GPU")
    row = models.get(teacher)
    if row is None:
        return Price(None, None, "models.yaml does not have it")
    try:
        if study.responses:
            spec = make_spec(study, teacher, models, gpus)
            if spec.plan is None:
                return Price(None, None, "the study's models run without a GPU")
            made, shape = spec.plan, architecture_of(row, spec.source.precision)
            context, *_ = limits(spec, row.native_context)
            use = traffic_of(spec.compute, spec.limits, context, spec.source.reasoning)
        else:
            shape = architecture_of(row, row.paper_precision)
            use = traffic(load_assumptions(), CONTEXT - LONGEST, LONGEST)
            made = choose(shape, USUAL_GPU, gpus, use)
        hours = forecast(shape, fast_gpu(made.gpu, gpus), made, use).gpu_seconds / 3600 * ANSWERS
    except ConfigError as error:
        return Price(None, None, f"no plan: {str(error).splitlines()[0]}")
    return _dollars(study, hours, f"predicted, on {made.gpu}")


def _dollars(study: Study, hours: float, basis: str) -> Price:
    each, _ = price_of(study)
    if each is None:
        known = load_assumptions().gpu_hour.get(USUAL_GPU)
        each = float(known.value) if known and not study.responses else None
    return Price(hours, None if each is None else hours * each, basis)
