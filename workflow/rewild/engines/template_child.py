"""The process in which one chat template is rendered, bounded in time, memory and output.

It reads lines of JSON from its standard input (first the template and its variables, then one conversation
each) and answers each conversation with a line: ``{"text": ...}`` or ``{"error": ...}``. Nothing but Jinja2
is imported, so that it starts in a moment; :class:`rewild.engines.template.Template` starts it.
"""

from __future__ import annotations

import contextlib
import json
import math
import resource
import signal
import sys
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, ext, nodes, pass_context
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS = 5  # of processor time, for one conversation; a template needs a thousandth of one
MEMORY = 1 << 30
WORDS = 500  # characters of a reason
OUTPUT = 1_000_000, 20  # characters: these, and so many times the contents'


class Generation(ext.Extension):
    """``{% generation %}``, which some templates have around answers: what is in it is written."""

    tags = {"generation"}  # noqa: RUF012 - Jinja2 reads it so

    def parse(self, parser: Any) -> nodes.Node | list[nodes.Node]:
        """The statements between the tags, as they are."""
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


class TooSlowError(Exception):
    """The time of a conversation is over."""


def compile_template(template: str, today: datetime) -> Any:
    """A template in a sandbox like that of transformers; today is always the same day."""

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, **settings: Any) -> str:
        known = ("ensure_ascii", "indent", "separators", "sort_keys")
        return json.dumps(value, **{"ensure_ascii": False} | {k: settings[k] for k in known if k in settings})

    sandbox = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[Generation, ext.loopcontrols],
        # Constants are computed where a conversation needs them, within its bounds, not while it is read.
        optimized=False,
        finalize=pass_context(lambda _, value: value),
    )
    sandbox.filters["tojson"] = to_json
    sandbox.globals |= {"raise_exception": refuse, "strftime_now": today.strftime}
    return sandbox.from_string(template)


def render(compiled: Any, values: dict[str, Any]) -> str:
    """One conversation.

    Raises:
        TooSlowError, MemoryError, OverflowError: it takes more than it may.
    """
    most = OUTPUT[0] + OUTPUT[1] * sum(len(m.get("content") or "") for m in values["messages"])
    parts, length = [], 0
    for part in compiled.generate(**values):
        length += len(part)
        if length > most:
            raise OverflowError(f"it writes more than {most:,} characters")
        parts.append(part)
    return "".join(parts)


def answer(compiled: Any, values: dict[str, Any], seconds: float) -> dict[str, str]:
    """What came of a conversation, whatever the template did."""
    try:
        _timer(seconds)
        return {"text": render(compiled, values)}
    except TooSlowError:
        return {"error": f"it takes more than {seconds:g} seconds"}
    except MemoryError:
        return {"error": f"it needs more than {MEMORY >> 20} MB of memory"}
    except RecursionError:
        return {"error": "it calls itself too often"}
    except TemplateError as error:
        return {"error": str(error)[:WORDS] or type(error).__name__}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:WORDS]}
    finally:
        _timer(0)


def _timer(seconds: float) -> None:
    """Raise after that much processor time; and end the process soon after, if that cannot be raised."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    limit = math.ceil(used + seconds) + 1 if seconds else hard
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def _too_slow(*_: object) -> None:
    raise TooSlowError


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGPROF, _too_slow)
    for what, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of addresses
            resource.setrlimit(what, (limit, resource.getrlimit(what)[1]))
    first = json.loads(sys.stdin.readline())
    seconds = float(first["seconds"])
    problem, compiled = None, None
    try:
        _timer(seconds)
        compiled = compile_template(first["template"], datetime.fromisoformat(first["today"]))
    except TooSlowError:
        problem = f"it takes more than {seconds:g} seconds to read"
    except TemplateError as error:
        problem = f"it is no valid template: {error}"[:WORDS]
    except (RecursionError, MemoryError) as error:
        problem = f"it is no valid template: {type(error).__name__}"
    except Exception as error:
        problem = f"it is no valid template: {type(error).__name__}: {error}"
    finally:
        _timer(0)
    for line in sys.stdin:
        values = first["variables"] | json.loads(line)
        made = {"error": problem} if problem else answer(compiled, values, seconds)
        sys.stdout.write(json.dumps(made) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
