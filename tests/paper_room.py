"""A paper of nobody's, as the files of its room."""

from __future__ import annotations

from pathlib import Path

ROOM = {
    "__init__.py": """
from rewild.papers.room import Paper

PAPER = Paper(__name__, title="On Nothing", cite="A. Nobody, ON NOTHING, 2030")
""",
    "data/tables.yaml": """
columns:
  Score: {meaning: What was scored, unit: points, best: high, digits: 1}
  Setting: {meaning: What was set, unit: as printed, text: true}
tables:
  scores: {title: Scores of two, row: Who, place: section 1, columns: [Score]}
  settings: {title: How it was set, row: What, place: appendix A, columns: [Setting]}
""",
    "data/scores.csv": """row,column,value,digits,ci,printed,source,also,note
one,Score,3.5,1,,3.5,paper,,
two,Score,2.5,1,,2.5,paper,,
""",
    "data/settings.csv": """row,column,value,digits,ci,printed,source,also,note
Learning rate,Setting,,,,2×10^{-5},paper,,
Epochs,Setting,2,0,,2,paper,,
""",
    "data/facts.yaml": "twice:\n  value: 2\n  what: how often\n  source: nowhere\n",
    "data/claims.yaml": """
claims:
  - id: one-leads
    section: Section 1
    place: first sentence
    says: One leads two by a point.
    published: a point
    kind: number
    importance: headline
    check: leads
    with: {margin: twice}
    needs: [tables, facts]
""",
    "checks_scores.py": '''
from rewild.audit.checks import check
from rewild.audit.evidence import Evidence
from rewild.audit.outcome import Outcome, decide


@check
def leads(evidence: Evidence, margin: str) -> Outcome:
    """Whether one leads two by less than a fact."""
    table, least = evidence.table("scores"), evidence.number(margin)
    lead = table.cell("one", "Score").range.middle - table.cell("two", "Score").range.middle
    rate = evidence.table("settings").text("Learning rate", "Setting")
    return decide(lead < least.range.low, f"{lead} at {rate.value}", "", "As stated.", [least.fact])
''',
}


def write_room(copy: Path) -> None:
    """The room `nothing`, in a copy of the workflow."""
    for name, text in ROOM.items():
        path = copy / "workflow/rewild/papers/nothing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
