"""Preference rates, and the words of judgments."""

from __future__ import annotations

import re
from math import comb
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control

from rewild.core.cells import COMPUTED_CELLS
from rewild.core.errors import DataError
from rewild.core.plotting import style
from rewild.core.table import read_table
from rewild.evaluation.judgments import schema
from rewild.evaluation.judgments.preferences import checks, preferences, read_judgments, table4_cells
from rewild.evaluation.judgments.words import STOP_WORDS, benjamini_hochberg, compare, mcnemar, named, terms
from rewild.measures.style.markup import Styling
from rewild.measures.style.pages import Page
from rewild.papers.wildchat50m import words as figures

HEADER = "judgment_qwen,score_qwen,question_id,judgment_llama,score_llama"


def pages(*scores: float) -> list[Page]:
    return [Page(81 + i, s, "", Styling(), {}) for i, s in enumerate(scores)]


def paired(*rows: tuple[int, float, float]) -> pl.DataFrame:
    """Question, score of Qwen, score of Llama."""
    return pl.DataFrame(
        [("q", q, i, "l", s) for i, q, s in rows], schema=schema.JUDGMENTS.dtypes, orient="row"
    )


def test_rates_by_hand() -> None:
    """Four questions: Qwen wins two, Llama one; on the fourth, which is not in the file, they tie."""
    file, judged = paired((81, 9, 7), (82, 8, 5), (83, 2, 3)), pages(9, 6, 1, 5)
    rates = schema.PREFERENCES.check(
        preferences(file, judged, {("Q72 : None", "PrefRt-L8Q"): 70.0}), "preferences"
    )
    assert rates.height == 12
    row = {(r["model"], r["over"]): r for r in rates.iter_rows(named=True)}
    qwen = row["L8B : Q72", "L8B : L70"]
    assert [qwen[k] for k in ("wins", "losses", "ties", "unknown", "rate")] == [2, 1, 1, 0, 50.0]
    assert row["L8B : L70", "L8B : Q72"]["rate"] == 25.0
    # Q72 : None against L8B : Q72: a tie, a loss, a loss, and one question open.
    third = row["Q72 : None", "L8B : Q72"]
    assert [third[k] for k in ("wins", "losses", "ties", "unknown")] == [0, 2, 1, 1]
    assert (third["low"], third["high"], third["rate"]) == (0.0, 25.0, None)
    assert third["allowed"] is False
    assert row["L70 : None", "L8B : L70"]["wins"] is None
    cells = COMPUTED_CELLS.check(table4_cells(rates), "cells")
    known = cells.filter(pl.col("value").is_not_null())
    assert known.select("row", "column", "value").rows() == [
        ("L8B : L70", "PrefRt-L8Q", 25.0),
        ("L8B : Q72", "PrefRt-L8L", 50.0),
    ]
    assert "between 0 and 25" in cells.filter(row="Q72 : None", column="PrefRt-L8Q")["note"].item()


scores = st.integers(1, 10).map(float)


@given(st.lists(st.tuples(scores, scores, scores), min_size=1, max_size=30))
def test_rates_hold_for_any_scores(rows: list[tuple[float, float, float]]) -> None:
    """What can be known of all scores, and the bounds that the released part of them gives."""
    total = len(rows)
    file = paired(*((81 + i, q, s) for i, (q, s, _) in enumerate(rows) if q != s))
    assume(not file.is_empty())  # an empty file is refused when it is read
    rates = preferences(file, pages(*(t for *_, t in rows)), {})
    row = {(r["model"], r["over"]): r for r in rates.iter_rows(named=True)}
    truth = {
        ("L8B : Q72", "L8B : L70"): sum(q > s for q, s, _ in rows),
        ("L8B : L70", "L8B : Q72"): sum(s > q for q, s, _ in rows),
        ("Q72 : None", "L8B : Q72"): sum(t > q for q, _, t in rows),
        ("Q72 : None", "L8B : L70"): sum(t > s for _, s, t in rows),
        ("L8B : Q72", "Q72 : None"): sum(q > t for q, _, t in rows),
    }
    for pair, wins in truth.items():
        found = row[pair]
        assert found["low"] - 1e-9 <= 100 * wins / total <= found["high"] + 1e-9
        assert found["wins"] + found["losses"] + found["ties"] + found["unknown"] == total
        if found["rate"] is not None:
            assert found["rate"] == pytest.approx(100 * wins / total)
    # The difference of a third model's two rates is determined, whatever the open questions are.
    published = {
        ("Q72 : None", "PrefRt-L8L"): 100 * truth["Q72 : None", "L8B : L70"] / total,
        ("Q72 : None", "PrefRt-L8Q"): 100 * truth["Q72 : None", "L8B : Q72"] / total,
    }
    found = checks(file, pages(*(t for *_, t in rows)), published)
    assert found.height == 1  # type: ignore[attr-defined]
    assert found["agrees"].item()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER}\na,9,81,b,7\n,8,82,b,7\n", "row 2, column 'judgment_qwen': the value is missing"),
        (f'{HEADER}\na,9,81," ",7\n', "row 1, column 'judgment_llama': the judgment is empty"),
        (f"{HEADER}\na,9,81,b,70\n", "row 1, column 'score_llama': 70 is not a score from 1 to 10"),
        (f"{HEADER}\na,NaN,81,b,7\n", "row 1, column 'score_qwen': not a number (NaN)"),
        (f"{HEADER}\na,nine,81,b,7\n", "row 1, column 'score_qwen': 'nine' is not of type Float64"),
        (f"{HEADER}\na,9,81,b,7\na,9,81,b,7\n", "this paired judgments row stands twice (question_id=81)"),
        (f"{HEADER}\n", "has no rows"),
        ("judgment,score\na,1\n", "column 'judgment_qwen' is missing"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "combined_preferences.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_judgments(path)
    assert str(path) in str(error.value)


def test_a_question_without_a_page_is_named() -> None:
    with pytest.raises(DataError, match="question 99 has paired judgments, but no judged page"):
        preferences(paired((99, 1, 2)), pages(5), {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is clear.", {("answer", False), ("clear", False)}),
        ("It is not clear", {("clear", True)}),
        ("It is not entirely clear", {("clear", True)}),
        ("It isn't clear, but detailed", {("clear", True), ("detailed", False)}),
        ("It isn’t clear", {("clear", True)}),
        ("not only clear but also concise", {("clear", False), ("concise", False)}),
        ("No, it is clear", {("clear", False)}),
        ("It did not provide depth", {("provide", True), ("depth", False)}),
        ("clear and not clear. Clear, CLEAR", {("clear", False), ("clear", True)}),
        ("without errors or gaps", {("errors", True), ("gaps", False)}),
        ("It lacks detail", {("lacks", False), ("detail", False)}),
        (
            "well-structured user's naïve 面白い 42",
            {(w, False) for w in ("well-structured", "user", "naïve", "面白い")},
        ),
        ("Good.\n\nRating: [[8]]", {("good", False)}),
        ("Let's see a few", {("see", False), ("few", False)}),
        ("", set()),
    ],
)
def test_words_once_and_negations_apart(text: str, expected: set[tuple[str, bool]]) -> None:
    assert terms(text) == expected


def test_the_words_that_the_paper_names_are_not_stop_words(root: Path) -> None:
    claims = read_table(root / "workflow/rewild/papers/wildchat50m/data/named_words.csv", schema.NAMED)
    assert STOP_WORDS.isdisjoint(claims["word"].to_list())


def test_comparison_by_hand() -> None:
    llama = ["unclear unclear", "unclear", "lacks", "unclear clear"]
    qwen = ["clear", "clear unclear", "clear", "clear"]
    found, every = compare(llama, qwen, minimum=3)
    found = schema.WORDS.check(found, "words")
    assert found.drop("q").rows() == [
        ("clear", False, 1, 4, 0, 3, -3, 0.25),
        ("unclear", False, 3, 1, 2, 0, 2, 0.5),
    ]
    assert found["q"].to_list() == [0.5, 0.5]
    assert every["lacks", False] == (0, 1, 0)
    claims = pl.DataFrame(
        {"word": ["lacks", "clear", "absent"], "model": ["L", "L", "Q"], "place": ["x", "x", "x"]}
    )
    tested = schema.NAMED_TESTED.check(named(claims, every, "L"), "named")
    assert tested["borne_out"].to_list() == [True, False, False]
    assert tested["n_llama"].to_list() == [1, 1, 0]


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(a: int, b: int) -> None:
    expected = binomtest(a, a + b, 0.5).pvalue if a + b else 1.0
    assert mcnemar(a, b) == pytest.approx(expected, rel=1e-9)
    assert comb(a + b, a) > 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjustment_is_that_of_benjamini_and_hochberg(p: list[float]) -> None:
    assert benjamini_hochberg(p) == pytest.approx(list(false_discovery_control(p)))


def words_frame() -> pl.DataFrame:
    rows = [
        ("areas", False, 9, 1),
        ("clear", True, 5, 2),
        ("appropriate", False, 1, 8),
        ("same", False, 3, 3),
    ]
    names = ["word", "negated", "n_llama", "n_qwen", "only_llama", "only_qwen", "difference", "p", "q"]
    data = [(w, n, a, b, a, b, a - b, mcnemar(a, b), 1.0) for w, n, a, b in rows]
    return pl.DataFrame(
        data, schema=dict(zip(names, schema.WORDS.dtypes.values(), strict=True)), orient="row"
    )


def texts(figure) -> set[str]:  # type: ignore[no-untyped-def]
    return {t.get_text() for t in figure.findobj(lambda o: hasattr(o, "get_text")) if t.get_text()}


def test_a_cloud_holds_the_words_of_its_side_within_the_page() -> None:
    with style():
        drawn = figures.cloud(words_frame(), "figure3", 40, 50)
        found = {t.get_text(): t for t in drawn.axes[0].texts}
        assert set(found) == {"areas", "not clear"}
        drawn.canvas.draw()
        width, height = drawn.bbox.width, drawn.bbox.height
        boxes = [t.get_window_extent() for t in found.values()]
        assert all(b.x0 > -2 and b.x1 < width + 2 and b.y0 > -9 and b.y1 < height + 2 for b in boxes)
        assert not boxes[0].overlaps(boxes[1])
        assert found["areas"].get_fontsize() > found["not clear"].get_fontsize()
        assert found["areas"].get_color() != found["not clear"].get_color()


def test_bars_show_the_counts() -> None:
    with style():
        drawn = figures.bars(words_frame(), "figure4")
    axes = drawn.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["appropriate *"]
    assert [p.get_width() for p in axes.patches] == [8, 1]  # type: ignore[attr-defined]
    assert {"8", "1"} <= texts(drawn)


@pytest.mark.heavy
def test_figures_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for figure in ("figure3", "figure3-bars"):
            figures.draw(words_frame(), figure, tmp_path / name / figure, 40, 50)
    first = sorted((tmp_path / "a").iterdir())
    assert [p.name for p in first] == sorted(
        f"figure3{form}.{s}" for form in ("", "-bars") for s in ("svg", "pdf", "png")
    )
    for path in first:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_a_side_without_words_is_an_error() -> None:
    with pytest.raises(DataError, match="figure4: no word is more common in the judgments of L8B : Q72"):
        figures.side(words_frame().filter(pl.col("difference") >= 0), "figure4")


@pytest.mark.mirror
def test_table_4_and_the_words_from_the_released_files(
    mirror: Path, root: Path, tmp_path: Path, rewild
) -> None:
    folder = next(mirror.glob("penfever/wildchat-50m/*"))
    judgments = folder / "tables/combined_preferences.csv"
    judged = sorted(folder.glob("model_responses/judged/*/*.html"))
    run = rewild(
        root,
        "preferences",
        judgments,
        *judged,
        "--published=workflow/rewild/papers/wildchat50m/data/table4.csv",
        f"--out={tmp_path}",
    )
    assert run.returncode == 0, run.stdout
    given = [f"judgments={judgments}", *(f"pages={page}" for page in judged)]
    run = rewild(
        root, "cells", "wildchat50m", "table4", "released", *given, f"--out={tmp_path / 'table4.csv'}"
    )
    assert run.returncode == 0, run.stdout
    cells = read_table(tmp_path / "table4.csv", COMPUTED_CELLS).filter(pl.col("value").is_not_null())
    assert cells.select("row", "column", "value").rows() == [
        ("L8B : L70", "PrefRt-L8Q", 22.5),
        ("L8B : Q72", "PrefRt-L8L", 40.0),
    ]
    rates = read_table(tmp_path / "preferences.csv", schema.PREFERENCES)
    bounded = rates.filter(pl.col("unknown") == 30)
    assert bounded.select("wins", "losses", "ties").rows() == [
        (9, 37, 4),
        (8, 23, 19),
        (37, 9, 4),
        (23, 8, 19),
    ]
    assert bounded["allowed"].all()
    found = read_table(tmp_path / "checks.csv", schema.CHECKS)
    assert found["computed"].to_list() == pytest.approx([17.5, 1.25, 0.1875, 8.1625, 6.96, 6.66])
    assert found["agrees"].to_list() == [True, True, False, False, False, False]

    run = rewild(
        root,
        "words",
        judgments,
        "--named=workflow/rewild/papers/wildchat50m/data/named_words.csv",
        f"--out={tmp_path}",
        "--minimum=3",
    )
    assert run.returncode == 0, run.stdout
    words = read_table(tmp_path / "words.csv", schema.WORDS)
    counts = {
        (w, n): (a, b) for w, n, a, b in words.select("word", "negated", "n_llama", "n_qwen").iter_rows()
    }
    # Counted by hand in the file; of the five of L8B : L70 that hold "appropriate", one says "not".
    assert counts["clearer", False] == (11, 3)
    assert counts["appropriate", False] == (4, 14)
    assert counts["misleading", False] == (11, 5)
    assert words["q"].min() > 0.5  # no single word survives adjustment
    tested = read_table(tmp_path / "named_words.csv", schema.NAMED_TESTED)
    assert tested["borne_out"].all()
    assert set(tested.filter("significant")["word"]) == {"appropriate", "clearer", "accurate"}
