"""Blocks and their merge: what is compared, that nothing is lost, and what bad files lead to."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rewild.config.base import validate
from rewild.config.similarity import Diversity, Similarity
from rewild.core.cells import COMPUTED_CELLS
from rewild.core.errors import ConfigError, DataError
from rewild.core.table import provenance, read_table, write_table
from rewild.measures.similarity.block import Draw, block_of, score_block
from rewild.measures.similarity.figures import draw
from rewild.measures.similarity.merge import merge_blocks, merge_coverage
from rewild.measures.similarity.pairs import Settings, score_items
from rewild.measures.similarity.read import drawn, read_responses, response_files
from rewild.measures.similarity.schema import AGREEMENT, COVERAGE, MATRIX, PAIRS, PER_RESPONSE, SUMMARY
from rewild.measures.similarity.summary import Options
from similarity_oracles import WORDS, make_dictionary

NO_SYNONYMS = Settings(None)


def responses(folder: Path, models: int = 4, conversations: int = 12, seed: int = 1) -> list[Path]:
    """Made-up responses: one table per model, two turns, some failures and gaps."""
    chance = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for m in range(models):
        rows = []
        for c in range(conversations):
            for turn in (0, 1):
                if m == 1 and c == 3:
                    continue  # this model was never asked
                text = " ".join(chance.choice(WORDS, 15))
                failed = (m == 2 and c % 5 == 0) or (c == 7 and m > 0)
                rows.append((f"{c:04x}", turn, f"model-{m}", None if failed else text))
        frame = pl.DataFrame(
            rows,
            schema={
                "conversation_id": pl.String,
                "turn": pl.Int16,
                "model": pl.String,
                "response": pl.String,
            },
            orient="row",
        )
        paths.append(folder / f"model-{m}.parquet")
        frame.sample(fraction=1, shuffle=True, seed=m).write_parquet(paths[-1])
    return paths


def test_pairs_hold_the_scores_of_their_texts(tmp_path: Path) -> None:
    paths = responses(tmp_path)
    place = make_dictionary(tmp_path / "wordnet")
    pairs, coverage = score_block(paths, Settings(place), Draw())
    texts = {r[:3]: r[3] for p in paths for r in pl.read_parquet(p).iter_rows() if r[3] is not None}
    turns = {key[:2] for key in texts}
    expected = {
        (c, t, m, r) for c, t in turns for m, r in permutations([k[2] for k in texts if k[:2] == (c, t)], 2)
    }
    assert set(pairs.select("conversation_id", "turn", "model", "reference").iter_rows()) == expected
    for row in pairs.sample(40, seed=1).iter_rows(named=True):
        item = [texts[row["conversation_id"], row["turn"], row[who]] for who in ("model", "reference")]
        (scores,) = score_items([item], Settings(place))
        for name in ("rouge1", "rouge2", "rougeL", "meteor", "bleu", "seen_rouge", "seen_words"):
            assert row[name] == pytest.approx(scores[name][0, 1], abs=1e-7), name
        assert row["meteor_nosyn"] is None
        assert row["rouge1_unicode"] is None
    assert coverage.filter(pl.col("model") == "model-2").row(0) == ("model-2", 24, 16, 8, 0, 0)
    assert coverage.filter(pl.col("model") == "model-0").row(0) == ("model-0", 24, 22, 0, 2, 0)
    assert PAIRS.check(pairs, "pairs").height == pairs.height


@pytest.mark.parametrize("blocks", [2, 5, 30])
def test_blocks_make_up_the_whole(tmp_path: Path, blocks: int) -> None:
    paths = responses(tmp_path)
    settings, draw = Settings(None, ("parity", "unicode")), Draw(seed=3, prompts=9)
    whole, counted = score_block(paths, settings, draw)
    parts = [score_block(paths, settings, draw, block=b, blocks=blocks) for b in range(blocks)]
    assert pl.concat([p for p, _ in parts]).equals(whole)
    files = []
    for b, (_, coverage) in enumerate(parts):
        files.append(tmp_path / f"{b}.csv")
        write_table(files[-1], coverage, COVERAGE, {})
    assert merge_coverage(files).equals(counted)
    assert counted["not_drawn"].sum() == 6 * 4


def test_merge_of_blocks_equals_merge_of_the_whole_and_is_deterministic(tmp_path: Path) -> None:
    paths = responses(tmp_path / "in")
    read = []
    for blocks in (1, 3):
        folder = tmp_path / str(blocks)
        files = []
        for b in range(blocks):
            files.append(folder / f"blocks/{b:04d}.parquet")
            pairs, coverage = score_block(
                paths, NO_SYNONYMS, Draw(), block=b, blocks=blocks, processes=1 + b % 2
            )
            write_table(files[-1], pairs, PAIRS, {})
            write_table(files[-1].with_suffix(".csv"), coverage, COVERAGE, {})
        merge_blocks(files, folder, Options(resamples=100), {"model-1": "Model One"})
        names = ("summary.csv", "matrix.csv", "agreement.csv", "coverage.csv", "table5_sampled.csv")
        read.append([(folder / name).read_bytes() for name in names])
        tables = [("summary.csv", SUMMARY), ("matrix.csv", MATRIX), ("agreement.csv", AGREEMENT)]
        for name, schema in [*tables, ("responses.parquet", PER_RESPONSE), ("coverage.csv", COVERAGE)]:
            assert read_table(folder / name, schema).height > 0
        cells = read_table(folder / "table5_all_pairs.csv", COMPUTED_CELLS)
        meteor = cells.filter(pl.col("row") == "Model One", pl.col("column") == "avg_meteor").row(
            0, named=True
        )
        assert meteor["value"] is None
        assert "meteor_nosyn" in meteor["note"]
        assert cells.filter(pl.col("column") == "avg_rouge1", pl.col("value").is_null()).is_empty()
    assert read[0] == read[1]


def test_overlapping_blocks_are_refused(tmp_path: Path) -> None:
    pairs, coverage = score_block(responses(tmp_path), NO_SYNONYMS, Draw())
    files = [tmp_path / "0000.parquet", tmp_path / "0001.parquet"]
    for file in files:
        write_table(file, pairs, PAIRS, {})
        write_table(file.with_suffix(".csv"), coverage, COVERAGE, {})
    with pytest.raises(DataError, match="two blocks hold scores of the same pair"):
        merge_blocks(files, tmp_path / "out", Options(), {})
    assert not (tmp_path / "out").exists()


def test_draws() -> None:
    ids = [f"{i:04x}" for i in range(100)]
    ten = drawn(ids, 50, 10)
    assert len(ten) == 10
    assert drawn(ids[::-1], 50, 10) == ten
    assert drawn(ids, 51, 10) != ten
    assert ten < drawn(ids, 50, 11)
    assert drawn(ids, 50, None) == drawn(ids, 50, 1000) == set(ids)
    assert [x for b in range(7) for x in block_of(ids[::-1], b, 7)] == ids
    with pytest.raises(ConfigError, match="no block 7 of 7"):
        block_of(ids, 7, 7)


def test_first_turn_only(tmp_path: Path) -> None:
    pairs, coverage = score_block(responses(tmp_path), NO_SYNONYMS, Draw(first_turn=True))
    assert pairs["turn"].unique().to_list() == [0]
    assert coverage["not_drawn"].to_list() == [12, 11, 12, 12]


def test_one_model_is_not_enough(tmp_path: Path) -> None:
    (path,) = responses(tmp_path, models=1)
    with pytest.raises(
        DataError, match=r"no turn is answered by two models \(models: model-0; answers: 24 of 24 rows\)"
    ):
        score_block([path], NO_SYNONYMS, Draw())


def test_no_rows(tmp_path: Path) -> None:
    (path,) = responses(tmp_path, models=1)
    pl.read_parquet(path).clear().write_parquet(path)
    with pytest.raises(DataError, match=r"model-0.parquet: there are no responses to compare"):
        score_block([path], NO_SYNONYMS, Draw())


def test_all_failed(tmp_path: Path) -> None:
    paths = responses(tmp_path, models=2)
    for path in paths:
        pl.read_parquet(path).with_columns(pl.lit(None, pl.String).alias("response")).write_parquet(path)
    with pytest.raises(DataError, match="answers: 0 of 46 rows"):
        score_block(paths, NO_SYNONYMS, Draw())


def test_a_row_that_stands_twice_is_named(tmp_path: Path) -> None:
    paths = responses(tmp_path, models=2)
    again = pl.read_parquet(paths[0]).head(1)
    again.write_parquet(tmp_path / "more.parquet")
    with pytest.raises(
        DataError, match=r"more.parquet, row 1: model model-0 answers turn .* a second time \(first in .*"
    ):
        read_responses([paths[0], tmp_path / "more.parquet"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.drop("response"),
            r"column 'response' is missing \(it has: conversation_id, turn, model\)",
        ),
        (lambda f: f.with_columns(pl.lit("two").alias("turn")), "row 1, column 'turn': 'two' is not Int16"),
        (
            lambda f: f.with_columns(pl.lit(None, pl.String).alias("model")),
            "row 1, column 'model': None is not String",
        ),
    ],
)
def test_bad_tables_are_named(tmp_path: Path, change, message: str) -> None:
    (path,) = responses(tmp_path, models=1)
    change(pl.read_parquet(path)).write_parquet(path)
    with pytest.raises(DataError, match=f"model-0.parquet.*{message}"):
        read_responses([path])


def test_files_that_are_not_there_or_no_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.parquet: no such file"):
        response_files([tmp_path / "gone.parquet"])
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(DataError, match=r"text.parquet: cannot be read as a table of responses"):
        read_responses([tmp_path / "text.parquet"])
    (tmp_path / "manifest.json").write_text('{"shard": 1}')
    with pytest.raises(DataError, match=r"manifest.json: not a manifest of responses"):
        response_files([tmp_path / "manifest.json"])


def test_manifests_stand_for_their_shards(tmp_path: Path) -> None:
    (path,) = responses(tmp_path, models=1)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"shards": [{"shard": "model-0"}]}))
    assert response_files([manifest]) == [path]


def test_optional_columns(tmp_path: Path) -> None:
    (path,) = responses(tmp_path, models=1)
    rows = read_responses([path], more=("prompt", "output_tokens"))
    assert rows["prompt"].null_count() == rows.height
    assert rows.schema["output_tokens"] == pl.Int64


def test_the_command_line(tmp_path: Path, rewild) -> None:
    paths = responses(tmp_path / "in")
    out = tmp_path / "out"
    first, second = (out / f"blocks/{b}.parquet" for b in ("0000", "0001"))
    run = rewild(tmp_path, "similarity", *paths, "--out", first, "--wordnet", tmp_path / "none")
    assert run.returncode == 1
    assert "WordNet is not here" in run.stdout
    assert "Traceback" not in run.stdout
    assert not first.parent.exists()
    for block, path in (("0000", first), ("0001", second)):
        where = ["--out", path, "--block", block, "--blocks", "2", "--unicode", "--no-synonyms"]
        run = rewild(tmp_path, "similarity", *paths, *where)
        assert run.returncode == 0, run.stdout
    config = ["--config", Path(__file__).resolve().parents[2] / "config"]
    run = rewild(tmp_path, "merge-similarity", first, second, "--out", out, "--resamples", "100", *config)
    assert run.returncode == 0, run.stdout
    figure = ["--metric", "bleu_unicode", "--out", out / "figures"]
    run = rewild(tmp_path, "plot-similarity", out, *figure, *config)
    assert run.returncode == 0, run.stdout
    assert {p.name for p in (out / "figures").glob("*.svg")} == {
        f"{kind}_bleu_unicode.svg" for kind in ("heatmap", "distribution", "size")
    }
    assert (out / "figures/heatmap_bleu_unicode.svg").read_text().count("<path") > 10
    with pytest.raises(DataError, match="the metric meteor was not computed"):
        draw(out, "heatmap", "meteor", {}, {})
    for kind in ("distribution", "size"):
        assert draw(out, kind, "meteor_nosyn", {}, {}).axes
    about = pl.read_parquet_metadata(first)["rewild"]
    assert set(json.loads(about)["provenance"]["inputs"]) == {p.name for p in paths}


def test_settings_become_arguments() -> None:
    plain = validate(Similarity, {}, "here")
    assert plain.block_arguments(50) == "--blocks=4 --seed=50 --unicode"
    assert plain.metrics()[:5] == ["rouge1", "rouge2", "rougeL", "meteor", "bleu"]
    assert plain.block_names() == ["0000", "0001", "0002", "0003"]
    given = {
        "blocks": 1,
        "prompts": 5,
        "turns": "first",
        "tokenisers": ["parity"],
        "synonyms": False,
        "wordnet": "a b",
    }
    other = validate(Similarity, given, "here")
    assert other.block_arguments(1) == ("--blocks=1 --seed=1 --prompts=5 --first-turn --no-synonyms")
    assert other.metrics() == ["rouge1", "rouge2", "rougeL", "meteor_nosyn", "bleu"]
    assert len(other.figures()) == 15
    perhaps = validate(Similarity, {"synonyms": "if_available"}, "here")
    assert perhaps.metrics() == plain.metrics()
    assert (plain.wordnet_arguments(), perhaps.wordnet_arguments()) == ("", "--optional")
    assert perhaps.figure_arguments("meteor_unicode") == "--instead=meteor_nosyn_unicode"
    assert plain.figure_arguments("meteor") == perhaps.figure_arguments("bleu") == ""
    with pytest.raises(ConfigError, match="if_available"):
        validate(Similarity, {"synonyms": "maybe"}, "here")
    assert (
        plain.summary_arguments(7)
        == "--seed=7 --responses=500 --references=4 --interval=bootstrap --resamples=1000"
    )
    assert (
        validate(Diversity, {"languages": False}, "x").arguments(2)
        == "--seed=2 --window=2000 --resamples=1000 --no-languages"
    )
    with pytest.raises(ConfigError, match="tokenisers: must hold parity"):
        validate(Similarity, {"tokenisers": ["unicode"]}, "here")
    with pytest.raises(ConfigError, match="did you mean 'blocks'"):
        validate(Similarity, {"block": 3}, "here")


def test_provenance_does_not_hold_paths(tmp_path: Path) -> None:
    paths = responses(tmp_path)
    assert str(tmp_path) not in json.dumps(provenance(paths, seed=1))
