"""The reward-model scorer: real transformers, a tiny classifier with random weights."""

from __future__ import annotations

from pathlib import Path

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
