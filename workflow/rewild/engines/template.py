"""A chat template, rendered in a process of its own: it comes from the hub, and may loop, or fill the memory.

The process is started once per template and serves every conversation; one that it cannot serve is a
``ValueError`` with the reason. The sandbox, the bounds and the fixed date are those of
:mod:`rewild.engines.template_child`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rewild.engines.base import EngineError, Message
from rewild.engines.dates import TODAY
from rewild.engines.template_child import SECONDS

CHILD = Path(__file__).with_name("template_child.py")
PATIENCE = 120  # seconds of wall clock; the child's own limit, of processor time, is far below


class Template:
    """One template and the variables that it may use."""

    def __init__(
        self,
        template: str,
        variables: Mapping[str, Any],
        name: str,
        seconds: float = SECONDS,
        today: datetime = TODAY,
    ):
        """
        Args:
            template: the Jinja text.
            variables: what it may read besides the conversation: ``bos_token`` and so on; plain values.
            name: the model's name, for messages.
            seconds: of processor time for one conversation.
            today: the day that it prints, if it prints one.
        """
        self.seconds, self.today = seconds, today
        self.template, self.variables, self.name = template, dict(variables), name
        self._child: subprocess.Popen[str] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Template, (self.template, self.variables, self.name, self.seconds, self.today)

    def render(self, messages: Sequence[Message], *, answer: bool) -> str:
        """A conversation as text, up to the assistant's header if ``answer``.

        Raises:
            ValueError: the template refuses this conversation, or fails on it, or needs too much for it.
            EngineError: no process can be started here.
        """
        request = {
            "messages": [{k: v for k, v in m.items() if v is not None} for m in messages],
            "add_generation_prompt": answer,
        }
        with self._lock:
            made = self._ask(json.dumps(request))
        if "text" in made:
            return str(made["text"])
        raise ValueError(f"the chat template refuses this conversation: {made['error'].splitlines()[0]}")

    def _ask(self, line: str) -> dict[str, str]:
        child = self._started()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(line + "\n")
            child.stdin.flush()
        except OSError:  # it died since: nothing was asked yet
            return self._died(child)
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            reply = child.stdout.readline() if selector.select(PATIENCE) else ""
        return dict(json.loads(reply)) if reply.endswith("\n") else self._died(child)

    def _died(self, child: subprocess.Popen[str]) -> dict[str, str]:
        """Why there is no answer; the next conversation gets a process of its own."""
        late = child.poll() is None and not _ends(child)
        child.kill()
        code = child.wait()
        self._child = None
        if late or code == -signal.SIGXCPU:
            return {"error": "it takes too long"}
        return {"error": f"the process that renders it ended ({_name(code)})"}

    def _started(self) -> subprocess.Popen[str]:
        if self._child is None or self._owner != os.getpid() or self._child.poll() is not None:
            day = {"date_string": self.today.strftime("%d %b %Y")}
            variables = self.variables | day | {"tools": None, "documents": None}
            first = {
                "template": self.template,
                "variables": variables,
                "seconds": self.seconds,
                "today": self.today.isoformat(),
            }
            try:
                child = subprocess.Popen(
                    [sys.executable, "-I", str(CHILD)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    encoding="utf-8",
                )
                assert child.stdin is not None
                child.stdin.write(json.dumps(first) + "\n")
                child.stdin.flush()
            except OSError as error:
                raise EngineError(
                    f"{self.name}: the process that renders its chat template cannot start: {error}"
                ) from error
            weakref.finalize(self, _stop, child, os.getpid())
            self._child, self._owner = child, os.getpid()
        return self._child


def _ends(child: subprocess.Popen[str]) -> bool:
    """Whether a process whose output has ended ends itself, too."""
    try:
        child.wait(1)
    except subprocess.TimeoutExpired:
        return False
    return True


def _name(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


def _stop(child: subprocess.Popen[str], owner: int) -> None:
    if os.getpid() == owner and child.poll() is None:
        child.kill()
        child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
