"""Nearest neighbours: against scikit-learn's brute force, by hand, with copies by the million."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("faiss", reason="needs faiss (.envs/measures)")
from rewild.core.errors import DataError
from rewild.core.measures import about_measure, vectors_file
from rewild.measures.space import neighbours
from rewild.measures.space.neighbours import nearest
from rewild.measures.space.vectors import Vectors, distinct, read_space
from texts import a_study, handmade, in_space


def drawn(count: int, width: int = 24, seed: int = 5) -> Any:
    found = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def brute(vectors: Any) -> Any:
    """Euclidean distance to the nearest other, by scikit-learn in double precision."""
    from sklearn.neighbors import NearestNeighbors

    own = np.asarray(vectors, np.float64)
    return NearestNeighbors(n_neighbors=2, algorithm="brute").fit(own).kneighbors(own)[0][:, 1]


@pytest.mark.parametrize(("asked", "held"), [(64, 50), (16_384, 65_536)])
def test_distances_are_those_of_brute_force_whatever_the_blocks(monkeypatch, asked: int, held: int) -> None:
    """In three arrays, one of them empty; scaled, since not all models give unit vectors."""
    monkeypatch.setattr(neighbours, "ASKED", asked)
    monkeypatch.setattr(neighbours, "HELD", held)
    vectors = drawn(300) * np.float32(3)
    parts = Vectors([vectors[:100], vectors[:0], vectors[100:]])
    found = nearest(parts, 1e-8)
    np.testing.assert_allclose(np.sqrt(found.squared), brute(vectors), rtol=1e-6)
    assert not found.repeats.any()
    assert (found.distinct, found.recall) == (300, None)


def test_copies_and_what_is_almost_one_by_hand(tmp_path: Path) -> None:
    near = 1.00003
    file = handmade(
        tmp_path / "vectors-0000.parquet",
        [[1, 0], [0, 1], [1, 0], [0, -0.0], [near, 0], [0, 0]],
        ["too_long: 9 tokens, and 4 are the limit"],
    )
    study = a_study(
        d={"kind": "neighbour", "of": "prompts", "space": "space"},
        e={"kind": "neighbour", "of": "prompts", "space": "space", "metric": "squared", "tolerance": 1.0},
    )
    found = in_space(study, "d", [file], tmp_path / "d.parquet")
    assert found["repeats"].to_list() == [2, 0, 2, 1, 2, 1, None]
    gap = float(np.float32(near)) - 1
    expected = [0.0, 1.0, 0.0, 0.0, gap, 0.0, None]
    assert [None if d is None else round(d, 12) for d in found["distance"]] == [
        None if e is None else round(e, 12) for e in expected
    ]
    assert found["failure"].to_list() == [*[None] * 6, "no_vector: too_long: 9 tokens, and 4 are the limit"]
    squared = in_space(study, "e", [file], tmp_path / "e.parquet")
    assert squared["distance"].to_list() == pytest.approx([0, 1, 0, 0, gap**2, 0, None], abs=1e-12)
    # Within squared distance 1 of (1, 0): its copy, the near copy, both zeros; not (0, 1), at 2.
    assert squared["repeats"].to_list() == [4, 2, 4, 4, 2, 4, None]
    about = about_measure(tmp_path / "d.parquet")
    assert (about["distinct"], about["recall"], about["rows"]) == (4, None, 7)
    assert about["failures"] == {"no_vector": 1}
    assert about["identity"]["space"] == "d"


def test_copies_that_differ_in_the_last_bit_count_as_repeats() -> None:
    """The same text, embedded in another batch: FAISS's own distances cannot tell it from what is like it."""
    one = drawn(1, 384)[0]
    noisy = np.nextafter(one, np.float32(2))
    other = drawn(1, 384, seed=6)[0]
    found = nearest(Vectors([np.stack([one, noisy, other])]), 1e-8)
    assert found.distinct == 3
    assert found.repeats.tolist() == [1, 1, 0]
    gap = float(((one.astype(np.float64) - noisy) ** 2).sum())
    assert found.squared[:2].tolist() == [pytest.approx(gap, rel=1e-9)] * 2
    assert gap < 1e-11


def test_ten_million_copies_are_one_search() -> None:
    """Three texts ten million times: no search among copies, and the counts add up."""
    few = np.array([[1, 0], [0, 1], [2, 0]], np.float32)
    which = np.zeros(10_000_000, np.int8)
    which[1::1000], which[2] = 1, 2
    found = nearest(Vectors([few[which]]), 1e-8, within=1e-3)
    assert found.distinct == 3
    assert np.array_equal(found.group, np.array([0, 1, 2])[which])
    assert found.squared[2] == 1.0
    assert not np.delete(found.squared, 2).any()
    counts = np.bincount(which)
    assert found.repeats[[0, 1, 2]].tolist() == [counts[0] - 1, counts[1] - 1, 0]
    assert found.repeats.sum() == sum(int(c) * (int(c) - 1) for c in counts)


def groups_of(vectors: Any, within: float) -> list[list[int]]:
    """Near copies, as a graph of all pairs in double precision has them."""
    own = np.asarray(vectors, np.float64)
    near = [{int(m) for m in np.flatnonzero(((own - one) ** 2).sum(1) <= within)} for one in own]
    found: list[set[int]] = []
    for members in near:
        joined = [group for group in found if group & members]
        found = [group for group in found if not group & members] + [members.union(*joined)]
    return sorted(sorted(group) for group in found)


@pytest.mark.parametrize(("held", "pairs"), [(7, 50), (65_536, 1 << 24)])
@pytest.mark.parametrize("within", [0.0, 1e-3, 0.02, 0.3, 9.0])
def test_near_copies_are_the_parts_of_a_graph(monkeypatch, held: int, pairs: int, within: float) -> None:
    """Whatever the blocks: chains of steps, copies to the bit, copies to the last bit."""
    monkeypatch.setattr(neighbours, "HELD", held)
    monkeypatch.setattr(neighbours, "PAIRS", pairs)
    draw = np.random.default_rng(8)
    centres = drawn(12, 6)[draw.integers(12, size=150)]
    steps = draw.choice([0.0, 1e-7, 0.01, 0.05], size=150)[:, None] * draw.normal(size=(150, 6))
    vectors = (centres + steps).astype(np.float32)
    found = nearest(Vectors([vectors[:70], vectors[70:]]), 1e-8, within=within)
    ours: dict[int, list[int]] = {}
    for row, group in enumerate(found.group):
        ours.setdefault(int(group), []).append(row)
    expected = groups_of(vectors, within)
    assert sorted(ours.values()) == expected
    assert within == 9.0 or 1 < len(expected) < 150
    assert nearest(Vectors([vectors]), 1e-8).group is None


def test_a_group_is_named_by_its_first_whatever_the_files(tmp_path: Path) -> None:
    row = {"kind": "neighbour", "of": "prompts", "space": "space"}
    study = a_study(d=row | {"within": 0.1}, s=row | {"within": 0.01, "metric": "squared"}, n=row)
    line = [[0, 0], [5, 5], [0.09, 0], [0.18, 0], [5, 5], [0.5, 0]]
    file = handmade(tmp_path / "vectors-0000.parquet", line, ["too_long: 9 tokens, and 4 are the limit"])
    found = in_space(study, "d", [file], tmp_path / "d.parquet")
    names = [f"{c}/{t}/{s}" for c, t, s in found.select("conversation_id", "turn", "sample").iter_rows()]
    assert found["group"].to_list() == [names[n] for n in (0, 1, 0, 0, 1, 5)] + [None]
    assert about_measure(tmp_path / "d.parquet")["groups"] == 3
    assert in_space(study, "s", [file], tmp_path / "s.parquet")["group"].equals(found["group"])
    assert "group" not in in_space(study, "n", [file], tmp_path / "n.parquet").columns


def test_equal_vectors_are_found_across_files_and_blocks() -> None:
    vectors = drawn(50)[np.arange(200) % 50]
    same = distinct(Vectors([vectors[:90], vectors[90:]]), block=33)
    assert same.first.tolist() == list(range(50))
    assert same.group.tolist() == [n % 50 for n in range(200)]
    assert set(same.count) == {4}


@pytest.mark.parametrize(("vectors", "distance", "repeats"), [([[1.0, 2.0]], [None], [0]), ([], [], [])])
def test_one_text_has_no_neighbour_and_no_text_no_rows(tmp_path: Path, vectors, distance, repeats) -> None:
    failures = ["no_response: the model did not answer"] if not vectors else []
    file = handmade(tmp_path / "vectors-0000.parquet", np.reshape(vectors, (-1, 2)), failures)
    study = a_study(d={"kind": "neighbour", "of": "prompts", "space": "space"})
    found = in_space(study, "d", [file], tmp_path / "d.parquet")
    assert found["distance"].to_list() == (distance or [None])
    assert found["repeats"].to_list() == (repeats or [None])


def test_an_approximate_search_says_its_recall_and_stops_where_it_is_poor(
    monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(neighbours, "FEW", 100)
    vectors = drawn(1500, 16)
    exact = brute(vectors)
    said: list[str] = []
    found = nearest(Vectors([vectors]), 1e-8, probes=4, sample=1500, say=said.append)
    right = np.isclose(np.sqrt(found.squared), exact, rtol=1e-6)
    assert found.recall == pytest.approx(right.mean(), abs=1e-9), "of all, so it is the share that is right"
    assert 0.2 < found.recall < 1
    assert (np.sqrt(found.squared) >= exact * (1 - 1e-6)).all(), "never nearer than the nearest"
    assert any(line.startswith("recall 0.") for line in said)
    file = handmade(tmp_path / "vectors-0000.parquet", vectors)
    row = {"kind": "neighbour", "of": "prompts", "space": "space", "search": "approximate", "probes": 1}
    with pytest.raises(
        DataError, match=r"found \d\d\.\d% of the nearest .* least_recall is 99\.0%: raise `probes` \(1\)"
    ):
        in_space(a_study(d=row | {"least_recall": 0.99}), "d", [file], tmp_path / "d.parquet")
    all_cells = row | {"probes": 10_000, "sample": 200}
    found_all = in_space(a_study(d=all_cells), "d", [file], tmp_path / "d.parquet")
    assert about_measure(tmp_path / "d.parquet")["recall"] == 1.0
    np.testing.assert_allclose(found_all["distance"].to_numpy(), exact, rtol=1e-6)


def test_vectors_that_are_not_the_tables_are_refused(tmp_path: Path) -> None:
    file = handmade(tmp_path / "vectors-0000.parquet", [[1, 0], [0, 1]])
    beside = vectors_file(file)
    assert len(read_space([file], "space", "prompts").vectors) == 2
    whole = beside.read_bytes()
    beside.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(
        DataError, match=r"not the vectors that vectors-0000.parquet speaks of; make both again"
    ):
        read_space([file], "space", "prompts")
    beside.unlink()
    with pytest.raises(DataError, match=r"vectors-0000.npy: no such file"):
        read_space([file], "space", "prompts")
