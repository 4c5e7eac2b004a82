"""Our part inside Axolotl: a plugin that watches a training (``plugins:`` in the rendered config).

It runs in Axolotl's environment and process. It holds the weights in fp32, writes each logged step as it
happens, seals checkpoints, stops at a loss that is no number and at what is wrong from the first step on, and
says at the end what was measured.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rewild.core.files import write_json
from rewild.engines.base import hardware, versions
from rewild.training.runs.checkpoints import seal
from rewild.training.runs.checks import RunCheck
from rewild.training.runs.encoded import install
from rewild.training.runs.gates import first_preference_loss, precision
from rewild.training.runs.leak import leak, leak_check, short, small_model
from rewild.training.runs.schema import LOG, MEASURED, STOPPED, read_log


class NotANumberError(Exception):
    """The loss is NaN or infinite: nothing can be learned any more."""


class LeakError(Exception):
    """Packed conversations see each other."""


class GateError(Exception):
    """The training is wrong from its first step on."""


class Watcher(TrainerCallback):  # type: ignore[misc]  # untyped here
    """Follows the trainer; only its main process writes."""

    def __init__(self, folder: Path, wanted: str = "fp32", kind: str = "sft") -> None:
        """
        Args:
            folder: the output folder.
            wanted: the recipe's precision, ``bf16`` or ``fp32``.
            kind: ``sft`` or ``dpo``.
        """
        self.folder, self.resumed = folder, 0
        self.wanted, self.kind = wanted, kind
        self.compute: str | None = None
        self.held: dict[str, dict[str, int]] = {}
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
        self._look_at_the_forward_pass(rest["model"])

    def _look_at_the_forward_pass(self, model: Any) -> None:
        """Note what the first linear layer gives: what a policy says of precision may not hold."""
        layer = next((m for m in model.modules() if isinstance(m, torch.nn.Linear)), None)
        if layer is None:
            return

        def note(_: Any, __: Any, output: Any) -> None:
            self.compute = _name(output.dtype)
            hook.remove()

        hook = layer.register_forward_hook(note)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        if not self.held:
            self.held = {"parameters": held(rest["model"]), "optimizer": moments(rest["optimizer"])}
            check = precision(self.held["parameters"], self.held["optimizer"], self.compute, self.wanted)
            self._stop_unless(check, state)

    def _stop_unless(self, check: RunCheck, state: TrainerState) -> None:
        if check.passed:
            return
        if state.is_world_process_zero:
            reason = f"{check.found}: {check.remedy}"
            write_json(self.folder / STOPPED, {"reason": reason, "step": state.global_step})
        raise GateError(check.found)

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
        if self.kind == "dpo" and state.global_step == 1:
            self._stop_unless(first_preference_loss(loss), state)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            seal(self.folder / f"checkpoint-{state.global_step}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
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
                # Of now: a resumed optimiser has what its checkpoint held.
                "parameters": held(rest["model"]),
                "optimizer": moments(rest["optimizer"]),
                "compute": self.compute,
                "peak_memory": _peak_memory(),
                "processes": args.world_size,
                "hardware": _hardware(),
                "versions": versions("axolotl", "torch", "transformers", "trl", "accelerate"),
            },
        )


class Watch(BasePlugin):  # type: ignore[misc]  # Axolotl has no types here
    """What ``plugins: [rewild.training.runs.plugin.Watch]`` registers."""

    def register(self, cfg: Any) -> None:
        """Before any data is read: contents are encoded as text, and a reference model is sharded whole."""
        install()
        _shard_references()

    def post_model_load(self, cfg: Any, model: Any) -> None:
        """The model is loaded, nothing is sharded, no optimiser is made yet: hold its weights in fp32.

        Axolotl 0.19 loads a model in the precision that it computes in, and accelerate 1.13 upcasts nothing
        with FSDP2 (``fsdp2_prepare_model`` binds the cast tensor to a name and drops it). FSDP2's policy, or
        autocast without sharding, still casts to bf16 for every product. The reference model of a preference
        tuning passes here too, so that both compute alike.
        """
        upcast(model)

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        """The trainer is made, nothing is prepared yet. Axolotl's builder for preferences casts a model that
        will be sharded back to bf16 (``ensure_dtype``): hold it in fp32 once more.

        With FSDP2, accelerate has every output cast to bf16, the loss too: it would be logged in steps of
        1/256 of itself. The model's own outputs are left as they are.
        """
        upcast(trainer.model)
        sharding = getattr(trainer.accelerator.state, "fsdp_plugin", None)
        policy: Any = getattr(sharding, "mixed_precision_policy", None)
        if sharding is not None and getattr(policy, "output_dtype", None) is not None:
            sharding.mixed_precision_policy = dataclasses.replace(policy, output_dtype=None)

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[TrainerCallback]:
        folder = Path(cfg.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        return [Watcher(folder, "bf16" if cfg.bf16 else "fp32", "dpo" if cfg.rl == "dpo" else "sft")]


def _shard_references() -> None:
    """Let TRL shard a reference model as Axolotl shards the model that is tuned.

    With ``cpu_ram_efficient_loading`` the first process alone has read the weights. Axolotl 0.19 gives TRL a
    function that hands them to the others, but in ``trl.models.utils``, while the trainer has the name from
    its import: the other processes would keep zeros, and the policy be compared with half a model.
    """
    import trl.trainer.dpo_trainer as dpo
    from accelerate import Accelerator
    from axolotl.monkeypatch.accelerate.fsdp2 import fsdp2_prepare_model

    if getattr(dpo.prepare_fsdp, "hands_out_weights", False):
        return
    trls = dpo.prepare_fsdp

    def prepare_fsdp(model: Any, accelerator: Accelerator) -> Any:
        if accelerator.state.fsdp_plugin.fsdp_version != 2:
            return trls(model, accelerator)
        return fsdp2_prepare_model(accelerator, model).eval()

    prepare_fsdp.hands_out_weights = True  # type: ignore[attr-defined]
    dpo.prepare_fsdp = prepare_fsdp


def upcast(model: Any) -> None:
    """Hold every floating-point parameter of a model in fp32, in place. Tied ones stay tied."""
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()


def held(model: Any) -> dict[str, int]:
    """Dtype → numbers of a model's trained parameters held in it; of all shards, if it is sharded."""
    return _count(p for p in model.parameters() if p.requires_grad)


def moments(optimizer: Any) -> dict[str, int]:
    """Dtype → numbers of an optimiser's state held in it; its step counters are not counted."""
    states = getattr(optimizer, "optimizer", optimizer).state.values()
    return _count(t for state in states for t in state.values() if torch.is_tensor(t) and t.dim() > 0)


def _count(tensors: Iterable[Any]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for tensor in tensors:
        found[_name(tensor.dtype)] += tensor.numel()
    return dict(sorted(found.items()))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


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
