"""The reward-model scorer: real transformers, a tiny classifier with random weights."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch (.envs/engine-cpu)")
from rewild.config.base import validate  # noqa: E402
from rewild.config.preferences import RewardModel  # noqa: E402
from rewild.engines.base import EngineError  # noqa: E402
from rewild.training.preferences.scorers import Item, make_scorer  # noqa: E402
from tiny import make_tokenizer  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("reward"), outputs=1)


def make(folder: Path, outputs: int) -> Path:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    tokenizer = make_tokenizer()
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        pad_token_id=6,
        num_labels=outputs,
    )
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def settings(folder: Path, **more: object) -> RewardModel:
    given = {"kind": "reward-model", "path": str(folder), "precision": "fp32", "device": "cpu", "batch": 3}
    return validate(RewardModel, given | more, "scorer")


def items() -> list[Item]:
    prompt = ({"role": "user", "content": "a question about rivers"},)
    answers = ["water " * n + "and light" for n in (1, 30, 3, 12, 2)]
    return [Item(f"a/{n}", prompt, answer) for n, answer in enumerate(answers)]


def test_rewards_are_the_models_one_by_one(folder: Path) -> None:
    """Padding and batches change nothing: each conversation alone, through the plain model, is the same."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    scorer = make_scorer(settings(folder))
    grades = scorer.grade(items())
    scorer.close()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for item, grade in zip(items(), grades, strict=True):
        chat = [*item.prompt, {"role": "assistant", "content": item.answer}]
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.inference_mode():
            expected = float(model(input_ids=ids).logits[0, 0])
        assert grade.score == pytest.approx(expected, abs=1e-5)
    assert len({g.score for g in grades}) == len(grades)


def test_a_conversation_that_is_too_long_is_a_failure_not_cut(folder: Path) -> None:
    grades = make_scorer(settings(folder, context=64)).grade(
        [*items(), Item("a/5", items()[0].prompt, "code " * 200)]
    )
    assert [g.failure for g in grades[:1]] == [None]
    assert grades[5].score is None
    assert grades[5].failure is not None
    assert grades[5].failure.startswith("too_long: ")


def test_a_model_that_is_no_reward_model(tmp_path: Path, model_folder: Path) -> None:
    with pytest.raises(EngineError, match="has 2 outputs, not one"):
        make_scorer(settings(make(tmp_path / "two", outputs=2)))
    with pytest.raises(EngineError, match=r"the reward model .*nowhere.* can be loaded"):
        make_scorer(settings(tmp_path / "nowhere"))


def spoil(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A model with other weights."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_weights_that_are_not_there_are_not_made_up(tmp_path: Path, model_folder: Path) -> None:
    """transformers would fill them in at random, and only warn."""
    with pytest.raises(
        EngineError, match=r"no weights for 'score.weight', .* it is no LlamaForSequenceClassif"
    ):
        make_scorer(settings(model_folder))
    half = make(tmp_path / "half", outputs=1)
    spoil(half, lambda w: [w.pop(name) for name in list(w) if ".layers.1." in name])
    with pytest.raises(EngineError, match=r"no weights for 'model.layers.1.* and 8 more, .* not whole"):
        make_scorer(settings(half))
    (half / "model.safetensors").unlink()
    with pytest.raises(EngineError, match=r"cannot be loaded from .*half"):
        make_scorer(settings(half))


def test_no_number_is_no_reward(tmp_path: Path) -> None:
    """Weights that are broken: each conversation is a failure with its reason, and none is lost."""
    folder = spoil(make(tmp_path, outputs=1), lambda w: w["score.weight"].fill_(float("nan")))
    grades = make_scorer(settings(folder)).grade(items())
    assert [g.score for g in grades] == [None] * len(items())
    assert {g.failure for g in grades} == {"not_a_number: an output of the model"}


def test_nothing_is_cut_by_a_model_or_a_tokenizer_that_would(tmp_path: Path) -> None:
    """What a model was made for is a limit; a tokenizer's own truncation is not heeded."""
    from tokenizers import Tokenizer

    folder = make(tmp_path, outputs=1)
    long = Item("a/9", items()[0].prompt, "code " * 300)
    plain = make_scorer(settings(folder, context=4096)).grade([*items(), long])
    assert plain[-1].failure is not None
    assert plain[-1].failure.endswith("and 256 are the limit"), "positions of the model, not 4,096"
    file = str(folder / "tokenizer.json")
    cutting = Tokenizer.from_file(file)
    cutting.enable_truncation(16)
    cutting.save(file)
    assert [g.score for g in make_scorer(settings(folder)).grade(items())] == [g.score for g in plain[:-1]]


@pytest.mark.parametrize("pad", [6, None])
def test_batches_by_length_are_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pad: int | None
) -> None:
    """Sorted, within a budget of tokens, in windows: the same as each alone; also where a model has no
    padding token, and a chat ends in the one that often serves for it."""
    from transformers import AutoModelForSequenceClassification

    from rewild.engines import classifier_engine, make_engine
    from rewild.engines.chat import Chat

    folder = make(tmp_path, outputs=1)
    file = folder / "config.json"
    config = json.loads(file.read_text()) | {"pad_token_id": pad}
    file.write_text(json.dumps(config))
    tokenizer = make_tokenizer()
    tokenizer.eos_token, tokenizer.pad_token = "<|end|>", None
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }} {{ m.content }}<|end|>{% endfor %}"
    chat = Chat(tokenizer, "tiny")
    monkeypatch.setattr(classifier_engine, "WINDOW", 16)
    monkeypatch.setattr(classifier_engine, "TOKENS", 64)
    monkeypatch.setattr(classifier_engine, "PADDING", 9.0)
    engine: Any = make_engine("classifier", path=folder, chat=chat, precision="fp32", device="cpu", batch=3)
    sizes: list[tuple[int, int]] = []
    forward = engine._logits

    def counted(ids: list[list[int]]) -> Any:
        sizes.append((len(ids), max(map(len, ids))))
        return forward(ids)

    monkeypatch.setattr(engine, "_logits", counted)
    draw = random.Random(1)
    chats = [[{"role": "user", "content": "water " * draw.randint(0, 60)}] for _ in range(40)]
    found = engine.classify(chats)
    assert sum(count for count, _ in sizes) == 40
    assert all(count == 1 or count * width <= 3 * 64 for count, width in sizes)
    assert max(count for count, _ in sizes) > 3, "short ones go together"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for messages, said in zip(chats, found, strict=True):
        with torch.inference_mode():
            alone = model(torch.tensor([chat.encode_chat(messages).tokens])).logits[0].tolist()
        assert list(said.outputs.values()) == pytest.approx(alone, abs=1e-4)
    assert len({round(c.outputs["LABEL_0"], 3) for c in found}) > 10


def test_a_classifier_gives_every_label_its_logit(tmp_path: Path) -> None:
    """Behind the engines' interface; and what it cannot do, it says."""
    from transformers import AutoModelForSequenceClassification

    from rewild.engines import Sampling, make_engine
    from rewild.engines.chat import Chat

    folder = make(tmp_path, outputs=2)
    chat = Chat.load(folder, "tiny")
    engine = make_engine("classifier", path=folder, chat=chat, precision="fp32", device="cpu", batch=2)
    chats = [(*item.prompt, {"role": "assistant", "content": item.answer}) for item in items()]
    found = engine.classify(chats)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for messages, said in zip(chats, found, strict=True):
        with torch.inference_mode():
            ids = torch.tensor([chat.encode_chat(messages).tokens])
            expected = model(input_ids=ids).logits[0].tolist()
        assert list(said.outputs) == ["LABEL_0", "LABEL_1"]
        assert list(said.outputs.values()) == pytest.approx(expected, abs=1e-5)
    assert engine.about().arguments["labels"] == ("LABEL_0", "LABEL_1")
    with pytest.raises(EngineError, match=r"the engine 'classifier' cannot generate .engines that can: "):
        engine.generate([], Sampling())
