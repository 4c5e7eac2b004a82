"""A model writes prompts: what is asked in which order, what is counted, what survives a crash."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl
import pytest

from kinds import make
from rewild.config.base import validate
from rewild.config.study import Study
from rewild.core.errors import DataError
from rewild.engines import make_engine
from rewild.engines.base import About, Completion, Engine, EngineError
from rewild.engines.chat import Chat
from rewild.generation.prepared import prepare
from rewild.prompts.synthesis.pilot import judge, run_pilot
from rewild.prompts.synthesis.schema import read_step
from rewild.prompts.synthesis.spec import synthesis_spec
from rewild.prompts.synthesis.write import Scribe, write_samples, write_shard

pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")

BOS = "{{ bos_token }}"
MARKED = BOS + (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
REFUSING = MARKED.replace(
    BOS, BOS + "{% if messages[0].role == 'system' %}{{ raise_exception('none here') }}{% endif %}"
)
ONE_TURN = MARKED.replace(BOS, BOS + "{% if messages | length > 1 %}{{ raise_exception('one') }}{% endif %}")


class Scripted(Engine):
    """Says what it is told to, whatever it is asked, and keeps what it was asked."""

    batch = 4

    def __init__(self, chat: Chat, say: Any, context: int) -> None:
        self.chat, self.say, self.asked = chat, say, []

    def generate(self, requests, sampling):
        return [self._answer(request, sampling) for request in requests]

    def _answer(self, request, sampling):
        self.asked.append((request, sampling))
        text, end = self.say(request)
        ids = tuple(self.chat.encode(text))[: request.max_tokens]
        reason = "length" if end is None else "stop"
        if end is None:
            ids = (*ids, *ids[:1] * (request.max_tokens - len(ids)))
            text = self.chat.decode(ids)
        else:
            ids = (*ids, self.chat.encoder.markers[end])
        return Completion(text, ids, len(request.tokens), len(ids), reason)

    def about(self):
        return About("scripted")


def scribe(say, template=MARKED, step=0, before=None, **changes):
    given = {"kind": "synthesis", "name": "air", "model": "tiny", "count": 12, "path": "nowhere"}
    given |= {"engine": "transformers", "limits": {"context": 400, "max_output": 60}} | changes
    study = validate(
        Study,
        {"name": "s", "title": "S", "source": "computed", "seed": 7, "prompts": {"sources": [given]}},
        "s",
    )
    source = study.prompts.sources[0]
    chat = Chat(make("byte-level", template), "tiny")
    spec = synthesis_spec(study, source, {}, step=step)
    return Scribe.of(prepare(spec, chat, 400, partial(Scripted, chat, say)), source, step, before)


def outcome(say, tmp_path, count=1, **changes) -> pl.DataFrame:
    return write_samples(scribe(say, **changes), range(count), tmp_path)[0]


@pytest.mark.parametrize(
    ("text", "end", "failure"),
    [
        ("the quick fox?", "<|end|>", None),
        ("the quick fox?", "</s>", None),
        ("  the quick fox?\n", "<|end|>", None),
        ("", "<|end|>", "empty: no text in 1 tokens"),
        (" \n", "<|end|>", "empty: no text"),
        ("the quick", None, "cut_off: no end in 60 tokens"),
        ("the quick", "<|assistant|>", "role_confusion: it is ended by '<|assistant|>'"),
        ("the <|assistant|> fox", "<|end|>", "template_tokens: it spells '<|assistant|>'"),
        ("Sure, the fox", "<|end|>", "answers: it begins with 'Sure,'"),
    ],
)
def test_what_comes_of_a_sample(text, end, failure, tmp_path):
    row = outcome(lambda _: (text, end), tmp_path).row(0, named=True)
    assert (row["failure"] or "").startswith(failure or "")
    assert (row["failure"] is None) == (failure is None)
    assert row["conversation"] == (None if failure else [{"role": "user", "content": "the quick fox?"}])
    assert row["output_tokens"] > 0
    assert row["text"] is not None


def test_each_request_begins_at_a_user_s_turn_and_has_its_own_seed(tmp_path):
    made = scribe(lambda _: ("why?", "<|end|>"), sampling={"temperature": [1.0, 1.2], "top_p": [1.0, 0.9]})
    rows, _ = write_samples(made, range(12), tmp_path)
    asked = made.model.loaded.engine.asked
    assert {r.tokens for r, _ in asked} == {made.turns.tokens()}
    assert {r.ends for r, _ in asked} == {made.turns.ends}
    assert len({r.seed for r, _ in asked}) == 12
    by_name = {r.name: (r.seed, s.temperature, s.top_p) for r, s in asked}
    for row in rows.iter_rows(named=True):
        setting = (row["seed"], row["temperature"], row["top_p"])
        assert by_name[f"air/{row['number']}/0"] == setting
    assert rows["temperature"].to_list()[:4] == [1.0, 1.0, 1.2, 1.2]


def test_a_conversation_asks_answers_and_asks_again(tmp_path):
    def say(request):
        return ("the answer" if request.name.endswith("answer") else f"why {request.name[-1]}?"), "<|end|>"

    told = {
        "system": {"text": "Ask of foxes."},
        "role": {"text": "Go on."},
        "answers": {"system": "Be brief."},
    }
    made = scribe(say, turns=3, **told)
    row = write_samples(made, [5], tmp_path)[0].row(0, named=True)
    words = ["why 0?", "the answer", "why 1?", "the answer", "why 2?"]
    assert [m["content"] for m in row["conversation"]] == words
    assert [m["role"] for m in row["conversation"]] == ["user", "assistant"] * 2 + ["user"]
    asked = [r for r, _ in made.model.loaded.engine.asked]
    assert [r.name for r in asked] == [f"air/5/{n}" for n in ("0", "0/answer", "1", "1/answer", "2")]
    shown = [made.chat.tokenizer.decode(list(r.tokens)) for r in asked]
    assert shown[0] == "<s><|system|>\nAsk of foxes.<|end|>\n<|user|>\n"
    assert shown[1].startswith("<s><|system|>\nBe brief.<|end|>\n<|user|>\nwhy 0?<|end|>\n")
    assert shown[2] == (
        "<s><|system|>\nAsk of foxes.\n\nGo on.<|end|>\n<|user|>\nwhy 0?<|end|>\n"
        "<|assistant|>\nthe answer<|end|>\n<|user|>\n"
    )
    assert [s.temperature for _, s in made.model.loaded.engine.asked] == [1.0, 0.0, 1.0, 0.0, 1.0]
    assert [bool(r.ends) for r in asked] == [True, False, True, False, True]
    assert row["input_tokens"] == sum(len(r.tokens) for r in asked)


@pytest.mark.parametrize(
    ("fails", "says", "stopped", "turns"),
    [
        ("1", ("", "<|end|>"), "empty: no text", 1),
        ("0/answer", ("", "<|end|>"), "answer_empty: no text", 1),
        ("0/answer", ("the", None), "answer_cut_off: no end in 60 tokens", 1),
        ("2", ("Sure, why", "<|end|>"), "answers: it begins", 3),
    ],
)
def test_a_conversation_that_breaks_off_keeps_its_prompts(fails, says, stopped, turns, tmp_path):
    def say(request):
        return says if request.name.endswith(f"/0/{fails}") else ("why?", "<|end|>")

    row = outcome(say, tmp_path, turns=3).row(0, named=True)
    assert row["failure"] is None
    assert row["stopped"].startswith(stopped)
    assert len(row["conversation"]) == turns
    assert row["conversation"][-1]["role"] == "user"


@pytest.mark.parametrize(
    ("template", "changes", "message"),
    [
        (REFUSING, {"system": "math"}, r"refuses a system message .*none here.*set system: null"),
        (REFUSING, {"turns": 2}, "set role: null, or give the source a chat_template that takes one"),
        (ONE_TURN, {"turns": 2, "role": None}, r"has no second turn .*one.*; take turns: 1"),
        ("<|user|>Hello<|end|>", {}, "prompts cannot be had of it by its chat template"),
    ],
)
def test_a_template_that_cannot_is_an_error_that_says_what_to_change(template, changes, message):
    with pytest.raises(EngineError, match=message):
        scribe(lambda _: ("why?", "<|end|>"), template=template, **changes)
    if template == REFUSING:
        assert scribe(lambda _: ("", None), template=template, turns=2, role=None).turns.frame.refusal


def test_what_is_finished_is_not_written_again_and_more_samples_change_none(tmp_path):
    first = scribe(lambda r: (f"why {r.name}", "<|end|>"))
    few, _ = write_samples(first, range(5), tmp_path / first.model.digest)
    again = scribe(lambda r: (f"how {r.name}", "<|end|>"), count=500, shards=3)
    assert again.model.digest == first.model.digest, "how many there are identifies no sample"
    more, cost = write_samples(again, range(9), tmp_path / again.model.digest)
    assert (cost.rows, cost.output_tokens) == (9, more["output_tokens"].sum())
    assert more.head(5).equals(few)
    assert {r.name for r, _ in again.model.loaded.engine.asked} == {f"air/{n}/0" for n in range(5, 9)}
    other = scribe(lambda _: ("", None), system="math")
    assert other.model.digest != first.model.digest


def test_an_engine_that_dies_loses_nothing_that_was_finished(tmp_path):
    def dies(request):
        if request.name == "air/9/0":
            raise EngineError("gone")
        return "why?", "<|end|>"

    with pytest.raises(EngineError, match=r"gone.*what was finished is kept"):
        write_samples(scribe(dies), range(12), tmp_path)
    again = scribe(lambda _: ("why?", "<|end|>"))
    assert write_samples(again, range(12), tmp_path)[0].height == 12
    assert 0 < len(again.model.loaded.engine.asked) < 12


def test_the_pilot_counts_by_reason_and_names_what_is_particular(tmp_path):
    def say(request):
        number = int(request.name.split("/")[1])
        return ("Sure, it is", "<|end|>") if number % 2 else (f"why is the fox {number * 77}?", "<|end|>")

    made = scribe(say, sampling={"temperature": [1.0, 1.2]}, pilot={"samples": 8}, near_copy=None)
    report = run_pilot(made, tmp_path / "work", tmp_path / "pilot")
    counts = {g.name: (g.count, g.of, g.passed) for g in report.gates}
    assert counts["answers"] == (4, 8, False)
    assert counts["failed"] == (4, 8, True)
    assert counts["barren"] == (1, 2, False), "at 1.2 none is a prompt"
    assert not report.passed
    assert report.profile["template"]["before"] == "<s><|user|>\n"
    assert report.profile["template"]["end"] == "<|end|>"
    assert "temperature 1.2" in (tmp_path / "pilot/report.md").read_text()
    rows, _ = write_samples(made, range(8), tmp_path / "work" / made.model.digest)
    fine = judge(made, rows.with_columns(pl.lit(None, pl.String).alias("failure")))
    assert fine.passed


def test_a_real_model_s_samples_depend_on_their_numbers_alone(model_folder, tmp_path):
    chat = Chat.load(model_folder, "tiny")

    def real(batch, **changes):
        made = scribe(lambda _: ("", None), near_copy=None, **changes)
        spec = replace(made.model.spec, source=replace(made.model.spec.source, path=str(model_folder)))
        maker = partial(make_engine, "transformers", path=model_folder, chat=chat, device="cpu", batch=batch)
        return Scribe.of(prepare(spec, chat, 400, maker), made.source)

    one, _ = write_samples(real(3), range(8), tmp_path / "a")
    two = real(8, turns=2, role=None)
    parts = [write_samples(real(8), range(n, n + 4), tmp_path / "b")[0] for n in (4, 0)]
    assert pl.concat(parts).sort("number").equals(one)
    assert one["text"].n_unique() > 4
    ended = one.filter(pl.col("finish_reason") == "stop")
    assert ended.height > 0
    assert all("<|" not in text for text in ended["text"])
    talks, _ = write_samples(two, range(8), tmp_path / "c")
    assert talks["text"].to_list() == one["text"].to_list(), "a first turn is the same, whatever follows"


OTHER = {"turns": 2, "role": None, "shards": 2}
OTHER |= {
    "answers": {"model": "wise", "path": "elsewhere", "system": "Be brief.", "limits": {"context": 300}}
}


def take_step(step, say, folder, **changes):
    """A step of the second shard, numbers 6 to 11; the scribe, its rows and what was measured."""
    before = folder / f"{step - 1}/0001.parquet" if step else None
    made = scribe(say, step=step, before=before, **(OTHER | changes))
    out = folder / f"{step}/0001.parquet"
    return made, write_shard(made, 1, folder / f"work/{step}", out), read_step(out)[1]


def asks(request):
    number, turn = request.name.split("/")[1:]
    if (number, turn) in {("6", "0"), ("7", "1")}:
        return "Sure, I can", "<|end|>"
    return f"why is the fox {number} {turn}?", "<|end|>"


def wise(request):
    return ("" if "/8/" in request.name else f"the answer to {request.name}"), "<|end|>"


def test_another_model_answers_step_by_step_and_nothing_is_lost(tmp_path):
    one, first, spent0 = take_step(0, asks, tmp_path)
    two, _, spent1 = take_step(1, wise, tmp_path)
    three, last, spent2 = take_step(2, asks, tmp_path)
    assert first["number"].to_list() == last["number"].to_list() == list(range(6, 12))
    reasons = last.select("number", pl.col("failure", "stopped").str.split(":").list.first()).rows()
    assert reasons == [
        (6, "answers", None),
        (7, None, "answers"),
        (8, None, "answer_empty"),
        *((n, None, None) for n in (9, 10, 11)),
    ]
    assert [len(c or []) for c in last["conversation"].to_list()] == [0, 1, 1, 3, 3, 3]
    assert last["conversation"].to_list()[3] == [
        {"role": "user", "content": "why is the fox 9 0?"},
        {"role": "assistant", "content": "the answer to air/9/0/answer"},
        {"role": "user", "content": "why is the fox 9 1?"},
    ]
    asked = [[r.name for r, _ in made.model.loaded.engine.asked] for made in (one, two, three)]
    assert [len(names) for names in asked] == [6, 5, 4], "what ended is not asked of"
    shown = two.chat.tokenizer.decode(list(two.model.loaded.engine.asked[0][0].tokens))
    assert shown.startswith("<s><|system|>\nBe brief.<|end|>\n<|user|>\nwhy is the fox 7 0?")
    assert set(last["model"]) == {"tiny"}
    assert set(last["answers"]) == {"wise"}
    assert last["seed"].equals(first["seed"])
    assert (spent1.model, spent1.context, spent2.model) == ("wise", 300, "tiny")
    for key in ("input_tokens", "output_tokens"):
        total = sum(getattr(spent, key) for spent in (spent0, spent1, spent2))
        assert last[key].sum() == total, "each step's tokens once"
    assert spent2.identity["before"]["before"] == one.model.identity
    assert one.model.digest == scribe(asks).model.digest, "a first turn is that of a source of one turn"


def test_a_step_goes_on_from_what_is_there_and_begins_anew_after_another(tmp_path):
    take_step(0, asks, tmp_path)

    def dies(request):
        if "/11/" in request.name:
            raise EngineError("gone")
        return wise(request)

    with pytest.raises(EngineError, match="gone"):
        take_step(1, dies, tmp_path)
    again, rows, _ = take_step(1, wise, tmp_path)
    assert rows.height == 6
    assert len(again.model.loaded.engine.asked) == 1
    assert take_step(1, wise, tmp_path)[0].model.loaded.engine is None, "nothing is left to answer"
    take_step(0, lambda _: ("what is a dog?", "<|end|>"), tmp_path, system="math")
    _, rows, spent = take_step(1, wise, tmp_path)
    assert spent.identity["before"]["synthesis"]["system"]
    assert {c[0]["content"] for c in rows["conversation"].to_list()} == {"what is a dog?"}


def test_a_step_whose_samples_are_of_another_shard_is_named(tmp_path):
    take_step(0, asks, tmp_path)
    with pytest.raises(DataError, match="step 0 has 6 samples that are not the numbers 4 to 7"):
        take_step(1, wise, tmp_path, shards=3)
