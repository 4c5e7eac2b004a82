"""Dimensions from a configuration as it is published, without transformers: every way to say a number."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fuzzing import FUZZ
from rewild.config.models import Dimensions, Model
from rewild.core.errors import ConfigError
from rewild.engines.config_file import ConfigFile
from rewild.engines.dimensions import dimensions_of
from rewild.engines.plan import Architecture, architecture_of

BASE = {
    "model_type": "new",
    "num_hidden_layers": 8,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "vocab_size": 99,
}


def read(**values: Any) -> dict[str, Any]:
    found = dimensions_of(ConfigFile(BASE | values), "m").values
    Dimensions.model_validate(found)
    return {
        key: value for key, value in found.items() if key not in ("layers", "hidden_size", "heads", "vocab")
    }


LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}


def test_a_published_configuration_makes_the_published_count() -> None:
    found = dimensions_of(ConfigFile(LLAMA), "llama-3.1-8b")
    assert Dimensions.model_validate(found.values).parameters() == (8_030_261_248, 8_030_261_248)
    assert found.sources["kv_heads"] == "num_key_value_heads"
    assert found.sources["head_dim"] == "hidden_size / heads"
    assert found.notes == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"n_layer": 8, "n_embd": 64, "n_head": 4, "n_inner": 9}, {"intermediate_size": 9, "kv_heads": 4}),
        ({"multi_query_attention": True, "multi_query_group_num": 2, "kv_channels": 32}, {"kv_heads": 2}),
        (
            {"model_type": "falcon", "multi_query": True},
            {"kv_heads": 1, "gated": False, "intermediate_size": 256},
        ),
        ({"add_qkv_bias": True}, {"qkv_bias": True}),
        ({"sliding_window": 32}, {"window": 32}),
        ({"sliding_window": 32, "use_sliding_window": False}, {}),
        (
            {"model_type": "qwen2", "sliding_window": 32, "max_window_layers": 6},
            {"window": 32, "window_layers": 2},
        ),
        ({"model_type": "qwen2", "sliding_window": 32, "max_window_layers": 8}, {}),
        (
            {"model_type": "exaone4", "sliding_window": 32, "sliding_window_pattern": "LLLG"},
            {"window_layers": 6},
        ),
        (
            {
                "kv_lora_rank": 512,
                "qk_rope_head_dim": 64,
                "n_routed_experts": 256,
                "num_experts_per_tok": 8,
                "moe_intermediate_size": 20,
                "intermediate_size": 90,
                "n_shared_experts": 2,
                "first_k_dense_replace": 3,
            },
            {"latent": 576, "experts": 256, "moe_layers": 5, "dense_size": 90, "shared_size": 40},
        ),
        (
            {
                "num_experts": 8,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 20,
                "intermediate_size": 90,
                "decoder_sparse_step": 2,
                "mlp_only_layers": [3],
            },
            {"moe_layers": 3, "dense_size": 90, "intermediate_size": 20},
        ),
        (
            {"num_experts": [16, 16], "moe_topk": 2, "intermediate_size": 7},
            {"experts": 16, "experts_per_token": 2},
        ),
        (
            {"num_experts": 8, "moe_k": 2, "moe_layer_freq": [0, 0] + [1] * 6, "intermediate_size": 7},
            {"moe_layers": 6},
        ),
        ({"num_experts": 1, "intermediate_size": 7}, {"intermediate_size": 7}),
        (
            {
                "linear_attn_config": {
                    "full_attn_layers": [4, 8],
                    "num_heads": 4,
                    "head_dim": 16,
                    "short_conv_kernel_size": 4,
                }
            },
            {"attention_layers": 2, "state": 6 * (4 * 16 * 16 + 3 * 4 * 16 * 4)},
        ),
        (
            {"attn_type_list": [0, 0, 0, 1] * 2, "head_dim": 16},
            {"attention_layers": 2, "state": 6 * 4 * 16 * 16},
        ),
        ({"full_attn_idxs": [1, 5], "conv_L_cache": 3}, {"attention_layers": 2, "state": 6 * 3 * 64}),
        (
            {
                "hybrid_override_pattern": "ME*-ME*-",
                "mamba_num_heads": 4,
                "mamba_head_dim": 32,
                "ssm_state_size": 8,
                "n_groups": 2,
                "conv_kernel": 4,
                "n_routed_experts": 8,
                "num_experts_per_tok": 2,
            },
            {"attention_layers": 2, "moe_layers": 2, "state": 2 * (4 * 32 * 8 + 4 * (4 * 32 + 2 * 2 * 8))},
        ),
        (
            {
                "attn_layer_indices": [3],
                "mamba_n_heads": 4,
                "mamba_expand": 2,
                "mamba_d_state": 8,
                "mamba_d_conv": 4,
            },
            {"attention_layers": 1, "state": 7 * (4 * 32 * 8 + 4 * (4 * 32 + 2 * 8))},
        ),
        (
            {
                "block_types": ["recurrent", "recurrent", "attention"],
                "conv_L_cache": 4,
                "mamba_d_state": 4,
                "mamba_n_heads": 2,
                "mamba_d_head": 4,
                "mamba_d_conv": 2,
            },
            {"attention_layers": 2},
        ),
        ({"layer_types": ["full_attention", "strange"] * 4}, {"kv_heads": 4}),
    ],
)
def test_every_way_to_say_a_number(values: dict[str, Any], expected: dict[str, Any]) -> None:
    found = read(**values)
    assert {key: found.get(key) for key in expected} == expected
    if not expected:
        assert "window" not in found


def test_a_decoder_within_is_read_and_an_unknown_layer_is_noted() -> None:
    nested = {"model_type": "some_vl", "tie_word_embeddings": True, "vision_config": {}, "text_config": LLAMA}
    found = dimensions_of(ConfigFile(nested), "m")
    assert (found.values["layers"], found.values["tie_embeddings"]) == (32, True), "the outermost ties"
    strange = dimensions_of(ConfigFile(BASE | {"layer_types": ["full_attention", "strange"] * 4}), "m")
    assert strange.notes == [
        "layers of the kind strange are not known here and count as attention to everything"
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_hidden_layers": None}, r"does not say layers \(looked for num_hidden_layers or n_layer"),
        (
            {"vocab_size": 0, "hidden_size": None},
            r"does not say hidden_size, vocab \(looked for hidden_size or",
        ),
        ({"num_attention_heads": "four"}, "'num_attention_heads' should be a whole number .it is 'four'"),
        ({"vocab_size": True}, "'vocab_size' should be a whole number"),
        ({"num_experts": 8}, r"8 experts \('num_experts'\) and does not say how many a token takes"),
        ({"layer_types": ["mamba"] * 8}, "no layer attends"),
        (
            {"layer_types": ["mamba", "attention"] * 4},
            "4 of its layers keep a state .* none of the known keys",
        ),
        ({"linear_attn_config": {"full_attn_layers": [[1]]}}, "does not have the form"),
    ],
)
def test_a_number_that_is_missing_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(**values)


KEYS = (
    *("num_hidden_layers", "hidden_size", "num_attention_heads", "head_dim", "layer_types", "sliding_window"),
    *(
        "num_experts",
        "num_experts_per_tok",
        "linear_attn_config",
        "hybrid_override_pattern",
        "moe_layer_freq",
    ),
    *(
        "attn_layer_period",
        "text_config",
        "block_types",
        "mlp_only_layers",
        "decoder_sparse_step",
        "mamba_n_heads",
    ),
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.text(max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


@FUZZ
@given(st.dictionaries(st.sampled_from(KEYS), ANY, max_size=5))
def test_whatever_a_configuration_holds_is_read_or_refused(values: dict[str, Any]) -> None:
    with suppress(ConfigError):
        found = dimensions_of(ConfigFile(BASE | values), "m")
        assert set(found.values) == set(found.sources) <= set(Dimensions.model_fields)


def planned(**dimensions: Any) -> Architecture:
    row = {"slug": "m", "family": "f", "roles": ["dgm"], "kind": "instruct", "native_context": 4096}
    sizes = {"layers": 8, "hidden_size": 64, "heads": 4, "kv_heads": 2, "head_dim": 16, "vocab": 100}
    more = {"intermediate_size": 32, "tie_embeddings": False}
    model = Model.model_validate(
        row | {"parameters": {"total": 10**6}, "dimensions": sizes | more | dimensions}, strict=False
    )
    return architecture_of(model)


def test_a_plan_takes_states_shared_experts_and_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewild.config.models.TOLERANCE", float("inf"))
    hybrid = planned(attention_layers=2, state=5000)
    assert (hybrid.attention_layers, hybrid.state_bytes) == (2, 10_000)
    assert hybrid.sequence_bytes(100, 1) == 100 * 2 * 2 * 2 * 16 * 2 + 10_000
    both = planned(state=5000)
    assert (both.attention_layers, both.state_bytes) == (8, 10_000), "attention and a state in every layer"
    mixture = {"experts": 8, "experts_per_token": 2, "moe_layers": 6, "dense_size": 128, "shared_size": 48}
    assert planned(**mixture).inner_size == 2 * 32 + 48
    assert planned(**mixture).expert_parameters == 3 * 64 * 32 * 8 * 6
    assert planned(**mixture, gated=False).expert_parameters == 2 * 64 * 32 * 8 * 6


def test_a_state_and_mamba_exclude_each_other() -> None:
    mamba = {"state": 16, "conv": 4, "expand": 2, "dt_rank": 8}
    with pytest.raises(ValidationError, match="mamba and state exclude each other"):
        Dimensions.model_validate({"layers": 4, "attention_layers": 1, "mamba": mamba, "state": 5})
    assert Dimensions.model_validate({"layers": 4, "attention_layers": 1, "state": 5}).parameters() is None
