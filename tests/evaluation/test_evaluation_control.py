"""What a model's files and template would decide in lm-eval the study decides: real lm-eval, tiny models.

One process of lm-eval's environment asks every model here; without that environment the tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".envs/lm-eval-cpu/bin/python"
ASK = """
import json, sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

sys.path.insert(0, "tests/engine")
import transformers.utils.chat_template_utils as templates
from transformers import AutoTokenizer, GenerationConfig
from reasoners import HEADED, SWITCH, thinker
from tiny import make_model
from tokenizers.processors import TemplateProcessing
from rewild.config.base import validate
from rewild.config.models import load_models
from rewild.config.reasoning import Reasoning
from rewild.core.errors import RewildError
from rewild.evaluation.harness.run import Harness, Settings
from rewild.evaluation.harness.settings import Target, Task

folder, row = Path(sys.argv[1]), next(iter(load_models(Path("config")).values()))
TURNS = "{% for m in messages %}<|{{ m['role'] }}|>\\n{{ m['content'] }}<|end|>\\n{% endfor %}"
HEAD = "{% if add_generation_prompt %}<|assistant|>\\n{% endif %}"
NOW = "<|system|>\\nToday Date: {{ strftime_now(kind) }}<|end|>\\n"
TEMPLATES = {
    "plain": TURNS + HEAD,
    "refuses": "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + TURNS + HEAD,
    "drops": TURNS.replace("%}<|{{", "%}{% if m['role'] != 'system' %}<|{{", 1).replace(
        "{% endfor %}", "{% endif %}{% endfor %}") + HEAD,
    "dated": "{% set kind = '%d %B %Y' %}" + NOW + TURNS + HEAD,
    "assumes": "{% if messages[0]['role'] != 'system' %}<|system|>\\nYou are a default.<|end|>\\n{% endif %}"
    + TURNS + HEAD,
    "bos": "\\n{{ bos_token }}" + TURNS + HEAD,
    "loses": TURNS.replace("m['content']", "m['content'] | replace('the', 'a')") + HEAD,
}


class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2031, 5, 6)


templates.datetime = Clock  # the wall clock of every template
made = {}


def model(template, settings=None):
    path = folder / f"{template}-{len(made)}"
    make_model(path, template=TEMPLATES[template], context=512)
    made[path] = template
    if template == "bos":  # as Llama's: the tokenizer puts one before a text as well
        tokenizer = AutoTokenizer.from_pretrained(path)
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|bos|> $A", special_tokens=[("<|bos|>", 0)])
        tokenizer.save_pretrained(path)
    if settings is not None:
        (path / "generation_config.json").write_text(json.dumps(
            {"eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 6, **settings}))
    return path


TASK = Task("own", "own_write", str(folder / "tasks"), 0, None, 12, str(folder / "questions"), None, None,
            ("question",), runs_code=False)
SETTINGS = Settings("hf", "fp32", 0, seed=1, max_length=512, batch=4)


def ask(path, tasks=(TASK,), reasoning=None, **settings):
    thinks = reasoning if reasoning is None else validate(Reasoning, reasoning, "reasoning")
    mine = row.model_copy(update={"reasoning": thinks})
    target = Target(str(path), None, True, False, mine, path.name.split("-")[0])
    try:
        scratch = folder / "scratch" / str(len(list((folder / "scratch").iterdir())))
        scratch.mkdir()
        harness = Harness(target, replace(SETTINGS, **settings), scratch, tasks)
        said = [harness.run(task) for task in tasks]
    except RewildError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {
        "prompts": [row["prompt"] for outcome in said for row in outcome.samples],
        "answers": [row["answers"] for outcome in said for row in outcome.samples],
        "prompt": said[0].summary["prompt"],
        "sampling": said[0].summary["sampling"],
        "confined": said[0].summary["confined"],
        "reasoning": {k: said[0].summary.get(k) for k in ("reasoning", "never_stopped_reasoning")},
        "longest": [part["longest_answer"] for part in said[0].summary["parts"].values()],
        "bos": [harness.lm.tok_encode(row["prompt"]).count(0) for o in said for row in o.samples],
    }


(folder / "scratch").mkdir()
penalties = {"repetition_penalty": 1.9, "no_repeat_ngram_size": 2, "suppress_tokens": [30, 31, 32],
             "top_k": 1, "do_sample": True, "temperature": 3.0, "forced_eos_token_id": 1, "min_new_tokens": 9,
             "max_new_tokens": 3, "begin_suppress_tokens": [40]}
plain = model("plain", {})
out = {name: ask(model(name)) for name in TEMPLATES if name != "plain"}
out["choices"] = ask(model("refuses"), (replace(TASK, name="own_choose", fewshot=1, max_new_tokens=None),))
out["stops"] = ask(model("refuses"), without_system_role="refuse")
out["system"] = ask(model("refuses"), system="Be brief.")
out["empty"] = ask(model("assumes"), (replace(TASK, name="own_bare"),), system="")
out["default"] = ask(model("assumes"), (replace(TASK, name="own_bare"),))
out["plain"] = ask(plain)
out["penalised"] = ask(model("plain", penalties))
thinks = thinker(folder / "thinks-0", HEADED, "the model</think> with words")
choose = replace(TASK, name="own_choose", fewshot=1, max_new_tokens=None)
out["thinks"] = ask(thinks, (replace(TASK, name="own_until"),), reasoning={"budget": 20})
out["scored"] = ask(thinks, (choose,), reasoning={"budget": 20})
out["short"] = ask(thinks, (replace(TASK, max_new_tokens=1),), reasoning={"budget": 20})
out["spent"] = ask(thinks, reasoning={"budget": 1})
other = {"start": "<think>", "end": ["</think>", "<|never|>"], "budget": 20}
out["other"] = ask(thinks, reasoning=other)
endless = thinker(folder / "thinks-1", HEADED, "the model", endless=True)
out["endless"] = ask(endless, reasoning={"budget": 4})
told = thinker(folder / "thinks-2", SWITCH, "with words")
silent = {"arguments": {"enable_thinking": False}}
out["told"], out["chosen"] = ask(told, reasoning=silent), ask(told, (choose,), reasoning=silent)
code = replace(TASK, benchmark="mbpp-lm-eval", name="mbpp", folder=None, runs_code=True, limit=1)
out["code"] = ask(plain, (code,))
if "error" not in out["code"]:
    from lm_eval.tasks.mbpp.utils import pass_at_1
right = "def add(a, b):\\n    return a + b"
hostile = "def add(a, b):\\n    return open('/etc/passwd') and a + b"
out["passes"] = {} if "error" in out["code"] else {
    "values": [pass_at_1("assert add(1, 2) == 3", [text]) for text in (right, hostile)]}
print(json.dumps(out))
"""
WRITE = """
task: {name}
dataset_path: json
output_type: {kind}
test_split: test
fewshot_split: test
{description}
doc_to_text: "{{{{question}}}}"
{rest}
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not (ROOT / ".envs/lm-eval-cpu/ready").exists():
        pytest.skip("needs lm-eval: .envs/lm-eval-cpu is not built (snakemake .envs/lm-eval-cpu/ready)")
    folder = tmp_path_factory.mktemp("control")
    (folder / "tasks").mkdir()
    written = 'doc_to_target: "{{answer}}"\nmetric_list: [{metric: exact_match}]'
    chosen = 'doc_to_target: "{{answer}}"\ndoc_to_choice: ["yes", "no"]\nmetric_list: [{metric: acc}]'
    about = 'description: "Answer the questions about the rivers.\\n\\n"'
    for name, kind, description, rest in (
        ("own_write", "generate_until", about, written),
        ("own_bare", "generate_until", "", written),
        ("own_until", "generate_until", about, f'{written}\ngeneration_kwargs: {{until: ["model"]}}'),
        ("own_choose", "multiple_choice", about, chosen),
    ):
        text = WRITE.format(name=name, kind=kind, description=description, rest=rest)
        (folder / "tasks" / f"{name}.yaml").write_text(text, encoding="utf-8")
        rows = [{"question": f"Is water the light number {i}?", "answer": "yes"} for i in range(4)]
        (folder / "questions" / name).mkdir(parents=True)
        (folder / "questions" / name / "test.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
        )
    (folder / "questions/mbpp").mkdir()
    task = {"text": "Add.", "code": "pass", "test_list": ["assert add(1, 2) == 3"] * 3}
    (folder / "questions/mbpp/test.jsonl").write_text(json.dumps(task | {"question": "?"}) + "\n")
    done = subprocess.run(
        [str(PYTHON), "-W", "ignore", "-c", textwrap.dedent(ASK), str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "HF_HUB_OFFLINE": "1", "HOME": str(folder)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    errors = {case: about["error"] for case, about in found.items() if "error" in about}
    assert sorted(errors.keys() - {"code"}) == ["loses", "scored", "stops"], errors
    return found


ABOUT = "Answer the questions about the rivers."


def test_a_template_without_a_system_role_keeps_the_tasks_instructions(said: dict[str, Any]) -> None:
    for case in ("refuses", "drops"):
        assert len(said[case]["prompts"]) == 4
        for i, prompt in enumerate(said[case]["prompts"]):
            question = f"Is water the light number {i}?"
            assert prompt == f"<|user|>\n{ABOUT}\n\n{question}<|end|>\n<|assistant|>\n", case
        assert said[case]["prompt"]["instructions"] == "first turn"
    # With a worked example as a turn, they stand before the example, once.
    for prompt in said["choices"]["prompts"]:
        assert prompt.startswith(f"<|user|>\n{ABOUT}\n\nIs water the light number ")
        assert prompt.count("<|user|>") == 2
        assert "<|assistant|>\nyes<|end|>\n<|user|>\nIs water" in prompt
        assert prompt.count(ABOUT) == 1
    for prompt in said["system"]["prompts"]:
        assert prompt.startswith(f"<|user|>\nBe brief.\n\n{ABOUT}\n\nIs water")


def test_or_the_job_stops_where_the_study_says_so(said: dict[str, Any]) -> None:
    assert said["stops"]["error"].startswith(
        "ConfigError: refuses: its chat template takes no system message"
    )
    assert "evaluation.without_system_role" in said["stops"]["error"]


def test_the_date_of_a_template_is_the_studys_whatever_the_clock_says(said: dict[str, Any]) -> None:
    for prompt in said["dated"]["prompts"]:
        assert prompt.startswith("<|system|>\nToday Date: 26 July 2024<|end|>\n")
        assert "2031" not in prompt
    assert said["dated"]["prompt"]["date"] == "2024-07-26"
    assert said["plain"]["prompt"]["date"] is None


def test_a_templates_own_system_prompt_is_recorded_and_can_be_emptied(said: dict[str, Any]) -> None:
    assert said["default"]["prompt"]["template_begins"] == "<|system|>\nYou are a default.<|end|>\n<|user|>\n"
    assert all("You are a default." in prompt for prompt in said["default"]["prompts"])
    assert all(prompt.startswith("<|system|>\n<|end|>\n<|user|>") for prompt in said["empty"]["prompts"])


def test_every_prompt_has_one_bos(said: dict[str, Any]) -> None:
    assert said["bos"]["bos"] == [1] * 4
    assert said["bos"]["prompts"][0].startswith("<|bos|><|system|>")
    assert said["plain"]["bos"] == [0] * 4  # neither the tokenizer nor the template writes one


def test_a_template_that_loses_instructions_is_refused_after_the_run(said: dict[str, Any]) -> None:
    error = said["loses"]["error"]
    assert error.startswith("DataError: benchmark own: prompts lack what they must contain.")
    assert "the task's description: in 4 of 4 prompts, first in own_write, question 0" in error


def test_a_models_generation_config_changes_no_answer(said: dict[str, Any]) -> None:
    plain, penalised = said["plain"], said["penalised"]
    assert penalised["answers"] == plain["answers"]
    assert len({str(answer) for answer in plain["answers"]}) > 1
    assert plain["sampling"]["dropped"] == {}
    assert penalised["sampling"]["dropped"] == {
        "repetition_penalty": 1.9,
        "no_repeat_ngram_size": 2,
        "suppress_tokens": [30, 31, 32],
        "top_k": 1,
        "do_sample": True,
        "temperature": 3.0,
        "forced_eos_token_id": 1,
        "min_new_tokens": 9,
        "max_new_tokens": 3,
        "begin_suppress_tokens": [40],
    }
    # The template ends a turn with <|end|>, which this generation config does not name.
    assert penalised["sampling"]["end_tokens"] == plain["sampling"]["end_tokens"] == [1, 2]


def test_only_what_follows_reasoning_is_an_answer(said: dict[str, Any]) -> None:
    """The task stops answers at a word that stands in the reasoning, too; it ends none there."""
    thinks = said["thinks"]
    assert all(prompt.endswith("<|assistant|>\n<think>\n") for prompt in thinks["prompts"])
    assert thinks["answers"] == [[["with words"]]] * 4
    assert thinks["longest"] == [32], "12 tokens of an answer, after 20 of reasoning"
    marker = thinks["reasoning"]["reasoning"].pop("think_end_token")
    assert isinstance(marker, int), "told in tokens"
    assert thinks["reasoning"] == {"reasoning": {"budget": 20}, "never_stopped_reasoning": 0}
    assert said["plain"]["reasoning"] == {"reasoning": None, "never_stopped_reasoning": None}


def test_reasoning_that_never_stops_is_no_answer_and_counted(said: dict[str, Any]) -> None:
    assert said["endless"]["answers"] == [[[""]]] * 4
    assert said["endless"]["reasoning"]["never_stopped_reasoning"] == 4


def test_either_part_has_its_budget_and_any_marker_ends_reasoning(said: dict[str, Any]) -> None:
    assert said["short"]["answers"] == [[["with"]]] * 4, "what is left of the budget is none of the answer's"
    assert said["spent"]["answers"] == [[[""]]] * 4
    assert said["spent"]["reasoning"]["never_stopped_reasoning"] == 4
    assert said["other"]["answers"] == [[["with words"]]] * 4


def test_likelihoods_are_read_only_of_who_answers_at_once(said: dict[str, Any]) -> None:
    assert said["scored"]["error"].startswith(
        "ConfigError: benchmark own: the task own_choose reads the likelihood of answers, and thinks reasons"
    )
    for prompt in (*said["told"]["prompts"], *said["chosen"]["prompts"]):
        assert prompt.endswith("<|assistant|>\n<think>\n\n</think>\n\n")
    assert said["told"]["answers"] == [[["with words"]]] * 4


def test_programs_of_models_run_in_the_sandbox_also_from_lm_evals_tasks(said: dict[str, Any]) -> None:
    if "allows none" in said["code"].get("error", ""):
        pytest.skip(said["code"]["error"])
    assert said["code"]["confined"] is True
    assert said["plain"]["confined"] is None
    assert len(said["code"]["answers"]) == 1
    assert said["passes"]["values"] == [1.0, 0.0]
