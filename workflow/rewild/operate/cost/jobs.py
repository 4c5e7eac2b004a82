"""How long one job takes, by the estimate: what the rules ask SLURM for."""

from __future__ import annotations

from rewild.config.judging import judged_rows
from rewild.evaluation.harness.settings import evaluated, target_of
from rewild.operate.cost.base import CostInputs, jobs_of, speed, started, weight_bytes
from rewild.operate.cost.estimate import answering_hours, estimate, pair_tokens, scoring_hours, steps_of


def hours_of_jobs(inputs: CostInputs) -> dict[tuple[str, str], float]:
    """Stage, and model, run or set of pairs → hours of its longest job; what is not known is not there.

    The stages: ``synthesis`` (a shard of a step), ``responses`` (a shard), ``training``, ``benchmarks`` (all
    that lm-eval asks of a run), ``judged`` (a run's answers to its judged benchmarks), ``judging`` (a run's
    judgments on a benchmark, where the judge is loaded here), ``pairs`` (a shard of answers), ``grades`` (a
    shard's, by a reward model). The speeds that an estimate rests on are vLLM's on
    GPUs, so a job of another engine, or on a CPU, is there only where it was measured.

    Raises:
        ConfigError: as :func:`rewild.operate.cost.estimate.estimate`.
    """
    study = inputs.study
    speeds = {job.model: (job, speed(inputs, job)) for job in jobs_of(inputs)}
    known = {m for m, (job, fast) in speeds.items() if fast.measured or job.engine == "vllm"}
    by_vllm = {f"{source.name}/{step}" for source, step, job in steps_of(inputs) if job.engine == "vllm"}
    judge = study.judging.local
    found = {
        (line.stage, line.what): line.hours
        for line in estimate(inputs)
        if line.stage == "training"
        or (line.stage == "responses" and line.what in known)
        or (line.stage == "judging" and judge and judge.engine == "vllm")
        or (line.stage == "synthesis" and (line.basis == "measured" or line.what in by_vllm))
    }
    for name, pair in study.preferences.items():
        job, fast = speeds[pair.model]
        start = started(inputs, job)
        if job.gpus and pair.model in known:
            found["pairs", name] = sum(pair_tokens(inputs, pair)) / fast.rate / 3600 / pair.shards + start
        if scoring := scoring_hours(inputs, pair):
            found["grades", name] = scoring / pair.shards + start
    if study.evaluation:
        judged = {row.slug for row in judged_rows(study.evaluation.benchmarks, inputs.benchmarks)}
        asked = {
            "benchmarks": set(study.evaluation.benchmarks) - judged
            if study.evaluation.backend == "vllm"
            else {},
            "judged": judged if study.judging.answers.engine == "vllm" else {},
        }
        for run in evaluated(study):
            target = target_of(study, run, inputs.models)
            start = inputs.assumed.start_hours(weight_bytes(target.row))
            for stage, slugs in asked.items():
                hours = answering_hours(inputs, target, slugs)
                if hours and study.evaluation.compute.gpu:
                    found[stage, run] = hours + start
    return {key: hours for key, hours in found.items() if hours}
