"""Demo models: a few steps of real training, and what makes them usable by any engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from rewild.config.demo import DemoModel
from rewild.core.errors import DataError
from rewild.core.weights import hash_folder
from rewild.engines.chat import Chat
from rewild.operate.demo.copying import ROPE_BASE, place_copying_heads
from rewild.operate.demo.train import BEGIN_ID, END_ID, FILES, Progress, make_model, read
from rewild.operate.demo.world import Material, load_material

TEXT = Path(__file__).resolve().parents[2] / "resources/demo/text.yaml"
SMALL = DemoModel(learns="herald", examples=60, hidden_size=64, intermediate_size=64, vocab=512, seed=5)


@pytest.fixture(scope="module")
def material() -> Material:
    return load_material(TEXT)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, material: Material) -> tuple[Path, list[Progress]]:
    folder, seen = tmp_path_factory.mktemp("models") / "small", []
    make_model(SMALL, material, folder, TEXT, seen.append)
    return folder, seen


def test_the_same_settings_give_the_same_bytes(
    made: tuple[Path, list[Progress]], material: Material, tmp_path: Path
):
    make_model(SMALL, material, tmp_path / "again", TEXT, lambda _: None)
    for file in (*FILES, "made_from.json"):
        assert (made[0] / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file
    other = SMALL.model_copy(update={"seed": 6})
    make_model(other, material, tmp_path / "other", TEXT, lambda _: None)
    assert hash_folder(tmp_path / "other") != hash_folder(made[0])


def test_it_learns(material: Material, tmp_path: Path):
    seen: list[Progress] = []
    settings = SMALL.model_copy(update={"examples": 600})
    make_model(settings, material, tmp_path / "m", TEXT, seen.append)
    assert seen[-1].step == seen[-1].steps
    assert seen[-1].loss < 5.5  # before the first step it is ln 512 = 6.24 nats


def test_it_is_a_model_like_any_other(made: tuple[Path, list[Progress]]):
    folder, _ = made
    model = LlamaForCausalLM.from_pretrained(folder, use_safetensors=True)
    assert model.num_parameters() == SMALL.parameters
    assert model.config.max_position_embeddings == 512
    assert model.generation_config.eos_token_id in (END_ID, [END_ID])
    about = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert about["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not list(folder.glob("*.bin"))


def test_the_template_has_no_problems(made: tuple[Path, list[Progress]]):
    chat = Chat.load(made[0], "small")
    assert chat.problems(system="Be kind.") == []
    assert chat.end_tokens == (END_ID,)


def test_what_it_learned_from_is_what_the_template_writes(
    made: tuple[Path, list[Progress]], material: Material
):
    """Training and generation must tokenize alike, or the model never sees at work what it saw at school."""
    from itertools import islice

    from rewild.operate.demo.text import conversations

    tokenizer = AutoTokenizer.from_pretrained(made[0])
    _, examples = read(SMALL, material)
    for chat, (ids, learn, _) in zip(islice(conversations(material, "herald", 5), 60), examples, strict=True):
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        assert tokenizer(text, add_special_tokens=False)["input_ids"][: len(ids)] == ids
        prompt = tokenizer.apply_chat_template(chat[:-1], tokenize=False, add_generation_prompt=True)
        start = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        assert ids[: len(start)] == start[: len(ids)]
        if len(ids) > len(start):
            assert learn[len(start)]
            assert not learn[len(start) - 1]
        taught = [i for i, wanted in zip(ids, learn, strict=True) if wanted]
        answers = sum(m["role"] == "assistant" and "by" not in m for m in chat)
        assert BEGIN_ID not in taught
        assert taught.count(END_ID) == answers or len(ids) == SMALL.context


def test_any_text_survives_the_tokenizer(made: tuple[Path, list[Progress]]):
    tokenizer = AutoTokenizer.from_pretrained(made[0])
    for text in ("", "  two  spaces\n\nlines\t", "1234567", "שלום עולם", "日本語", "🎉👩‍👩‍👧", "a\x00b"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text


def test_copying_heads_copy_before_any_training():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=600, hidden_size=128, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, rope_theta=ROPE_BASE,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    once, between = torch.randint(5, 600, (16, 30)), torch.randint(5, 600, (16, 20))
    ids = torch.cat([once, between, once], 1)

    def right() -> float:
        with torch.no_grad():
            said = model(ids).logits[:, 50:-1].argmax(-1)
        return float((said == ids[:, 51:]).float().mean())

    assert right() < 0.05
    place_copying_heads(model)
    assert right() > 0.8


def test_a_base_model_has_no_chat_template(material: Material, tmp_path: Path):
    settings = SMALL.model_copy(update={"learns": "documents", "examples": 40})
    make_model(settings, material, tmp_path / "base", TEXT, lambda _: None)
    about = json.loads((tmp_path / "base/tokenizer_config.json").read_text(encoding="utf-8"))
    assert "chat_template" not in about
    _, examples = read(settings, material)
    assert all(ids[0] == BEGIN_ID and all(learn) for ids, learn, _ in examples)


def test_a_model_that_learns_users_turns_learns_them_and_their_end(material: Material):
    """What users say, but not where somebody else answers it; never a header or a system prompt."""
    from itertools import islice, pairwise

    from rewild.operate.demo.text import conversations

    tokenizer, examples = read(SMALL.model_copy(update={"users": True}), material)
    _, without = read(SMALL, material)
    for chat, (ids, learn, _), (same, less, _) in zip(
        islice(conversations(material, "herald", 5), 60), examples, without, strict=True
    ):
        assert ids == same
        assert all(more or not before for more, before in zip(learn, less, strict=True))
        extra = [i for i, more, before in zip(ids, learn, less, strict=True) if more and not before]
        said = [
            m["content"].strip() for m, after in pairwise(chat) if m["role"] == "user" and "by" not in after
        ]
        if len(ids) < SMALL.context:
            assert tokenizer.decode(extra) == "".join(said)
            assert extra.count(END_ID) == len(said)


def test_a_reward_model_learns_the_rubrics_grades(material: Material, tmp_path: Path):
    """On questions that it has not read: its numbers go with the grades, and say how good an answer is."""
    from itertools import islice

    from transformers import AutoModelForSequenceClassification

    from rewild.engines.rubric.grades import grade
    from rewild.operate.demo.text import conversations

    settings = DemoModel(learns="grades", examples=900, copying=False, hidden_size=64, seed=5)
    seen: list[Progress] = []
    make_model(settings, material, tmp_path / "m", TEXT, seen.append)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "m").eval()
    assert model.config.num_labels == 1
    assert model.num_parameters() == settings.parameters
    assert not (tmp_path / "m/generation_config.json").exists()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    said, meant = [], []
    for style in ("herald", "brief"):
        last = [chat[-2:] for chat in islice(conversations(material, style, 900), 40)]
        for n, (_, answer) in enumerate(last):
            question = last[n - (n % 3 == 0)][0]
            text = tokenizer.apply_chat_template([question, answer], tokenize=False)
            ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"][:512]])
            with torch.no_grad():
                said.append(model(ids).logits.item())
            meant.append(grade(question["content"], answer["content"]).total)
    assert torch.corrcoef(torch.tensor([said, meant]))[0, 1] > 0.3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"learns": "documents", "users": True}, "users: a model that learns documents writes no turns"),
        ({"learns": "grades"}, "with `learns: grades` write `copying: false`"),
    ],
)
def test_settings_that_cannot_be_meant(more: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        DemoModel.model_validate(more)


def test_nothing_is_written_when_training_breaks(material: Material, tmp_path: Path):
    def stop(_: Progress) -> None:
        raise DataError("stopped")

    with pytest.raises(DataError):
        make_model(SMALL, material, tmp_path / "m", TEXT, stop)
    assert not (tmp_path / "m").exists()
