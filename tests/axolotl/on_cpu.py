"""Plugins with which real Axolotl trains as on GPUs, but on the CPU: bf16, and FSDP2 between two processes.

Axolotl and accelerate shard on GPUs only. What is changed here is the device, and nothing of how weights are
loaded, held, sharded and updated. They do nothing unless REWILD_TEST_ON_CPU is set, so that a preflight in
the tests' own process stays as it is.
"""

from __future__ import annotations

import os
from typing import Any

from axolotl.integrations.base import BasePlugin

ON = "REWILD_TEST_ON_CPU"


class OnCpu(BasePlugin):
    """Trains in bf16 on the CPU; with torchrun, shards there."""

    def register(self, cfg: dict[str, Any]) -> None:
        if not os.environ.get(ON):
            return
        import accelerate.state
        import transformers.training_args
        from accelerate import DistributedType, ParallelismConfig

        transformers.training_args.is_torch_bf16_gpu_available = lambda: True
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
        if "LOCAL_RANK" in os.environ:
            build = ParallelismConfig.build_device_mesh
            ParallelismConfig.build_device_mesh = lambda self, device: build(self, "cpu")
            accelerate.state.PartialState._prepare_backend = lambda *_, **__: (
                "gloo",
                DistributedType.MULTI_GPU,
            )


class Halved(BasePlugin):
    """Undoes what holds the weights in fp32: the training that Axolotl would do by itself."""

    def post_model_load(self, cfg: Any, model: Any) -> None:
        model.bfloat16()

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        trainer.model.bfloat16()


class OtherReference(BasePlugin):
    """Loads another reference model than the one that is tuned."""

    def register(self, cfg: dict[str, Any]) -> None:
        self.loaded = 0

    def post_model_load(self, cfg: Any, model: Any) -> None:
        self.loaded += 1
        if self.loaded == 2:
            model.lm_head.weight.data.neg_()
