"""The section `prompts` of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rewild.config.base import validate
from rewild.config.prompts import Hub, Prompts, hub_file, input_files, shard_names
from rewild.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
HUB = {"kind": "hub", "repository": "allenai/WildChat-1M", "revision": "0" * 40}
DEMO = {"kind": "demo"}
FILES = {"kind": "files", "name": "a", "files": ["x"]}


def section(**more: Any) -> Prompts:
    return validate(Prompts, {"sources": [DEMO]} | more, "study x")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"sources": [{"kind": "demoo"}]},
            r"sources\.0\.kind: 'demoo' is not one of .*; did you mean 'demo'\?",
        ),
        ({"sources": [{}]}, r"the key 'sources\.0\.kind' is missing"),
        ({"sources": []}, "sources: list should have at least 1 item"),
        (
            {"sources": [{"kind": "hub", "repository": "a/b"}]},
            r"the key 'sources\.0\.hub\.revision' is missing",
        ),
        ({"sources": [HUB | {"revision": "main"}]}, r"sources\.0\.hub\.revision: .* \(it is 'main'\)"),
        ({"sources": [HUB | {"revison": "x"}]}, r"'sources\.0\.hub\.revison'; did you mean 'revision'\?"),
        # The kind is called as one of its keys is.
        ({"sources": [FILES | {"fles": []}]}, r"files\.fles'; did you mean 'files'\?"),
        ({"sources": [FILES | {"langage": "x"}]}, r"files\.langage'; did you mean 'language'\?"),
        ({"sources": [DEMO, DEMO]}, "two sources are named 'demo'; give one of them another `name`"),
        ({"drop": ["toxc"]}, r"drop\.0: 'toxc' is not one of .*; did you mean 'toxic'\?"),
        ({"duplicates": "first_message"}, r"duplicates: .*; did you mean 'first-message'\?"),
        ({"turns": {"min": 3, "max": 2}}, "turns: the maximum 2 is under the minimum 3"),
        ({"shards": 0}, "shards: input should be greater than or equal to 1"),
        ({"langauges": ["English"]}, r"unknown key 'langauges'; did you mean 'languages'\?"),
    ],
)
def test_mistakes_are_named_with_the_nearest_match(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^study x: .*{message}"):
        section(**given)


def test_shards_are_known_from_the_settings() -> None:
    assert shard_names(section(shards=3)) == ["0000", "0001", "0002"]


def test_inputs_are_files_patterns_collections_and_hub_copies(tmp_path: Path) -> None:
    (tmp_path / "resources/released").mkdir(parents=True)
    manifest = (ROOT / "resources/released/files.csv").read_text()
    (tmp_path / "resources/released/files.csv").write_text(manifest)
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / name).touch()
    prompts = section(
        sources=[
            HUB,
            {"kind": "wildchat-file", "name": "mine", "files": ["*.jsonl"]},
            {"kind": "mt-bench"},
            DEMO,
        ],
        contamination={"files": ["released:math500", "released:mt-bench/question.jsonl", "c.txt"]},
    )
    files = input_files(prompts, tmp_path)
    names = [Path(f).name for f in files]
    assert sorted(names) == [
        "a.jsonl",
        "b.jsonl",
        "c.txt",
        "demo.jsonl",
        "math500.jsonl",
        "question.jsonl",
        "train.parquet",
    ]
    hub = prompts.sources[0]
    assert isinstance(hub, Hub)
    assert hub_file(hub) == f"results/downloads/hub/allenai/WildChat-1M/{'0' * 40}/train.parquet"
    assert all(not Path(f).is_absolute() for f in files)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("released:mtbench", r"no collection 'mtbench' in .*; did you mean 'mt-bench'\?"),
        ("released:mt-bench/none", "no file of the collection 'mt-bench' ends in 'none'"),
        ("none/*.json", r"no file matches the pattern 'none/\*\.json'"),
    ],
)
def test_names_that_match_nothing(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        input_files(section(contamination={"files": [name]}), ROOT)
