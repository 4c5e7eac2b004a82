"""The table of models: what the paper lists, dimensions against parameter counts, messages of mistakes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from rewild.config.benchmarks import load_benchmarks
from rewild.config.models import Dimensions, Model, find_model, load_models, pretrained_of
from rewild.core.errors import ConfigError

# Parameter counts found in public sources (model cards, safetensors indices, benchmark logs), not computed.
PUBLISHED = {
    "llama-2-7b-chat-hf": 6_738_415_616,
    "llama-2-13b-chat-hf": 13_015_864_320,
    "llama-3-8b-wildchat": 8_030_261_248,
    "llama-3.3-70b-instruct": 70_553_706_496,
    "mistral-7b-base-sft-simpo": 7_241_732_096,
    "mistral-7b-v0.3": 7_248_023_552,
    "mistral-7b-magpie-v1.0": 7_248_064_512,
    "openhermes-2.5-mistral-7b": 7_241_748_480,
    "ministral-8b-instruct-2410": 8_019_808_256,
    "mistral-nemo-instruct-2407": 12_247_782_400,
    "mixtral-8x7b-instruct-v0.1": 46_702_792_704,
    "qwen2-7b-instruct": 7_615_616_512,
    "qwen2.5-14b-instruct": 14_770_033_664,
    "qwen2.5-coder-32b-instruct": 32_763_876_352,
    "qwen2.5-72b-instruct": 72_706_203_648,
    "yi-1.5-34b-chat": 34_388_917_248,
    "gemma-2-9b-it": 9_241_705_984,
    "gemma-2-27b-it": 27_227_128_320,
    "glm-4-9b-chat": 9_399_951_360,
    "internlm2_5-20b-chat": 19_861_149_696,
    "ai21-jamba-1.5-mini": 51_570_323_328,  # of Jamba-v0.1, the same architecture
}


@pytest.fixture(scope="module")
def models(root: Path) -> dict[str, Model]:
    return load_models(root / "config")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    return tmp_path / "config"


def write(folder: Path, text: str) -> Path:
    (folder / "models.yaml").write_text(text)
    return folder


def paper(folder: Path) -> str:
    return next(folder.glob("000_*.txt")).read_text(encoding="utf-8")


def appendix_c(text: str) -> list[str]:
    """The names that appendix C lists, in order, repetitions kept."""
    section = text.split("C. List of All LLMs in the Study")[1].split("D. Ablations on Blending", maxsplit=1)[
        0
    ]
    items = re.findall(r"^[-•] (.+)$", section, re.MULTILINE)
    return [name for item in items for name in re.split(r",? from ", item)[0].split(", ")]


def test_appendix_c_is_listed_name_by_name(models: dict[str, Model], papers: Path) -> None:
    names = appendix_c(paper(papers))
    assert len(names) == 52
    ours = {m.listed.appendix_c: m.listed.copies for m in models.values() if m.listed.appendix_c}
    assert Counter({name: n for name, n in ours.items() if n}) == Counter(names)


def test_table_5_maps_row_by_row(models: dict[str, Model], papers: Path) -> None:
    text = paper(papers)
    table = text.split("Model\tavg_rouge1")[1].split("Table 5.")[0]
    names = [line.split("\t")[0] for line in table.strip().splitlines()[1:] if line.count("\t") == 6]
    assert len(names) == 26
    assert {m.listed.table5 for m in models.values() if m.listed.table5} == set(names)


def test_other_names_stand_in_the_paper(models: dict[str, Model], papers: Path) -> None:
    """Abbreviations and other spellings are the paper's own, or else those of the released results."""
    text = paper(papers).replace("GPT-40-mini", "GPT-4o-mini").replace("3.5turbo", "3.5-turbo")
    released = {"Llama-3-8B-Magpie-Align-SFT-v0.2", "Llama-3.1-8B-Tulu3-SFT", "Llama-3.1-8B-Ultrachat-SFT"}
    spelt = {"Ultrachat": "Ultra-chat", "nvidia_NVLM-D-72B": "NVLM-D-72B"}
    for model in models.values():
        for name in [model.abbreviation, *model.listed.text]:
            if name is not None and name not in released:
                assert spelt.get(name, name) in text, f"{model.slug}: {name}"


def count_listed(models: Mapping[str, Model]) -> dict[str, int]:
    """How the registry compares with what the paper lists (docs/models.md explains each count)."""
    listed = [m.listed for m in models.values()]
    dgms = [m for m in models.values() if "dgm" in m.roles]
    return {
        "models": len(models),
        "dgms": len(dgms),
        "appendix_c": sum(x.appendix_c is not None for x in listed),
        "appendix_c_copy_entries": sum(x.copies for x in listed if x.appendix_c),
        "appendix_c_copy_distinct": sum(x.copies > 0 for x in listed if x.appendix_c),
        "table5": sum(x.table5 is not None for x in listed),
        "table5_other_spelling": sum(x.table5 not in (None, x.appendix_c) for x in listed),
        "appendix_c_not_table5": sum(x.appendix_c is not None and x.table5 is None for x in listed),
        "table5_not_copy": sum(x.table5 is not None and x.copies == 0 for x in listed),
        "instruct_dgms": sum(m.kind == "instruct" for m in dgms),
        "families": len({m.family for m in dgms}),
    }


def test_what_is_listed_is_counted(models: dict[str, Model]) -> None:
    assert count_listed(models) == {
        "models": 110,
        "dgms": 54,
        "appendix_c": 52,
        "appendix_c_copy_entries": 52,
        "appendix_c_copy_distinct": 50,
        "table5": 26,
        "table5_other_spelling": 7,
        "appendix_c_not_table5": 26,
        "table5_not_copy": 2,
        "instruct_dgms": 22,
        "families": 19,
    }


def test_the_document_gives_these_counts(models: dict[str, Model], root: Path) -> None:
    rows = re.findall(r"^\| .+ \| `(\w+)` \| (\d+) \|$", (root / "docs/models.md").read_text(), re.MULTILINE)
    assert {key: int(value) for key, value in rows} == count_listed(models)


def test_every_data_generating_model_is_of_appendix_c_or_of_the_notebook(models: dict[str, Model]) -> None:
    notebook = {"llama-3.1-405b-instruct", "deepseek-coder-v2-instruct"}  # docs/models.md, "54 DGMs"
    for model in models.values():
        listed = model.listed.appendix_c is not None or model.slug in notebook
        assert ("dgm" in model.roles) == listed, model.slug
        if model.listed.table5:
            assert "dgm" in model.roles, model.slug


def test_a_spelling_that_differs_is_flagged(models: dict[str, Model]) -> None:
    for model in models.values():
        differs = model.listed.table5 is not None and model.listed.table5 != model.listed.appendix_c
        assert differs == bool({"suffix-differs", "prefix-differs"} & set(model.listed.flags)), model.slug
        copies = {0: {"missing-in-copy"}, 1: set(), 3: {"repeated-in-copy"}}[model.listed.copies]
        assert copies == {"missing-in-copy", "repeated-in-copy"} & set(model.listed.flags), model.slug


@pytest.mark.parametrize(
    ("abbreviation", "slug"),
    [
        ("Q72", "qwen2.5-72b-instruct"),
        ("L8I", "llama-3.1-8b-instruct"),
        ("L70", "llama-3.3-70b-instruct"),
        ("Q7", "qwen2-7b-instruct"),
        ("CRP", "c4ai-command-r-plus-08-2024"),
        ("JMB", "ai21-jamba-1.5-mini"),
        ("L8B", "llama-3.1-8b"),
        ("Q7B", "qwen2-7b"),
        ("GPT", "gpt-wildchat"),
    ],
)
def test_abbreviations_are_the_papers(models: dict[str, Model], abbreviation: str, slug: str) -> None:
    assert {m.abbreviation: m.slug for m in models.values()}[abbreviation] == slug
    assert models[slug].name == abbreviation


def test_contexts_are_those_the_paper_states(models: dict[str, Model]) -> None:
    stated = {m.slug: m.paper_context for m in models.values() if m.paper_context}
    assert stated == {
        "llama-2-7b-chat-hf": 2048,
        "llama-3.3-70b-instruct": 8192,
        "qwen2.5-72b-instruct": 20000,
    }


def test_sizes_span_what_they_span(models: dict[str, Model]) -> None:
    """The paper says 0.5B to 104B. Nothing that it lists is below 6.7B."""
    listed = (m for m in models.values() if m.listed.appendix_c)
    sizes = sorted(m.parameters.total for m in listed if m.parameters)
    assert (len(sizes), round(sizes[0] / 1e9, 1), round(sizes[-1] / 1e9)) == (51, 6.7, 104)


def test_slugs_are_the_hub_names(models: dict[str, Model]) -> None:
    for model in models.values():
        if model.hub:
            assert model.slug == model.hub.rpartition("/")[2].lower()


@pytest.mark.parametrize(("slug", "count"), PUBLISHED.items())
def test_dimensions_make_the_published_count(models: dict[str, Model], slug: str, count: int) -> None:
    implied = models[slug].dimensions.parameters()
    assert implied is not None
    assert implied[0] == count


def test_every_stated_count_follows_from_its_dimensions(models: dict[str, Model]) -> None:
    checked = 0
    for model in models.values():
        if model.parameters is None or model.vision or model.family == "deepseek-v2":
            continue  # a vision tower and latent attention are not in the formula
        implied = model.dimensions.parameters()
        assert implied is not None, model.slug
        assert implied[0] == model.parameters.total, model.slug
        assert implied[1] == (model.parameters.active or model.parameters.total), model.slug
        checked += 1
    assert checked == 97


@pytest.mark.parametrize(
    ("slug", "total", "active"),
    [
        ("c4ai-command-r-plus-08-2024", 104, 104),
        ("mixtral-8x7b-v0.1", 47, 13),
        ("ai21-jamba-1.5-mini", 52, 12),
    ],
)
def test_rounded_counts_are_the_makers(models: dict[str, Model], slug: str, total: int, active: int) -> None:
    implied = models[slug].dimensions.parameters()
    assert implied is not None
    assert [round(count / 1e9) for count in implied] == [total, active]


def test_a_wrong_dimension_does_not_pass(root: Path, folder: Path) -> None:
    row = yaml.safe_load((root / "config/models.yaml").read_text())["qwen2.5-72b"]
    for key in ("layers", "hidden_size", "intermediate_size", "vocab"):
        dimensions = {**row["dimensions"], key: row["dimensions"][key] * 2}
        write(folder, yaml.safe_dump({"qwen2.5-72b": {**row, "dimensions": dimensions}}))
        with pytest.raises(ConfigError, match="is 72,706,203,648, but the dimensions make"):
            load_models(folder)


def test_an_unknown_dimension_gives_no_count() -> None:
    assert Dimensions.model_validate({"layers": 2}).parameters() is None


def test_roots_are_found(models: dict[str, Model]) -> None:
    assert pretrained_of(models, "llama-3-8b-magpie-align-v0.2") == "meta-llama-3-8b"
    assert pretrained_of(models, "mistral-7b-base-sft-kto") == "mistral-7b-v0.1"
    assert pretrained_of(models, "ai21-jamba-1.5-mini") is None


def test_nothing_runs_its_own_code_by_default(models: dict[str, Model]) -> None:
    assert not any(m.trust_remote_code for m in models.values())
    assert {m.slug for m in models.values() if m.ships_code and "dgm" in m.roles} == {
        "nvlm-d-72b",
        "glm-4-9b-chat",
        "internlm2_5-20b-chat",
        "deepseek-coder-v2-instruct",
    }


def test_rows_are_frozen(models: dict[str, Model]) -> None:
    with pytest.raises(ValueError, match="frozen"):
        models["gpt-4o-mini"].family = "other"


def test_a_row_takes_from_its_base_what_it_does_not_say(folder: Path) -> None:
    write(
        folder,
        """
a: {family: f, roles: [base], kind: pretrained, licence: mit, native_context: 4096, parameters: {total: 9},
    dimensions: {layers: 2, heads: 4, kv_heads: 2, vocab: 100}}
b: {roles: [dgm], kind: sft, base: a}
c: {roles: [dgm], kind: dpo, base: b, dimensions: {vocab: 101}, native_context: null}
""",
    )
    models = load_models(folder)
    assert (models["b"].family, models["b"].native_context, models["b"].licence) == ("f", 4096, None)
    assert models["b"].parameters == models["a"].parameters
    assert (models["c"].dimensions.layers, models["c"].dimensions.vocab) == (2, 101)
    assert (models["c"].parameters, models["c"].native_context) == (None, None)


ROW = "family: f, roles: [dgm], kind: sft"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "x: {%s, licens: mit}",
            "model x (config/models.yaml): unknown key 'licens'; did you mean 'licence'?",
        ),
        ("x: {%s, dimensions: {kv_head: 8}}", "unknown key 'dimensions.kv_head'; did you mean 'kv_heads'?"),
        ("x: {%s, base: lama}\nllama: {%s}", "model x (config/models.yaml): base: unknown model 'lama'; did"),
        ("x: {%s, native_context: 8k}", "native_context: input should be a valid integer (it is '8k')"),
        (
            "x: {%s, native_context: 0}",
            "native_context: input should be greater than or equal to 1 (it is 0)",
        ),
        ("x: {family: f, roles: [dgm], kind: sfft}", "kind: 'sfft' is not one of"),
        ("x: {family: f, roles: [dmg], kind: sft}", "roles.0: 'dmg' is not one of"),
        ("x: {family: f, roles: [], kind: sft}", "roles: list should have at least 1 item"),
        ("x: {roles: [dgm], kind: sft}", "the key 'family' is missing"),
        ("X: {%s}", "slug: string should match pattern"),
        ("x: 3", "model x (config/models.yaml): a mapping of keys to values was expected"),
        ("x: {%s, slug: x}", "the slug is the row's name; remove the key 'slug'"),
        ("x: {%s, hub: no-owner}", "hub: string should match pattern"),
        ("x: {%s, revision: main}", "revision: string should match pattern"),
        ("x: {%s, trust_remote_code: true}", "trust_remote_code needs a pinned revision"),
        ("x: {%s, quantized_revision: " + "a" * 40 + "}", "the commit of 'quantized', which is not given"),
        ("x: {%s, revision_source: a list}", "where 'revision' was read, which is not given"),
        ("x: {%s, dimensions: {heads: 32, kv_heads: 5}}", "dimensions: kv_heads (5) must divide heads (32)"),
        ("x: {%s, dimensions: {experts: 8}}", "experts and experts_per_token go together"),
        (
            "x: {%s, dimensions: {experts: 2, experts_per_token: 4}}",
            "experts_per_token (4) exceeds experts (2)",
        ),
        ("x: {%s, dimensions: {layers: 8, moe_layers: 9}}", "moe_layers (9) exceeds layers (8)"),
        ("x: {%s, dimensions: {layers: 8, attention_layers: 1}}", "mamba is given exactly when"),
        ("x: {%s, listed: {copies: 3}}", "listed.copies counts a name in appendix C"),
        ("x: {%s, base: x}", "model x (config/models.yaml): its bases form a circle: x → x"),
        ("x: {%s, base: y}\ny: {%s, base: x}", "its bases form a circle: x → y → x"),
        ("x: {%s, hub: a/B}\ny: {%s, hub: A/b}", "the hub id 'a/b' stands in more than one row: x, y"),
        (
            "x: {%s, abbreviation: Q}\ny: {%s, abbreviation: Q}",
            "the abbreviation 'Q' stands in more than one row",
        ),
        ("x: {%s, hub: a/b, api: c}", "hub, api and folder exclude each other"),
        ("x: {%s}\nx: {%s}", "config/models.yaml, line 2: not valid YAML: the key 'x' stands twice"),
    ],
)
def test_a_mistake_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    write(folder, text.replace("%s", ROW))
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ConfigError) as error:
        load_models(Path("config"))
    assert message in str(error.value)


def test_a_missing_table_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\.yaml: no such file"):
        load_models(folder)


def test_a_model_that_is_not_there_has_a_neighbour(models: dict[str, Model]) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown model 'qwen2\.5-72b-instuct'; did you mean 'qwen2\.5-72b-i"
    ):
        find_model(models, "qwen2.5-72b-instuct")


@pytest.mark.heavy
def test_parsing_imports_nothing_heavy(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rewild.config import load_benchmarks, load_models; "
        "load_benchmarks(Path('config'), load_models(Path('config'))); "
        "print(sorted({'polars', 'pandas', 'numpy', 'torch', 'rich', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def rewild(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rewild", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.heavy
def test_the_command_lists_and_filters(models: dict[str, Model], root: Path) -> None:
    done = rewild(root, "models")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[3:-2]] == list(models)  # one line a model, whole slugs
    assert lines[-1] == "110 of 110 models"
    some = rewild(root, "models", "--family", "llama-3.3", "--role", "dgm").stdout
    assert some.splitlines()[3].split() == [
        "llama-3.3-70b-instruct", "L70", "llama-3.3", "instruct", "70.6B", "131,072", "llama3.3", "gated",
    ]  # fmt: skip
    assert some.splitlines()[-1] == "1 of 110 models"
    assert "46.7B (12.9B)" in rewild(root, "models", "--family", "mixtral").stdout


@pytest.mark.heavy
def test_the_command_names_a_mistake(root: Path) -> None:
    done = rewild(root, "models", "--role", "jugde")
    assert done.returncode != 0
    assert "unknown role 'jugde'; did you mean 'judge'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.heavy
def test_validate_counts_the_tables(root: Path) -> None:
    done = rewild(root, "validate")
    assert done.returncode == 0, done.stderr
    judged = [b.judged for b in load_benchmarks(root / "config").values()]
    assert done.stdout.splitlines()[:2] == [
        "models: 110, of which 54 generate data",
        f"benchmarks: {len(judged)}, of which {sum(judged)} judged",
    ]


def test_a_commit_comes_with_where_it_was_read(models: dict[str, Model]) -> None:
    pinned = {slug: m for slug, m in models.items() if m.revision}
    assert len(pinned) == 22
    assert all(m.revision_source for m in pinned.values())
    assert pinned["llama-3.1-8b"].revision == "d04e592bb4f6aa9cfee91e2e20afa771667e1d4b"
    yi = pinned["yi-1.5-34b-chat"]
    assert yi.revision == "fa4ffba162f20948bf77c2a30eca952bf0812b7f"
    assert "fa695ee438bfcd0ec2b378fa1c7e0dea1b40393e" in str(yi.revision_source)


def test_what_is_loaded_is_one_checkpoint_with_its_commit(models: dict[str, Model]) -> None:
    glm = models["glm-4-9b-chat"]
    assert glm.checkpoint() == ("zai-org/glm-4-9b-chat-hf", "c7f73fd9e0f378c87f3c8f2c25aec6ad705043cd")
    assert not glm.needs_code
    assert models["internlm2_5-20b-chat"].needs_code
    large = models["llama-3.1-405b-instruct"]
    assert large.checkpoint("fp8") == ("neuralmagic/Meta-Llama-3.1-405B-Instruct-FP8", None)
    assert large.checkpoint("bf16") == ("meta-llama/Llama-3.1-405B-Instruct", large.revision)
    assert models["nvlm-d-72b"].native_context == 32768
