"""Scoring in batches is scoring one by one, whatever the architecture, the budget and the lengths."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch (.envs/engine-cpu)")
import transformers as t  # noqa: E402

from rewild.engines import scoring  # noqa: E402
from rewild.engines.base import EngineError  # noqa: E402
from rewild.engines.scoring import Scorer  # noqa: E402
from rewild.engines.transformers_engine import TransformersEngine  # noqa: E402

SIZE = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MORE = {"intermediate_size": 48, "max_position_embeddings": 96, "num_key_value_heads": 2, "pad_token_id": 0}
HEAD = {"head_dim": 8}
MODELS: dict[str, Callable[[], Any]] = {
    # learned positions; positions from a mask, with an offset; ALiBi, from the mask too
    "gpt2": lambda: t.GPT2LMHeadModel(
        t.GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=96)
    ),
    "opt": lambda: t.OPTForCausalLM(t.OPTConfig(**SIZE, ffn_dim=48, word_embed_proj_dim=32, pad_token_id=1)),
    "bloom": lambda: t.BloomForCausalLM(t.BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4)),
    # rotary positions, biases, a window shorter than the texts, experts
    "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**SIZE, **MORE)),
    "neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**SIZE, intermediate_size=48)),
    "qwen2": lambda: t.Qwen2ForCausalLM(t.Qwen2Config(**SIZE, **MORE)),
    "mistral": lambda: t.MistralForCausalLM(t.MistralConfig(**SIZE, **MORE, sliding_window=7)),
    "phi3": lambda: t.Phi3ForCausalLM(t.Phi3Config(**SIZE, **MORE)),
    "mixtral": lambda: t.MixtralForCausalLM(t.MixtralConfig(**SIZE, **MORE, num_local_experts=3)),
    # what is done to the logits after the output layer: a cap, factors
    "gemma2": lambda: t.Gemma2ForCausalLM(
        t.Gemma2Config(**SIZE, **MORE, **HEAD, sliding_window=7, final_logit_softcapping=0.5)
    ),
    "cohere": lambda: t.CohereForCausalLM(t.CohereConfig(**SIZE, **MORE, logit_scale=3.0)),
    "granite": lambda: t.GraniteForCausalLM(t.GraniteConfig(**SIZE, **MORE, logits_scaling=0.3)),
    # a state that runs over the tokens, padding included
    "mamba": lambda: t.MambaForCausalLM(t.MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2)),
}


def sequences(count: int = 14) -> list[tuple[list[int], list[int]]]:
    """Contexts and continuations of many lengths; all tokens occur, those for padding too."""
    draw = random.Random(3)
    lengths = [(1, 1), (1, 30), (25, 1), (7, 0)] + [
        (draw.randint(1, 20), draw.randint(1, 30)) for _ in range(count - 4)
    ]
    return [tuple([draw.randrange(97) for _ in range(n)] for n in pair) for pair in lengths]  # type: ignore[misc]


def one_by_one(model: Any, context: list[int], continuation: list[int]) -> list[float]:
    """All logits of one sequence, nothing else in the batch."""
    with torch.inference_mode():
        logits = model(torch.tensor([[*context, *continuation]])).logits[0].float().log_softmax(-1)
    return [float(logits[len(context) - 1 + n, token]) for n, token in enumerate(continuation)]


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_is_one_by_one(name: str) -> None:
    torch.manual_seed(5)
    model = MODELS[name]().eval()
    head = model.get_output_embeddings()
    head.weight.data.mul_(40)  # sharp, so that a wrong position is seen
    pairs = sequences()
    expected = [one_by_one(model, *pair) for pair in pairs]
    for tokens in (1, 60, 10_000):
        found = Scorer(model, torch.device("cpu"), tokens)(pairs)
        assert [len(row) for row in found] == [len(continuation) for _, continuation in pairs]
        for row, wanted in zip(found, expected, strict=True):
            assert row == pytest.approx(wanted, abs=1e-4)
    assert not head._forward_pre_hooks  # nothing of it stays in the model


def test_a_model_whose_output_layer_is_not_found_is_scored_all_the_same() -> None:
    torch.manual_seed(5)
    model = MODELS["llama"]().eval()
    pairs = sequences()
    expected = [one_by_one(model, *pair) for pair in pairs]
    model.get_output_embeddings = lambda: None
    for row, wanted in zip(Scorer(model, torch.device("cpu"))(pairs), expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-4)


def watched(
    monkeypatch: pytest.MonkeyPatch, tokens: int | None = None
) -> tuple[Scorer, list[tuple[int, int]]]:
    """A scorer, and the shapes of what its model is given."""
    torch.manual_seed(5)
    scorer, shapes = Scorer(MODELS["llama"]().eval(), torch.device("cpu"), tokens), []
    whole = scorer._model.forward

    def forward(input_ids: Any, **more: Any) -> Any:
        shapes.append(tuple(input_ids.shape))
        return whole(input_ids=input_ids, **more)

    monkeypatch.setattr(scorer._model, "forward", forward)
    return scorer, shapes


def test_batches_keep_their_budget_and_the_longest_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, shapes = watched(monkeypatch, 200)
    pairs = sequences(40)
    scorer(pairs)
    own = [len(a) + len(b) - 1 for a, b in pairs if b]
    assert sum(rows for rows, _ in shapes) == len(own)
    assert shapes[0][1] == max(own)
    assert all(rows * width <= 200 or rows == 1 for rows, width in shapes)
    padding = sum(rows * width for rows, width in shapes) - sum(own)
    assert 0 < padding <= scoring.PADDING * sum(own) + scoring.SPARE * len(shapes)
    assert len(shapes) < len(own) / 2


def test_logits_are_limited_by_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scoring.LOGITS, "cpu", 20 * 97 * 4)
    scorer, shapes = watched(monkeypatch)
    pairs = [([1], [2] * 10)] * 6
    assert len(scorer(pairs)) == 6
    assert [rows for rows, _ in shapes] == [2, 2, 2]


def test_short_memory_halves_a_batch_and_one_sequence_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, _ = watched(monkeypatch)
    model, pairs, most = scorer._model, [([1, 4], [2, 3, 5])] * 7, 2
    expected = one_by_one(model, *pairs[0])
    whole = model.forward

    def short(input_ids: Any, **more: Any) -> Any:
        if len(input_ids) > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return whole(input_ids=input_ids, **more)

    monkeypatch.setattr(model, "forward", short)
    assert all(row == pytest.approx(expected, abs=1e-4) for row in scorer(pairs))
    most = 0
    engine = TransformersEngine.of(model, SimpleNamespace(name="tiny", end_tokens=()))  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="tiny: the GPU's memory does not hold one text"):
        engine.score(pairs)


def test_a_text_needs_a_token_before_it_and_nothing_scores_nothing() -> None:
    model = MODELS["llama"]().eval()
    engine = TransformersEngine.of(model, SimpleNamespace(name="tiny", end_tokens=()))  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="begin with BOS"):
        engine.score([([1], [2]), ([], [2])])
    assert engine.score([]) == []
    (score,) = engine.score([([1], [])])
    assert (score.tokens, score.logprobs) == ((), ())
