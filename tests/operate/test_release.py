"""A release of a study: what is in it, its cards, its gates, and the way back."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml

from release_data import MODEL, OTHER, ROOT, bytes_of, case_of, write_results
from rewild.config import load_models, load_study
from rewild.config.base import validate
from rewild.config.imports import ReleasedResponses, imported
from rewild.config.prompts import Hub, Prompts, hub_file
from rewild.core.errors import ConfigError, DataError, RewildError
from rewild.core.fetch import read_manifest
from rewild.core.files import sha256, write_json
from rewild.core.table import write_table
from rewild.generation.schema import RESPONSES, scan
from rewild.operate.environments import hand_over
from rewild.operate.licences import covered, find_licence, load_licences
from rewild.operate.release.cards import licence_data
from rewild.operate.release.make import judge_gates, make_release, read_found, refuse_closed
from rewild.operate.release.push import check_names
from rewild.operate.release.scan import Found, control_tokens
from rewild.operate.release.terms import Ledger, Part, Terms
from rewild.operate.release.units import Case
from rewild.prompts.hub import write_batches
from rewild.prompts.prepare import prepare
from rewild.responses.imports.write import import_source, merge_manifests


def make(case: Case) -> tuple[dict[str, Any], Path]:
    folder = case.folder / "release"
    return make_release(case, folder, lambda: control_tokens, lambda line: None), folder


def gates(case: Case, *agreed: str, accept: tuple[str, ...] = ()) -> dict[str, list[str]]:
    made, folder = make(case)
    found = judge_gates(made, read_found(folder), agreed, accept)
    return {gate.name: list(gate.faults) for gate in found if not gate.open}


def card(folder: Path, name: str) -> tuple[dict[str, Any], str]:
    _, head, body = (folder / name / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), body


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_results(folder)
    return folder


@pytest.fixture
def case(written: Path, tmp_path: Path) -> Case:
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return case_of(tmp_path)


def test_all_that_a_study_has_is_released_as_it_is(case: Case) -> None:
    made, folder = make(case)
    names = [entry["name"] for entry in made["repositories"]]
    assert names == [
        "small-prompts", f"small-responses-{MODEL}", f"small-responses-{OTHER}", "small-measures",
        "small-preferences-pairs", "small-judgments", "small-tuned",
    ]  # fmt: skip
    assert made["not_there"] == []
    sent = {entry["name"]: entry["rows"] for entry in made["repositories"]}
    assert sent == dict(zip(names, (8, 12, 12, 24, 2, 6, 0), strict=True))
    of_model = folder / f"datasets/small-responses-{MODEL}"
    for shard in ("0000", "0001"):
        own = case.folder / f"responses/{MODEL}/{shard}.parquet"
        assert (of_model / f"data/{shard}.parquet").read_bytes() == own.read_bytes()
    assert (folder / "models/small-tuned/model.safetensors").is_file()
    for entry in made["repositories"]:
        there = {
            str(p.relative_to(folder / entry["folder"]))
            for p in (folder / entry["folder"]).rglob("*")
            if p.is_file()
        }
        assert there == set(entry["files"])
        for target, about in entry["files"].items():
            assert sha256(folder / entry["folder"] / target) == about["sha256"]


def test_prompts_come_back_the_same_by_kind_hub(case: Case, tmp_path: Path) -> None:
    """Each source of a release is a split; `kind: hub` makes the very tables of it again."""
    _, folder = make(case)
    data, back = folder / "datasets/small-prompts/data", tmp_path / "back"
    hubs = []
    for name, split in (("people-s", "people_s"), ("asked", "asked")):
        row = {
            "kind": "hub",
            "name": name,
            "repository": "lab/small-prompts",
            "revision": "a" * 40,
            "split": split,
        }
        hubs.append(validate(Hub, row, "test"))
        batches = (pq.read_table(path) for path in sorted((data / split).glob("*.parquet")))
        write_batches(batches, back / hub_file(hubs[-1]), "lab/small-prompts")
    prompts = validate(Prompts, {"sources": [hub.model_dump() for hub in hubs], "shards": 2}, "test")
    report = prepare("back", prompts, tmp_path / "again", root=back)
    assert (report["rows_in"], report["kept"]) == (8, 8)
    for shard in ("0000", "0001"):
        paths = (case.folder / "prompts", tmp_path / "again")
        one, two = (pl.read_parquet(path / f"shards/{shard}.parquet") for path in paths)
        assert bytes_of(one) == bytes_of(two)
    assert {tag for tags in two["tags"] for tag in tags} <= {"markup", "unanswered"}


def of_hub(case: Case, folder: Path, model: str) -> Path:
    """The file that `kind: hub` brings of a model's responses."""
    data = case.folder / f"release/datasets/small-responses-{model}/data"
    path = folder / f"{model}.parquet"
    write_batches((pq.read_table(p) for p in sorted(data.glob("*.parquet"))), path, "lab/small")
    return path


def test_responses_come_back_the_same_by_kind_hub(case: Case, tmp_path: Path) -> None:
    make(case)
    row = {"kind": "hub", "models": {model: str(of_hub(case, tmp_path, model)) for model in (MODEL, OTHER)}}
    source = validate(ReleasedResponses, row, "test")
    folder = tmp_path / "results/back"
    counts = import_source(source, imported(source, {}, {}), shard="0000", study="back", folder=folder)
    assert counts.select("rows", "failures", "missing").rows() == [(12, 1, 0), (12, 1, 0)]
    for model in (MODEL, OTHER):
        shards = sorted((case.folder / "responses" / model).glob("*.parquet"))
        own = pl.concat([pl.read_parquet(path) for path in shards])
        path = folder / "responses" / model / "manifest.json"
        manifest = merge_manifests([folder / f"imports/0000/{model}.json"], path)
        back = scan(path, failures=True).collect()
        assert bytes_of(own) == bytes_of(back)
        assert (manifest.rows, manifest.failures_by_reason) == (12, {"engine": 1})
    prompts = pl.read_parquet(folder / "prompts/shards/0000.parquet")
    assert prompts["n_turns"].sum() == own.height
    assert set(prompts["conversation_id"]) == set(own["conversation_id"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": OTHER}, f"holds responses of {OTHER}, not of {MODEL}, as the study says"),
        ({"turn": "first"}, "column 'turn': 'first' is not of type Int16"),
    ],
)
def test_what_is_no_release_of_the_model_is_refused(
    case: Case, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    make(case)
    path = of_hub(case, tmp_path, MODEL)
    pl.read_parquet(path).with_columns(**{k: pl.lit(v) for k, v in change.items()}).write_parquet(path)
    source = validate(ReleasedResponses, {"kind": "hub", "models": {MODEL: str(path)}}, "test")
    folder = tmp_path / "results/back"
    with pytest.raises(DataError, match=message):
        import_source(source, imported(source, {}, {}), shard="0000", study="back", folder=folder)
    assert not folder.exists()


def test_a_card_of_data_says_what_is_inside(case: Case) -> None:
    _, folder = make(case)
    head, body = card(folder / "datasets", "small-prompts")
    assert head["license"] == "odc-by"  # of the sources' two, the first: both are free
    splits = {one["split"]: one["path"] for one in head["configs"][0]["data_files"]}
    rows = sum(pl.read_parquet(folder / "datasets/small-prompts" / p).height for p in splits["people_s"])
    assert (set(splits), rows) == ({"people_s", "asked"}, 5)
    for said in ("Open Data Commons Attribution 1.0", "`conversation_id`", "@misc{small}", "Known limits"):
        assert said in body
    about = json.loads((folder / "datasets/small-prompts/croissant.json").read_text())
    assert about["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    for one in about["distribution"]:
        assert sha256(folder / "datasets/small-prompts" / one["contentUrl"]) == one["sha256"]
    fields = {field["name"]: field for field in about["recordSet"][0]["field"]}
    assert fields["n_turns"]["dataType"] == "sc:Integer"
    assert fields["tags"]["repeated"]
    parts = {part["name"]: part["source"]["transform"] for part in fields["messages"]["subField"]}
    assert parts == {"role": {"jsonPath": "role"}, "content": {"jsonPath": "content"}}


def test_a_card_of_a_fine_tune_has_scores_with_intervals(case: Case) -> None:
    _, folder = make(case)
    head, body = card(folder / "models", "small-tuned")
    assert head["base_model"] == "mistralai/Mistral-7B-v0.3"
    assert head["model-index"][0]["results"][0]["metrics"] == [
        {"type": "average", "value": 4.0, "name": "average"}
    ]
    assert "| 4 (3.02, 4.98) | 3 | rubric |" in body  # 4 ± 1.96 · 0.5
    assert "9 steps, loss 2.000 → 1.000 nats" in body
    assert f"5 conversations of `{MODEL}`" in body


def test_every_gate_is_open_for_what_is_free(case: Case) -> None:
    assert gates(case) == {}


def test_a_licence_that_is_not_known_closes_the_gate(case: Case, tmp_path: Path) -> None:
    found = gates(case_of(tmp_path, release={}))["licences"]
    assert any("prompts: people-s: its licence is not established" in fault for fault in found)
    assert any("release: licences: {people-s: LICENCE}" in fault for fault in found)


@pytest.mark.parametrize(
    ("licence", "agreed", "said"),
    [
        ("llama3.1", (), "Llama 3.1 Community License has conditions"),
        ("llama3.1", ("llama3.1",), ""),
        ("proprietary", ("proprietary",), "may not be passed on"),
        ("llama3", ("llama3",), "llama3.2, llama3.3 alone, and the base model is under apache-2.0"),
    ],
)
def test_licences_of_models_decide(
    case: Case, tmp_path: Path, licence: str, agreed: tuple[str, ...], said: str
) -> None:
    licences = {"people-s": "odc-by", "asked": "apache-2.0", MODEL: licence}
    found = gates(case_of(tmp_path, release={"licences": licences}), *agreed).get("licences", [])
    assert any(said in fault for fault in found) if said else found == []
    assert all(MODEL in fault for fault in found)


def test_the_licence_that_follows_is_the_binding_one() -> None:
    def terms(*names: str) -> Terms:
        return Terms([Part(name, name, name) for name in names], load_licences())

    assert terms("apache-2.0", "mit").hub == "apache-2.0"
    assert terms("apache-2.0", "llama3.1").hub == "llama3.1"
    assert terms("gemma", "llama3.1").hub == "other"
    assert licence_data(terms("gemma", "llama3.1"))["license_name"] == "several-see-card"
    assert licence_data(terms("qwen"))["license_name"] == "qwen"
    assert terms("apache-2.0", "cc-by-nc-4.0").commercial is False


def test_the_terms_of_samples_are_those_of_their_set() -> None:
    study = load_study(ROOT / "config", "teachers")
    ledger = Ledger(study, load_models(ROOT / "config"), read_manifest())
    assert ledger.mix("five-best") == ledger.mix("five")
    assert ("gemma-2-9b-it", "gemma") in [(part.name, part.licence) for part in ledger.mix("five-best")]


def test_every_licence_of_the_tables_has_a_row() -> None:
    """No model's licence is unknown only because the table of licences lacks it."""
    rows = load_licences()
    said = {model.licence for model in load_models(ROOT / "config").values() if model.licence}
    said |= {file.licence for files in read_manifest().values() for file in files}
    assert {name for name in said if find_licence(name, rows) is None} == set()


def test_what_a_release_asks_to_accept_can_be_accepted() -> None:
    """Of data too, whose licences no model has."""
    rows, models = load_licences(), load_models(ROOT / "config")
    asked = [name for name, row in rows.items() if "conditions" in (row.texts, row.weights)]
    assert "cc-by-sa-4.0" not in {model.licence for model in models.values()}
    assert all(isinstance(covered(name, models, rows), list) for name in asked)


def write_responses_again(case: Case, change: pl.Expr) -> Path:
    """Change the shard that has the failure."""
    shards = sorted((case.folder / f"responses/{MODEL}").glob("*.parquet"))
    path = next(p for p in shards if pl.read_parquet(p)["response"].has_nulls())
    write_table(path, pl.read_parquet(path).with_columns(change), RESPONSES, {})
    return path


def test_rows_that_do_not_add_up_are_named(case: Case) -> None:
    path = write_responses_again(case, pl.lit(None, pl.String).alias("failure"))
    (case.folder / "benchmarks/tuned/demo-chat/judging.json").write_text('{"judgments": 7}')
    (case.folder / "runs/tuned/checkpoint/old.bin").write_bytes(b"pickle")
    card = json.loads((case.folder / "preferences/pairs/card.json").read_text())
    write_json(case.folder / "preferences/pairs/card.json", card | {"prompts": 9})
    report = json.loads((case.folder / "prompts/report.json").read_text())
    write_json(case.folder / "prompts/report.json", report | {"kept": 9})
    found = "\n".join(gates(case)["rows"])
    rows = pl.read_parquet(path)
    lost = rows["response"].is_null().arg_max()
    assert f"{path}: 0 failures; its manifest says 1" in found
    assert f"{path}, row {(lost or 0) + 1}: neither an answer nor a failure, or both" in found
    assert "judgments.parquet: 3 without a failure; judging.json says 7" in found
    assert "old.bin: no file of a checkpoint that is passed on" in found
    assert "card.json: 2 pairs of 9 prompts, and 1 gave none" in found
    assert "report.json: 9 conversations were kept, and the shards hold 8" in found


def test_an_answer_that_was_changed_after_it_was_collected_is_named(case: Case) -> None:
    path = write_responses_again(case, pl.col("engine").str.to_uppercase())
    assert gates(case)["rows"] == [
        f"small-responses-{MODEL}: {path}: it changed after it was collected (another SHA-256)"
    ]


def test_shards_of_two_ages_are_named(case: Case) -> None:
    """An earlier version wrote files without a column; beside one that has it, that is no data set."""
    older, newer = sorted((case.folder / f"responses/{MODEL}").glob("*.parquet"))
    held = pl.read_parquet_metadata(older)["rewild"]
    pl.read_parquet(older).drop("reasoning").write_parquet(older, metadata={"rewild": held})
    found = gates(case)["rows"]
    assert any(f"{newer}: only one of it and {older} has the column 'reasoning'" in fault for fault in found)


def test_control_tokens_in_a_text_close_their_gate_until_somebody_has_looked(case: Case) -> None:
    path = write_responses_again(case, pl.lit("How tall?<|im_end|>").alias("prompt"))
    rows = pl.read_parquet(path).height
    manifest = case.folder / f"responses/{MODEL}/manifest.json"
    held = json.loads(manifest.read_text())
    next(s for s in held["shards"] if s["shard"] == path.stem)["sha256"] = sha256(path)
    write_json(manifest, held)
    found = gates(case)
    first = found["control-tokens"][0]
    assert first.startswith(f"small-responses-{MODEL}: data/{path.name}, row 1 (")
    assert first.endswith("prompt: <|im_end|> at 9")
    assert len(found["control-tokens"]) == rows
    assert gates(case, accept=("control-tokens",)) == {}
    _, body = card(case.folder / "release/datasets", f"small-responses-{MODEL}")
    assert f"| control-tokens | &lt;\\|im_end\\|&gt; | {rows} | {rows} |" in body
    assert "Nothing was removed or masked" in body
    made = read_found(case.folder / "release")
    assert "how tall" not in made.write_csv().lower()  # rows are named, and no text is repeated


def test_secrets_in_files_that_are_no_tables_are_found(case: Case) -> None:
    (case.folder / "runs/tuned/axolotl.yaml").write_text("base_model: x\nhub_token: hf_secret\n")

    def look(text: str) -> list[Found]:
        at = text.find("hf_secret")
        return [("secrets", "token", at, at + 9, 1.0)] if at >= 0 else []

    folder = case.folder / "release"
    made = make_release(case, folder, lambda: look, lambda line: None)
    (found,) = read_found(folder).to_dicts()
    assert (found["repository"], found["file"], found["row"]) == ("small-tuned", "training/axolotl.yaml", 2)
    assert made["found"] == {"personal-data": 0, "secrets": 1, "control-tokens": 0}


def test_a_closed_gate_is_one_message(case: Case) -> None:
    made, folder = make(case_of(case.results.parent, release={}))
    found = judge_gates(made, read_found(folder), [], [])
    with pytest.raises(RewildError) as caught:
        refuse_closed("small", found, folder)
    said = str(caught.value)
    assert said.startswith("study small: nothing leaves, 1 gates are closed\nlicences: ")
    assert "… and" in said
    with pytest.raises(
        ConfigError, match=r"--accept: no gate 'licence'.*personal-data, secrets, control-tokens"
    ):
        judge_gates(made, read_found(folder), [], ["licence"])


def test_what_is_there_of_the_same_files_is_not_made_again(case: Case) -> None:
    said: list[str] = []
    _, folder = make(case)
    readme = folder / "datasets/small-prompts/README.md"

    def again() -> None:
        said.clear()
        make_release(case, folder, lambda: control_tokens, said.append)

    again()
    assert said == [f"{folder}/release.json: made of the same files and settings; not made again"]
    before = readme.read_text()
    readme.write_text("changed")
    again()
    assert len(said) == 7
    assert readme.read_text() == before
    (folder / "release.json").write_text('{"schema": "release", "version": 0}')
    again()
    assert "not a release of version 1" in said[0]


def test_a_card_follows_scores_that_come_later(case: Case) -> None:
    """A fine-tune that was released before it was evaluated."""
    scores = case.folder / "benchmarks/tuned/demo-chat/scores.csv"
    files = list(scores.parent.glob("scores.csv*"))
    held = {path: path.read_bytes() for path in files}
    for path in files:
        path.unlink()
    _, folder = make(case)
    assert "It was not evaluated." in card(folder / "models", "small-tuned")[1]
    for path, content in held.items():
        path.write_bytes(content)
    make(case)
    assert "| 4 (3.02, 4.98) | 3 | rubric |" in card(folder / "models", "small-tuned")[1]


def test_what_is_left_out_is_said(case: Case, tmp_path: Path) -> None:
    left = {OTHER: "its makers asked for it", "tuned": "it is not good"}
    licences = {"people-s": "odc-by", "asked": "apache-2.0"}
    made, folder = make(case_of(tmp_path, release={"leave_out": left, "licences": licences}))
    names = [entry["name"] for entry in made["repositories"]]
    assert f"small-responses-{OTHER}" not in names
    assert "small-tuned" not in names
    held = pl.read_parquet(folder / "datasets/small-measures/data/**/*.parquet")
    assert held.height == 12
    assert not list((folder / "datasets").rglob("*tuned*"))
    assert "| its makers asked for it |" in card(folder / "datasets", "small-measures")[1]


@pytest.mark.parametrize(
    ("release", "message"),
    [
        (
            {"leave_out": {"qwen2.5-14b": "why"}},
            "leave_out: 'qwen2.5-14b' is nothing that it has; did you mean",
        ),
        (
            {"licences": {MODEL: "apache-2"}},
            f"licences: {MODEL}: no licence 'apache-2'; did you mean 'apache-2.0'",
        ),
    ],
)
def test_names_that_nobody_knows(case: Case, tmp_path: Path, release: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(case_of(tmp_path, release=release))


def test_a_study_that_was_never_run(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"study small: nothing in .* run it first \(snakemake --config study=small\)"
    ):
        make(case_of(tmp_path))


def test_a_study_that_is_half_done_says_what_is_not_there(case: Case) -> None:
    shutil.rmtree(case.folder / f"responses/{OTHER}")
    (case.folder / "runs/tuned/passed").unlink()
    made, _ = make(case)
    assert [line.partition(" (")[0] for line in made["not_there"]] == [
        f"responses of {OTHER}",
        "fine-tune tuned",
    ]


def test_results_of_an_older_version_are_refused(case: Case) -> None:
    path = case.folder / f"responses/{MODEL}/0000.parquet"
    old = dataclasses.replace(RESPONSES, version=0)
    write_table(path, pl.read_parquet(path), old, {})
    with pytest.raises(DataError, match=r"holds responses version 0, but responses version 1 is needed"):
        make(case)
    assert not (case.folder / "release").exists()


def test_a_name_that_the_hub_does_not_allow(case: Case) -> None:
    made, _ = make(case)
    assert check_names(made, "lab")[0] == "lab/small-prompts"
    for namespace in ("my lab", "-lab", "a/b", "x" * 90):
        with pytest.raises(ConfigError, match="no name of the hub"):
            check_names(made, namespace)


@pytest.mark.heavy
def test_a_command_is_handed_to_the_environment_that_has_what_it_needs(tmp_path: Path) -> None:
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/said\nexit 7\n')
    python.chmod(0o755)
    hand_over(tmp_path, "a_module_that_is_nowhere", ["release", "small"])  # it is not ready yet
    (tmp_path / "ready").write_text("")
    hand_over(tmp_path, "json", ["release", "small"])  # this one has it
    assert not (tmp_path / "said").exists()
    with pytest.raises(SystemExit, match="7"):
        hand_over(tmp_path, "a_module_that_is_nowhere", ["release", "a study"])
    assert (tmp_path / "said").read_text().splitlines() == ["-m", "rewild", "release", "a study"]
