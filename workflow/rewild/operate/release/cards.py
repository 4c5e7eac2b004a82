"""Cards: what the hub shows of a data set or a model, with the metadata that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import yaml

from rewild import __version__
from rewild.core.hub import PUBLIC
from rewild.core.markdown import as_json, block, code, table, text
from rewild.core.reading import SMALL, read_json
from rewild.core.table import read_table
from rewild.evaluation.scores.bootstrap import half_width
from rewild.evaluation.scores.tidy import ALL, SCORES
from rewild.operate.release.terms import Terms
from rewild.operate.release.units import Case, Unit, card_of, scores_of

SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
LIMITS = {
    "prompts": "What people wrote to a chat service: not a sample of all people, languages or tasks.",
    "responses": "Text by a model: it may be wrong, biased or harmful, and nobody has checked it.",
    "measures": "Numbers and labels by programs and models; what each column means is in the study's docs.",
    "preferences": "Which answer is better was decided by a program or a model, not by people.",
    "judgments": "Verdicts of a model or a program; judges favour positions, lengths and styles.",
    "models": "Trained for a controlled comparison, without any safety training of its own.",
}
USES = {
    "dataset": "Research on synthetic data, and reproduction of the study.",
    "model": "Research: comparison with the study's other fine-tunes. Not for use with people.",
}


def front_matter(found: Mapping[str, Any], body: Sequence[str]) -> str:
    """A card: metadata between lines of hyphens, then Markdown."""
    head = yaml.safe_dump(dict(found), sort_keys=False, allow_unicode=True, width=110)
    return f"---\n{head}---\n" + "\n".join(body).rstrip("\n") + "\n"


def licence_data(terms: Terms) -> dict[str, Any]:
    """The keys by which the hub's cards name a licence."""
    if terms.hub != "other":
        return {"license": terms.hub}
    name = terms.licences[0] if len(terms.licences) == 1 else "several-see-card"
    return {"license": "other", "license_name": name, "license_link": "README.md"}


def dataset_card(case: Case, unit: Unit, counts: Mapping[str, int], found: pl.DataFrame) -> str:
    """The card of a data set.

    Args:
        case: the study.
        unit: the data set.
        counts: file → rows.
        found: what the scan found in it.
    """
    rows = sum(counts.values())
    size = SIZES[min(max(len(str(rows)) - 3, 0), len(SIZES) - 1)]
    configs: dict[str, dict[str, list[str]]] = {}
    for one in unit.tables:
        if counts.get(one.target):
            configs.setdefault(one.config, {}).setdefault(one.split, []).append(one.target)
    head = {
        **licence_data(unit.terms),
        "pretty_name": unit.title,
        "tags": ["synthetic", "rewild", unit.what],
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "configs": [
            {"config_name": c, "data_files": [{"split": s, "path": paths} for s, paths in splits.items()]}
            for c, splits in configs.items()
        ],
    }
    body = [f"# {text(unit.title)}", "", f"{text(case.study.title)}. {rows:,} rows.", ""]
    body += ["## What is in it", ""]
    body += table("part | split | files | rows", _counted(unit, counts), "--->")
    for name, columns in _schemas(unit).items():
        body += ["", f"## Columns: {text(name)}", ""]
        body += table("column | type | meaning", columns, "-")
    body += ["", *_terms(unit.terms), *_use(case, unit), *_scanned(found), *_provenance(case, unit)]
    return front_matter(head, body)


def _counted(unit: Unit, counts: Mapping[str, int]) -> Iterator[tuple[object, ...]]:
    parts = dict.fromkeys((one.config, one.split) for one in unit.tables)
    for config, split in parts:
        mine = [counts[t.target] for t in unit.tables if (t.config, t.split) == (config, split)]
        yield code(config), code(split), sum(map(bool, mine)), sum(mine)


def _schemas(unit: Unit) -> dict[str, list[tuple[object, ...]]]:
    """Columns by schema; measures, whose columns differ, by their parts."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for one in unit.tables:
        name = one.schema.name if unit.what != "measures" else one.config
        found.setdefault(
            name,
            [(code(c), code(column.dtype), column.description) for c, column in one.columns.items()],
        )
    return found


def _terms(terms: Terms) -> list[str]:
    body = ["## Licences", ""]
    body += table(
        "what | licence | what it asks",
        (
            (part.what, terms.rows[part.licence].title, " ".join(terms.rows[part.licence].terms))
            if part.licence
            else (part.what, "not established", part.said)
            for part in terms.parts
        ),
        "-",
    )
    joined = "all of these together: each binds what is under it"
    named = [terms.rows[name].title for name in terms.licences]
    body += ["", f"What follows: {text(named[0]) if len(named) == 1 else joined}."]
    if not terms.commercial:
        body += ["No commercial use: one of the licences forbids it."]
    return [*body, ""]


def _use(case: Case, unit: Unit) -> list[str]:
    body = ["## Intended use", "", text(case.release.use or USES[unit.kind]), "", "## Known limits", ""]
    body += [f"- {text(said)}" for said in (LIMITS[unit.what], *case.release.limits)]
    left = case.release.leave_out
    if left:
        body += ["", "## Left out", "", *table("what | why", left.items(), "-")]
    return [*body, ""]


def _scanned(found: pl.DataFrame) -> list[str]:
    body = ["## What a scan found", ""]
    if found.is_empty():
        return [*body, "No personal data, secrets or control tokens in its texts.", ""]
    kinds = (
        found.group_by("gate", "kind")
        .agg(rows=pl.struct("file", "row").n_unique(), places=pl.len())
        .sort("gate", "kind")
    )
    body += ["Nothing was removed or masked. Such as these are in it:", ""]
    return [*body, *table("gate | kind | rows | places", kinds.iter_rows(), "-->>"), ""]


def _provenance(case: Case, unit: Unit) -> list[str]:
    facts = {"study": case.study.name, "seed": case.study.seed, "rewild": __version__, **unit.facts}
    body = ["## Provenance", "", "Checksums of all files are in `release.json`.", "", *as_json(facts)]
    cited = case.release.citation
    body += ["## Citation", ""]
    if cited:
        return [*body, *block(cited, "bibtex")]
    return [*body, text(f"{case.study.title}. Made with rewild {__version__}, study {case.study.name}."), ""]


def model_card(case: Case, unit: Unit, found: pl.DataFrame) -> str:
    """The card of a fine-tune: base, mix, recipe, scores with intervals, licences."""
    run = unit.facts["run"]
    scores = _scores(case, run)
    row = case.models.get(unit.facts["base"])
    head: dict[str, Any] = {
        **licence_data(unit.terms),
        "tags": ["rewild", "fine-tune"],
        "pipeline_tag": "text-generation",
        "library_name": "transformers",
        **({"base_model": row.hub} if row and row.hub else {}),
    }
    if scores:
        head["model-index"] = [{"name": unit.name, "results": [_result(one) for one in scores]}]
    base = f"[{text(row.hub)}]({PUBLIC}/{row.hub})" if row and row.hub else code(unit.facts["base"])
    body = [f"# {text(unit.title)}", "", f"{text(case.study.title)}.", ""]
    body += ["## How it was made", "", f"- Base model: {base}", f"- Recipe: {code(unit.facts['recipe'])} "
             "(`training/axolotl.yaml` is what ran)", f"- Data: {code(unit.facts['mix'])}"]  # fmt: skip
    body += [f"- {line}" for line in _data(case, str(unit.facts["mix"]))]
    if (path := unit.files.get("training/training.json")) is not None:
        trained = read_json(path, "what a training measured", limit=SMALL)
        losses = f"{trained['first_loss']:.3f} → {trained['last_loss']:.3f}"
        body += [f"- {trained['steps']} steps, loss {losses} nats; seed {trained['seed']}"]
    body += ["", "## Scores", ""]
    if scores:
        rows = ((code(s["benchmark"]), s["metric"], _with_interval(s), s["n"], s["judge"]) for s in scores)
        body += table("benchmark | metric | value, 95% interval | n | judge", rows, "-->>>-")
        body += [
            "",
            "Intervals are over items: the benchmark's own bootstrap, or 1.96 standard errors to both sides.",
        ]
    else:
        body += ["It was not evaluated."]
    body += ["", *_terms(unit.terms), *_use(case, unit), *_scanned(found), *_provenance(case, unit)]
    return front_matter(head, body)


def _scores(case: Case, run: str) -> list[dict[str, Any]]:
    """The score that counts of each benchmark, with the ends of its interval where they are known."""
    found = []
    for path in scores_of(case, run):
        rows = read_table(path, SCORES, allow_empty=True).filter(
            (pl.col("part") == ALL) & pl.col("value").is_not_null()
        )
        by_metric = {row["metric"]: row for row in rows.to_dicts()}
        benchmark = case.benchmarks.get(path.parent.name)
        row = by_metric.get(benchmark.metric) if benchmark else None
        row = row or next(iter(by_metric.values()), None)
        if row is None:
            continue
        ends = [by_metric[end]["value"] for end in ("lower", "upper") if end in by_metric]
        if len(ends) < len(("lower", "upper")) and (half := half_width(row["stderr"])) is not None:
            ends = [row["value"] - half, row["value"] + half]
        found.append(row | {"ends": ends})
    return found


def _with_interval(score: Mapping[str, Any]) -> str:
    ends = ", ".join(f"{end:.4g}" for end in score["ends"])
    return f"{score['value']:.4g}" + (f" ({ends})" if ends else "")


def _result(score: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task": {"type": "text-generation"},
        "dataset": {"name": score["benchmark"], "type": score["benchmark"]},
        "metrics": [{"type": score["metric"], "value": round(float(score["value"]), 6),
                     "name": score["metric"]}],
    }  # fmt: skip


def _data(case: Case, mix: str) -> list[str]:
    """What the data were, from the card that the study made of them."""
    lines = []
    for path in card_of(case, mix):
        card = read_json(path, "a card of data", limit=SMALL)
        if mix in case.study.preferences:
            return [f"{card['pairs']:,} preference pairs"]
        lines += [
            f"{found['conversations']:,} conversations of {code(name)}"
            for name, found in card["by_source"].items()
        ]
    return lines
