"""Every number of MAGPIE's room against the paper's text, read again with a parser of its own.

Where the text lies beside the checkout (`shared/papers`); elsewhere only what the files themselves must
satisfy is tested.
"""

from __future__ import annotations

import hashlib
import re

import pytest
import yaml

from published_rooms import ROOT, Room, check_cells

ROOM = Room("magpie")
CELLS = {"table2": 36, "table3": 96, "table13": 9, "costs": 10, "sizes": 19, "settings": 30}


@pytest.fixture(scope="module")
def text() -> str:
    found = sorted((ROOT.parent / "shared/papers").glob("003_*.txt"))
    if not found:
        pytest.skip("the paper's text is not at hand")
    return found[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("table", CELLS)
def test_values_are_what_is_printed(table: str) -> None:
    check_cells(ROOM, table, CELLS[table])


def rows_below(text: str, head: str) -> list[list[str]]:
    """Lines of cells below a head, up to the first blank line."""
    block = text[text.index(head) :].split("\n\n", maxsplit=1)[0]
    return [line.split("\t") for line in block.splitlines()[1:]]


def test_table_3_is_the_papers(text: str) -> None:
    lines = rows_below(text, "Alignment Setup\tMMLU(5)")
    columns = ROOM.specs.tables["table3"].columns
    read = {
        (line[0].replace("GenOA", "GenQA"), column): cell
        for line in lines
        for column, cell in zip(columns, line[1:], strict=True)
    }
    assert len(lines) == 12
    assert read == ROOM.grid("table3")


def test_table_13_is_the_papers(text: str) -> None:
    lines = rows_below(text, "Alignment Setup\tP ass")
    columns = ROOM.specs.tables["table13"].columns
    read = {
        (line[0].replace("$+$", "+").replace("-base", "-Base"), column): cell
        for line in lines
        for column, cell in zip(columns, line[1:], strict=True)
    }
    assert read == ROOM.grid("table13")


def test_table_2_is_the_papers(text: str) -> None:
    """Both rows of a base model stand in one line of the text; two of three dashes are lost in it."""
    lines = [
        line for line in text.splitlines() if line.startswith(("Owen ", "$Owen")) and line.count("\t") > 5
    ]
    assert len(lines) == 3
    columns = ROOM.specs.tables["table2"].columns
    read = {}
    for line in lines:
        _, names, *cells = [cell for cell in line.split("\t") if cell]
        official, _, rest = names.replace("Owen", "Qwen").partition(" ")
        assert rest == "Base Model + MAGPIE"
        for column, cell in zip(columns, cells, strict=True):
            first, second = cell.split() if " " in cell else ("-", cell)
            base = re.sub("-(Instruct|Chat)$", "", official)
            read[official, column], read[f"{base} + MAGPIE", column] = first, second
    assert read == ROOM.grid("table2")


# Where each number of running text stands: table, row, column → what surrounds it.
PLACES = {
    ("costs", "MAGPIE-Air", "Instances"): r"creating the (\S+) MAGPIE-Air dataset",
    ("costs", "MAGPIE-Pro", "Instances"): r"For the (\S+) MAGPIE-Pro dataset",
    ("costs", "MAGPIE-Air", "Hours of step 1"): r"our MAGPIE spent (\S+) and",
    ("costs", "MAGPIE-Air", "Hours of step 2"): r"our MAGPIE spent \S+ and (\S+) hours",
    ("costs", "MAGPIE-Pro", "Hours of step 1"): r"MAGPIE used (\S+) and",
    ("costs", "MAGPIE-Pro", "Hours of step 2"): r"MAGPIE used \S+ and (\S+) hours",
    ("costs", "MAGPIE-Air", "GPU hours"): r"created using (\S+) and \S+ GPU hours, respectively",
    ("costs", "MAGPIE-Pro", "GPU hours"): r"created using \S+ and (\S+) GPU hours, respectively",
    ("costs", "MAGPIE-Air", "Dollars per 1,000"): r"costs of \\\$(\S+) and",
    ("costs", "MAGPIE-Pro", "Dollars per 1,000"): r"costs of \S+ and \\\$(\S+) per 1,000",
    ("sizes", "ShareGPT"): r"human-written datasets containing (\S+) and",
    ("sizes", "WildChat"): r"human-written datasets containing \S+ and (\S+) high",
    ("sizes", "UltraChat"): r"use the (\S+) sanitized version of Ultrachat",
    ("sizes", "OpenHermes 1"): r"instruction datasets, with (\S+), \S+, and \S+ conv",
    ("sizes", "OpenHermes 2.5"): r"instruction datasets, with \S+, (\S+), and \S+ conv",
    ("sizes", "Tulu V2 Mix"): r"instruction datasets, with \S+, \S+, and (\S+) conv",
    ("sizes", "Self-Instruct (Llama-3)"): r"instruction dataset with (\S+) conversations using the Self",
    ("sizes", "MAGPIE-Air-300K-Raw"): r"select the first (\S+) MAGPIE-Air and MAGPIE-Pro raw",
    ("sizes", "MAGPIE-Pro-300K-Raw"): r"select the first (\S+) MAGPIE-Air and MAGPIE-Pro raw",
    ("sizes", "MAGPIE-Air-300K-Filtered"): r"MAGPIE-Pro-Filtered, each contains (\S+) conversations",
    ("sizes", "MAGPIE-Pro-300K-Filtered"): r"MAGPIE-Pro-Filtered, each contains (\S+) conversations",
    ("sizes", "Booster"): r"\"booster\" dataset containing (\S+) math",
    ("sizes", "MAGPIE-Air-DPO"): r"T = 0\.8 *, each contains (\S+) conversations",
    ("sizes", "MAGPIE-Pro-DPO"): r"T = 0\.8 *, each contains (\S+) conversations",
    ("sizes", "MAGPIE-Code"): r"we create (\S+) synthetic code instructions",
    ("sizes", "MAGPIE, Chinese"): r"to generate (\S+) Chinese synthetic",
    ("sizes", "MagpieLM, SFT"): r"we select (\S+) and \S+ high-quality",
    ("sizes", "MagpieLM, DPO"): r"we select \S+ and (\S+) high-quality",
    ("sizes", "Llama-3-8B-Instruct"): r"more than (\S+) data samples",
    ("settings", "Answers to a prompt, preference data (k)"): r"with k = (\S+) and T",
    ("settings", "Temperature, preference data (T)"): r"and T = ([\d.]+) *,",
    ("settings", "Learning rate, fine-tuning"): r"initial learning rate of (\S+) when fine-tuning",
    ("settings", "Learning rate, DPO"): r"For DPO, we use a cosine learning rate of (\S+?\}) *\.",
    ("settings", "Schedule of the learning rate"): r"use a (\S+) learning rate schedule",
    ("settings", "Longest sequence, fine-tuning"): r"maximum sequence length is (\S+)\.",
    ("settings", "Repetition penalty, AlpacaEval 2"): r"RP = ([\d.]+)",
    ("settings", "Decoding of responses"): r"We employ (\S+) decoding to generate responses in Step 2",
    ("settings", "Reward model, quality of responses"): r"and choose (\S+) \[",
    ("settings", "Reward model, preference data"): r"We use (RLHFlow\S+) \[",
    ("settings", "Safety model"): r"We use (Llama-Guard-2) \[",
    ("settings", "Embedding model"): r"using the (all-mpnet-base-v2) embedding model\. For any",
    ("settings", "Fine-tuning program"): r"conducted using (Axolotl)",
    ("settings", "DPO program"): r"conducted using (Alignment Handbook)",
    ("settings", "Least reward of a filter (tau 1)"): r"tau_1 = ([-\d]+) *,",
    ("settings", "Least reward difference of a filter (tau 2)"): r"tau_2 = (\d+)",
    ("settings", "Instructions per set, coverage plots"): r"randomly sampling (\S+) instructions",
    (
        "settings",
        "Cosine similarity above which an instruction is contaminated",
    ): r"cosine similarity greater than ([\d.]+)\. ",
    (
        "settings",
        "Most AlpacaEval 2 questions affected by contamination",
    ): r"account for at most (\d+) out of 805",
    ("settings", "Instructions of AlpacaEval 2"): r"AlpacaEval 2 consists of (\d+) rep",
    ("settings", "Queries of Arena-Hard"): r"containing (\d+) challenging user queries",
    ("settings", "Tasks of WildBench"): r"benchmark consists of (\d+) tasks",
    ("settings", "Baseline of Arena-Hard"): r"Arena-Hard uses (GPT-4 \(0314\)) as its baseline",
    ("settings", "Temperatures of the ablation"): r"temperatures \(i\.e\., (.*?)\) and top-p",
    ("settings", "Top-p of the ablation"): r"top-p values \(i\.e\., (.*?)\) during",
    ("settings", "GPUs of the server"): r"a server with (four .*? GPUs), an AMD",
    ("settings", "Precision of the models"): r"loaded in the (\S+) format",
    ("settings", "Unsafe data, both sets"): r"predominantly safe, with (less than 1%) of",
    ("settings", "Instructions of the MAGPIE family"): r"encompasses over (13\.4 million) diverse",
    (
        "settings",
        "Base model of MagpieLM-8B",
    ): r"and (Llama-3\.1-8B-Instruct) \[.*? using SFT followed by DPO",
}


def test_every_number_of_running_text_stands_where_it_should(text: str) -> None:
    bare = re.sub(r"(?<!\\)\$|\*|\\(?=tau|_)", "", text).replace(" ,", ",")
    bare = re.sub(r"\s+", " ", bare)
    printed = {}
    for table in ("costs", "sizes", "settings"):
        for (row, column), value in ROOM.grid(table).items():
            printed[(table, row, column) if table == "costs" else (table, row)] = value
    assert set(PLACES) == set(printed)
    for place, pattern in PLACES.items():
        found = re.search(pattern, bare)
        assert found, place
        assert found[1] == printed[place], place


def test_lists_and_words_are_the_papers(text: str) -> None:
    facts = yaml.safe_load((ROOM.data / "facts.yaml").read_text(encoding="utf-8"))
    bare = re.sub(r"\[\\\(.*?\)\]\(.*?\)|[*:]", "", text)
    metrics = re.findall(r"^ *- \d\. ([A-Z][A-Za-z ]+?) *(?:The|Denoted)", bare, re.MULTILINE)
    assert metrics == facts["listed-metrics"]["value"].split("; ")
    for name in facts["listed-categories"]["value"].split("; "):
        assert f"\n\n{name}\n\n" in text, name
    for name in facts["listed-baselines"]["value"].split("; "):
        assert name in text[text.index("eight SOTA") :][:900], name
    place = text[text.index("Applicability of") :]
    said = re.sub(r"\[.*?\]\(.*?\)", "", place[:900]).replace("3.1/3.3", "3.1 Llama-3.3")
    for name in facts["listed-families"]["value"].split("; "):
        assert re.search(rf"\b{re.escape(name)}(?![.\d])", said), name
    head = next(line for line in text.splitlines() if line.startswith("Alignment Setup\tMMLU"))
    shots = ", ".join(re.sub(r" ?\((\d+)\)", r" \1", cell) for cell in head.split("\t")[1:7])
    assert shots == facts["table3-shots"]["value"]
    assert facts["printed-pre-query"]["value"] == "<|start_header_id|>user<|end_header_id|>"
    for language in ("Chinese", "German", "Spanish", "Portuguese", "Italian"):
        example = text[text.index(f"\n\n{language}\n\n") :].split("\n\n")[2]
        assert facts[f"language-{language.lower()}"]["value"] in example
    for question in facts["common-questions"]["value"].split("; "):
        assert f'"{question}' in text or f'"{question.rstrip("?")}' in text, question


def fingerprint(prompt: str) -> str:
    """The fingerprint of a prompt, as facts.yaml says."""
    return hashlib.sha256(re.sub(r"\s", "", prompt.replace("−", "-")).encode()).hexdigest()[:16]


def test_fingerprints_are_of_the_papers_prompts(text: str) -> None:
    facts = yaml.safe_load((ROOM.data / "facts.yaml").read_text(encoding="utf-8"))
    prompts = {
        name: text.split(f"System prompt for controlling {name} ", 1)[1].split("\n\n")[1]
        for name in ("math", "code", "translation")
    }
    prompts["multi-turn"] = text.split("<|end_header_id|>\n\n", 2)[1].split("<|eot_id|>", maxsplit=1)[0]
    prompts["vicuna"] = re.findall(r"A chat between .*? questions\.", text)[0]
    for name, prompt in prompts.items():
        assert facts[f"printed-{name}-prompt"]["value"] == fingerprint(prompt), name
    assert len(prompts["translation"].split()) == 42
