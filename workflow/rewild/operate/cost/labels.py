"""What labels cost: calls of a model that is asked about every text, in GPU-hours or in money."""

from __future__ import annotations

from collections.abc import Iterator

from rewild.config.measures.base import PROMPTS
from rewild.config.measures.labels import Asks, Label
from rewild.config.reasoning import reckoned
from rewild.engines.roofline import Traffic
from rewild.generation.asking.budget import cost
from rewild.measures.enquiry import Enquiry, enquiry_of
from rewild.operate.cost.base import (
    HEADER,
    LETTERS,
    CostInputs,
    Line,
    conversations,
    predicted,
    weight_bytes,
)

TASK = 300  # tokens of a guard's own task, about: Llama Guard 2's
FIELD, SENTENCES = 10, 50  # tokens that a reply takes for a level, and for a free text, about


def labelled(inputs: CostInputs) -> Iterator[Line]:
    """A line for each measure that asks a model; every text is asked about once."""
    study, a = inputs.study, inputs.assumed
    number = conversations(inputs) if study.measures and study.prompts else None
    for name, row in study.measures.items():
        enquiry = enquiry_of(study, name, inputs.models, dict(inputs.gpus))
        if enquiry is None or number is None or study.prompts is None:
            continue
        answering = study.responses.models if study.responses and row.of != PROMPTS else []
        subjects = 1 if row.of == PROMPTS else len(answering)
        asked_of = [study.responses.origins_of(model) for model in answering] if study.responses else []
        labelled_texts = sum(conversations(inputs, origins) or 0 for origins in asked_of)
        texts = (number if row.of == PROMPTS else labelled_texts) * float(a.turns.value)
        asked, said = _tokens(inputs, enquiry.settings)
        said += reckoned(enquiry.spec.source.reasoning)
        read, written = texts * asked, texts * said
        gpus, hours, start = enquiry.spec.gpus, 0.0, 0.0
        if gpus:
            model = inputs.models.get(enquiry.settings.model)
            use = Traffic(
                asked, asked - a.roofline.prefix.value * _rubric(enquiry.settings), said, asked + said
            )
            hours = texts * predicted(inputs, model, enquiry.spec, enquiry.spec.plan, use).seconds / 3600
            start = a.start_hours(weight_bytes(model, enquiry.spec.source.precision) if model else 0.0)
        jobs = subjects * study.prompts.shards
        yield Line(
            "measures",
            name,
            jobs=jobs,
            gpus=gpus,
            gpu_hours=gpus * (hours + jobs * start),
            hours=hours / jobs + start if hours else 0.0,
            read=read,
            written=written,
            disk=written * a.bytes_per_token.value,  # replies are kept, not what was asked
            dollars=_dollars(enquiry, read, written),
            basis="predicted" if gpus else "assumed",
        )


def _dollars(enquiry: Enquiry, read: float, written: float) -> float:
    return cost(enquiry.price, read, written) if enquiry.price else 0.0


def _tokens(inputs: CostInputs, row: Asks) -> tuple[float, float]:
    """What is read and written about one text: in the middle of its conversation, on average."""
    prompt, answer = (
        float(usual.value) for usual in (inputs.assumed.prompt_tokens, inputs.assumed.answer_tokens)
    )
    before = (float(inputs.assumed.turns.value) - 1) / 2 * (prompt + answer)
    text = prompt if row.of == PROMPTS else prompt + answer
    said = FIELD
    if isinstance(row, Label):
        said += sum(FIELD if column.levels else SENTENCES for column in row.stated.columns.values())
    return HEADER + _rubric(row) + before + text, float(min(said, row.max_tokens))


def _rubric(row: Asks) -> float:
    """Tokens that are the same of every text."""
    if not isinstance(row, Label):
        return TASK
    from rewild.measures.base import Text  # with polars, which a dry run does without
    from rewild.measures.labels import question

    return len(question(row.stated, row.of, Text("", 0, 0, ""))) / LETTERS
