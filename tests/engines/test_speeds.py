"""Published speeds beside the roofline: `benchmarks/speeds.py`, and what docs/plan.md says of them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_what_the_roofline_explains(capsys: pytest.CaptureFixture[str]) -> None:
    """TensorRT-LLM on one GPU within a quarter, on several within a factor of two; the papers' not."""
    speeds = runpy.run_path(str(ROOT / "benchmarks/speeds.py"))
    rows = list(speeds["others"]())
    assert len(rows) == 29
    one = [row for row in rows if ", 1 " in row.what]
    assert len(one) == 11
    assert {row.verdict for row in one} == {"yes"}
    assert {row.verdict for row in rows} == {"yes", "roughly"}
    assert {row.verdict for row in speeds["papers"]() if "papers/" in row.source} == {"no"}
    for _, published, predicted in speeds["numbers_of_gpus"]():
        assert sorted(range(1, 4), key=published.__getitem__) == sorted(
            range(1, 4), key=predicted.__getitem__
        )
        assert published.index(max(published)) == predicted.index(max(predicted)) == 1, (
            "two GPUs, not the one"
        )
    speeds["main"]()
    page = (ROOT / "docs/plan.md").read_text()
    missing = [line for line in capsys.readouterr().out.splitlines() if line not in page]
    assert not missing, "docs/plan.md: its tables are older than benchmarks/speeds.py"
