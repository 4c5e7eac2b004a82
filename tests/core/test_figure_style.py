"""Figures are the same bytes wherever and whenever they are made, and nothing half-written is left."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

from rewild.core.plotting import COLOURS, COLUMN, FORMATS, LINES, MARKERS, look, new_figure, save, style

SCRIPT = """
import sys
from rewild.core.plotting import *
with style():
    figure = new_figure(COLUMN, 2)
    axes = figure.subplots()
    for i in range(7):
        axes.plot([0, 1, 2], [i, i + 1, i * i], label=f"series {i} – äß", **look(i))
    axes.fill_between([0, 1], [0, 1], [2, 3], hatch="//", alpha=0.2)
    axes.legend()
    save(figure, sys.argv[1], title="test")
"""


def _digests(folder: Path, env: dict[str, str]) -> dict[str, str]:
    subprocess.run([sys.executable, "-c", SCRIPT, str(folder / "f")], check=True, env=env)
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.mark.heavy
def test_two_processes_write_the_same_bytes_whatever_the_users_settings(tmp_path: Path) -> None:
    import os

    env = {**os.environ, "PYTHONPATH": "workflow"}
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nfont.family: monospace\nsavefig.dpi: 50\n")
    first = _digests(_mkdir(tmp_path / "a"), {**env, "PYTHONHASHSEED": "1"})
    second = _digests(
        _mkdir(tmp_path / "b"),
        {**env, "PYTHONHASHSEED": "2", "SOURCE_DATE_EPOCH": "86400", "MATPLOTLIBRC": str(tmp_path)},
    )
    assert sorted(first) == ["f.pdf", "f.png", "f.svg"]
    assert first == second


def _mkdir(path: Path) -> Path:
    path.mkdir()
    return path


def test_files_are_of_the_printed_size_with_fonts_embedded(tmp_path: Path) -> None:
    with style():
        figure = new_figure(COLUMN, 2)
        figure.subplots().set_title("x")
        svg, pdf, png = save(figure, tmp_path / "sub" / "f.x")
    assert (svg.name, pdf.name, png.name) == ("f.x.svg", "f.x.pdf", "f.x.png")
    assert int.from_bytes(png.read_bytes()[16:20], "big") == round(COLUMN * 300)
    assert b"FontFile2" in pdf.read_bytes()
    assert b"CreationDate" not in pdf.read_bytes()
    assert 'width="237.6pt"' in svg.read_text()
    assert "<dc:date>" not in svg.read_text()


def test_a_failing_save_leaves_nothing(tmp_path: Path) -> None:
    with style():
        figure = new_figure()
        figure.subplots().set_title("$\\nosuchcommand$", parse_math=True)
        with pytest.raises(ValueError, match="nosuchcommand"):
            save(figure, tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_style_is_undone() -> None:
    before = dict(mpl.rcParams)
    with style():
        assert mpl.rcParams["font.size"] == 7.5
    assert dict(mpl.rcParams) == before


def test_looks_differ_in_colour_marker_and_line() -> None:
    assert len(set(COLOURS)) == len(set(MARKERS)) == len(set(LINES)) == 7
    assert look(1, linestyle="none") == {"color": "#D55E00", "marker": "s", "linestyle": "none"}
    assert FORMATS == ("svg", "pdf", "png")
