"""Tiny models with random weights, made here: real transformers, real tokenizers, no download.

The tests of this folder run in the environment .envs/engine-cpu; elsewhere each module is skipped.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import make_model
from workspace import Workspace, make_prompts


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """A tiny model gains nothing from more threads, and on a busy machine they wait for one another."""
    torch = pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def chat(model_folder: Path):
    from rewild.engines.chat import Chat

    return Chat.load(model_folder, "tiny")


@pytest.fixture(scope="session")
def engine(model_folder: Path, chat):
    from rewild.engines import make_engine

    return make_engine("transformers", path=model_folder, chat=chat, device="cpu", batch=8)


@pytest.fixture
def workspace(tmp_path: Path, model_folder: Path):
    made = Workspace(tmp_path, model_folder)
    make_prompts(made.layout.prompts("0000"))
    return made
