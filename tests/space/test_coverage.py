"""Coverage: sets drawn by a seed, one projection that comes out again, topic diversity by hand."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs faiss (.envs/measures)")
from rewild.config.base import validate
from rewild.config.coverage import Coverage
from rewild.core.errors import DataError
from rewild.measures.space.coverage import Drawn, draw, mean_cosine, project, tables
from rewild.measures.space.vectors import read_space
from rewild.measures.weights import Weights
from texts import MODEL, a_study, embedded, shard


def a_coverage(**row: Any) -> Coverage:
    return validate(
        Coverage, {"space": "space", "sets": {"a": {}, "b": {}}, "neighbours": 5} | row, "coverage.c"
    )


def groups(each: int = 30) -> dict[str, Drawn]:
    """Two sets that lie apart, in eight dimensions; half of each of them in a third place."""
    rng = np.random.default_rng(2)
    corners = np.eye(8, dtype=np.float32)
    found = {}
    for n, name in enumerate("ab"):
        middle = np.where(np.arange(each)[:, None] < each // 2, corners[n], corners[2])
        vectors = (middle + rng.normal(scale=0.05, size=(each, 8))).astype(np.float32)
        found[name] = Drawn(each, [f"{name}{i}" for i in range(each)], vectors)
    return found


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_a_projection_keeps_what_is_near_and_comes_out_again(method: str) -> None:
    drawn = groups()
    row = a_coverage(method=method)
    points = project(row, drawn, seed=50)
    assert points.shape == (60, 2)
    assert np.isfinite(points).all()
    assert np.array_equal(project(row, drawn, seed=50), points)
    place = np.array([0] * 15 + [2] * 15 + [1] * 15 + [2] * 15)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (place[apart.argmin(1)] == place).mean() > 0.95, "neighbours are of the same group, of both sets"
    coordinates, sets = tables(drawn, points, 10_000)
    assert coordinates["set"].to_list() == ["a"] * 30 + ["b"] * 30
    assert sets["mean_cosine"][0] == pytest.approx(by_hand(drawn["a"].vectors), abs=1e-6)


def by_hand(vectors: Any) -> float:
    pairs = itertools.permutations(vectors.astype(np.float64), 2)
    return float(np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs]))


def test_topic_diversity_is_the_mean_over_all_pairs() -> None:
    assert mean_cosine(np.array([[1, 0], [0, 2]], np.float32)) == pytest.approx(0)
    assert mean_cosine(np.array([[1, 0], [3, 0], [-1, 0]], np.float32)) == pytest.approx(-1 / 3)
    assert mean_cosine(np.ones((1, 2), np.float32)) is None
    rng = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    assert mean_cosine(rng) == pytest.approx(by_hand(rng), abs=1e-9)


def test_too_few_points_or_all_the_same_are_refused() -> None:
    few = {"a": Drawn(9, list("abcdefghi"), np.eye(9, dtype=np.float32))}
    with pytest.raises(
        DataError, match=r"9 points, 9 of them distinct: a projection of 15 neighbours needs more"
    ):
        project(a_coverage(), few, 50)
    same = {"a": Drawn(90, [str(n) for n in range(90)], np.ones((90, 4), np.float32))}
    with pytest.raises(DataError, match=r"90 points, 1 of them distinct"):
        project(a_coverage(), same, 50)


def test_sets_are_drawn_by_the_seed_and_count_what_they_lack(tmp_path: Path) -> None:
    texts = [f"Explain number {n} in simple words." for n in range(25)] + ["x " * 300]
    file = shard(tmp_path / "0000.parquet", texts)
    study = a_study()
    embedded(study, [file], tmp_path / "vectors-0000.parquet")
    other = tmp_path / "other.jsonl"
    rows = [{"instruction": f"Bake a cake of {n} eggs.", "input": "", "output": "Yes."} for n in range(12)]
    other.write_text("".join(json.dumps(r) + "\n" for r in rows) + '{"instruction": 3}\n')
    row = a_coverage(sample=10, sets={"own": {"source": "invented"}, "other": {"files": ["other.jsonl"]}})
    space = read_space([tmp_path / "vectors-0000.parquet"], "space", "prompts")
    how = {"embedding": study.measures["space"], "weights": Weights(MODEL, MODEL), "threads": 1}
    found = draw(row, space, [file], {"other": [other]}, seed=50, **how)
    assert (found["own"].texts, found["other"].texts, found["other"].unreadable) == (26, 12, 1)
    assert len(found["other"].names) == 10
    assert found["other"].names[0].startswith("other.jsonl:")
    again = draw(row, space, [file], {"other": [other]}, seed=50, **how)
    assert [one.names for one in again.values()] == [one.names for one in found.values()]
    else_ = draw(row, space, [file], {"other": [other]}, seed=51, **how)
    assert [one.names for one in else_.values()] != [one.names for one in found.values()]
    alone = a_coverage(sample=10, sets={"own": {"source": "invented"}})
    assert draw(alone, space, [file], {}, seed=50, **how)["own"].names == found["own"].names
    whole = draw(a_coverage(sample=100, sets={"own": {}}), space, [file], {}, seed=50, **how)["own"]
    assert (len(whole.names), whole.failures) == (25, {"too_long": 1})
    order = space.there["conversation_id"].to_list()
    vectors = dict(zip(order, space.vectors.take(np.arange(25)), strict=True))
    for name, vector in zip(found["own"].names, found["own"].vectors, strict=True):
        assert np.array_equal(vectors[name], vector), "each has its own vector"
    nothing = a_coverage(sample=10, sets={"gone": {"source": "nobody"}})
    with pytest.raises(DataError, match="the set 'gone' has nothing to project: it has no text"):
        draw(nothing, space, [file], {}, seed=50, **how)
