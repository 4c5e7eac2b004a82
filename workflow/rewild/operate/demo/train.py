"""Make a tiny Llama from nothing: tokenizer, weights, chat template, in about a minute on one CPU core.

The same settings and text give the same bytes on the same kind of machine with the same torch: one thread,
seeded, in float32. Another CPU may round differently, and so give other weights of the same quality.

A model reads each conversation once, and only what the assistant says counts as loss, or what users say, too.
Its first weights may already know how to copy (:mod:`rewild.operate.demo.copying`). A reward model reads a
question and an answer to it, or to another, and learns the rubric's grade.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import TypeAlias

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification
from transformers.utils import logging

from rewild.config.demo import DemoModel
from rewild.core.files import atomic, write_json
from rewild.core.table import provenance
from rewild.engines.rubric.grades import grade
from rewild.operate.demo.copying import ROPE_BASE, place_copying_heads
from rewild.operate.demo.text import STYLES, Message, conversations, documents
from rewild.operate.demo.world import Material

# The control tokens and the template are Llama 3's, which every tool knows.
BEGIN, HEADER, HEADER_END, END, PAD = CONTROL = (
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|pad|>",
)
BEGIN_ID, _, _, END_ID, PAD_ID = range(len(CONTROL))
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n' }}{% endif %}"
)
FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
TOKENIZER_EXAMPLES = 3000
POOL = 256  # examples that are sorted by length together, so that a batch pads little

Example = tuple[list[int], list[bool], float]
"""Token ids; for each whether the model is to learn it; a grade, 0 to 1, that is learned in their place."""
Tiny: TypeAlias = LlamaForCausalLM | LlamaForSequenceClassification


@dataclass(frozen=True)
class Progress:
    """Where training is: shown to a person, and nothing depends on it."""

    step: int
    steps: int
    loss: float
    seconds: float


def make_model(
    settings: DemoModel, material: Material, folder: Path, text: Path, report: Callable[[Progress], None]
) -> None:
    """Train one model and write its folder: :data:`FILES` and ``made_from.json``.

    Args:
        settings: what to make.
        material: what it learns from, as read from ``text``.
        folder: where its files go; written only when everything is done.
        text: the file that ``material`` was read from, for the provenance.
        report: called every hundred steps.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(settings.seed)
    tokenizer, examples = read(settings, material)
    form = LlamaForSequenceClassification if settings.learns == "grades" else LlamaForCausalLM
    model: Tiny = form(_architecture(settings))
    if settings.copying and isinstance(model, LlamaForCausalLM):
        place_copying_heads(model)
    batches = [batch for pool in _pools(examples) for batch in _batched(pool, settings)]
    optimizer = _optimizer(model, settings.rate)
    started, smooth = time.monotonic(), math.log(settings.vocab)
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * _schedule(step, len(batches))
        words = isinstance(model, LlamaForCausalLM)
        loss = _loss(model, *_tensors(batch)) if words else _grading_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        smooth += 0.05 * (loss.item() - smooth)
        if (step + 1) % 100 == 0 or step + 1 == len(batches):
            report(Progress(step + 1, len(batches), smooth, time.monotonic() - started))
    made_from = provenance([text], model=settings.model_dump(), torch=torch.__version__)
    _save(model, tokenizer, settings, folder, made_from)


def read(settings: DemoModel, material: Material) -> tuple[Tokenizer, list[Example]]:
    """Make what the model reads, and the tokenizer from it."""
    if settings.learns == "documents":
        texts = list(islice(documents(material, settings.seed), settings.examples))
        tokenizer = train_tokenizer(texts[:TOKENIZER_EXAMPLES], settings.vocab)
        encoded = tokenizer.encode_batch(texts)
        whole = [[BEGIN_ID, *e.ids, END_ID] for e in encoded]
        cut = [ids[: settings.context] for ids in whole]
        return tokenizer, [(ids, [True] * len(ids), 0.0) for ids in cut]
    if settings.learns == "grades":
        return _read_grades(settings, material)
    chats = list(islice(conversations(material, settings.learns, settings.seed), settings.examples))
    spoken = [message["content"] for chat in chats[:TOKENIZER_EXAMPLES] for message in chat]
    tokenizer = train_tokenizer(spoken, settings.vocab)
    return tokenizer, [encode(tokenizer, chat, settings.context, settings.users) for chat in chats]


def _read_grades(settings: DemoModel, material: Material) -> tuple[Tokenizer, list[Example]]:
    """Questions with answers in every style, every third of them to the question before; and their grades."""
    each = settings.examples // len(STYLES)
    streams = [conversations(material, style, settings.seed + n) for n, style in enumerate(STYLES.values())]
    last = [chat[-2:] for stream in streams for chat in islice(stream, each)]
    chats = [[last[n - (n % 3 == 0)][0], chat[1]] for n, chat in enumerate(last)]
    Random(settings.seed).shuffle(chats)
    tokenizer = train_tokenizer(
        [m["content"] for chat in chats[:TOKENIZER_EXAMPLES] for m in chat], settings.vocab
    )
    encoded = [encode(tokenizer, chat, settings.context) for chat in chats]
    grades = [grade(asked["content"], answer["content"]).total for asked, answer in chats]
    return tokenizer, [(ids, learn, total) for (ids, learn, _), total in zip(encoded, grades, strict=True)]


def train_tokenizer(texts: Sequence[str], vocab: int) -> Tokenizer:
    """A byte-level BPE: every text can be written with it, and digits are tokens of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in CONTROL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, chat: Sequence[Message], context: int, users: bool = False) -> Example:
    """A conversation as :data:`TEMPLATE` writes it; the assistant's words, and their end, are learned.

    With ``users`` what users say is learned as well, but not where somebody else answers it.
    """
    ids, learn = [BEGIN_ID], [False]
    for message, answer in zip(chat, [*chat[1:], {}], strict=True):
        header = tokenizer.encode(f"{HEADER}{message['role']}{HEADER_END}\n").ids
        body = tokenizer.encode(message["content"].strip() + END).ids
        ids += header + body
        asked = users and message["role"] == "user" and "by" not in answer
        learned = asked or (message["role"] == "assistant" and "by" not in message)
        learn += [False] * len(header) + [learned] * len(body)
    return ids[:context], learn[:context], 0.0


def _architecture(settings: DemoModel) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=settings.vocab,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.kv_heads,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        rope_theta=ROPE_BASE if settings.copying else 1e4,
        bos_token_id=BEGIN_ID,
        eos_token_id=END_ID,
        pad_token_id=PAD_ID,
        num_labels=1 if settings.learns == "grades" else 2,
    )


def _optimizer(model: LlamaForCausalLM, rate: float) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=True)


def _schedule(step: int, steps: int) -> float:
    """Share of the learning rate: up over 30 steps, full, then down to nothing over the last 60 %."""
    return min((step + 1) / 30, 1.0, (steps - step) / (0.6 * steps))


def _loss(model: LlamaForCausalLM, ids: Tensor, learn: Tensor) -> Tensor:
    """Mean cross-entropy (nats) of the tokens to learn, each from those before it."""
    hidden = model.model(ids).last_hidden_state[
        :, :-1
    ]  # padding is on the right, where causal attention is blind
    wanted = learn[:, 1:]
    return functional.cross_entropy(model.lm_head(hidden[wanted]), ids[:, 1:][wanted])


def _grading_loss(model: LlamaForSequenceClassification, batch: Sequence[Example]) -> Tensor:
    """Mean squared error of the grades."""
    ids, _ = _tensors(batch)
    grades = torch.tensor([total for *_, total in batch])
    return functional.mse_loss(model(ids, attention_mask=(ids != PAD_ID).long()).logits[:, 0], grades)


def _pools(examples: Sequence[Example]) -> Iterator[list[Example]]:
    for start in range(0, len(examples), POOL):
        yield sorted(examples[start : start + POOL], key=lambda example: len(example[0]))


def _batched(pool: Sequence[Example], settings: DemoModel) -> list[list[Example]]:
    """Batches of examples of like length, at most ``batch`` tokens with their padding, in a random order."""
    batches: list[list[Example]] = [[]]
    for example in pool:
        if (len(batches[-1]) + 1) * len(example[0]) > settings.batch:
            batches.append([])
        batches[-1].append(example)
    return [batches[i] for i in torch.randperm(len(batches)).tolist()]


def _tensors(batch: Sequence[Example]) -> tuple[Tensor, Tensor]:
    width = max(len(ids) for ids, *_ in batch)
    ids = torch.full((len(batch), width), PAD_ID)
    learn = torch.zeros((len(batch), width), dtype=torch.bool)
    for row, (tokens, wanted, _) in enumerate(batch):
        ids[row, : len(tokens)], learn[row, : len(wanted)] = torch.tensor(tokens), torch.tensor(wanted)
    return ids, learn


def _save(
    model: Tiny,
    tokenizer: Tokenizer,
    settings: DemoModel,
    folder: Path,
    made_from: dict[str, object],
) -> None:
    """Write every file beside its place, then move all in; ``made_from.json`` is the last."""
    writes = settings.learns != "grades"
    if writes:
        model.generation_config.update(do_sample=False, eos_token_id=[END_ID], max_length=settings.context)
    with TemporaryDirectory() as name:
        made = Path(name)
        logging.disable_progress_bar()
        model.save_pretrained(made, safe_serialization=True)
        tokenizer.save(str(made / "tokenizer.json"))
        chat = {} if settings.learns == "documents" else {"chat_template": TEMPLATE}
        about = {
            "tokenizer_class": "PreTrainedTokenizerFast",  # transformers 4, 5 and vLLM all know it
            "bos_token": BEGIN,
            "eos_token": END,
            "pad_token": PAD,
            "model_max_length": settings.context,
            "clean_up_tokenization_spaces": False,
            **chat,
        }
        (made / "tokenizer_config.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        for file in [file for file in FILES if writes or file != "generation_config.json"]:
            with atomic(folder / file) as temporary:
                copyfile(made / file, temporary)
    write_json(folder / "made_from.json", made_from)
