"""Strict configuration: unknown keys forbidden, one clear message, the nearest match named.

Each field of a section says once what it does. It *identifies* something, or says *how* that is computed:

    class Pairs(Section, marks=RESULT):              its fields identify its result, but for
        batch: Annotated[int, HOW] = 8               changes no result, and nothing runs again
        title: Annotated[str, SHOWN] = ""            identifies the card, not the pairs
        least: Annotated[float, VERDICT] = 0.5       judges a result, and makes none again

Rerun triggers, content hashes and provenance are the :func:`identity` of sections. In a class without
``marks`` each field has a mark; one that has none is an error when the class is made.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from rewild import own
from rewild.core.errors import ConfigError, DataError, nearest
from rewild.core.reading import parse_json
from rewild.core.reading_yaml import read_yaml

File = Annotated[str, AfterValidator(own)]
"""A path relative to the repository; a study elsewhere may name the repository's files too."""
M = TypeVar("M", bound="Strict")
_QUOTE = "'"


@dataclass(frozen=True)
class Mark:
    """What a field does: the parts of a section's results that it identifies; none, where it says how."""

    parts: frozenset[str]


def part(*parts: str) -> Mark:
    """The mark of a field that identifies these parts, and not the section's own result."""
    return Mark(frozenset(parts))


RESULT = part("result")
"""Identifies the section's result; in a section within another, what the field that holds it identifies."""
HOW = part()
"""How it is computed: in no identity."""
CUT = part("cut")
"""Into how many files the work is cut: the files are made again, and hold the same together."""
VERDICT = part("verdict")
"""Judges a result."""
SHOWN = part("shown")
"""On cards and in tables only."""
LISTED = part("listed")
"""Which results there are, each identified by itself: models, tables, rows, sections."""


ENVIRONMENT = part("environment")
"""Of the environment a job runs in: in no hash; Snakemake makes files again that were made in another."""


def within(outer: Mark, own: Mark) -> Mark:
    """The mark of a field in a section that a field with the mark ``outer`` holds."""
    if outer == HOW:
        return HOW
    return outer if own == RESULT and outer != LISTED else own


class Strict(BaseModel):
    """Something with a form: unknown keys are errors, values are not coerced from other types."""

    # Each start of a command imports all sections and validates few: what these need is built when they do.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class Section(Strict):
    """A section of the configuration: every field says what it identifies."""

    usual: ClassVar[Mark | None] = None
    marks: ClassVar[dict[str, Mark]] = {}

    @property
    def marked(self) -> dict[str, Mark]:
        """The mark of each field that it has."""
        return self.marks

    def __init_subclass__(cls, marks: Mark | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.usual = marks or cls.usual

    @classmethod
    def __pydantic_init_subclass__(cls, marks: Mark | None = None, **kwargs: Any) -> None:
        cls.marks = {name: cls._mark(name, field.metadata) for name, field in cls.model_fields.items()}

    @classmethod
    def _mark(cls, field: str, metadata: list[Any]) -> Mark:
        """The mark of a field: its own, else that of its class."""
        own = next((m for m in metadata if isinstance(m, Mark)), cls.usual)
        if own is None:
            raise TypeError(f"{cls.__name__}.{field}: say what it identifies (rewild.config.base)")
        return own


def identity(section: Section, *parts: str) -> dict[str, Any]:
    """The settings of a section that identify something, as plain values in the order of the fields.

    Args:
        section: one section; those within it come with it.
        parts: what is to be identified, such as ``card``; the section's own result if none is named.
    """
    found = _picked(section, section.model_dump(mode="json"), RESULT, frozenset(parts or RESULT.parts))
    return {} if found is _NOTHING else dict(found)


def trigger(section: Section, *parts: str) -> str:
    """:func:`identity` as JSON without spaces: a rule runs again when it changes."""
    return json.dumps(identity(section, *parts), ensure_ascii=False, separators=(",", ":"))


_NOTHING = object()


def _picked(value: Any, plain: Any, mark: Mark, parts: frozenset[str]) -> Any:
    """What of a value identifies one of the parts, if the value itself has this mark."""
    if isinstance(value, Section):
        picked = {
            name: _picked(getattr(value, name), plain[name], within(mark, own), parts)
            for name, own in value.marked.items()
            if name in plain
        }
    elif isinstance(value, Mapping) and any(isinstance(one, Section) for one in value.values()):
        picked = {key: _picked(one, plain[key], mark, parts) for key, one in value.items()}
    elif isinstance(value, list) and any(isinstance(one, Section) for one in value):
        many = [_picked(one, line, mark, parts) for one, line in zip(value, plain, strict=True)]
        return [one for one in many if one is not _NOTHING] or _NOTHING
    else:
        return plain if parts & mark.parts else _NOTHING
    return {key: one for key, one in picked.items() if one is not _NOTHING} or _NOTHING


def validate(model: type[M], value: Mapping[str, Any], where: str) -> M:
    """Validate ``value`` as ``model``; all problems in one :class:`ConfigError` starting with ``where``."""
    try:
        found = model.model_validate(dict(value))
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(model, e, where) for e in error.errors())) from error
    if wrong := [*_not_finite(value)]:  # in what may be anything, which pydantic does not look into
        raise ConfigError(
            "\n".join(f"{where}: {key}: input should be a finite number (it is {n})" for key, n in wrong)
        )
    return found


def _not_finite(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """NaN and infinity anywhere in a value, each with its key."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    elif isinstance(value, float) and not math.isfinite(value):
        yield key, value
    for name, part in inner:
        yield from _not_finite(part, f"{key}.{name}".lstrip("."))


def read_rows(path: Path, what: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The rows of a table of the configuration: slug, row with its slug, and what it is called in messages.

    Raises:
        ConfigError: not YAML, a row that is no mapping, or one that states its slug.
    """
    for slug, row in read_yaml(path).items():
        where = f"{what} {slug} ({path})"
        if not isinstance(row, Mapping):
            raise ConfigError(f"{where}: a mapping of keys to values was expected")
        if "slug" in row:
            raise ConfigError(f"{where}: the slug is the row's name; remove the key 'slug'")
        yield str(slug), {**row, "slug": str(slug)}, where


def table_of(path: Path, model: type[M], what: str) -> dict[str, M]:
    """The rows of a table whose rows do not know their names: name → row.

    Raises:
        ConfigError: as :func:`read_rows`; a row that is none of the model.
    """
    rows = read_rows(path, what)
    return {
        name: validate(model, {k: v for k, v in row.items() if k != "slug"}, where)
        for name, row, where in rows
    }


def validate_json(model: type[M], text: str, where: str) -> M:
    """:func:`validate` what a rule gave a command as JSON."""
    try:
        value = parse_json(text, where)
    except DataError as error:
        raise ConfigError(str(error)) from error
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: an object was expected, not {text[:40]}")
    return validate(model, value, where)


def _explain(model: type[BaseModel], error: Any, where: str) -> str:
    location = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _keys_at(model, error["loc"][:-1])
        return f"{where}: unknown key '{location}'{nearest(str(error['loc'][-1]), known)}"
    if error["type"] == "union_tag_not_found":
        return f"{where}: the key '{location}.{error['ctx']['discriminator'].strip(_QUOTE)}' is missing"
    if error["type"] == "union_tag_invalid":
        tag, expected = error["ctx"]["tag"], error["ctx"]["expected_tags"]
        location = f"{location}.{error['ctx']['discriminator'].strip(_QUOTE)}"
        hint = nearest(tag, [choice.strip(_QUOTE) for choice in expected.split(", ")])
        return f"{where}: {location}: '{tag}' is not one of {expected}{hint}"
    if error["type"] == "missing":
        return f"{where}: the key '{location}' is missing"
    given = error["input"]
    if error["type"] == "literal_error":
        expected = error["ctx"]["expected"]
        choices = [c.strip().strip("'") for c in expected.replace(" or ", ", ").split(",")]
        return f"{where}: {location}: {given!r} is not one of {expected}{nearest(str(given), choices)}"
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    shown = "" if error["type"] == "value_error" else f" (it is {given!r})"
    return f"{where}: {location + ': ' if location else ''}{message}{shown}"


def _keys_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The keys that a (nested) section knows, found by walking the annotations along ``location``.

    Where a section is one of several kinds, the location names the kind too, as if it were a key.
    """
    annotation: Any = model
    for part in location:
        choices = _models(annotation)
        if len(choices) > 1 and (chosen := [c for c in choices if _is_kind(c, part)]):
            annotation = chosen[0]
        elif fields := next((c.model_fields for c in choices if part in c.model_fields), None):
            annotation = fields[part].annotation
    return [key for m in _models(annotation) for key in m.model_fields]


def _is_kind(model: type[BaseModel], name: Any) -> bool:
    literals = (
        f.annotation for f in model.model_fields.values() if typing.get_origin(f.annotation) is typing.Literal
    )
    return name == model.__name__ or any(name in typing.get_args(literal) for literal in literals)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) is not None or isinstance(annotation, types.UnionType):
        return [m for argument in typing.get_args(annotation) for m in _models(argument)]
    return []
