"""A model writes tasks after examples: what it is asked, what is a task, that a rerun asks for the rest."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")

from kinds import make
from rewild.config.base import validate
from rewild.config.study import Study
from rewild.engines.chat import Chat
from rewild.generation.prepared import prepare
from rewild.prompts.synthesis.pilot import run_pilot
from rewild.prompts.synthesis.tasks import Pupil, scribe_of
from rewild.prompts.synthesis.write import Scribe, write_samples
from test_written_prompts import MARKED, Scripted
from workspace import ROOT

IN_CONTEXT = ROOT / "resources/chat_templates/in-context.jinja"


def pupil(say: Any, template: str = MARKED, **changes: Any) -> Pupil:
    given = {"kind": "self-instruct", "name": "air", "model": "tiny", "count": 12, "path": "nowhere"}
    given |= {"engine": "transformers", "limits": {"context": 4000, "max_output": 60}} | changes
    study = validate(
        Study,
        {"name": "s", "title": "S", "source": "computed", "seed": 7, "prompts": {"sources": [given]}},
        "s",
    )
    from rewild.prompts.synthesis.spec import synthesis_spec

    source = study.prompts.sources[0]
    chat = Chat(make("byte-level", template), "tiny")
    made = scribe_of(
        prepare(synthesis_spec(study, source, {}), chat, 4000, partial(Scripted, chat, say)), source
    )
    assert isinstance(made, Pupil)
    return made


@pytest.mark.parametrize(
    ("text", "end", "said", "failure"),
    [
        ("name a fox that is quick", "<|end|>", "name a fox that is quick", None),
        (' Task 9: "name a fox that is quick"\n', "<|end|>", "name a fox that is quick", None),
        ("**Task 9:** name a fox that is quick", "<|end|>", "name a fox that is quick", None),
        ("9. name a fox that is quick\nTask 10: and a dog", "<|end|>", "name a fox that is quick", None),
        ("name a fox that is quick\nTask 10: and so on", None, "name a fox that is quick", None),
        ("name a fox that is quick", None, None, "cut_off: no end in 60 tokens"),
        ("Task 9:", "<|end|>", "", "empty"),
        ("the fox", "<|end|>", "the fox", "few_words: 2, and a task has 4"),
        ("draw a map of the fox den", "<|end|>", None, "not_text: it asks for 'draw'"),
        ("Sure, here is a task for you", "<|end|>", None, "answers"),
    ],
)
def test_what_is_a_task(text: str, end: str | None, said: str | None, failure: str | None, tmp_path) -> None:
    made = pupil(lambda _: (text, end))
    (row,) = write_samples(made, range(1), tmp_path)[0].iter_rows(named=True)
    assert (row["failure"] or "").startswith(failure or "")
    assert (row["failure"] is None) == (failure is None)
    assert said is None or row["text"] == said
    if failure is None:
        assert row["conversation"] == [{"role": "user", "content": said}]


def test_each_sample_is_shown_tasks_of_its_own_and_a_rerun_asks_for_the_rest(tmp_path) -> None:
    made = pupil(lambda r: (f"name a fox that is {r.name}", "<|end|>"), system="math")
    few, _ = write_samples(made, range(4), tmp_path)
    asked = [request for request, _ in made.model.loaded.engine.asked]
    tasks = made.tasks.seeds.tasks
    shown = []
    for request in asked:
        system, user = request.messages
        assert system["content"].startswith("You tutor people in mathematics")
        assert user["content"].startswith(made.tasks.seeds.ask)
        assert user["content"].endswith("\n\nTask 9:")
        shown.append([name for name, text in tasks.items() if f": {text}\n" in user["content"]])
        assert "\nTask 10:" in request.stops
    assert {len(names) for names in shown} == {8}
    assert len({tuple(names) for names in shown}) == 4, "each is shown others"
    again = pupil(lambda _: ("name another fox, please", "<|end|>"), system="math", count=50, novelty=0.5)
    assert again.model.digest == made.model.digest, "how many, and how new, identify no sample"
    more, _ = write_samples(again, range(9), tmp_path)
    assert more.head(4).equals(few)
    assert len(again.model.loaded.engine.asked) == 5
    assert pupil(lambda _: ("", None), shown=7, system="math").model.digest != made.model.digest


def test_the_pilot_holds_what_is_like_a_seed_against_it(tmp_path) -> None:
    tides = pupil(lambda _: ("", None)).tasks.seeds.tasks["tides"]
    made = pupil(lambda _: (tides, "<|end|>"), pilot={"samples": 4})
    report = run_pilot(made, tmp_path / "work", tmp_path / "pilot")
    assert report.profile["failures"] == {"repeated": 3, "similar": 1}
    assert not report.passed
    assert report.profile["template"]["asked"].endswith("Task 9:<|end|>\n<|assistant|>\n")


def test_a_base_model_writes_tasks_by_examples_of_a_chat(tmp_path) -> None:
    made = pupil(lambda _: ("name a fox that is quick\n\n# Question:\nnext", "</s>"), IN_CONTEXT.read_text())
    (row,) = write_samples(made, range(1), tmp_path)[0].iter_rows(named=True)
    assert (row["text"], row["failure"]) == ("name a fox that is quick", None)
    assert isinstance(made, Scribe)
