"""`rewild show`: a conversation with its answers. Its text is untrusted: it cannot steer the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from rewild.config.study import Study
from rewild.core.conversations import iter_turns
from rewild.core.errors import ConfigError, DataError, known_name
from rewild.core.table import collect
from rewild.responses.layout import Layout

# Control characters but tab and newline, and those that turn the direction of writing around.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def harmless(text: str) -> Text:
    """Text for the terminal: no control characters, no direction overrides, no markup."""
    return Text(_STEERING.sub("\ufffd", text.replace("\r\n", "\n")))


def print_conversation(
    study: Study,
    results: Path,
    wanted: str | None,
    models: Sequence[str] | None,
    console: Console | None = None,
) -> None:
    """Print a conversation turn by turn: the prompt, the original answer, every model's.

    Args:
        study: whose responses.
        results: the folder of results.
        wanted: a conversation's id or its beginning; None takes the first.
        models: only these.
        console: where to.

    Raises:
        ConfigError: the study generates nothing, or a model is not one of its. DataError: nothing found.
    """
    if study.responses is None:
        raise ConfigError(f"study {study.name} has no section 'responses': nothing is generated in it")
    for model in models or ():
        known_name(model, study.responses.models, f"study {study.name}: unknown model")
    console = console or Console()
    layout = Layout(results, study.name)
    shard, conversation = _find(layout, wanted)
    chosen = list(models or study.responses.models)
    answers = {model: _answers(layout, model, shard, conversation["conversation_id"]) for model in chosen}
    facts = [conversation["conversation_id"], conversation["language"], f"from {conversation['source']}"]
    console.print(Rule(harmless(" · ".join(facts))))
    for turn in iter_turns(conversation["messages"]):
        console.print(
            Panel(harmless(turn.prompt[-1]["content"]), title=f"user, turn {turn.index}", border_style="cyan")
        )
        if turn.reference is not None:
            console.print(Panel(harmless(turn.reference), title="original answer", border_style="dim"))
        for model in chosen:
            console.print(_panel(model, answers[model], turn.index))


def _find(layout: Layout, wanted: str | None) -> tuple[str, dict[str, Any]]:
    files = sorted(layout.prompts("x").parent.glob("[!.]*.parquet"))
    matching = pl.col("conversation_id").str.starts_with(wanted or "")
    for path in files:
        found = collect(pl.scan_parquet(path).filter(matching).head(1), path, "a shard of prompts").to_dicts()
        if found:
            return path.stem, found[0]
    what = f"no conversation whose id begins with '{wanted}'" if wanted else "no conversation"
    raise DataError(f"{layout.prompts('x').parent}: {what} in {len(files)} shards of prompts")


def _answers(layout: Layout, model: str, shard: str, conversation_id: str) -> pl.DataFrame | None:
    path = layout.responses(model) / f"{shard}.parquet"
    if not path.exists():
        return None
    rows = pl.scan_parquet(path).filter(pl.col("conversation_id") == conversation_id)
    return collect(rows, path, "responses")


def _panel(model: str, answers: pl.DataFrame | None, turn: int) -> Panel:
    rows = answers.filter(pl.col("turn") == turn).to_dicts() if answers is not None else []
    if not rows:
        return Panel(Text("not generated yet", style="dim"), title=Text(model), border_style="dim")
    row = rows[0]
    if row["failure"] is not None:
        return Panel(harmless(f"failed: {row['failure']}"), title=Text(model), border_style="red")
    counts = f"{row['input_tokens']} → {row['output_tokens']} tokens, {row['finish_reason']}"
    if row.get("reasoning_tokens"):
        counts += f", {row['reasoning_tokens']} of them reasoning"
    if row["truncation"] != "none":
        counts += f", prompt cut ({row['truncation']})"
    return Panel(harmless(row["response"]), title=Text(model), subtitle=Text(counts), border_style="green")
