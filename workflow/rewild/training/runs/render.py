"""A run as an Axolotl config. Pure: the same run gives the same text.

Every key that decides a result is written out, also where it is Axolotl's default, so that another version of
Axolotl cannot change a run by changing a default. Silent traps that the config itself closes
(docs/runs.md): attention is named, so packing cannot leak; the prepared data has a folder that its content
names; a seed; the end-of-turn token of the template is trained.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from rewild.config.base import identity
from rewild.config.recipes import Fsdp
from rewild.config.stages import version
from rewild.config.trainings import Training
from rewild.core.conversations import THOUGHT
from rewild.core.errors import ConfigError, DataError
from rewild.core.reading import read_text
from rewild.core.weights import hash_folder

PLUGIN = "rewild.training.runs.plugin.Watch"
KEPT = 2  # checkpoints to resume from: the last, and the one before it should the last be damaged


def identity_of(training: Training, mix_sha256: str, start: str) -> str:
    """16 hexadecimal digits that name a training: data, first weights, recipe, seed, template.

    Args:
        training: the run.
        mix_sha256: of the mix's file.
        start: what identifies the base model: :func:`start_identity`.
    """
    described = {
        "stage": version("training"),
        "mix": mix_sha256,
        "start": start,
        "recipe": identity(training.recipe),
        "seed": training.seed,
        "template": template_text(training),
        "end_of_turn": identity(training.template) if training.template else None,
        **training.told,
    }
    return sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def start_identity(training: Training) -> str:
    """What identifies a run's base model: its files' content, or its hub id and commit."""
    start = training.start
    if not start.local:
        return f"{start.path}@{start.revision}"
    return hash_folder(Path(start.path))


def template_text(training: Training) -> str | None:
    """The recipe's chat template for this base model; None if its tokenizer has its own."""
    if training.template is None:
        return None
    path = Path(training.template.file)
    try:
        return read_text(path)
    except DataError as error:
        raise ConfigError(f"recipe {training.recipe.slug}: chat template {error}") from error


def axolotl_config(training: Training, mix: str, work: str, identity: str) -> dict[str, Any]:
    """The config of a run, in the order in which a reader asks.

    Args:
        training: the run.
        mix: path of the mix's Parquet file.
        work: folder for what is in progress.
        identity: the result of :func:`identity_of`.
    """
    r, start = training.recipe, training.start
    config: dict[str, Any] = {"base_model": start.path}
    if start.revision:
        config["revision_of_model"] = start.revision
    config["trust_remote_code"] = start.trust_remote_code
    config["tokenizer_use_mistral_common"] = False  # Axolotl turns it on for names with "magistral"
    config |= _template(training)
    if told := training.told.get("arguments"):
        config["chat_template_kwargs"] = told
    config |= {"rl": "dpo", "dpo_beta": r.beta} if r.kind == "dpo" else {}
    config |= {
        "datasets": [_dataset(training, mix)],
        "dataset_prepared_path": f"{work}/{identity}/prepared",
        "val_set_size": 0,
        "shuffle_merged_datasets": True,
        "sequence_len": r.sequence_length,
        "excess_length_strategy": r.over_long,
        "sample_packing": r.packing,
        "pad_to_sequence_len": r.packing,
        "num_epochs": r.epochs,
        "micro_batch_size": r.micro_batch,
        "gradient_accumulation_steps": r.accumulation,
        "optimizer": r.optimizer,
        "learning_rate": r.learning_rate,
        "lr_scheduler": r.scheduler,
        **({"warmup_ratio": r.warmup_ratio} if r.warmup_ratio else {"warmup_steps": r.warmup_steps}),
        "weight_decay": r.weight_decay,
        "adam_beta2": r.adam_beta2,
        "max_grad_norm": r.max_grad_norm,
        "bf16": r.precision == "bf16",
        "fp16": False,
        "tf32": r.precision == "bf16",
        "attn_implementation": r.attention,
        "gradient_checkpointing": r.gradient_checkpointing,
    }
    if r.gradient_checkpointing:
        config["gradient_checkpointing_kwargs"] = {"use_reentrant": False}
    if r.fsdp:
        config |= _fsdp(r.fsdp)
    if r.gpus == 0:  # a worker process would import everything once more, in each epoch
        config |= {"dataloader_num_workers": 0, "dataloader_pin_memory": False}
    return config | {
        "seed": training.seed,
        "output_dir": f"{work}/{identity}/out",
        "saves_per_epoch": max(1, round(r.checkpoints / r.epochs)),
        "save_total_limit": KEPT,
        "logging_steps": 1,
        "include_tkps": r.kind == "sft",
        "plugins": [PLUGIN],
    }


def _template(training: Training) -> dict[str, Any]:
    text, template = template_text(training), training.template
    if template is None or text is None:
        return {"chat_template": "tokenizer_default"}
    special = {"eos_token": template.end_of_turn} | ({"pad_token": template.pad} if template.pad else {})
    return {
        "chat_template": "jinja",
        "chat_template_jinja": text,
        "special_tokens": special,
        "eot_tokens": [template.end_of_turn],
    }


def _dataset(training: Training, mix: str) -> dict[str, Any]:
    where = {"path": mix, "ds_type": "parquet", "split": "train"}
    if training.recipe.kind == "dpo":
        fields = {"field_messages": "messages", "field_chosen": "chosen", "field_rejected": "rejected"}
        return where | {"type": "chat_template.default"} | fields
    return where | {
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"}
        | ({THOUGHT: THOUGHT} if training.reasons else {}),
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
    }


def _fsdp(fsdp: Fsdp) -> dict[str, Any]:
    """Full shard, wrapped by decoder layer. Checkpoints are sharded, the final model is whole."""
    return {
        "fsdp_version": 2,
        "fsdp_config": {
            "reshard_after_forward": True,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            **({"transformer_layer_cls_to_wrap": fsdp.wrap} if fsdp.wrap else {}),
            "offload_params": fsdp.offload,
            "cpu_ram_efficient_loading": True,
            "state_dict_type": "SHARDED_STATE_DICT",
            "final_state_dict_type": "FULL_STATE_DICT",
        },
    }


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that a template can be read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    block = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=block)


_Dumper.add_representer(str, _text)


def as_yaml(config: dict[str, Any], heading: str) -> str:
    """The config as YAML, keys in their order, below a line of comment."""
    body = yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return f"# {heading}\n{body}"
