"""First weights in which two layers of attention copy: what followed a token before follows it again.

A model that is trained for a minute has no time to find such induction heads (Olsson et al., 2022,
arXiv:2209.11895), and without them it cannot speak of what it was asked about. So they are put in place by
hand, and training makes of them what it needs. In the first layer, one head looks at the token before and
one at that before it; each notes a part of the embedding it finds, its *code*, in a part of the residual
stream that is kept free for it. In the second layer, heads look for a place that followed the same two
tokens, and repeat the token that stands there. (Two, because after one alone too many things can follow: a
model that goes by one stutters in the middle of unusual words.)

Positions are rotary with so large a base (:data:`ROPE_BASE`) that the first few pairs of a head's
dimensions tell positions and the others hardly turn within a context, so they can compare tokens at any
distance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

ROPE_BASE = 1e8
SCALE = 0.05  # standard deviation of the embeddings
_TURNING = 5 / 32  # share of a head's dimensions, in pairs, that tell positions
_BEFORE = (3.0, 1.0, 1.0, 1.0)  # weight of each pair in finding the token before; fast pairs tell it best
_SECOND = 0.7  # how much less the token before counts in finding a place (its square is the share)
_SHARP = 6.0  # how far the right token's score (before the softmax) stands out, in both layers
_LOUD = 3.0  # how strongly a copied token counts against the rest of the residual stream


def place_copying_heads(model: LlamaForCausalLM) -> None:
    """Set embeddings and the first two layers' attention of an untrained model, in place.

    Everything else starts silent: it adds nothing to the residual stream until it has learned something.
    Needs two layers, two key-value heads and a head size of at least 16.
    """
    with torch.no_grad():
        _place(model)


def _place(model: LlamaForCausalLM) -> None:
    config = model.config
    size = config.hidden_size // config.num_attention_heads
    group = config.num_attention_heads // config.num_key_value_heads
    turning = math.ceil(_TURNING * size)
    still = [i + half for half in (0, size // 2) for i in range(turning, size // 2)]
    codes = len(still) // 2
    hidden, constant = config.hidden_size, config.hidden_size - 1
    last = range(constant - 2 * codes, constant - codes)  # the code of the token before
    earlier = range(constant - codes, constant)  # and of that before it
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()

    embedding: Tensor = model.model.embed_tokens.weight
    embedding.normal_(0.0, SCALE)
    embedding[:, last.start : earlier.stop] = 0.0
    embedding[:, constant] = SCALE * math.sqrt(hidden)
    # What the norm before a layer makes of an ordinary embedding entry, and of the constant one.
    norm = math.sqrt((last.start + hidden) / hidden)
    usual, fixed = 1 / norm, math.sqrt(hidden) / norm

    first = model.model.layers[0].self_attn
    for head, (back, notes) in enumerate(((1, last), (2, earlier))):
        asks, holds = head * group * size, head * size
        for projection, start in ((first.q_proj, asks), (first.k_proj, holds), (first.v_proj, holds)):
            projection.weight[start : start + size] = 0.0
        for pair, share in enumerate(_BEFORE):
            angle = -back * ROPE_BASE ** (-2 * pair / size)  # turned back by so many positions
            strength = math.sqrt(share * _SHARP * math.sqrt(size)) / fixed
            first.q_proj.weight[asks + pair, constant] = strength * math.cos(angle)
            first.q_proj.weight[asks + pair + size // 2, constant] = strength * math.sin(angle)
            first.k_proj.weight[holds + pair, constant] = strength
        for code, note in enumerate(notes):
            first.v_proj.weight[holds + code, code] = 1.0
            first.o_proj.weight[note, asks + code] = SCALE / usual

    second = model.model.layers[1].self_attn
    match = math.sqrt(2 * _SHARP * math.sqrt(size) / codes) / usual
    for head in range(2):
        asks, holds = head * group * size, head * size
        for projection, start in ((second.q_proj, asks), (second.k_proj, holds), (second.v_proj, holds)):
            projection.weight[start : start + size] = 0.0
        for code in range(codes):
            here, there = still[code], still[codes + code]
            second.q_proj.weight[asks + here, code] = match
            second.k_proj.weight[holds + here, last[code]] = match
            second.q_proj.weight[asks + there, last[code]] = _SECOND * match
            second.k_proj.weight[holds + there, earlier[code]] = _SECOND * match
        for entry in range(size):
            copied = head * size + entry
            if copied < last.start:
                second.v_proj.weight[holds + entry, copied] = 1.0
                second.o_proj.weight[copied, asks + entry] = _LOUD * SCALE / usual
