"""What a training must be: in what precision its weights are held, where a preference loss begins, how much
of its data may be cut.

Pure: the plugin inside Axolotl asks after the first step, so that no GPU-day is spent on a training that is
wrong from the start; the post-flight asks again, of what was recorded. A recipe's ``gates`` identify nothing:
what was counted is judged again by those of now.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rewild.config.recipes import Recipe
from rewild.training.runs.checks import FlightReport, RunCheck, checked

MASTER = "float32"  # of the weights that the optimiser changes, and of its moments
DTYPES = {"bf16": "bfloat16", "fp32": "float32"}  # a recipe's precision, as torch calls it
FIRST_DPO = math.log(2)  # a policy that is its own reference prefers neither answer: -log sigmoid(0)
SLACK_DPO = 0.02


def precision(
    parameters: Mapping[str, int], optimizer: Mapping[str, int], compute: str | None, wanted: str
) -> RunCheck:
    """The check `precision`: master weights and moments in fp32, products in the recipe's precision.

    bf16 has eight bits of mantissa: an update below 1/256 of a weight is lost when it is added to one. At a
    learning rate of 2e-5 those are most of them, and the loss falls all the same.

    Args:
        parameters: dtype → numbers of the model's trained parameters that are held in it.
        optimizer: the same of the optimiser's moments.
        compute: dtype of what the model's first linear layer gave in the forward pass; None if not seen.
        wanted: the recipe's precision, ``bf16`` or ``fp32``.
    """
    wrong = []
    for what, held in (("weights", parameters), ("the optimiser's state", optimizer)):
        if not sum(held.values()):
            wrong.append(f"of {what} nothing is known")
        elif other := sorted(name for name, count in held.items() if count and name != MASTER):
            wrong.append(f"{what} are in {' and '.join(other)}")
    if compute != DTYPES[wanted]:
        wrong.append(f"the forward pass is in {compute or 'a precision that is not known'}")
    shown = f"weights in {_shown(parameters)}, the optimiser's state in {_shown(optimizer)}, computed in"
    return checked(
        "precision",
        not wrong,
        f"{shown} {compute or 'nothing known'}",
        f"{'; '.join(wrong)}: weights and the optimiser's state must be in {MASTER} and the forward "
        f"pass in {DTYPES[wanted]}, or most updates are rounded away. The plugin {__package__}.plugin holds "
        "them so: it must be among the plugins of axolotl.yaml, and no other may change them after it.",
    )


def first_preference_loss(loss: float | None) -> RunCheck:
    """The check `first_loss` of a preference tuning: its first step begins at ln 2, whatever the data.

    Args:
        loss: of the first optimiser step, in nats; None if it was not logged.
    """
    passed = loss is not None and abs(loss - FIRST_DPO) <= SLACK_DPO
    return checked(
        "first_loss",
        passed,
        "the first step's loss was not logged"
        if loss is None
        else f"the first step's loss is {loss:.4f}; ln 2 = {FIRST_DPO:.4f} is right, give or take "
        f"{SLACK_DPO}",
        "before the first update the model is its own reference, so it can prefer neither answer: "
        "another reference model was loaded, or both do not compute in the same precision.",
    )


def length(counts: Mapping[str, Any], recipe: Recipe) -> RunCheck:
    """The check `length`: how many conversations or pairs are longer than a sequence, or left out.

    Args:
        counts: of the preflight: ``conversations``, ``over_long``, ``tokens_over``, ``left_out``.
        recipe: its ``gates.cut`` is the largest share that may be over.
    """
    over, left, total = counts["over_long"], counts["left_out"], counts["conversations"]
    share, limit = over / max(total, 1), recipe.sequence_length
    remedy = ""
    if left > over:
        remedy = f"{left - over:,} that are not too long are left out too: look at the log for why."
    elif share > recipe.cut:
        remedy = (
            f"more than {recipe.cut:.0%}: raise the recipe's sequence_length, shorten the mix, or "
            "raise its gates.cut."
        )
    what = "pairs" if recipe.kind == "dpo" else "conversations"
    dropped = recipe.over_long == "drop"
    return checked(
        "length",
        not remedy,
        f"{over:,} of {total:,} {what} ({share:.1%}) exceed {limit:,} tokens "
        f"and are {'dropped' if dropped else 'cut'}; {counts['tokens_over']:,} tokens are beyond; "
        f"{left:,} are left out whole",
        remedy,
    )


def judged_now(report: FlightReport, recipe: Recipe) -> FlightReport:
    """A preflight's report, by the gates that the recipe has now."""
    if "over_long" not in report.counts:  # it ended before the data was prepared
        return report
    checks = [length(report.counts, recipe) if c.name == "length" else c for c in report.checks]
    return report.model_copy(update={"checks": checks, "passed": all(c.passed for c in checks)})


def _shown(held: Mapping[str, int]) -> str:
    return " and ".join(f"{name} ({count:,})" for name, count in sorted(held.items())) or "nothing known"
