"""A mix of one of several answers that a set of pairs sampled: the best, the worst, or the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mixes_data import name_of
from rewild.config.base import validate
from rewild.config.mixes import Mix, mix_inputs
from rewild.config.study import Study
from rewild.core.errors import ConfigError, DataError
from rewild.core.table import read_table, write_table
from rewild.prompts.schema import SHARD
from rewild.training.mixes.build import build
from rewild.training.mixes.read import Place
from rewild.training.mixes.schema import TRAIN
from rewild.training.preference_schema import ANSWERS, PAIRS


def written(root: Path, count: int = 6, samples: int = 3) -> Path:
    """A set: of each prompt its answers, the last one the best; conversation 4 ties, answer 5/0 failed."""
    results = root / "results/s"
    folder = results / "preferences/five"
    chats = [[{"role": "user", "content": f"Question {n}?"}] for n in range(count)]
    prompts = [
        {
            "conversation_id": name_of(n), "source": "p", "source_id": str(n), "shard": "0000",
            "language": "English", "n_turns": 1, "messages": chats[n], "tags": [],
        }
        for n in range(count)
    ]  # fmt: skip
    answers: list[dict[str, Any]] = [
        {
            "conversation_id": name_of(n), "sample": k, "response": f"answer {n}/{k}", "failure": None,
            "finish_reason": "length" if (n, k) == (3, 0) else "stop", "output_tokens": 3,
            "repetition": 0.1 * n, "garbled": 0.0, "seed": k, "recipe": "r",
        }
        | ({"response": None, "failure": "empty"} if (n, k) == (5, 0) else {})
        for n in range(count)
        for k in range(samples)
    ]  # fmt: skip
    pairs = [
        {
            "id": name_of(n), "language": "English", "messages": chats[n],
            "chosen": {"role": "assistant", "content": f"answer {n}/{samples - 1}"},
            "rejected": {"role": "assistant", "content": f"answer {n}/1"},
            "chosen_score": 2.0, "rejected_score": 1.0, "scored": samples,
        }
        for n in range(count)
        if n != 4
    ]  # fmt: skip
    write_table(folder / "prompts.parquet", pl.DataFrame(prompts, schema=SHARD.dtypes), SHARD, {})
    for shard in range(2):
        mine = pl.DataFrame(answers[shard::2], schema=ANSWERS.dtypes).sort("conversation_id", "sample")
        write_table(folder / f"answers/000{shard}.parquet", mine, ANSWERS, {})
    write_table(folder / "train.parquet", pl.DataFrame(pairs, schema=PAIRS.dtypes), PAIRS, {})
    return results


def a_mix(choose: str, **more: Any) -> Mix:
    source = {"kind": "samples", "of": "five", "model": "m", "choose": choose}
    return validate(Mix, {"sources": [source]} | more, "mix")


def made(results: Path, mix: Mix) -> tuple[dict[str, str], dict[str, int]]:
    out = results / "mixes/x"
    place = Place(Path(), results, cut={"five": ["0000", "0001"]})
    counts = build("x", mix, place, out, study="s", seed=1, say=lambda _: None)
    rows = read_table(out / "train.parquet", TRAIN)
    texts = {m[0]["content"]: m[-1]["content"] for m in rows["messages"]}
    assert all([m["role"] for m in chat] == ["user", "assistant"] for chat in rows["messages"])
    return texts, counts[mix.sources[0].label]


def test_the_best_the_worst_and_the_first(tmp_path: Path) -> None:
    results = written(tmp_path)
    answers = results / "preferences/five/answers"  # a shard of before, when the set was cut into three
    (answers / "0002.parquet").write_bytes((answers / "0001.parquet").read_bytes())
    kept = [0, 1, 2, 3, 5]
    for choose, sample in (("best", 2), ("worst", 1)):
        texts, counts = made(results, a_mix(choose))
        assert texts == {f"Question {n}?": f"answer {n}/{sample}" for n in kept}
        assert counts == {"read": 5, "drawn": 5, "not_drawn": 0}
    texts, counts = made(results, a_mix("sampled"))
    assert texts == {f"Question {n}?": f"answer {n}/0" for n in range(5)}
    assert counts == {"read": 6, "drawn": 5, "not_drawn": 0, "no_answer": 1}
    texts, counts = made(results, a_mix("sampled", filters={"unfinished": "drop"}))
    assert counts == {"read": 6, "drawn": 4, "not_drawn": 0, "no_answer": 1, "unfinished": 1}
    assert "Question 3?" not in texts
    _, counts = made(results, a_mix("sampled", filters={"repetition": 0.25}))
    assert counts == {"read": 6, "drawn": 3, "not_drawn": 0, "no_answer": 1, "too_repetitive": 2}


def test_what_it_is_made_from() -> None:
    assert mix_inputs("s", a_mix("best"), [])["data"] == ["results/s/preferences/five/train.parquet"]
    found = mix_inputs("s", a_mix("sampled"), [], shards_of={"five": ["0000", "0001"]})["data"]
    assert found == [
        "results/s/preferences/five/answers/0000.parquet",
        "results/s/preferences/five/answers/0001.parquet",
        "results/s/preferences/five/prompts.parquet",
    ]
    assert a_mix("best").answering() == ["m"]


def test_answers_to_no_prompt_and_missing_answers_are_refused(tmp_path: Path) -> None:
    results = written(tmp_path)
    prompts = results / "preferences/five/prompts.parquet"
    write_table(prompts, read_table(prompts, SHARD).head(3), SHARD, {})
    with pytest.raises(DataError, match="are to no prompt"):
        made(results, a_mix("sampled"))
    written(tmp_path)
    (results / "preferences/five/answers/0001.parquet").unlink()
    with pytest.raises(DataError, match=r"answers/0001\.parquet"):
        made(results, a_mix("sampled"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"of": "fife"}, "of: no set of pairs 'fife'; did you mean 'five'"),
        ({"model": "n"}, "model: it is m who answers there"),
        ({"choose": "bst"}, "'best', 'worst' or 'sampled'"),
        (
            {"choose": "worst", "filters": {"unfinished": "drop"}},
            "x: five-worst: filters.unfinished: drop: the worst is chosen among the answers that the "
            "set grades: say it there (preferences.five.unfinished)",
        ),
        ({"filters": {"garbled": 0.1}}, "say it there (preferences.five.garbled)"),
    ],
)
def test_mistakes(source: dict[str, Any], said: str) -> None:
    raw = {
        "name": "s", "title": "s", "source": "computed",
        "prompts": {"sources": [{"kind": "files", "name": "p", "files": ["p.jsonl"]}]},
        "responses": {"engine": "transformers", "models": ["m", "n"]},
        "preferences": {"five": {"model": "m", "prompts": 5, "scorer": {"kind": "rubric"}}},
        "mixes": {
            "x": {"sources": [{"kind": "samples", "of": "five", "model": "m", "choose": "best"} | source]}
        },
    }  # fmt: skip
    with pytest.raises(ConfigError) as found:
        validate(Study, raw, "study s")
    assert said in str(found.value)
