"""Does a conversation see its neighbours in a packed sequence? Measured, not assumed.

Two conversations are packed by Axolotl's own collator and run through a model; then the second is run
alone. If attention is kept within conversations, its logits are the same.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from rewild.config.trainings import Training
from rewild.engines.tokenizer import load_tokenizer
from rewild.training.runs.checks import RunCheck, checked

TOLERANCE = 0.05  # of the logits' spread: rounding moves them by 0.01 in bf16, a leak by all of it
SHORT = 128  # tokens taken of each conversation
COLUMNS = ("input_ids", "labels", "attention_mask", "position_ids")  # what a collator makes batches of

Row = dict[str, Any]
Collate = Callable[[list[list[Row]]], Any]


def leak(model: Any, collate: Collate, first: Row, second: Row) -> float:
    """How far ``second``'s logits move when ``first`` is packed before it, as a share of their spread.

    Both are over all of ``second``'s tokens: the root mean square of the difference, the standard deviation.

    Args:
        model: a causal language model.
        collate: makes a batch of lists of conversations, each list a packed sequence.
        first, second: rows of a prepared data set.
    """
    device = next(model.parameters()).device
    count = len(second["input_ids"])

    def logits(rows: Sequence[Row]) -> torch.Tensor:
        batch = {k: v.to(device) for k, v in collate([list(rows)]).items() if k != "labels"}
        start = sum(len(row["input_ids"]) for row in rows) - count
        out: torch.Tensor = model(**batch, use_cache=False).logits[0, start : start + count].float()
        return out

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            alone, packed = logits([second]), logits([first, second])
    finally:
        model.train(training)
    spread = float(alone.std())
    if math.isnan(spread):  # a broken model: the first loss will tell, a leak cannot
        return math.nan
    moved = float((alone - packed).square().mean().sqrt())
    return moved / spread if spread > 0 else float("inf")


def short(row: Row, *, masked: bool = True) -> Row:
    """A row cut to :data:`SHORT` tokens, as it reaches the collator.

    Args:
        row: of a prepared data set.
        masked: whether its attention mask, if it has one, goes with it. That is what leaks: next to a mask,
            attention does not look at positions, which alone tell packed conversations apart.
    """
    kept = [name for name in COLUMNS if name in row and (masked or name != "attention_mask")]
    return {name: list(row[name])[:SHORT] for name in kept}


def packing_leak(training: Training, prepared: Any, cfg: Any) -> RunCheck:
    """The check `packing_isolated`: on a small model of the base's architecture, with random weights.

    Args:
        training: the run.
        prepared: what Axolotl prepared.
        cfg: the config as Axolotl understands it: it decides about attention and about masks.
    """
    from transformers import AutoConfig

    start = training.start
    where: dict[str, Any] = {"revision": start.revision, "trust_remote_code": start.trust_remote_code}
    apart = bool(cfg.attn_decontaminates_packing)  # Axolotl's trainer then takes the masks away
    if cfg.attn_implementation == "flash_attention_2" and apart:
        return checked(
            "packing_isolated",
            True,
            "flash attention keeps packed conversations apart by their positions; it needs a GPU, so "
            "the training measures it when it starts, and stops if they see each other",
        )
    if len(prepared) < 2:
        return checked("packing_isolated", True, "one conversation has no neighbour")
    model = small_model(AutoConfig.from_pretrained(start.path, **where), cfg.attn_implementation)
    collate = _collator(load_tokenizer(start.path, training.run, **where), training)
    rows = [short(prepared[i], masked=not apart) for i in range(2)]
    return leak_check(leak(model, collate, *rows))


def leak_check(moved: float) -> RunCheck:
    """The verdict on a measured leak."""
    passed = not moved > TOLERANCE  # NaN is no leak
    return checked(
        "packing_isolated",
        passed,
        f"behind another in a pack, a conversation's logits move by {moved:.2%} of their spread",
        "conversations see each other: name an attention that keeps them apart in the "
        "recipe (sdpa, flash_attention_2), or turn packing off.",
    )


def small_model(
    config: Any, attention: str | None, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Any:
    """A model of an architecture at a size that a check can afford; what decides about masks stays.

    Without a named attention it has the architecture's own.
    """
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(config)
    config.num_hidden_layers = min(config.num_hidden_layers, 2)
    if config.hidden_size > 256:
        config.hidden_size, config.intermediate_size, config.head_dim = 64, 128, 16
        config.num_attention_heads, config.num_key_value_heads = 4, 2
    with torch.random.fork_rng():  # the training's own random numbers stay as they are
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=dtype).to(
            device
        )
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.3)  # large enough that what is attended to shows
    return model


def _collator(tokenizer: Any, training: Training) -> Collate:
    from axolotl.utils.collators import V2BatchSamplerDataCollatorForSeq2Seq

    if tokenizer.pad_token is None:
        pad = training.template.pad if training.template else None
        tokenizer.pad_token = pad or tokenizer.eos_token
    collate: Collate = V2BatchSamplerDataCollatorForSeq2Seq(tokenizer, return_tensors="pt")
    return collate
