"""Before a training: the config is rendered, Axolotl prepares the data, and what it prepared is looked at.

Runs in Axolotl's environment, on a CPU. Each check has a name (docs/runs.md lists them); the report is
written whatever they find, and the training refuses to start unless all passed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from rewild.config.trainings import Training
from rewild.core.conversations import THOUGHT
from rewild.core.errors import DataError, RewildError, first_line
from rewild.core.files import sha256, write_text
from rewild.core.reading import faults, open_file
from rewild.engines.chat import Chat
from rewild.engines.thinking import key_of, keyed
from rewild.engines.tokenizer import class_to_name, load_tokenizer
from rewild.training.runs.checks import FlightReport, RunCheck, checked, make_report, write_report
from rewild.training.runs.encoded import IDS, is_plain, told_to, written
from rewild.training.runs.environment import variables
from rewild.training.runs.gates import length
from rewild.training.runs.kernel import PLACE, flash_attention
from rewild.training.runs.layout import RunFiles
from rewild.training.runs.render import as_yaml, axolotl_config, identity_of, start_identity
from rewild.training.runs.spans import as_text, expected, prompt

COMPARED = 2000  # conversations whose labels are worked out a second time, spread over the mix
SHOWN = 3  # examples named in a message
SLACK = 8  # tokens by which a text that was cut and put together again may be shorter
_CONTROL = re.compile(r"<\|[^|<>\s]+\|>|</?[a-z]\w*>|\[/?[A-Z]+\]")  # what control tokens look like
Say = Callable[[str], None]
Pair = tuple[str, str, str]


def preflight(training: Training, mix: Path, files: RunFiles, threads: int, say: Say) -> FlightReport:
    """Render ``axolotl.yaml``, prepare the data, check; writes ``preflight.json`` and ``.md``.

    Args:
        training: the run.
        mix: its training data (a mix's or a set of preference pairs' ``train.parquet``).
        files: where everything goes.
        threads: CPU threads.
        say: called with lines of progress.

    Raises:
        DataError: the mix is missing, empty or not a mix; there is no model to start from.
        RewildError: Axolotl cannot prepare the data.
    """
    rows = read_mix(mix, training.recipe.kind)
    identity = identity_of(training, sha256(mix), start_identity(training))
    config = axolotl_config(training, str(mix), str(files.work), identity)
    heading = (
        f"Run {training.run} of study {training.study}, recipe {training.recipe.slug}: rendered by rewild"
    )
    surroundings = variables(local=training.start.local, gpus=0, threads=threads, work=files.work)
    with _environment(surroundings | {"AXOLOTL_IS_PREPROCESS": "1"}):
        checks, counts = _all_checks(training, mix, rows, config, files, identity, heading, say)
    counts["config_sha256"] = sha256(files.config())
    report = make_report("preflight", training.study, training.run, identity, checks, counts)
    write_report(files.report("preflight"), report)
    return report


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """This process's environment with these variables, and afterwards as it was."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _all_checks(  # noqa: PLR0917
    training: Training,
    mix: Path,
    rows: pl.DataFrame,
    config: dict[str, Any],
    files: RunFiles,
    identity: str,
    heading: str,
    say: Say,
) -> tuple[list[RunCheck], dict[str, Any]]:
    tokenizer = load_tokenizer(training.start.path, training.run, **_where(training))
    config |= tokenizer_of(training, tokenizer)
    template = config.get("chat_template_jinja") or getattr(tokenizer, "chat_template", None)
    if training.reasons and template:
        key = key_of(template)
        fields = {"role": "role", "content": "content", key: THOUGHT}
        config["datasets"][0] |= {"message_property_mappings": fields, "template_thinking_key": key}
    checks = _before(training, tokenizer, template)
    can_prepare = all(check.passed for check in checks)
    if training.recipe.gpus:
        checks.append(flash_attention(training.recipe.attention, files.root / PLACE))
    counts: dict[str, Any] = {"conversations": rows.height}
    write_text(files.config(), as_yaml(config, heading))
    if can_prepare:
        cfg, prepared = _prepare(files.config(), training, say)
        looked = PreparedData(training, tokenizer, str(template), rows, prepared)
        found, counted = looked.checks(), looked.counts
        checks, counts = checks + found, counts | counted
        checks += [_seeded(config), _path_unique(config, identity, training, mix)]
        checks.append(_packing(training, prepared, cfg))
    return checks, counts


def read_mix(path: Path, kind: str) -> pl.DataFrame:
    """The conversations (or pairs) that a run learns from.

    Raises:
        DataError: no such file, no rows, or no column of messages.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file; the run has nothing to learn from")
    open_file(path, "a mix").close()
    with faults(path, "a Parquet file"):
        rows = pl.read_parquet(path)
    for column in ("messages", "chosen", "rejected") if kind == "dpo" else ("messages",):
        if column not in rows.columns:
            raise DataError(f"{path}: column '{column}' is missing (it has: {', '.join(rows.columns)})")
    if rows.is_empty():
        raise DataError(f"{path}: this mix has no conversations; a run cannot learn from nothing")
    return rows


def tokenizer_of(training: Training, tokenizer: Any) -> dict[str, str]:
    """What Axolotl must be told so that it takes this tokenizer and not Mistral's own; mostly nothing."""
    name = class_to_name(tokenizer, training.start.path, **_where(training))
    return {"tokenizer_type": name} if name else {}


def _where(training: Training) -> dict[str, Any]:
    start = training.start
    return {"revision": start.revision, "trust_remote_code": start.trust_remote_code}


def _before(training: Training, tokenizer: Any, template: str | None) -> list[RunCheck]:
    """What can be said without the data: is there a template, and has the tokenizer all it writes?"""
    if not template:
        found = f"the tokenizer of {training.start.path} has no chat template"
        remedy = f"add its family, '{training.start.row.family}', to the templates of recipe "
        return [checked("chat_template", False, found, f"{remedy}'{training.recipe.slug}'.")]
    wanted = dict.fromkeys(_CONTROL.findall(template))
    if training.template:
        pad = [training.template.pad] if training.template.pad else []
        wanted |= dict.fromkeys([training.template.end_of_turn, *pad])
    split = [t for t in wanted if len(tokenizer.encode(t, add_special_tokens=False)) != 1]
    return [
        checked("chat_template", True, "the template is there"),
        checked(
            "special_tokens",
            not split,
            f"of {len(wanted)} control tokens that the template writes, "
            + (f"the tokenizer does not have {', '.join(split)}" if split else "the tokenizer has all"),
            "choose a template for this base model, or a base model that has these tokens: the model "
            "would see them as ordinary letters and could not learn where a turn ends.",
        ),
    ]


def _prepare(config: Path, training: Training, say: Say) -> tuple[Any, Any]:
    """Axolotl's own preparation, in this process: config and data set as the trainer will see them."""
    say("Axolotl is loading")
    from axolotl.cli.args import PreprocessCliArgs
    from axolotl.cli.config import load_cfg
    from axolotl.common.datasets import load_datasets, load_preference_datasets

    try:
        cfg = load_cfg(str(config), is_preprocess=True)
        cfg.is_preprocess = True
        load = load_preference_datasets if training.recipe.kind == "dpo" else load_datasets
        return cfg, load(cfg=cfg, cli_args=PreprocessCliArgs()).train_dataset
    except Exception as error:
        raise RewildError(f"{config}: Axolotl cannot prepare the data: {first_line(error)}") from error


class PreparedData:
    """What Axolotl prepared, beside what should come out."""

    def __init__(
        self, training: Training, tokenizer: Any, template: str, rows: pl.DataFrame, prepared: Any
    ) -> None:
        self.training, self.recipe = training, training.recipe
        self.tokenizer, self.template, self.rows, self.prepared = tokenizer, template, rows, prepared
        self.end = training.template.end_of_turn if training.template else tokenizer.eos_token
        self.end_id = tokenizer.convert_tokens_to_ids(self.end)
        self.told = training.told.get("arguments", {})
        self.chat = Chat(tokenizer, training.start.path, template=template, reasoning=told_to(self.told))
        self.counts: dict[str, Any] = {}

    def checks(self) -> list[RunCheck]:
        """All checks of the data."""
        if self.recipe.kind == "dpo":
            pairs = list(self._pair_texts())
            return [self._pairs(pairs), self._pairs_are_text(), self._length(self._pair_lengths(pairs))]
        lengths = self._lengths()
        labels = self._labels()
        self.counts |= {
            "prepared": len(self.prepared),
            "tokens": int(lengths.sum()),
            "longest": max(lengths.to_list()),
        }
        reasons = [self._reasoning()] if self.training.reasons else []
        return [*labels, *reasons, self._length(lengths)]

    def _lengths(self) -> pl.Series:
        """Tokens of every conversation of the mix, uncut."""
        found: list[int] = []
        for chats in _slices(self.rows["messages"].to_list(), 1000):
            texts = [self._render(written(c)) for c in chats]
            found += [len(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]
        return pl.Series("length", found, dtype=pl.Int64)

    def _pair_texts(self) -> Iterator[Pair]:
        """Every pair as prompt, better and worse answer with their ends: as they should reach the trainer."""
        for messages, *answers in self.rows.select("messages", "chosen", "rejected").iter_rows():
            asked = self._render(messages, answer=True)
            better, worse = (
                self._render([*messages, a], answer=False)[len(asked) :].rstrip() for a in answers
            )
            yield asked, better, worse

    def _pair_lengths(self, pairs: Sequence[Pair]) -> pl.Series:
        """Tokens of every pair's prompt and longer answer, uncut; counted apart, as Axolotl does."""
        found: list[int] = []
        for part in _slices(pairs, 1000):
            texts = [text for pair in part for text in pair]
            sizes = [len(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]
            found += [sizes[i] + max(sizes[i + 1 : i + 3]) for i in range(0, len(sizes), 3)]
        return pl.Series("length", found, dtype=pl.Int64)

    def _render(self, messages: Sequence[dict[str, str]], *, answer: bool = False) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                keyed(messages, self.template),
                chat_template=self.template,
                tokenize=False,
                add_generation_prompt=answer,
                **self.told,
            )
        )

    def _reasoning(self) -> RunCheck:
        """Whether what is to be trained of the reasoning is in what the template writes."""
        last = (written(messages)[-1:] for messages in self.rows["messages"])
        thought = [m[0][THOUGHT].strip() for m in last if m and THOUGHT in m[0]]
        ask = {"role": "user", "content": "?"}
        kept = sum(
            text in self._render([ask, {"role": "assistant", "content": "!", THOUGHT: text}])
            for text in thought[:COMPARED]
        )
        return checked(
            "reasoning_trained",
            0 < kept == len(thought[:COMPARED]),
            f"the template writes the reasoning of {kept:,} of {len(thought[:COMPARED]):,} last answers",
            "the mix trains on reasoning (`reasoning: train`), and this template drops it: take a base model "
            "whose template writes it, give the recipe one, or remove the line from the mix.",
        )

    def _labels(self) -> list[RunCheck]:
        """Trained tokens as Axolotl marked them, against those that should be."""
        marked: dict[tuple[int, ...], list[bool]] = {}
        trained = ended = untrained_rows = 0
        for row in self.prepared:
            mask = [label != -100 for label in row["labels"]]
            count = sum(mask)
            trained += count
            untrained_rows += count == 0
            ended += any(m and i == self.end_id for m, i in zip(mask, row["input_ids"], strict=True))
            marked[tuple(row["input_ids"])] = mask
        step = max(1, self.rows.height // COMPARED)
        compared = unseen = outside = missed = wanted = seams = 0
        for messages in map(written, self.rows["messages"].gather_every(step).to_list()):
            if is_plain(self.chat, messages):
                ids, mask = expected(self.tokenizer, self.template, messages, self.end, self.told)
            else:
                ids, mask = as_text(self.chat, messages, self.end_id)
            asked = prompt(self.chat, messages)
            seams += ids[: len(asked)] != asked
            ids, mask = ids[: self.recipe.sequence_length], mask[: self.recipe.sequence_length]
            found = marked.get(tuple(ids))
            if found is None:
                short = len(ids) < self.recipe.sequence_length
                unseen += any(mask) and (short or self.recipe.over_long == "truncate")
                continue
            compared += 1
            wanted += sum(mask)
            outside += sum(f and not m for f, m in zip(found, mask, strict=True))
            missed += sum(m and not f for f, m in zip(found, mask, strict=True))
        self.counts |= {
            "trained_tokens": trained,
            "compared": compared,
            "assistant_tokens_compared": wanted,
            "trained_outside_assistant": outside,
            "assistant_tokens_untrained": missed,
            "conversations_without_trained_tokens": untrained_rows,
        }
        rows = len(self.prepared)
        return [
            self._contents_are_text(marked.keys()),
            checked(
                "end_of_turn_trained",
                rows > 0 and ended >= 0.5 * rows,
                f"{self.end} is among the trained tokens of {ended:,} of {rows:,} conversations",
                "the model would never learn to stop: the recipe's template must name, as end_of_turn, "
                "the token that ends its turns.",
            ),
            checked(
                "only_assistant_trained",
                compared > 0 and outside == 0 and missed == 0,
                f"of {compared:,} conversations compared, {wanted:,} tokens are the assistant's; "
                f"{outside:,} other tokens are trained, {missed:,} of the assistant's are not",
                "the labels are not what the config says: look at datasets, roles_to_train and the "
                "template in axolotl.yaml.",
            ),
            checked(
                "rendered_as_served",
                unseen + seams == 0,
                f"of {compared + unseen:,} conversations, {unseen:,} have other tokens in training "
                f"than the engine would give them, and {seams:,} another seam between prompt and answer",
                "the model would be asked otherwise than it was taught: change the template, mostly the "
                "white space before the answer, until the tokenizer cuts both alike.",
            ),
        ]

    def _contents_are_text(self, prepared: Collection[tuple[int, ...]]) -> RunCheck:
        """Every conversation whose contents spell control tokens, not a sample of them."""
        limit, dropped = self.recipe.sequence_length, self.recipe.over_long == "drop"
        spelling = 0
        wrong: list[str] = []
        for name, given in self._named("messages"):
            messages = written(given)
            if is_plain(self.chat, messages):
                continue
            spelling += 1
            ids = as_text(self.chat, messages, self.end_id)[0]
            if tuple(ids[:limit]) not in prepared and not (dropped and len(ids) > limit):
                wrong.append(name)
        return self._text_check(spelling, wrong, "conversations")

    def _pairs_are_text(self) -> RunCheck:
        """Every pair's ids, as the trainer gets them, against those of the engines."""
        limit = self.recipe.sequence_length
        found = {tuple(tuple(row[side]) for side in IDS) for row in self.prepared if IDS[0] in row}
        spelling = 0
        wrong: list[str] = []
        for name, messages, chosen, rejected in self._named("messages", "chosen", "rejected"):
            asked = list(self.chat.encode_chat(messages, answer=True).tokens)
            sides = [as_text(self.chat, [*messages, a], self.end_id) for a in (chosen, rejected)]
            spelling += any(not is_plain(self.chat, [*messages, a]) for a in (chosen, rejected))
            # An answer is what is trained of the chat; with a prompt that fills the sequence it is left out.
            ends = [max((i for i, t in enumerate(mask) if t), default=0) + 1 for _, mask in sides]
            last = [ids[len(asked) : stop] for (ids, _), stop in zip(sides, ends, strict=True)]
            cut = (tuple(asked), *(tuple(ids[: max(limit - len(asked), 0)]) for ids in last))
            if cut not in found and len(asked) + max(map(len, last)) <= limit:
                wrong.append(name)
        return self._text_check(spelling, wrong, "pairs")

    def _named(self, *columns: str) -> Iterator[tuple[Any, ...]]:
        names = self.rows["id"] if "id" in self.rows.columns else range(self.rows.height)
        for name, values in zip(names, self.rows.select(columns).iter_rows(), strict=True):
            yield (str(name), *values)

    def _text_check(self, spelling: int, wrong: Sequence[str], what: str) -> RunCheck:
        self.counts |= {"spelling_control_tokens": spelling, "read_as_control_tokens": len(wrong)}
        return checked(
            "content_is_text",
            not wrong,
            f"{spelling:,} {what} have texts that spell a control token of this model; "
            f"of {len(wrong):,} the tokens are not those of text",
            "a text would end its own turn or speak as somebody else: "
            f"{', '.join(wrong[:SHOWN])}{', ...' if len(wrong) > SHOWN else ''}. The plugin "
            "rewild.training.runs.plugin.Watch encodes contents as text: it must be among the plugins of "
            "axolotl.yaml; if it is, take these rows out of the mix.",
        )

    def _length(self, lengths: pl.Series) -> RunCheck:
        limit = self.recipe.sequence_length
        self.counts |= {
            "over_long": int((lengths > limit).sum()),
            "tokens_over": int((lengths - limit).clip(lower_bound=0).sum()),
            "left_out": self.rows.height - len(self.prepared),
        }
        if self.recipe.kind == "sft":
            dropped = self.recipe.over_long == "drop"
            kept = lengths.filter(lengths <= limit) if dropped else lengths.clip(upper_bound=limit)
            self.counts["kept_tokens"] = int(kept.sum())
        return length({**self.counts, "conversations": self.rows.height}, self.recipe)

    def _pairs(self, pairs: Sequence[Pair]) -> RunCheck:
        """Pairs reach Axolotl's trainer as text: each must be one of ours, and its answers must differ.

        Axolotl looks up an answer in its rendered chat. White space that a template trims off makes it keep
        one character, a letter that stands in a header all from there on, silently. Only a pair that was cut,
        and so fills the sequence, may be another.
        """
        known, bad, cut = set(pairs), 0, 0
        odd: list[str] = []
        for row in self.prepared:
            asked, better, worse = (str(row.get(side) or "") for side in ("prompt", "chosen", "rejected"))
            whole = (asked, better, worse) in known
            full = not whole and self._fills(asked, [better, worse])
            cut += full
            if better == worse or not (whole or full):
                bad += 1
                odd += [str(row.get("id"))] if len(odd) < SHOWN else []
        rows = len(self.prepared)
        ended = sum(
            str(row[side]).endswith(self.end) for row in self.prepared for side in ("chosen", "rejected")
        )
        self.counts |= {"prepared": rows, "pairs_broken": bad, "answers_ended": ended, "pairs_cut": cut}
        passed = rows > 0 and bad == 0 and ended >= 2 * (rows - cut)
        return checked(
            "pairs_whole",
            passed,
            f"of {rows:,} pairs, {bad:,} have an answer that is not whole or equals the other; "
            f"{ended:,} of {2 * rows:,} answers end with {self.end}; {cut:,} pairs are cut at "
            f"{self.recipe.sequence_length:,} tokens",
            "look at the pairs' texts, and at the token that the recipe's template ends turns with"
            + (f" ({', '.join(odd)}{', ...' if bad > len(odd) else ''})." if odd else "."),
        )

    def _fills(self, asked: str, answers: Sequence[str]) -> bool:
        """Whether a pair is as long as a sequence, up to what another cut of the text makes of it."""
        sizes = [len(i) for i in self.tokenizer([asked, *answers], add_special_tokens=False)["input_ids"]]
        return sizes[0] + max(sizes[1:]) >= self.recipe.sequence_length - SLACK


def _seeded(config: dict[str, Any]) -> RunCheck:
    seed, remedy = config.get("seed"), "without one the order is random, and no run can be repeated."
    return checked("seed_set", isinstance(seed, int), f"the seed is {seed}", remedy)


def _path_unique(config: dict[str, Any], identity: str, training: Training, mix: Path) -> RunCheck:
    """Axolotl finds prepared data by its path; ours is named by its content, unchanged meanwhile."""
    now = identity_of(training, sha256(mix), start_identity(training))
    passed = now == identity and identity in str(config["dataset_prepared_path"])
    remedy = "the mix or the base model changed while it was prepared: run this again."
    found = f"prepared data is at {config['dataset_prepared_path']}"
    return checked("data_path_unique", passed, found, remedy)


def _packing(training: Training, prepared: Any, cfg: Any) -> RunCheck:
    if not cfg.sample_packing:
        return checked("packing_isolated", True, "conversations are not packed")
    from rewild.training.runs.leak import packing_leak

    return packing_leak(training, prepared, cfg)


def _slices(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
