"""Dimensions of 38 architectures of transformers 5, made small here, and its own models' parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rewild.config.models import Dimensions
from rewild.engines.config_file import ConfigFile
from rewild.engines.dimensions import dimensions_of

pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")

BASE = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 1000,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
HEAD = {"head_dim": 16}
WINDOW = {"sliding_window": 64}
EXPERTS = {"num_experts": 8, "num_local_experts": 8, "n_routed_experts": 8, "num_experts_per_tok": 2}
NARROW = EXPERTS | {"moe_intermediate_size": 32}
SHARED = NARROW | {"n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
LATENT = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "num_key_value_heads": 4,
}
DELTA = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
}
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 32, "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_d_conv": 4}
MOE = {"experts": 8, "experts_per_token": 2}
PARTLY = MOE | {"moe_layers": 3, "dense_size": 128, "shared_size": 32}

# kind: what its configuration says besides BASE → what is read besides layers, width, heads and vocabulary
COUNTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "llama": ({}, {"kv_heads": 2, "head_dim": 16, "tie_embeddings": False}),
    "qwen2": ({}, {"qkv_bias": True}),
    "qwen3": (HEAD, {"qk_norm": True}),
    "mistral": (HEAD | WINDOW, {"window": 64}),
    "ministral3": (HEAD, {}),
    "gemma2": ({"head_dim": 32} | WINDOW, {"window": 64, "window_layers": 2, "tie_embeddings": True}),
    "gemma3_text": ({"head_dim": 32, "num_hidden_layers": 6} | WINDOW, {"window": 64, "window_layers": 5}),
    "phi3": ({}, {}),
    "cohere": ({}, {"norms_per_layer": 1, "tie_embeddings": True}),
    "cohere2": (WINDOW, {"window_layers": 3}),
    "olmo2": ({}, {}),
    "starcoder2": ({}, {"gated": False, "tie_embeddings": True}),
    "glm4": (HEAD, {"norms_per_layer": 4, "qkv_bias": True}),
    "granite": ({}, {}),
    "smollm3": ({}, {"tie_embeddings": True}),
    "exaone4": (WINDOW | {"sliding_window_pattern": 4}, {"window_layers": 3}),
    "hunyuan_v1_dense": (HEAD, {}),
    "mixtral": (EXPERTS, MOE | {"intermediate_size": 128}),
    "qwen2_moe": (NARROW | {"shared_expert_intermediate_size": 48}, MOE | {"shared_size": 48}),
    "qwen3_moe": (NARROW | HEAD, MOE | {"intermediate_size": 32}),
    "glm4_moe": (SHARED | HEAD, PARTLY),
    "dots1": (SHARED | HEAD, PARTLY),
    "gpt_oss": (EXPERTS | HEAD | WINDOW, MOE | {"window": 64, "window_layers": 2, "qkv_bias": True}),
    "llama4_text": (
        EXPERTS
        | HEAD
        | {"intermediate_size": 32, "intermediate_size_mlp": 128, "interleave_moe_layer_step": 2},
        MOE | {"moe_layers": 2, "dense_size": 128, "shared_size": 32, "window": 8192, "window_layers": 3},
    ),
    "ernie4_5_moe": (
        {
            "moe_num_experts": 8,
            "moe_k": 2,
            "moe_intermediate_size": 32,
            "moe_num_shared_experts": 2,
            "moe_layer_start_index": 1,
        },
        MOE | {"moe_layers": 3, "dense_size": 128, "shared_size": 64},
    ),
    "minimax_m2": (EXPERTS | HEAD, MOE),
}
# Of these the dimensions do not say all: transformers' own count is taken.
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "deepseek_v2": (SHARED | LATENT, PARTLY | {"latent": 24}),
    "deepseek_v3": (SHARED | LATENT, PARTLY | {"latent": 24}),
    "kimi_linear": (
        SHARED
        | LATENT
        | {"linear_num_heads": 4, "linear_head_dim": 16, "linear_conv_kernel_dim": 4}
        | {"layer_types": ["linear_attention"] * 3 + ["full_attention"]},
        PARTLY | {"latent": 24, "attention_layers": 1, "state": 3 * (4 * 16 * 16 + 3 * 4 * 16 * 4)},
    ),
    "qwen3_next": (
        NARROW | HEAD | DELTA | {"shared_expert_intermediate_size": 32},
        MOE | {"attention_layers": 1, "state": 3 * (4 * 16 * 16 + 4 * (2 * 2 * 16 + 4 * 16))},
    ),
    "lfm2": (
        {"layer_types": ["conv", "conv", "full_attention", "conv"], "conv_L_cache": 3},
        {"attention_layers": 1, "state": 3 * 3 * 64},
    ),
    "granitemoehybrid": (
        EXPERTS
        | MAMBA
        | {"layer_types": ["mamba", "mamba", "attention", "mamba"], "shared_intermediate_size": 64},
        MOE | {"attention_layers": 1, "state": 3 * (4 * 32 * 16 + 4 * (4 * 32 + 2 * 16)), "shared_size": 64},
    ),
    "falcon_h1": (MAMBA | {"mamba_d_ssm": 128}, {"state": 4 * (4 * 32 * 16 + 4 * (4 * 32 + 2 * 16))}),
    "nemotron_h": (
        {
            "layers_block_type": ["mamba", "moe", "attention", "mlp"],
            "mamba_num_heads": 4,
            "mamba_head_dim": 32,
            "ssm_state_size": 16,
            "n_groups": 2,
            "conv_kernel": 4,
            "moe_shared_expert_intermediate_size": 32,
        }
        | NARROW,
        MOE | {"attention_layers": 1, "state": 4 * 32 * 16 + 4 * (4 * 32 + 2 * 2 * 16), "gated": False},
    ),
    "jamba": (
        EXPERTS
        | {"attn_layer_period": 4, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1}
        | {"mamba_dt_rank": 8, "mamba_d_state": 16, "mamba_d_conv": 4, "use_mamba_kernels": False},
        MOE | {"attention_layers": 1, "moe_layers": 2, "state": 3 * 128 * (16 + 4)},
    ),
    "minimax": (
        EXPERTS | HEAD | {"layer_types": ["linear_attention", "full_attention"] * 2},
        MOE | {"attention_layers": 2, "state": 2 * 4 * 16 * 16},
    ),
}
TOWER = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
NESTED = {
    "gemma3": {"text_config": BASE | {"model_type": "gemma3_text", "head_dim": 32}, "vision_config": TOWER},
    "mistral3": {
        "text_config": BASE | HEAD | {"model_type": "mistral"},
        "vision_config": TOWER | {"model_type": "pixtral"},
    },
}


def made(kind: str, more: dict[str, Any]) -> tuple[dict[str, Any], int, int]:
    """A configuration as transformers completes it, and its own counts."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from rewild.engines.look import _count

    config = CONFIG_MAPPING[kind].from_dict({"model_type": kind} | more)
    return json.loads(config.to_json_string(use_diff=False)), *_count(config)


def read(values: dict[str, Any]) -> Dimensions:
    return Dimensions.model_validate(dimensions_of(ConfigFile(values), "m").values)


@pytest.mark.parametrize("kind", [*COUNTED, *OTHERS])
def test_dimensions_are_those_of_transformers_models(kind: str) -> None:
    more, expected = (COUNTED | OTHERS)[kind]
    values, total, active = made(kind, BASE | more)
    found = read(values)
    size = (found.layers, found.hidden_size, found.heads, found.vocab)
    assert size == ((BASE | more)["num_hidden_layers"], 64, 4, 1000)
    assert {key: getattr(found, key) for key in expected} == expected
    assert (found.experts is None) == (active == total)
    implied = found.parameters()
    if kind in OTHERS:
        assert implied is None
    else:
        assert implied is not None
        # Biases of experts and of the output are not in the dimensions; they weigh at this size only
        assert implied[0] == pytest.approx(total, rel=0.03 if kind == "gpt_oss" else 0.015)
        assert implied[1] == pytest.approx(active, rel=0.03 if kind == "gpt_oss" else 0.015)


@pytest.mark.parametrize("kind", list(COUNTED))
def test_a_configuration_as_it_is_stated_says_the_same(kind: str) -> None:
    """Without transformers: what is left out is what its classes default to."""
    more, _ = COUNTED[kind]
    values, *_ = made(kind, BASE | more)
    stated = read({"model_type": kind} | BASE | more).model_dump()
    differs = {key for key, value in read(values).model_dump().items() if value != stated[key]}
    assert differs <= {"llama4_text": {"qk_norm", "window", "window_layers"}}.get(kind, {"qkv_bias"})


@pytest.mark.parametrize("kind", list(NESTED))
def test_a_text_tower_is_found_within(kind: str) -> None:
    values, total, active = made(kind, NESTED[kind])
    found = read(values)
    assert (found.layers, found.hidden_size, found.heads, found.kv_heads) == (4, 64, 4, 2)
    assert total == active
    assert ConfigFile(values).vision


PUBLISHED = {
    # As their makers count; of DeepSeek-V3 without its layer of multi-token prediction. 58 × 256 numbers that
    # balance its router are no parameters of transformers' model. gpt-oss's 3.6B leave the embeddings out
    "qwen3_next": (79_674_391_296, 3.9e9),
    "deepseek_v3": (671_026_419_200, 37.6e9),
    "gpt_oss": (20_914_757_184, 3.61e9 + 201088 * 2880),
}
FULL: dict[str, dict[str, Any]] = {
    "qwen3_next": {"hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 16, "head_dim": 256}
    | {"num_key_value_heads": 2, "intermediate_size": 5120, "moe_intermediate_size": 512, "num_experts": 512}
    | {"shared_expert_intermediate_size": 512, "num_experts_per_tok": 10, "vocab_size": 151936}
    | {"linear_num_value_heads": 32, "linear_num_key_heads": 16, "tie_word_embeddings": False},
    "deepseek_v3": {
        "hidden_size": 7168,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "vocab_size": 129280,
    }
    | {"num_key_value_heads": 128, "intermediate_size": 18432, "moe_intermediate_size": 2048}
    | {"n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1, "first_k_dense_replace": 3}
    | {
        "q_lora_rank": 1536,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128,
        "v_head_dim": 128,
    },
    "gpt_oss": {"hidden_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64, "head_dim": 64}
    | {"num_key_value_heads": 8, "intermediate_size": 2880, "num_local_experts": 32, "num_experts_per_tok": 4}
    | {"vocab_size": 201088, "tie_word_embeddings": False},
}


@pytest.mark.parametrize("kind", list(PUBLISHED))
def test_counts_without_weights_are_those_that_were_published(kind: str) -> None:
    _, total, active = made(kind, FULL[kind])
    assert total == PUBLISHED[kind][0] - (58 * 256 if kind == "deepseek_v3" else 0)
    assert active == pytest.approx(PUBLISHED[kind][1], rel=0.02)
