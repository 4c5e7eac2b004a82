"""The transformers engine against plain transformers: the same tokens, whatever the batch."""

from __future__ import annotations

import json
import math
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from transformers import RepetitionPenaltyLogitsProcessor  # noqa: E402

from rewild.engines import Completion, Request, Sampling, make_engine  # noqa: E402
from rewild.engines.transformers_engine import _Known, choose  # noqa: E402


def requests(chat, count=12, max_tokens=40, seed=0):
    """Invented prompts. With these seeds no draw of the first twelve is nearer than 1e-5 to where another
    token begins; rounding, which differs from batch to batch and from CPU to CPU, moves that by some 1e-7.
    """
    draw = random.Random(seed)
    made = []
    for i in range(count):
        text = " ".join(
            draw.choices(["water", "light", "code", "music", "the", "Ünïcödé", "😀"], k=draw.randint(1, 30))
        )
        messages = ({"role": "user", "content": text},)
        made.append(Request(f"r{i}", messages, chat.render([messages])[0], max_tokens, seed=9000 + i))
    return made


def test_greedy_equals_transformers_one_by_one(engine, chat):
    wanted = requests(chat)
    answers = engine.generate(wanted, Sampling(temperature=0))
    for request, answer in zip(wanted, answers, strict=True):
        alone = engine.model.generate(
            torch.tensor([request.tokens]),
            do_sample=False,
            max_new_tokens=request.max_tokens,
            eos_token_id=list(chat.end_tokens),
            attention_mask=torch.ones((1, len(request.tokens)), dtype=torch.long),
        )[0, len(request.tokens) :].tolist()
        assert list(answer.tokens) == alone
        assert answer.output_tokens == len(alone)
        assert answer.finish_reason == ("stop" if alone[-1] in chat.end_tokens else "length")
        ended = alone[-1] in chat.end_tokens
        assert answer.text == chat.tokenizer.decode(alone[:-1] if ended else alone, skip_special_tokens=True)
    assert {a.finish_reason for a in answers} == {"stop", "length"}, "the test needs both kinds of ending"


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7, 0.9, 20)])
def test_a_row_does_not_depend_on_its_neighbours(engine, chat, sampling):
    wanted = requests(chat)
    together = engine.generate(wanted, sampling)
    alone = [engine.generate([r], sampling)[0] for r in wanted]
    assert [a.tokens for a in together] == [a.tokens for a in alone]
    shuffled = list(range(len(wanted)))
    random.Random(1).shuffle(shuffled)
    again = engine.generate([wanted[i] for i in shuffled], sampling)
    assert [again[shuffled.index(i)].tokens for i in range(len(wanted))] == [a.tokens for a in together]


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(0.7, 0.9, 20)])
def test_log_probabilities_are_those_of_the_model_whatever_is_drawn(engine, chat, sampling):
    """At temperature 1, as endpoints give them; in a batch where one row asks for none and one for fewer."""
    plain = requests(chat, count=6)
    wanted = [replace(request, top_logprobs=n) for request, n in zip(plain, (3, 0, 5, 1, 5, 5), strict=True)]
    answers = engine.generate(wanted, sampling)
    assert [a.tokens for a in answers] == [a.tokens for a in engine.generate(plain, sampling)]
    for request, answer in zip(wanted, answers, strict=True):
        assert len(answer.logprobs) == (len(answer.tokens) if request.top_logprobs else 0)
        if not request.top_logprobs:
            continue
        with torch.inference_mode():
            logits = engine.model(torch.tensor([request.tokens + answer.tokens])).logits[0]
        told = logits[len(request.tokens) - 1 : -1].log_softmax(-1).topk(request.top_logprobs)
        for step, ids, values in zip(answer.logprobs, told.indices, told.values, strict=True):
            oracle: dict[str, float] = {}
            for token, value in zip(ids.tolist(), values.tolist(), strict=True):
                text = chat.tokenizer.decode(token)
                oracle[text] = oracle.get(text, 0.0) + math.exp(value)
            assert step == pytest.approx({text: math.log(p) for text, p in oracle.items()}, abs=1e-3)


def test_a_repetition_penalty_is_that_of_transformers(engine, chat):
    """In a batch that shrinks, with prompts of other lengths: padding is no token that was read."""
    wanted = requests(chat)
    answers = engine.generate(wanted, Sampling(temperature=0, repetition_penalty=1.3))
    plain = engine.generate(wanted, Sampling(temperature=0))
    for request, answer in zip(wanted, answers, strict=True):
        alone = engine.model.generate(
            torch.tensor([request.tokens]),
            do_sample=False,
            repetition_penalty=1.3,
            max_new_tokens=request.max_tokens,
            eos_token_id=list(chat.end_tokens),
            attention_mask=torch.ones((1, len(request.tokens)), dtype=torch.long),
        )[0, len(request.tokens) :].tolist()
        assert list(answer.tokens) == alone
    assert sum(a.tokens != b.tokens for a, b in zip(answers, plain, strict=True)) > 6


def test_a_penalty_is_not_rounded_to_bf16(chat):
    (request,) = requests(chat, count=1)
    logits = torch.randn((1, 2048), generator=torch.Generator().manual_seed(1)).bfloat16()
    ours = _Known([request], logits, 1.3).penalised(logits, slice(None))
    processor = RepetitionPenaltyLogitsProcessor(1.3)
    assert torch.equal(ours, processor(torch.tensor([request.tokens]), logits.float()))


def test_seeds_decide(engine, chat):
    first = requests(chat, count=1)[0]
    other = Request(first.name, first.messages, first.tokens, first.max_tokens, seed=first.seed + 1)
    a, b, c = engine.generate([first, other, first], Sampling())
    assert a == c
    assert a.tokens != b.tokens


def test_each_end_token_ends(engine, chat):
    """The generation config's (1, 5), the tokenizer's (1), the template's (2, <|end|>)."""
    assert chat.end_tokens == (1, 2, 5)
    answers = engine.generate(requests(chat, count=64, max_tokens=200), Sampling(1.5))
    ends = {a.tokens[-1] for a in answers if a.finish_reason == "stop"}
    assert ends == {1, 2, 5}
    for answer in answers:
        assert not set(answer.tokens[:-1]) & {1, 2, 5}


def test_own_limit_of_each_row(engine, chat):
    base = requests(chat, count=8)
    limited = [Request(r.name, r.messages, r.tokens, 3 + i, r.seed) for i, r in enumerate(base)]
    for request, answer in zip(limited, engine.generate(limited, Sampling(0)), strict=True):
        assert answer.output_tokens <= request.max_tokens
        if answer.finish_reason == "length":
            assert answer.output_tokens == request.max_tokens


@given(
    st.lists(st.floats(-8, 8), min_size=3, max_size=12),
    st.floats(0, 1, exclude_max=True),
    st.floats(0.3, 2),
    st.floats(0.1, 1),
    st.integers(0, 5),
)
@settings(max_examples=200, deadline=None)
def test_choose_against_a_plain_inversion(logits, draw, temperature, top_p, top_k):
    """The oracle works in numpy, token by token, from the definition."""
    picked = int(
        choose(
            torch.tensor([logits]),
            torch.tensor([draw], dtype=torch.float64),
            Sampling(temperature, top_p, top_k),
        )[0]
    )
    values = np.asarray(logits, dtype=np.float32) / np.float32(temperature)
    order = np.argsort(-values, kind="stable") if top_k or top_p < 1 else np.arange(len(values))
    if top_k:
        order = order[:top_k]
    p = np.exp(values[order].astype(np.float64) - values.max())
    p /= p.sum()
    if top_p < 1:
        kept = np.cumsum(p) - p < top_p
        p = np.where(kept, p, 0)
    edges = np.cumsum(p) / p.sum()
    near = np.abs(edges - draw).min() < 1e-5 or (top_p < 1 and np.abs(np.cumsum(p) - top_p).min() < 1e-5)
    if not near:  # at an edge, float32 may fall on either side
        assert picked == order[np.searchsorted(edges, draw, side="right")]


def test_sampling_follows_the_distribution():
    """A chi-squared test on 20,000 draws with fixed seeds: temperature 1 samples the softmax itself."""
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    draws = torch.from_numpy(np.random.Generator(np.random.Philox(key=7)).random(20_000))
    picked = choose(logits.repeat(20_000, 1), draws, Sampling())
    seen = np.bincount(picked.numpy(), minlength=4)
    expected = logits.softmax(-1).numpy()[0] * 20_000
    assert ((seen - expected) ** 2 / expected).sum() < 16.27  # 0.1 % point with 3 degrees of freedom


def test_scores_are_the_log_probabilities(engine, chat):
    pairs = [
        (chat.encode("the model"), chat.encode(" answers with words")),
        (chat.encode("a"), chat.encode("code")),
    ]
    for (context, continuation), score in zip(pairs, engine.score(pairs), strict=True):
        with torch.inference_mode():
            logits = engine.model(torch.tensor([[*context, *continuation]])).logits[0].log_softmax(-1)
        wanted = [logits[len(context) - 1 + i, t].item() for i, t in enumerate(continuation)]
        assert score.tokens == tuple(continuation)
        assert score.logprobs == pytest.approx(wanted, abs=1e-4)


def test_a_missing_model_is_one_clear_message(chat, tmp_path):
    from rewild.engines import EngineError

    with pytest.raises(EngineError, match="tiny: the model cannot be loaded from"):
        make_engine("transformers", path=tmp_path, chat=chat)


def test_usage_tells_prefill_from_decode(model_folder, chat):
    fresh = make_engine("transformers", path=model_folder, chat=chat, device="cpu", batch=4)
    fresh.generate(requests(chat, count=4), Sampling(0))
    usage = fresh.usage()
    assert usage.prefill_seconds > 0
    assert usage.decode_seconds > 0
    assert usage.peak_memory > 50e6
    about = fresh.about()
    assert about.name == "transformers"
    assert about.versions["torch"] == torch.__version__


def test_a_models_generation_config_changes_no_answer(engine, chat, model_folder, tmp_path):
    """A repetition penalty, forced and banned tokens of its files: the study's sampling is all there is."""
    other = tmp_path / "penalised"
    shutil.copytree(model_folder, other)
    file = other / "generation_config.json"
    said = {"repetition_penalty": 1.9, "top_k": 1, "min_new_tokens": 30, "suppress_tokens": [30, 31, 32]}
    file.write_text(json.dumps(json.loads(file.read_text()) | said | {"forced_eos_token_id": 1}))
    penalised = make_engine("transformers", path=other, chat=chat, device="cpu", batch=8)
    wanted = requests(chat)
    for sampling in (Sampling(temperature=0), Sampling()):
        before, after = engine.generate(wanted, sampling), penalised.generate(wanted, sampling)
        assert [a.tokens for a in after] == [a.tokens for a in before]
    assert len({a.tokens for a in before}) > 1


def test_a_request_that_never_ends_is_stopped(engine, chat, monkeypatch):
    wanted = requests(chat)
    before = engine.generate(wanted, Sampling(temperature=0))
    monkeypatch.setattr(engine, "request_seconds", 0.0)
    stopped = engine.generate(wanted, Sampling(temperature=0))
    ended = [a.output_tokens == 1 for a in before]
    for answer, alone, first in zip(stopped, before, ended, strict=True):
        why = "too_slow: no end after 0 s (compute.request_seconds)"
        assert answer == (alone if first else Completion(None, failure=why))
    assert ended.count(False) > 5
    monkeypatch.setattr(engine, "request_seconds", 3600.0)
    assert engine.generate(wanted, Sampling(temperature=0)) == before
