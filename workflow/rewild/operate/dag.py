"""The jobs of a study by rule: which rule feeds which, and how many jobs each has."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from rewild.core.errors import RewildError
from rewild.core.plotting import COLOURS, FAINT, INK, new_figure, style

COLUMNS = {
    "data": ("prompts", "operate"),
    "responses": ("responses",),
    "measures": ("measures",),
    "training": ("training",),
    "evaluation": ("evaluation",),
    "results": ("report", "papers", "release"),
}
"""Columns of the figure, and the files of rules (workflow/rules) that stand there, in this order; the last
column has all others as well."""
MADE_PER = ("prepare_prompts", "filter_prompts", "import_released", "answer_benchmarks")
"""Rules that are made once per study or source, with its name after theirs."""
HIDDEN = ("all", "make_home", "list_results", "build_env", "build_alpaca_eval")
"""What is of the study as a whole: everything leads to it, or from it."""
WIDE, HIGH, ACROSS, DOWN = 1.62, 0.34, 2.0, 0.52  # of boxes, and from one to the next, in inches
NODE = re.compile(r'^\s*(\d+)\[label = "(\w+)"')
EDGE = re.compile(r"^\s*(\d+) -> (\d+)")
COUNT = re.compile(r"^(\w+) +(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Rules:
    """A study's rules.

    Attributes:
        jobs: rule → number of jobs, in the order of columns and, within one, of the files of rules.
        needs: rule → earlier rules whose files it reads, without those that follow from others.
        back: rule → later rules whose files it reads: as of fine-tunes that answer, or start other runs.
        column: rule → a key of :data:`COLUMNS`.
        gpu: rules whose jobs ask for GPUs.
    """

    jobs: dict[str, int]
    needs: dict[str, set[str]]
    back: dict[str, set[str]]
    column: dict[str, str]
    gpu: set[str]


def read_rules(study: str, root: Path) -> Rules:
    """Ask Snakemake, in a dry run, for the rules of everything that a study promises.

    Args:
        study: its name.
        root: the repository; results that are there already are counted as if they were not.

    Raises:
        RewildError: Snakemake fails; the message is its own.
    """
    where = ("--config", f"study={study}")
    edges = _snakemake(root, "--rulegraph", "dot", "--forceall", *where)
    stats = _snakemake(root, "-n", "--quiet", "all", "--forceall", *where)
    files, gpu = rule_files(root)
    return rules_of(edges, stats, files, gpu)


def rules_of(dot: str, stats: str, files: Mapping[str, str], gpu: Iterable[str]) -> Rules:
    """The rules from what Snakemake prints: its graph of rules, and its table of jobs.

    Args:
        dot: from ``--rulegraph dot``.
        stats: from ``-n``; the first table after "Job stats" is read.
        files: rule → file of rules it stands in, without suffix.
        gpu: rules whose jobs ask for GPUs.
    """
    names = {m[1]: _short(m[2]) for line in dot.splitlines() if (m := NODE.match(line))}
    counts: dict[str, int] = {}
    for name, number in COUNT.findall(stats.partition("Job stats:")[2].partition("\ntotal")[0]):
        counts[_short(name)] = counts.get(_short(name), 0) + int(number)
    needs: dict[str, set[str]] = {name: set() for name in names.values()}
    for line in dot.splitlines():
        if (m := EDGE.match(line)) and names[m[1]] != names[m[2]]:
            needs[names[m[2]]].add(names[m[1]])
    for hidden in HIDDEN:
        needs.pop(hidden, None)
    column = {name: _column(name, files.get(name, "")) for name in needs}
    place = {name: i for i, name in enumerate(files)}

    def rank(name: str) -> tuple[int, int, str]:
        own, file = COLUMNS[column[name]], files.get(name, "")
        among = -1 if name.startswith("fetch_") else own.index(file) if file in own else len(own)
        return among, place.get(name, -1), name

    order = [name for c in COLUMNS for name in _ordered([n for n in needs if column[n] == c], needs, rank)]
    at = {name: i for i, name in enumerate(order)}
    earlier = {name: {n for n in needs[name] if n in at and at[n] < at[name]} for name in order}
    above: dict[str, set[str]] = {}
    for name in order:
        above[name] = earlier[name].union(*(above[n] for n in earlier[name]))
    return Rules(
        jobs={name: counts.get(name, 0) for name in order},
        needs={n: {o for o in own if not any(o in above[p] for p in own)} for n, own in earlier.items()},
        back={n: {o for o in needs[n] if o in at and at[o] > at[n]} for n in order},
        column=column,
        gpu={_short(name) for name in gpu} & set(order),
    )


def rule_files(root: Path) -> tuple[dict[str, str], set[str]]:
    """Rule → its phase, by the file or folder of rules it stands in; and the rules that ask for GPUs."""
    files, gpu, folder = {}, set(), root / "workflow/rules"
    for path in sorted(folder.rglob("*.smk")):
        for text in re.split(r"^ *(?=rule\b)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            found = re.match(r'rule(?: (\w+)|:\s+name:\s+f?"(\w+?)_\{)', text)
            if found:
                name = found[1] or found[2]
                files[name] = Path(path.relative_to(folder).parts[0]).stem
                if re.search(r"^ +gpu=", text, re.MULTILINE):
                    gpu.add(name)
    return files, gpu


def draw_rules(rules: Rules, title: str) -> Figure:
    """Boxes in columns: a rule and its number of jobs; an arrow from each rule to those that read its files.

    Args:
        rules: the study's.
        title: stands above.
    """
    columns = {c: [n for n in rules.jobs if rules.column[n] == c] for c in COLUMNS}
    columns = {c: names for c, names in columns.items() if names}
    deepest = max(len(names) for names in columns.values())
    width, height = ACROSS * len(columns), DOWN * (deepest + 1.6)
    with style():
        figure = new_figure(width, height)
        figure.set_layout_engine("none")  # everything has its place
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.axis("off")
        axes.text(0.15, 0.2, title, fontsize=9, weight="bold", va="center")
        at: dict[str, tuple[float, float]] = {}
        for i, (column, names) in enumerate(columns.items()):
            x = ACROSS * i + ACROSS / 2
            axes.text(x, 0.62, column, ha="center", va="center", fontsize=8, color=INK)
            for j, name in enumerate(names):
                at[name] = (x, DOWN * (j + 1.9))
        for name, before in rules.needs.items():
            for other in sorted(before):  # the same file every time
                axes.add_patch(_arrow(at[other], at[name]))
        for name, later in rules.back.items():
            for other in sorted(later):
                axes.add_patch(_arrow(at[other], at[name], linestyle=(0, (3, 2))))
        for name, (x, y) in at.items():
            _box(axes, x, y, name, rules)
        total = f"{sum(rules.jobs.values()):,} jobs of {len(rules.jobs)} rules"
        legend = f"{total}. Orange: on GPUs. Dashed: from later rules. Not drawn: environments"
        axes.text(width - 0.15, 0.2, legend, ha="right", va="center", fontsize=7.5)
    return figure


def _box(axes: object, x: float, y: float, name: str, rules: Rules) -> None:
    colour = COLOURS[1] if name in rules.gpu else COLOURS[0]
    box = FancyBboxPatch(
        (x - WIDE / 2, y - HIGH / 2),
        WIDE,
        HIGH,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor="white",
        edgecolor=colour,
        linewidth=1.1,
        zorder=3,
    )
    axes.add_patch(box)  # type: ignore[attr-defined]
    number = rules.jobs[name]
    texts = ((-0.075, name, 6.6, INK), (0.085, f"{number:,} job{'s' * (number != 1)}", 6.6, colour))
    for dy, text, size, ink in texts:
        axes.text(x, y + dy, text, ha="center", va="center", fontsize=size, color=ink, zorder=4)  # type: ignore[attr-defined]


def _arrow(start: tuple[float, float], end: tuple[float, float], linestyle: Any = "-") -> FancyArrowPatch:
    """From one box to another: to the right, to the left, or down the side of a column."""
    (x0, y0), (x1, y1) = start, end
    if x0 == x1:  # down the column: straight to the next box, around the others
        near = abs(y1 - y0) < 1.5 * DOWN
        a = (x0, y0 + HIGH / 2) if near else (x0 - WIDE / 2, y0)
        b = (x1, y1 - HIGH / 2) if near else (x1 - WIDE / 2, y1)
        bend = "arc3,rad=0" if near else f"arc3,rad={0.35 if y1 > y0 else -0.35}"
    else:
        side = 1 if x1 > x0 else -1
        a, b = (x0 + side * WIDE / 2, y0), (x1 - side * WIDE / 2, y1)
        bend = "arc3,rad=0"
    return FancyArrowPatch(
        a, b, arrowstyle="-|>", mutation_scale=6, connectionstyle=bend, color=FAINT, linewidth=0.8, zorder=1,
        shrinkA=0, shrinkB=0, linestyle=linestyle,
    )  # fmt: skip


def _ordered(
    names: list[str], needs: Mapping[str, set[str]], rank: Callable[[str], tuple[int, int, str]]
) -> list[str]:
    """Some rules, each after those of them that it needs; where they go in a circle, as ``rank`` has them."""
    left, order = sorted(names, key=rank), []
    while left:
        chosen = next((name for name in left if not needs[name] & set(left) - {name}), left[0])
        left.remove(chosen)
        order.append(chosen)
    return order


def _short(rule: str) -> str:
    """Rules that are made per study or per collection of files count as one."""
    if rule.startswith("fetch_") and rule not in ("fetch_hub", "fetch_dataset"):
        return "fetch_released"
    return next((stem for stem in MADE_PER if rule.startswith(f"{stem}_")), rule)


def _column(name: str, file: str) -> str:
    """The column of a rule: downloads are data, whatever they are for."""
    if name.startswith("fetch_"):
        return next(iter(COLUMNS))
    return next((column for column, own in COLUMNS.items() if file in own), list(COLUMNS)[-1])


def _snakemake(root: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RewildError(f"Snakemake cannot lay out the study:\n{(run.stderr or run.stdout).strip()}")
    return run.stdout
