"""The facts taken from saved outputs of notebooks: as the notebooks have them, and what hangs on each."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from audit_evidence import PAPER, ROOT, printed, verdict_of

OUTPUTS = ROOT.parent / "shared/notes/notebook-outputs"
FACTS = {
    name: fact
    for name, fact in yaml.safe_load((PAPER / "facts.yaml").read_text(encoding="utf-8")).items()
    if name.startswith("notebook-")
}


def text_of(notebook: str, cell: int) -> str:
    """What a cell printed."""
    path = OUTPUTS / f"{notebook}.outputs.json"
    if not path.is_file():
        pytest.skip(f"needs the notebooks' outputs: {path} is not there")
    (found,) = [c for c in json.loads(path.read_text(encoding="utf-8")) if c["cell"] == cell]
    return "".join("".join(o["text"]) for o in found["outputs"] if o["output_type"] == "stream")


@pytest.mark.parametrize("name", FACTS)
def test_each_fact_stands_in_the_cell_that_it_names(name: str) -> None:
    value, source = str(FACTS[name]["value"]), FACTS[name]["source"]
    match = re.fullmatch(
        r"penfever/wildchat-50m at 297e4b9f, notebooks/(\w+)\.ipynb \(SHA-256 ([0-9a-f]{64})\), "
        r"output of cell (\d+)", source
    )  # fmt: skip
    assert match, source
    notebook, sha, cell = match[1], match[2], int(match[3])
    text = text_of(notebook, cell)
    assert sha in (OUTPUTS / "README.md").read_text(encoding="utf-8")
    if name.startswith("notebook-similarity-"):
        models = re.split(r"MODEL NUMBER: +\d+", text)[1:]
        dropped = [re.findall(r"failed for reference dataframe (\d+)", part) for part in models]
        assert {tuple(re.findall(r"\| (\d+)/(\d+) \[", part)) for part in models} == {(("500", "10002"),)}
        assert max(map(len, dropped)) == 1
        assert (
            value
            == {
                "models": str(len(models)),
                "prompts": "500",
                "failed": str(sum(map(len, dropped))),
                "references": str(len({n for part in dropped for n in part})),
            }[name.rpartition("-")[2]]
        )
    elif name.startswith("notebook-page-counts-"):
        counts = Counter({k: int(n) for k, n in re.findall(r"'(\w+)': (\d+)", text)})
        features = ("strong", "em", "ol", "ul", "h1", "h2", "h3", "h4", "p")
        length = text.splitlines()[-1]
        assert value == ", ".join(f"{f} {counts[f]}" for f in features) + f", average length {length}"
    else:
        label = {"l8b-l70": "llama", "l8b-q72": "qwen", "l70": "llama_70b", "q72": "qwen_72b"}
        assert f"score_{label[name.removeprefix('notebook-first-turns-')]}\n{value}\n" in text


EXPECTED = {
    "similarity-sample": (
        "contradicted",
        "500 responses; 26 models with 5 others and 27 models with 4 others",
    ),
    "table3-other-rows": ("reproduced_otherwise", "whole pages: 30 of 30 agree"),
    "table4-first-turns": ("contradicted", "L8B : L70 6.888 (printed 6.38)"),
}


@pytest.mark.parametrize("claim", EXPECTED)
def test_the_claims_are_decided(claim: str) -> None:
    outcome = verdict_of(claim, printed())
    assert (outcome.verdict, outcome.computed.startswith(EXPECTED[claim][1])) == (EXPECTED[claim][0], True)
    assert all("SHA-256" in f.source for f in outcome.evidence if f.place.startswith("notebook-"))
    assert any(f.place.startswith("notebook-") for f in outcome.evidence)


@pytest.mark.parametrize(
    ("claim", "old", "new", "verdict"),
    [
        ("similarity-sample", "failed:\n  value: 27", "failed:\n  value: 26", "contradicted"),
        ("table3-other-rows", "strong 406", "strong 405", "contradicted"),
        ("table4-first-turns", "value: 6.888", "value: 6.38", "contradicted"),
    ],
)
def test_another_number_gives_another_outcome(
    claim: str, old: str, new: str, verdict: str, tmp_path: Path
) -> None:
    text = (PAPER / "facts.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "facts.yaml").write_text(text.replace(old, new), encoding="utf-8")
    changed = verdict_of(claim, printed(facts=tmp_path / "facts.yaml"))
    assert changed.verdict == verdict
    assert changed.computed != verdict_of(claim, printed()).computed


def test_the_claims_hold_where_the_notebooks_say_so(tmp_path: Path) -> None:
    """The verdict that each would have, had the outputs said what the paper says."""
    text = (PAPER / "facts.yaml").read_text(encoding="utf-8")
    for old, new in {
        "value: 6.888": "value: 6.38", "value: 7.075": "value: 6.72", "value: 7.875": "value: 7.64",
        "value: 8.162": "value: 7.83",
        "references:\n  value: 5": "references:\n  value: 4", "failed:\n  value: 27": "failed:\n  value: 0",
    }.items():  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "facts.yaml").write_text(text, encoding="utf-8")
    for claim in ("similarity-sample", "table4-first-turns"):
        assert verdict_of(claim, printed(facts=tmp_path / "facts.yaml")).verdict == "reproduced"
