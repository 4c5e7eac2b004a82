"""Our part inside Axolotl: a plugin that watches a training (``plugins:`` in the rendered config).

It runs in Axolotl's environment and process. It writes each logged step as it happens, seals checkpoints,
stops at a loss that is no number, and says at the end what was measured.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rewild.engines.base import hardware, versions
from rewild.files import write_json
from rewild.runs.checkpoints import seal
from rewild.runs.leak import leak, leak_check, short, small_model
from rewild.runs.log import LOG, MEASURED, STOPPED, read_log


class NotANumberError(Exception):
    """The loss is NaN or infinite: nothing can be learned any more."""


class LeakError(Exception):
    """Packed conversations see each other."""


class Watcher(TrainerCallback):  # type: ignore[misc]  # untyped here
    """Follows the trainer; only its main process writes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.resumed = folder, 0
        self.started = self.last = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        args.logging_nan_inf_filter = False  # it would show the last good loss instead of a NaN
        self.started = self.last = time.monotonic()
        self.resumed = state.global_step
        if state.is_world_process_zero:
            # What was logged after the checkpoint that this goes on from happens again.
            kept = [line for line in read_log(self.folder) if line["step"] <= state.global_step]
            text = "".join(json.dumps(line) + "\n" for line in kept)
            (self.folder / LOG).write_text(text, encoding="utf-8")
        if getattr(args, "sample_packing", False):
            self._measure_leak(args, rest["model"], rest["train_dataloader"])

    def _measure_leak(self, args: TrainingArguments, model: Any, loader: Any) -> None:
        """With the collator that is used, on the model itself; if that is sharded, on a small one like it."""
        if args.world_size > 1:
            attention = model.config._attn_implementation
            model = small_model(model.config, attention, str(args.device), torch.bfloat16)
        rows = [short(loader.dataset[i]) for i in range(min(2, len(loader.dataset)))]
        if len(rows) == 2:
            check = leak_check(leak(model, loader.collate_fn, *rows))
            if not check.passed:
                write_json(self.folder / STOPPED, {"reason": f"{check.found}: {check.remedy}", "step": 0})
                raise LeakError(check.found)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        loss, now = float(logs["loss"]), time.monotonic()
        line = {
            "step": state.global_step,
            "epoch": state.epoch,
            "loss": loss if math.isfinite(loss) else str(loss),
            "grad_norm": _number(logs.get("grad_norm")),
            "learning_rate": _number(logs.get("learning_rate")),
            "trained_tokens": logs.get("tokens/trainable"),
            "seconds": now - self.last,
        }
        self.last = now
        if state.is_world_process_zero:
            with (self.folder / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if not math.isfinite(loss):
            message = f"the loss became {loss} at step {state.global_step} of {state.max_steps}"
            if state.is_world_process_zero:
                write_json(self.folder / STOPPED, {"reason": message, "step": state.global_step})
            raise NotANumberError(message)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            seal(self.folder / f"checkpoint-{state.global_step}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        tokens = getattr(state, "tokens", {})
        state.save_to_json(str(self.folder / "trainer_state.json"))
        write_json(
            self.folder / MEASURED,
            {
                "steps": state.global_step,
                "planned_steps": state.max_steps,
                "epochs": state.epoch,
                "resumed_at": self.resumed,
                "trained_tokens": int(tokens["trainable"]) if "trainable" in tokens else None,
                "token_slots": int(tokens["total"]) if "total" in tokens else None,
                "peak_memory": _peak_memory(),
                "processes": args.world_size,
                "hardware": _hardware(),
                "versions": versions("axolotl", "torch", "transformers", "trl", "accelerate"),
            },
        )


class Watch(BasePlugin):  # type: ignore[misc]  # Axolotl has no types here
    """What ``plugins: [rewild.runs.plugin.Watch]`` registers."""

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[TrainerCallback]:
        folder = Path(cfg.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        return [Watcher(folder)]


def _number(value: Any) -> float | None:
    found = None if value is None else float(value)
    return found if found is not None and math.isfinite(found) else None


def _peak_memory() -> int:
    """Bytes: of the GPU if there is one, else of this process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _hardware() -> dict[str, Any]:
    machine = hardware() | {"threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        machine |= {"gpu": properties.name, "gpu_memory": properties.total_memory}
    return machine
