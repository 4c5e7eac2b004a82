"""Runs without Axolotl: the rendered config, checkpoints, reports, states, inherited style."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from rich.console import Console

from rewild.config import Study, load_models
from rewild.config.base import validate
from rewild.config.recipes import load_recipes
from rewild.config.trainings import Training, learned_from, style_models, training_of
from rewild.core.conversations import conversation_id
from rewild.core.errors import ConfigError, DataError
from rewild.core.files import write_json
from rewild.core.table import provenance, read_table, write_table
from rewild.generation.schema import RESPONSES
from rewild.training.runs.checkpoints import damage, last_sound, seal
from rewild.training.runs.checks import (
    RunCheck,
    as_markdown,
    make_report,
    read_report,
    why_failed,
    write_report,
)
from rewild.training.runs.environment import variables
from rewild.training.runs.figures import draw_loss
from rewild.training.runs.inheritance import INHERITED, count, write_inheritance
from rewild.training.runs.layout import RunFiles
from rewild.training.runs.published import make_readable, unreadable
from rewild.training.runs.render import as_yaml, axolotl_config, identity_of
from rewild.training.runs.schema import LOSS, ends, window
from rewild.training.runs.status import print_runs, states
from rewild.training.runs.train import complaint

ROOT = Path(__file__).resolve().parents[2]
MODELS, RECIPES = load_models(ROOT / "config"), load_recipes(ROOT / "config")
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # chat templates are relative to the repository


def a_study(**runs: dict[str, Any]) -> Study:
    source = {"kind": "responses", "licence": "none"}
    return validate(
        Study,
        {
            "name": "s",
            "title": "S",
            "source": "computed",
            "demo": {
                "models": {
                    "base": {"learns": "documents"},
                    "herald": {"learns": "herald"},
                    "plain": {"learns": "plain"},
                }
            },
            "prompts": {"sources": [{"kind": "demo"}]},
            "responses": {"engine": "transformers", "models": ["herald", "plain"]},
            "mixes": {
                "h": {"size": 10, "sources": [{**source, "model": "herald"}], "label": "H (10)"},
                "p": {"size": 10, "sources": [{**source, "model": "plain"}]},
            },
            "runs": {
                "rh": {"model": "base", "mix": "h", "recipe": "demo"},
                "rp": {"model": "base", "mix": "p", "recipe": "demo"},
                "base": {"model": "base"},
                "big": {"model": "llama-3.1-8b", "mix": "h", "recipe": "wildchat50m"},
                **runs,
            },
            "inherited_style": {"runs": ["rh", "rp"]},
        },
        "study s",
    )


KNOWN = MODELS | a_study().made


def a_training(run: str) -> Training:
    found = training_of(a_study(), run, KNOWN, RECIPES)
    assert found is not None
    return found


@pytest.mark.parametrize(("run", "name"), [("big", "axolotl-wildchat50m"), ("rh", "axolotl-demo")])
def test_the_rendered_config_is_the_golden_one(run: str, name: str) -> None:
    """The paper's recipe: FSDP full shard on four GPUs, flash attention, bf16, packing at 8,192."""
    config = axolotl_config(
        a_training(run), "results/s/mixes/h/train.parquet", "results/s/work/runs/r", "0" * 16
    )
    text = as_yaml(config, "golden")
    assert yaml.safe_load(text) == config
    assert text == (GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")


def test_preference_pairs_are_rendered_as_dpo() -> None:
    training = replace(a_training("big"), recipe=RECIPES["magpie-dpo"])
    config = axolotl_config(training, "pairs.parquet", "w", "0" * 16)
    assert (config["rl"], config["dpo_beta"], config["sample_packing"]) == ("dpo", 0.01, False)
    assert config["datasets"][0]["type"] == "chat_template.default"
    assert config["warmup_ratio"] == 0.1
    assert "warmup_steps" not in config


def test_what_identifies_a_training() -> None:
    training = a_training("rh")
    one = identity_of(training, "mix", "start")
    assert identity_of(training, "mix", "start") == one
    slower = training.recipe.model_copy(update={"minutes": 999, "note": "x"})
    assert identity_of(replace(training, recipe=slower), "mix", "start") == one, "time is not part of it"
    other = training.recipe.model_copy(update={"learning_rate": 1e-4})
    changed = [
        identity_of(replace(training, recipe=other), "mix", "start"),
        identity_of(replace(training, seed=1), "mix", "start"),
        identity_of(training, "other", "start"),
        identity_of(training, "mix", "other"),
        identity_of(replace(training, template=None), "mix", "start"),
    ]
    assert len({one, *changed}) == 6


def test_a_template_that_is_missing_is_named() -> None:
    training = a_training("rh")
    assert training.template is not None
    lost = training.template.model_copy(update={"file": "no/such.jinja"})
    with pytest.raises(ConfigError, match=r"recipe demo: chat template no/such\.jinja: no such file"):
        axolotl_config(replace(training, template=lost), "m", "w", "0")


def test_axolotls_surroundings(tmp_path: Path) -> None:
    here = variables(local=True, gpus=0, threads=1, work=tmp_path)
    assert here["AXOLOTL_DO_NOT_TRACK"] == here["DO_NOT_TRACK"] == here["HF_HUB_OFFLINE"] == "1"
    assert here["CUDA_VISIBLE_DEVICES"] == ""
    assert here["OMP_NUM_THREADS"] == "1"
    there = variables(local=False, gpus=4, threads=8, work=tmp_path)
    assert "HF_HUB_OFFLINE" not in there
    assert "CUDA_VISIBLE_DEVICES" not in there


def checkpoint(folder: Path, step: int) -> Path:
    made = folder / f"checkpoint-{step}"
    (made / "shards").mkdir(parents=True)
    (made / "model.safetensors").write_bytes(bytes(range(100)))
    (made / "shards/0.bin").write_bytes(b"x" * step)
    seal(made)
    return made


def test_a_sealed_checkpoint_is_sound(tmp_path: Path) -> None:
    assert damage(checkpoint(tmp_path, 5)) is None


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda c: (c / "model.safetensors").write_bytes(b"short"), "model.safetensors has 5 bytes, not 100"),
        (
            lambda c: (c / "model.safetensors").write_bytes(b"\0" * 100),
            "the content of model.safetensors has changed",
        ),
        (lambda c: (c / "shards/0.bin").unlink(), "shards/0.bin is missing"),
        (lambda c: (c / "sealed.json").unlink(), "it was not finished"),
        (lambda c: (c / "sealed.json").write_text("{"), "it was not finished"),
    ],
)
def test_damage_is_found_and_the_one_before_is_used(tmp_path: Path, harm: Any, told: str) -> None:
    first, second = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    harm(second)
    assert damage(second) == told
    lines: list[str] = []
    assert last_sound(tmp_path, lines.append) == first, "9 is before 10, by number"
    assert lines == [f"checkpoint-10 is damaged ({told}): it is removed, the one before it is used"]
    assert not second.exists()


def test_without_checkpoints_it_begins(tmp_path: Path) -> None:
    assert last_sound(tmp_path / "none", print) is None
    (tmp_path / "checkpoint-x").mkdir()
    assert last_sound(tmp_path, print) is None


def a_report(*failed: str) -> Any:
    names = ("seed_set", "length")
    checks = [
        RunCheck(name=n, passed=n not in failed, found=f"found {n}", remedy="mend it." if n in failed else "")
        for n in names
    ]
    return make_report("preflight", "s", "rh", "id", checks, {"tokens": 12345})


def test_a_failed_report_says_which_check_and_what_to_do(tmp_path: Path) -> None:
    report = a_report("length")
    assert not report.passed
    assert why_failed(report) == "run rh (s): stopped before training\n  length: found length\n    mend it."
    write_report(tmp_path / "preflight.json", report)
    assert read_report(tmp_path / "preflight.json") == report
    assert "| length | **no** | found length mend it. |" in (tmp_path / "preflight.md").read_text()
    assert "| tokens | 12,345 |" in as_markdown(report)


def test_a_broken_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "preflight.json").write_text("{")
    with pytest.raises(DataError, match=r"preflight\.json, column 2: not JSON"):
        read_report(tmp_path / "preflight.json")
    with pytest.raises(DataError, match="no such file; the checks have not run"):
        read_report(tmp_path / "other.json")


def losses(path: Path, values: list[float]) -> Path:
    rows = pl.DataFrame(
        {
            "step": range(1, len(values) + 1),
            "epoch": [i / len(values) for i in range(len(values))],
            "loss": values,
            "grad_norm": [None] * len(values),
            "learning_rate": [1e-3] * len(values),
        },
        schema={name: column.dtype for name, column in LOSS.columns.items()},
    )
    write_table(path, rows, LOSS, provenance())
    return path


def test_the_curve_is_drawn_and_drawn_the_same(tmp_path: Path) -> None:
    path = losses(tmp_path / "loss.csv", [3.0 - i / 40 for i in range(80)])
    draw_loss(path, tmp_path / "a", "L8B : Q72 (500k)")
    draw_loss(path, tmp_path / "b", "L8B : Q72 (500k)")
    svg = (tmp_path / "a.svg").read_text()
    assert "L8B : Q72 (500k)" in svg
    assert "<!-- 0.001 -->" in svg
    assert "mathdefault" not in svg, "formulas are not read, so none is written"
    assert svg == (tmp_path / "b.svg").read_text()
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_single_step_can_be_drawn(tmp_path: Path) -> None:
    draw_loss(losses(tmp_path / "loss.csv", [1.5]), tmp_path / "one", "one")
    assert (tmp_path / "one.svg").exists()


@pytest.mark.parametrize(
    ("steps", "count"),
    [(1, 1), (3, 1), (4, 2), (9, 4), (10, 5), (13, 5), (59, 5), (60, 6), (1000, 100)],
)
def test_the_ends_of_a_training_are_means_of_five_steps_or_a_tenth(steps: int, count: int) -> None:
    assert window(steps) == count
    values = [float(steps - i) for i in range(steps)]
    assert ends(values) == (sum(values[:count]) / count, sum(values[-count:]) / count)


def saved(folder: Path, tokenizer: dict[str, Any], generation: dict[str, Any]) -> Path:
    """The texts of a model as Axolotl saves them."""
    folder.mkdir()
    added = [{"id": 7, "content": "<|eot|>"}, {"id": 8, "content": "<|eos|>"}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "generation_config.json").write_text(json.dumps(generation))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def test_what_only_transformers_5_reads_is_mended(tmp_path: Path) -> None:
    backend = {"tokenizer_class": "TokenizersBackend", "eos_token": "<|eos|>", "model_max_length": 5}
    folder = saved(tmp_path / "a", backend, {"do_sample": True, "eos_token_id": 8, "temperature": 0.6})
    assert unreadable(folder, "<|eot|>") == [
        "tokenizer_config.json names the class TokenizersBackend, which transformers 4 does not have",
        "tokenizer_config.json has no chat template, which vLLM and transformers 4 read there",
        "generation_config.json asks for sampling",
        "generation_config.json does not end at <|eot|>",
    ]
    make_readable(folder, "<|eot|>")
    assert unreadable(folder, "<|eot|>") == []
    assert json.loads((folder / "generation_config.json").read_text()) == {
        "eos_token_id": [7, 8],
        "temperature": 0.6,
    }
    assert json.loads((folder / "tokenizer_config.json").read_text()) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|eos|>",
        "model_max_length": 5,
        "chat_template": "{{ messages }}",
    }
    slow = {"tokenizer_class": "LlamaTokenizer", "eos_token": {"content": "<|eos|>"}}
    folder = saved(tmp_path / "b", slow, {"eos_token_id": [3]})
    make_readable(folder, None)
    assert json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"] == "LlamaTokenizer"
    assert json.loads((folder / "generation_config.json").read_text()) == {"eos_token_id": [8, 3]}
    assert unreadable(folder, None) == []


def test_the_states_of_runs(tmp_path: Path) -> None:
    study = a_study(more={"model": "base", "mix": "h", "recipe": "demo"})
    rh, rp, more = (RunFiles(tmp_path, "s", run) for run in ("rh", "rp", "more"))
    mix = tmp_path / "s/mixes/h/train.parquet"
    mix.parent.mkdir(parents=True)
    mix.touch()
    write_report(rp.report("preflight"), a_report("length"))
    out = more.work / "id/out"
    checkpoint(out, 3)
    line = {"step": 4, "loss": 2.5, "seconds": 1800.0}
    (out / "log.jsonl").write_text(json.dumps(line) + "\n" + '{"step": 5, "lo')
    found = {s.run: s for s in states(study, MODELS | study.made, tmp_path)}
    assert found["rh"].state == "mixed"
    assert found["rp"].state == "stopped: length"
    assert (found["more"].state, found["more"].last, found["more"].hours) == ("step 4", 2.5, 0.5)
    assert found["more"].where.endswith("checkpoint-3")
    assert (found["base"].state, found["base"].where) == ("as it is", "results/s/models/base")
    rh.checkpoint().mkdir(parents=True)
    write_json(rh.training(), MEASURED)
    found = {s.run: s for s in states(study, MODELS | study.made, tmp_path)}
    assert (found["rh"].state, found["rh"].steps) == ("trained", 20)
    rh.passed().touch()
    console = Console(width=200, record=True)
    print_runs(study, MODELS | study.made, tmp_path, console)
    text = console.export_text()
    assert "base : H (10)" in text
    assert "ready" in text
    assert "3.000 → 1.000" in text


def test_a_preflight_is_shown_as_the_gates_of_now_judge_it(tmp_path: Path) -> None:
    study, files = a_study(), RunFiles(tmp_path, "s", "rp")
    counts = {"over_long": 3, "tokens_over": 9, "left_out": 0, "conversations": 10}
    report = a_report("length").model_copy(update={"counts": counts})
    write_report(files.report("preflight"), report)

    def shown(cut: float) -> str:
        looser = RECIPES["demo"].model_copy(update={"gates": {"cut": cut}})
        found = states(study, MODELS | study.made, tmp_path, {"demo": looser})
        return next(s.state for s in found if s.run == "rp")

    assert (shown(0.2), shown(0.4)) == ("stopped: length", "checked")


MEASURED = {
    "study": "s", "run": "rh", "base": "b", "mix": "h", "recipe": "demo", "seed": 1, "identity": "x",
    "steps": 20, "planned_steps": 20, "epochs": 1.0, "resumed": 0, "starts": 1, "first_loss": 3.0,
    "last_loss": 1.0,
    "seconds": 10.0, "hours": 0.003, "tokens": 100, "trained_tokens": 50, "tokens_per_second": 10.0,
    "trained_tokens_per_second": 5.0, "padding": 0.1, "parameters": {"float32": 5},
    "optimizer": {"float32": 10}, "compute": "float32", "saved": {"float32": 5},
    "peak_memory": 5, "processes": 1, "hardware": {},
    "versions": {},
}  # fmt: skip


def test_a_study_without_runs_says_so() -> None:
    bare = validate(Study, {"name": "s", "title": "S", "source": "computed"}, "s")
    with pytest.raises(ConfigError, match="study s has no section 'runs'"):
        states(bare, MODELS | bare.made, Path("results"))


def answers(path: Path, model: str, texts: list[str]) -> Path:
    rows = []
    for i, text in enumerate(texts):
        row = dict.fromkeys(RESPONSES.columns)
        for name, column in RESPONSES.columns.items():
            if not column.nullable:
                row[name] = "" if column.dtype == pl.String else 0
        rows.append(row | {"conversation_id": conversation_id([str(i)]), "model": model, "response": text})
    frame = pl.DataFrame(rows, schema=RESPONSES.dtypes, strict=False).sort("conversation_id")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, frame, RESPONSES, provenance())
    return path


@pytest.mark.heavy
def test_inherited_style_is_near_one_within_and_far_across(tmp_path: Path) -> None:
    styled, prose = "## T\n\n**a** b\n\n- **c** d\n- e", "One two three.\n\nFour five."
    study = a_study()
    assert style_models(study) == ["rh", "rp", "herald", "plain"]
    assert learned_from(study, "rh") == ["herald"]
    files = [
        answers(tmp_path / f"{name}.parquet", name, texts)
        for name, texts in (
            ("rh", [styled] * 3),
            ("rp", [prose] * 3),
            ("herald", [styled] * 3),
            ("plain", [prose] * 2 + [styled]),
        )
    ]
    page = write_inheritance(study, MODELS | study.made, files, tmp_path / "out")
    table = read_table(tmp_path / "out/inherited.csv", INHERITED)
    rows = {(r["run"], r["model"]): r for r in table.iter_rows(named=True)}
    assert rows["rh", "herald"]["mean"] == 1.0
    assert rows["rh", "herald"]["log_distance"] == 0.0
    assert rows["rh", "herald"]["learned_from"]
    # strong 6 of 2, ul 3 of 1, h2 3 of 1, p 3 of 5, and characters per answer
    plain = rows["rh", "plain"]
    assert not plain["learned_from"]
    assert plain["mean"] > 1.5
    assert plain["log_distance"] > 0.3
    assert plain["undefined"] == 5, "em, ol, h1, h3, h4: nobody wrote any"
    assert "| base : H (10) | herald | yes | 1.00 | 1.00 | 5 | 0.00 |" in page
    assert (tmp_path / "out/proportional.svg").exists()


def test_other_prompts_cannot_be_compared(tmp_path: Path) -> None:
    names = ("rh", "rp", "herald")
    files = [answers(tmp_path / f"{m}.parquet", m, ["a"] * n) for n, m in enumerate(names, 1)]
    with pytest.raises(DataError, match="'rp' and 'rh' answered different prompts"):
        write_inheritance(a_study(), KNOWN, files, tmp_path / "out")
    with pytest.raises(DataError, match="no answers of 'rp'"):
        write_inheritance(a_study(), KNOWN, files[:1], tmp_path / "out")


def test_where_a_study_says_who_answers_what_the_turns_of_all_are_compared(tmp_path: Path) -> None:
    styled, prose = "**a** b", "One two."
    texts = {
        "rh": [styled, prose],
        "rp": [styled, prose],
        "herald": [styled, prose, prose, prose],
        "plain": [styled],
    }
    files = [answers(tmp_path / f"{m}.parquet", m, said) for m, said in texts.items()]
    counted, more = count(files, list(texts), chosen=True)
    assert more == {"rh": 1, "rp": 1, "herald": 3}
    assert {m: c.features()["strong"] for m, c in counted.items()} == dict.fromkeys(texts, 1)
    assert {m: c.features()["p"] for m, c in counted.items()} == dict.fromkeys(texts, 1)
    with pytest.raises(DataError, match="'herald' and 'rh' answered different prompts"):
        count(files, list(texts))


@pytest.mark.parametrize(
    ("code", "output", "told"),
    [
        (
            1,
            "OSError: [Errno 28] No space left on device",
            "run rh: the disk is full; free some space and run it",
        ),
        (
            1,
            "torch.OutOfMemoryError: CUDA out of memory.",
            "the GPU's memory does not hold this recipe (demo)",
        ),
        (-9, "step 5", "run rh: Axolotl was killed by signal 9; run it again, it goes on"),
        (1, "ValueError: odd", "run rh: Axolotl failed (exit 1):\n  ValueError: odd"),
    ],
)
def test_how_axolotl_died_is_told(code: int, output: str, told: str) -> None:
    assert told in complaint(a_training("rh"), code, [output])
