"""Trainings with real Axolotl: killed and resumed, over a damaged checkpoint, into a NaN loss."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from invented import conversations, write_mix
from rewild.core.errors import DataError, RewildError
from rewild.core.files import sha256
from rewild.core.locks import is_locked
from rewild.core.table import read_table
from rewild.training.runs.checkpoints import damage, step_of
from rewild.training.runs.preflight import preflight
from rewild.training.runs.schema import LOG, LOSS, read_log
from rewild.training.runs.train import train

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 10  # with a checkpoint after each: enough for a kill to come in between


def prepared(bench, run: str, **over):
    training, files = bench.training(run, **over), bench.files(run)
    report = preflight(training, bench.mix, files, 1, print)
    assert report.passed, report
    return training, files


@pytest.fixture(scope="module")
def wire(tmp_path_factory):
    """Whom the undisturbed training calls, and every process that it starts: tests/wire writes it down."""
    return tmp_path_factory.mktemp("wire") / "calls.txt"


@pytest.fixture(scope="module")
def whole(bench, wire):
    """A training that nothing disturbs."""
    training, files = prepared(bench, "whole", epochs=EPOCHS, checkpoints=EPOCHS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT / 'workflow'}:{ROOT / 'tests/wire'}")
        patch.setenv("REWILD_WIRE", str(wire))
        return files, train(training, bench.mix, files, 1, print)


def test_a_training_calls_nobody(whole, wire):
    assert not wire.exists(), wire.read_text(encoding="utf-8")
    call = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    there = os.environ | {"PYTHONPATH": str(ROOT / "tests/wire"), "REWILD_WIRE": str(wire)}
    subprocess.run([sys.executable, "-c", call], env=there, stderr=subprocess.DEVNULL, check=False)
    assert "192.0.2.1" in wire.read_text(encoding="utf-8"), "who calls is written down"


def test_a_training_publishes_all_it_promises(whole, bench):
    files, measured = whole
    assert measured.steps == measured.planned_steps > 8
    assert measured.last_loss < measured.first_loss
    assert measured.peak_memory > 50e6
    assert measured.tokens_per_second is not None
    assert measured.tokens_per_second > 0
    losses = read_table(files.folder / "loss.csv", LOSS)
    assert losses["step"].to_list() == list(range(1, measured.steps + 1))
    assert losses["loss"].is_finite().all()
    state = json.loads((files.folder / "trainer_state.json").read_text())
    assert state["global_step"] == measured.steps
    assert not files.work.exists(), "what was in progress is gone"


def test_the_checkpoint_can_be_read_by_others(whole):
    """transformers 5 writes a tokenizer class and a generation config that others stumble over."""
    folder = whole[0].checkpoint()
    about = json.loads((folder / "tokenizer_config.json").read_text())
    assert about["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "<|end|>" in about["chat_template"]
    generation = json.loads((folder / "generation_config.json").read_text())
    assert "do_sample" not in generation
    assert generation["eos_token_id"][0] == 2, "the end of a turn"
    assert load_file(folder / "model.safetensors")


def sealed(out: Path) -> list[Path]:
    """The checkpoints that are whole, by step: one that is being taken away may still have its seal."""
    found = [p.parent for p in out.glob("checkpoint-*/sealed.json")]
    return sorted((p for p in found if damage(p) is None), key=step_of)


def _stop_after_two(child: subprocess.Popen[bytes], out: Path) -> None:
    """Hold a training when two checkpoints are whole, so that none is taken away between look and kill."""
    deadline = time.monotonic() + 480
    while time.monotonic() < deadline:
        assert child.poll() is None, "it ended before it could be killed"
        if len(list(out.glob("checkpoint-*/sealed.json"))) >= 2:
            os.killpg(child.pid, signal.SIGSTOP)
            time.sleep(0.2)  # for the signal to arrive
            if len(sealed(out)) >= 2:
                return
            os.killpg(child.pid, signal.SIGCONT)
        time.sleep(0.02)
    pytest.fail("no two checkpoints within eight minutes")


def test_killed_over_a_damaged_checkpoint_it_ends_the_same(whole, bench):
    """SIGKILL; then the newest checkpoint is cut short: the one before it is used, and every step is done."""
    training, files = prepared(bench, "killed", epochs=EPOCHS, checkpoints=EPOCHS)
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path; from conftest import Bench; from rewild.training.runs.train import train\n"
        "bench = Bench.__new__(Bench); bench.folder = Path(sys.argv[3]); bench.base = bench.folder / 'base'\n"
        "epochs = int(sys.argv[4]); training = bench.training('killed', epochs=epochs, checkpoints=epochs)\n"
        "train(training, bench.folder / 'train.parquet', bench.files('killed'), 1, print)\n"
    )
    folders = [str(ROOT / "workflow"), str(Path(__file__).parent)]
    child = subprocess.Popen(
        [sys.executable, "-c", code, *folders, str(bench.folder), str(EPOCHS)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (out,) = [files.work / p.parent.name / "out" for p in files.work.glob("*/prepared")]
    try:
        _stop_after_two(child, out)
        with pytest.raises(RewildError, match="another process is training killed; wait for it or stop it"):
            train(training, bench.mix, files, 1, print)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    deadline = time.monotonic() + 120
    while is_locked(out):  # Axolotl, killed too, takes a moment to be gone
        assert time.monotonic() < deadline
        time.sleep(0.05)
    saved = sealed(out)
    assert len(saved) >= 2
    assert not files.checkpoint().exists()
    weights = next(saved[-1].glob("model*.safetensors"))
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    lines: list[str] = []
    measured = train(training, bench.mix, files, 1, lines.append)
    told = "\n".join(lines)
    assert f"{saved[-1].name} is damaged" in told
    assert f"going on from step {step_of(saved[-2])}" in told
    assert measured.starts == 2
    assert measured.resumed == step_of(saved[-2])
    assert measured.steps == measured.planned_steps == whole[1].steps
    losses = read_table(files.folder / "loss.csv", LOSS)
    assert losses["step"].to_list() == list(range(1, measured.steps + 1)), "no step twice, none missing"
    undisturbed = read_table(whole[0].folder / "loss.csv", LOSS)
    assert (losses["loss"] - undisturbed["loss"]).abs().max() < 1e-3
    ours, theirs = (load_file(f.checkpoint() / "model.safetensors") for f in (files, whole[0]))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_no_number_stops_with_a_message(bench, warm, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    for file in bench.base.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    training, files = prepared(bench, "nan", base=base)
    with pytest.raises(RewildError, match=r"run nan: stopped: the loss became nan at step 1 of \d+"):
        train(training, bench.mix, files, 1, print)
    assert not files.checkpoint().exists()
    assert not files.training().exists()
    log = [json.loads(line) for line in next(files.work.glob(f"*/out/{LOG}")).read_text().splitlines()]
    assert log[0]["loss"] == "nan"


def test_a_base_model_cut_short_is_named(bench, warm, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    for file in bench.base.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    path = base / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    training, files = prepared(bench, "cut", base=base)
    with pytest.raises(RewildError, match="run cut: Axolotl failed"):
        train(training, bench.mix, files, 1, print)
    assert not files.checkpoint().exists()


def test_packed_conversations_that_see_each_other_stop_at_the_start(bench, warm):
    """Silent trap 1, where the preflight could not measure it: on the model and with the data loader used."""
    training, files = prepared(bench, "leaking")
    config = yaml.safe_load(files.config().read_text())
    del config["attn_implementation"]
    files.config().write_text(yaml.safe_dump(config))
    path = files.report("preflight")
    report = json.loads(path.read_text())
    report["counts"]["config_sha256"] = sha256(files.config())
    path.write_text(json.dumps(report))
    told = r"run leaking: stopped: behind another in a pack.*conversations see each other"
    with pytest.raises(RewildError, match=told):
        train(training, bench.mix, files, 1, print)
    assert not files.checkpoint().exists()
    assert read_log(next(files.work.glob("*/out"))) == [], "not one step"


def test_a_failed_or_stale_preflight_is_not_trained(bench, tmp_path):
    training, files = prepared(bench, "stale")
    files.config().write_text(files.config().read_text() + "# edited\n")
    with pytest.raises(DataError, match="changed after its preflight"):
        train(training, bench.mix, files, 1, print)
    training, files = prepared(bench, "changed")
    mix = write_mix(tmp_path / "train.parquet", conversations(8))
    with pytest.raises(DataError, match="changed after the preflight of run changed"):
        train(training, mix, files, 1, print)  # silent trap 2: it would train on what was prepared
    endless, other = bench.training("endless2", end="<|eot_id|>"), bench.files("endless2")
    preflight(endless, bench.mix, other, 1, print)
    with pytest.raises(DataError, match=r"stopped before training\n  special_tokens"):
        train(endless, bench.mix, other, 1, print)


def test_preference_pairs_are_trained(bench, warm, tmp_path):
    answers = [{"role": "assistant", "content": text} for text in ("water and light", "code code code")]
    chats = pl.read_parquet(bench.mix)["messages"].to_list()[:24]
    rows = [
        {"id": str(i), "messages": chat[:1], "chosen": answers[0], "rejected": answers[1]}
        for i, chat in enumerate(chats)
    ]
    mix = tmp_path / "train.parquet"
    pl.DataFrame(rows).write_parquet(mix)
    training = bench.training("dpo", kind="dpo", beta=0.5, packing=False, learning_rate=3e-3, epochs=2)
    files = bench.files("dpo")
    assert preflight(training, mix, files, 1, print).passed
    measured = train(training, mix, files, 1, print)
    assert measured.steps == measured.planned_steps == 24
    losses = read_table(files.folder / "loss.csv", LOSS)["loss"]
    assert losses[0] == pytest.approx(0.6931, abs=1e-3), "ln 2: at first it prefers neither"
    assert losses[-1] < 0.1
