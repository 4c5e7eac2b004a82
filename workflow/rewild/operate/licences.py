"""What licences allow, and which of them the user accepts, by name: ``accepted.yaml``, not committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field

from rewild import own
from rewild.config.base import HOW, Section, table_of, validate
from rewild.config.models import Model
from rewild.core.errors import ConfigError, known_name
from rewild.core.files import write_text
from rewild.core.hub import PUBLIC
from rewild.core.reading_yaml import read_yaml

FILE = "accepted.yaml"
TABLE = "resources/release/licences.yaml"
UNKNOWN = "unknown"
Grant = Literal["free", "conditions", "refused"]
HEAD = """\
# Licences that you have read and accept, each once, by name: written by `rewild accept`. They are yours: git
# ignores this file. Remove a line to take one back. What all users accept may stand in config.yaml.
"""


class Licence(Section, marks=HOW):
    """A row of :data:`TABLE`, which says what its keys mean."""

    title: str
    hub: str
    texts: Grant
    weights: Grant
    only: list[str] = Field(default_factory=list)
    commercial: bool = True
    says: str | None = None
    terms: list[str] = Field(default_factory=list)

    @property
    def free(self) -> bool:
        """Whether it asks for no consent, whatever is made with it."""
        return self.texts == self.weights == "free"


class Accepted(Section, marks=HOW):
    """``config/accepted.yaml``: the licence's name, and when it was accepted."""

    licences: dict[str, Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]] = Field(
        default_factory=dict, description="Licence to the day"
    )


def load_licences() -> dict[str, Licence]:
    """The rows of :data:`TABLE`: name → row.

    Raises:
        ConfigError: a row that is none; the message names it.
    """
    rows = table_of(Path(own(TABLE)), Licence, "licence")
    for name, row in rows.items():
        for other in row.only:
            known_name(other, rows, f"{TABLE}: {name}: only:", after=" is no row")
    return rows


def find_licence(said: str | None, rows: Mapping[str, Licence]) -> str | None:
    """The row that a text names: its key, in any case, or what it begins with (``says``)."""
    text = (said or "").strip()
    if text.lower() in rows:
        return text.lower()
    return next((name for name, row in rows.items() if row.says and text.startswith(row.says)), None)


def asks_consent(licence: str, rows: Mapping[str, Licence]) -> bool:
    """Whether a licence has to be accepted; one that no row is known of does."""
    name = find_licence(licence, rows)
    return name is None or not rows[name].free


def read_accepted(config: Path) -> dict[str, str]:
    """What is accepted: name to day; nothing where there is no file.

    Raises:
        ConfigError: not such a file; the message names the key.
    """
    path = config / FILE
    return validate(Accepted, read_yaml(path), str(path)).licences if path.is_file() else {}


def covered(licence: str, models: Mapping[str, Model], table: Mapping[str, Licence]) -> list[Model]:
    """The models that are under a licence; none of one that is for data.

    Args:
        licence: its name.
        models: the table of models.
        table: the table of licences.

    Raises:
        ConfigError: no model is, and no row has its name; the nearest is given.
    """
    rows = [model for model in models.values() if model.api is None]
    known = dict.fromkeys([*(model.licence or UNKNOWN for model in rows), *table])
    known_name(licence, list(known), "no licence", listed="licences")
    return [model for model in rows if (model.licence or UNKNOWN) == licence]


def describe(
    licence: str, rows: Sequence[Model], used: Mapping[str, Sequence[str]], terms: Sequence[str] = ()
) -> Iterator[str]:
    """What accepting a licence covers, a line each.

    Args:
        licence: its name.
        rows: the models under it: :func:`covered`.
        used: study to the models that it names.
        terms: what it asks, as far as the table of licences says.
    """
    if licence == UNKNOWN:
        yield "The licences of these models are not established; whoever uses them has to find out:"
    elif not rows:
        yield f"The licence {licence} covers no model of the table; data may be under it:"
    else:
        yield f"The licence {licence} covers {len(rows)} models of the table; its text is on their pages:"
    for model in rows:
        studies = ", ".join(study for study, names in used.items() if model.slug in names)
        where = f"{PUBLIC}/{model.hub}" if model.hub else model.folder or "where it lies is not established"
        gated = "; the hub asks for consent there, too" if model.gated else ""
        yield f"  {model.slug}: {where}{gated}" + (f" (used by {studies})" if studies else "")
    yield from (f"  It asks: {asked}" for asked in terms)
    yield "It binds what you do with what is under it, and it may bind what is made with such texts."


def refuse_open(licence: str, rows: Mapping[str, Licence]) -> None:
    """Raise a :class:`ConfigError` for a licence that asks for no consent."""
    if not asks_consent(licence, rows):
        raise ConfigError(f"the licence {licence} asks for no consent: there is nothing to accept")


def accept(config: Path, licence: str, today: str | None = None) -> Path:
    """Write down that a licence is accepted; a name that stands there stays with its day."""
    day = today or datetime.now(UTC).date().isoformat()
    found = {licence: day} | read_accepted(config)
    text = yaml.safe_dump({"licences": dict(sorted(found.items()))}, allow_unicode=True, sort_keys=False)
    write_text(config / FILE, HEAD + text)
    return config / FILE
