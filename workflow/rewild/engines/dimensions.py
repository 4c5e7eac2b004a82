"""The dimensions of a decoder, from the values of its ``config.json``: by name, whatever the architecture.

Architectures call the same number by many names; the names below are those of transformers 5 and vLLM 0.32,
and of configurations that come with code of their own. Each number comes with the key it was read from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rewild.core.errors import ConfigError, nearest
from rewild.engines.config_file import ConfigFile

LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
HIDDEN = ("hidden_size", "n_embd", "d_model", "model_dim")
HEADS = ("num_attention_heads", "n_head", "n_heads")
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
HEAD = ("head_dim", "kv_channels", "attention_head_dim")
VOCABULARY = ("vocab_size", "padded_vocab_size")
INNER = ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim")
EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
CHOSEN = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "moe_topk",
    "moe_top_k",
    "moe_k",
    "top_k_experts",
)
EXPERT_INNER = ("moe_intermediate_size", "expert_ffn_hidden_size")
SHARED_COUNT = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
SHARED_INNER = (
    "shared_expert_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "shared_intermediate_size",
)
WINDOWS = ("sliding_window", "attention_chunk_size", "sliding_window_size")
KINDS = ("layer_types", "layers_block_type", "block_types")
"""Lists of what each layer is."""
ATTENDING = {"attention", "full_attention", "sliding_attention", "chunked_attention", "hybrid"}
WINDOWED = {"sliding_attention", "chunked_attention"}
RECURRENT = {"linear_attention", "mamba", "mamba2", "conv", "recurrent", "kda", "gated_delta_net"}
EVERY = {"gemma2": 2, "gpt_oss": 2, "gemma3_text": 6, "gemma3": 6, "cohere2": 4, "exaone4": 4}
"""Of how many layers one sees everything and the others a window, where the file does not list them."""
TIED = {
    "bloom",
    "cohere",
    "cohere2",
    "cohere2_moe",
    "ernie4_5",
    "ernie4_5_moe",
    "falcon",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "gemma3n",
    "gemma3n_text",
    "gemma4",
    "gemma4_text",
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "lfm2",
    "lfm2_moe",
    "lfm3",
    "minicpm3",
    "mpt",
    "opt",
    "recurrent_gemma",
    "smollm3",
    "starcoder2",
    "vaultgemma",
    "zamba",
    "zamba2",
}
"""Architectures whose output layer is the embedding matrix unless they say otherwise (transformers 5)."""
BIASED = {"qwen2", "qwen2_moe", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"}
NORMED = {"qwen3", "qwen3_moe", "qwen3_vl_text", "qwen3_next", "gemma3", "gemma3_text", "hunyuan_v1_dense"}
FOUR_NORMS = {"gemma2", "gemma3", "gemma3_text", "glm4"}
ONE_NORM = {"cohere", "cohere2"}  # attention and feed-forward side by side
UNGATED = {"gpt2", "gpt_neox", "phi", "starcoder2", "falcon", "nemotron", "nemotron_h", "opt", "bloom", "mpt"}
NEEDED = {"layers": LAYERS, "hidden_size": HIDDEN, "heads": HEADS, "vocab": VOCABULARY}


@dataclass
class Found:
    """What a configuration states.

    Attributes:
        values: fields of :class:`rewild.config.models.Dimensions`.
        sources: field → the key, or how it follows from others.
        notes: what a reader should know of it.
    """

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def put(self, name: str, value: Any, source: str) -> None:
        """Keep a value, unless it says nothing."""
        if value is not None:
            self.values[name], self.sources[name] = value, source


def dimensions_of(config: ConfigFile, name: str) -> Found:
    """The dimensions of a model's decoder.

    Args:
        config: its configuration; one that transformers has completed has every default of its class.
        name: the model's name, for messages.

    Raises:
        ConfigError: a number that every model has is missing, or is none; the keys looked for are named.
    """
    values, found = config.decoder, Found()
    kind = str(values.get("model_type") or config.values.get("model_type") or "")
    for what, keys in NEEDED.items():
        found.put(what, *_number(values, keys, name))
    if "layers" not in found.values:  # Nemotron-H
        listed = next((one for key in KINDS if isinstance(one := values.get(key), list)), None)
        found.put("layers", len(listed) if listed else None, "layers_block_type, or its like")
    if missing := [what for what in NEEDED if what not in found.values]:
        raise ConfigError(
            f"{name}: config.json does not say {', '.join(missing)} (looked for "
            f"{'; '.join(' or '.join(NEEDED[what]) for what in missing)}"
            + "".join(nearest(NEEDED[what][0], values) for what in missing[:1])
            + ")"
        )
    found.put("tie_embeddings", *_tied(config, kind))
    try:
        _attention(values, found, name, kind)
        _layers(values, found, name, kind)
        _feed_forward(values, found, name, kind)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"{name}: config.json does not have the form that is known: {error}") from error
    return found


def _number(values: Mapping[str, Any], keys: Sequence[str], name: str) -> tuple[int | None, str]:
    """The first of some keys that says a positive whole number."""
    for key in keys:
        value = values.get(key)
        if value is None or value is False:
            continue
        if isinstance(value, list) and value and len({*map(str, value)}) == 1:
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(
                f"{name}: config.json: '{key}' should be a whole number (it is {str(value)[:60]!r})"
            )
        if value > 0:
            return value, key
    return None, ""


def _tied(config: ConfigFile, kind: str) -> tuple[bool | None, str]:
    for values in (config.values, config.decoder):  # the outermost: transformers ties by it
        if isinstance(given := values.get("tie_word_embeddings"), bool):
            return given, "tie_word_embeddings"
    return kind in TIED, f"not stated: the default of '{kind}'"


def _attention(values: Mapping[str, Any], found: Found, name: str, kind: str) -> None:
    heads, hidden = found.values["heads"], found.values["hidden_size"]
    latent, _ = _number(values, ("kv_lora_rank",), name)
    if latent:
        rotary, _ = _number(values, ("qk_rope_head_dim",), name)
        found.put("latent", latent + (rotary or 0), "kv_lora_rank + qk_rope_head_dim")
        return
    many = values.get("multi_query") is True and kind in ("falcon", "gpt_bigcode")
    keys = () if values.get("multi_query_attention") is False or many else KV_HEADS
    kv, source = _number(values, keys, name)
    kv, source = (1, "multi_query") if many else (kv, source) if kv else (heads, "as many as heads")
    found.put("kv_heads", kv, source)
    size, source = _number(values, HEAD, name)
    found.put("head_dim", *((size, source) if size else (hidden // heads, "hidden_size / heads")))
    if values.get("attention_bias") or values.get("add_qkv_bias") or values.get("qkv_bias") or kind in BIASED:
        found.put("qkv_bias", True, "attention_bias, or its like")
    if values.get("use_qk_norm") or kind in NORMED:
        found.put("qk_norm", True, "use_qk_norm" if values.get("use_qk_norm") else f"of '{kind}'")


def _layers(values: Mapping[str, Any], found: Found, name: str, kind: str) -> None:
    """Which layers attend, and to how much; what the others keep."""
    count = found.values["layers"]
    kinds, source = next(_kinds(values, count, kind), (None, ""))
    window, key = _number(values, WINDOWS, name)
    if values.get("use_sliding_window") is False:
        window = None
    if kinds is None:
        first = values.get("max_window_layers") if kind.startswith("qwen") else None
        sliding = count - first if isinstance(first, int) and not isinstance(first, bool) else count
        if window and sliding > 0:
            found.put("window", window, key)
            found.put(
                "window_layers", sliding if sliding < count else None, "layers from max_window_layers on"
            )
        return
    if unknown := sorted(set(kinds) - ATTENDING - RECURRENT - {"moe", "mlp"}):
        found.notes.append(
            f"layers of the kind {', '.join(unknown)} are not known here and count as attention to everything"
        )
    without = sum(one in RECURRENT for one in kinds)
    attending = sum(one not in RECURRENT | {"moe", "mlp"} for one in kinds)
    if not attending:
        raise ConfigError(
            f"{name}: no layer attends ({source}); models without attention have no engine plan here"
        )
    if attending < count:
        found.put("attention_layers", attending, source)
    sliding = sum(one in WINDOWED for one in kinds)
    if window and sliding:
        found.put("window", window, key)
        if sliding < attending:
            found.put("window_layers", sliding, source)
    if without or any(one == "hybrid" for one in kinds):
        each, why = next(_state(values, found.values, kinds, name), (None, ""))
        if not each and without:
            raise ConfigError(
                f"{name}: {without} of its layers keep a state in place of a cache ({source}), and "
                "config.json has none of the known keys for its size: write the row by hand (docs/models.md)"
            )
        if each:
            found.put("state", each * sum(one in RECURRENT | {"hybrid"} for one in kinds), why)


def _kinds(values: Mapping[str, Any], count: int, kind: str) -> Iterator[tuple[list[str], str]]:
    """What each layer is, and where that stands; nothing where all are alike."""
    for key in KINDS:
        listed = values.get(key)
        if isinstance(listed, list) and listed:
            names = (listed * count)[:count] if key == "block_types" else listed[:count]
            yield [str(n) for n in names], key
    if isinstance(pattern := values.get("hybrid_override_pattern"), str):  # Nemotron-H
        letters = {"M": "mamba", "*": "full_attention", "-": "mlp", "E": "moe"}
        yield [letters.get(letter, letter) for letter in pattern], "hybrid_override_pattern"
    if isinstance(linear := values.get("linear_attn_config"), dict):  # Kimi Linear: counted from 1
        listed = linear.get("full_attn_layers")
        full = set(listed) if isinstance(listed, list) else set()
        kinds = ["full_attention" if i in full else "kda" for i in range(1, count + 1)]
        yield kinds, "linear_attn_config.full_attn_layers"
    if isinstance(types := values.get("attn_type_list"), list):  # MiniMax
        yield ["full_attention" if one else "linear_attention" for one in types[:count]], "attn_type_list"
    if isinstance(whole := values.get("full_attn_idxs"), list):  # LFM2
        yield ["full_attention" if i in whole else "conv" for i in range(count)], "full_attn_idxs"
    if isinstance(listed := values.get("attn_layer_indices"), list):  # Bamba
        yield ["full_attention" if i in listed else "mamba" for i in range(count)], "attn_layer_indices"
    if isinstance(period := values.get("attn_layer_period"), int) and period > 0:  # Jamba
        offset = values.get("attn_layer_offset") or 0
        kinds = ["attention" if i % period == offset else "mamba" for i in range(count)]
        yield kinds, "attn_layer_period, attn_layer_offset"
    usual = 4 if "linear_num_value_heads" in values else None  # Qwen3-Next
    if isinstance(every := values.get("full_attention_interval", usual), int) and every > 0:
        kinds = ["linear_attention" if (i + 1) % every else "full_attention" for i in range(count)]
        yield kinds, "full_attention_interval"
    if kind == "falcon_h1":  # attention and a state in every layer
        yield ["hybrid"] * count, "of 'falcon_h1'"
    pattern = values.get("sliding_window_pattern", EVERY.get(kind))
    if values.get("sliding_window") and isinstance(pattern, int) and pattern > 1:
        kinds = ["sliding_attention" if (i + 1) % pattern else "full_attention" for i in range(count)]
        yield kinds, f"every {pattern}th layer sees everything"
    if values.get("sliding_window") and isinstance(pattern, str) and pattern:  # EXAONE 4: LLLG
        kinds = [
            "sliding_attention" if pattern[i % len(pattern)] == "L" else "full_attention"
            for i in range(count)
        ]
        yield kinds, "sliding_window_pattern"


def _state(
    values: Mapping[str, Any], known: dict[str, Any], kinds: Sequence[str], name: str
) -> Iterator[tuple[int, str]]:
    """Values that one recurrent layer keeps of a sequence, and the keys they follow from.

    A matrix per head, and the last inputs of a short convolution.
    """
    hidden, given = known["hidden_size"], values.get("linear_attn_config")
    if isinstance(given, dict):
        values = {**values, **{f"kda_{k}": v for k, v in given.items()}}

    def number(*keys: str) -> int:
        return _number(values, keys, name)[0] or 0

    if v := number("linear_num_value_heads"):  # gated delta rule
        k, size, wide = (
            number("linear_num_key_heads"),
            number("linear_key_head_dim"),
            number("linear_value_head_dim"),
        )
        conv = number("linear_conv_kernel_dim") * (2 * k * size + v * wide)
        yield v * size * wide + conv, "linear_num_value_heads, linear_*_head_dim, linear_conv_kernel_dim"
    if n := number("kda_num_heads", "linear_num_heads"):
        size = number("kda_head_dim", "linear_head_dim")
        conv = 3 * n * size * number("kda_short_conv_kernel_size", "linear_conv_kernel_dim")
        yield n * size * size + conv, "linear_attn_config: num_heads, head_dim, short_conv_kernel_size"
    if n := number("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"):  # Mamba-2
        state = number("mamba_d_state", "ssm_state_size")
        size = (
            number("mamba_d_head", "mamba_head_dim", "mamba_headdim") or hidden * number("mamba_expand") // n
        )
        groups = number("mamba_n_groups", "n_groups", "mamba_ngroups") or 1
        conv = (n * size + 2 * groups * state) * number("mamba_d_conv", "conv_kernel")
        yield n * size * state + conv, "mamba heads × head size × state, and its convolution"
    if "conv" in kinds and (kept := number("conv_L_cache")):
        yield hidden * kept, "hidden_size × conv_L_cache"
    if "mamba" in kinds and (state := number("mamba_d_state")):  # Mamba-1
        yield (
            hidden * number("mamba_expand") * (state + number("mamba_d_conv")),
            "mamba_expand, _d_state, _d_conv",
        )
    if "linear_attention" in kinds and "head_dim" in known:  # lightning attention
        yield known["heads"] * known["head_dim"] ** 2, "heads × head_dim²"


def _feed_forward(values: Mapping[str, Any], found: Found, name: str, kind: str) -> None:
    count = found.values["layers"]
    inner, key = _number(values, INNER, name)
    if inner is None and kind in UNGATED:
        inner, key = 4 * found.values["hidden_size"], "4 × hidden_size"
    if kind in UNGATED or values.get("mlp_hidden_act") == "relu2":
        found.put("gated", False, f"of '{kind}'")
    if kind in FOUR_NORMS or kind in ONE_NORM:
        found.put("norms_per_layer", 4 if kind in FOUR_NORMS else 1, f"of '{kind}'")
    experts, source = _number(values, EXPERTS, name)
    if not experts or experts == 1:
        found.put("intermediate_size", inner, key)
        return
    chosen, chosen_source = _number(values, CHOSEN, name)
    if chosen is None:
        raise ConfigError(
            f"{name}: config.json has {experts} experts ('{source}') and does not say how many a token takes "
            f"(looked for {', '.join(CHOSEN)})"
        )
    found.put("experts", experts, source)
    found.put("experts_per_token", chosen, chosen_source)
    width, expert_key = _number(values, EXPERT_INNER, name)
    found.put("intermediate_size", *((width, expert_key) if width else (inner, key)))
    routed, why = next(_routed(values, count), (None, ""))
    if routed is not None and 0 < routed < count:
        found.put("moe_layers", routed, why)
        dense, dense_key = _number(values, ("intermediate_size_mlp", *INNER), name)
        if dense != found.values.get("intermediate_size"):
            found.put("dense_size", dense, dense_key)
    shared, shared_key = _number(values, SHARED_INNER, name)
    if shared is None and (several := _number(values, SHARED_COUNT, name)[0]):
        shared, shared_key = several * (width or inner or 0), "shared experts × their width"
    if kind.startswith("llama4"):
        shared, shared_key = inner, "one shared expert, as wide as the others"
    found.put("shared_size", shared or None, shared_key)


def _routed(values: Mapping[str, Any], count: int) -> Iterator[tuple[int, str]]:
    """How many layers have experts, and where that stands; nothing where all have."""

    def whole(key: str) -> int:
        return value if isinstance(value := values.get(key), int) and not isinstance(value, bool) else 0

    if isinstance(types := values.get("mlp_layer_types"), list):
        yield sum(one == "sparse" for one in types[:count]), "mlp_layer_types"
    if isinstance(types := values.get("layers_block_type"), list) and "moe" in types:
        yield sum(one == "moe" for one in types[:count]), "layers_block_type"
    if isinstance(pattern := values.get("hybrid_override_pattern"), str):
        yield pattern.count("E"), "hybrid_override_pattern"
    if isinstance(listed := values.get("moe_layers"), list):
        yield len(listed), "moe_layers"
    if isinstance(each := values.get("moe_layer_freq"), list):
        yield sum(map(bool, each[:count])), "moe_layer_freq"
    if first := whole("first_k_dense_replace") or whole("num_dense_layers"):
        yield (
            count - first,
            "first_k_dense_replace" if "first_k_dense_replace" in values else "num_dense_layers",
        )
    if step := whole("interleave_moe_layer_step"):
        yield count // step, "interleave_moe_layer_step"
    if (step := whole("expert_layer_period")) > 0:
        at = whole("expert_layer_offset")
        yield sum(i % step == at for i in range(count)), "expert_layer_period, expert_layer_offset"
    if "moe_layer_start_index" in values:
        step = max(whole("moe_layer_interval"), 1)
        last = whole("moe_layer_end_index")
        last = count - 1 if last < 0 or "moe_layer_end_index" not in values else min(last, count - 1)
        chosen = range(max(whole("moe_layer_start_index"), 0), last + 1)
        yield sum((i + 1) % step == 0 for i in chosen), "moe_layer_start_index, moe_layer_interval"
    if (step := whole("decoder_sparse_step")) > 0:
        alone: Iterable[Any] = values.get("mlp_only_layers") or []
        yield sum((i + 1) % step == 0 and i not in alone for i in range(count)), "decoder_sparse_step"
