"""`rewild status --watch`: what is shown is shown again when it changes, until all is done or Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from rewild.core.errors import RewildError
from rewild.core.terminal import output
from rewild.operate.home.parts import count, stages


def show_parts(folder: Path, console: Console) -> bool:
    """Print how many parts of each stage are there; gives whether all are.

    Raises:
        DataError: the study's list of files is broken.
    """
    known = stages(folder)
    if known is None:
        console.print(Text(f"{folder}: what it promises is not written down yet"), soft_wrap=True)
        return False
    done, parts = count(known)
    told = ", ".join(f"{s.label} {s.done}/{len(s.parts)}" for s in known)
    console.print(Text(f"{done} of {parts} parts: {told}"), soft_wrap=True)
    return done == parts


def watch(
    show: Callable[[Console], bool],
    every: float,
    console: Console | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show something again whenever it changes.

    A terminal is cleared before; a file or a pipe gets one below the other. A file that is broken, or away in
    the moment it is read, is said and looked at again.

    Args:
        show: prints it; gives whether all is done, which ends the watch.
        every: seconds between two looks.
        console: where to; the terminal if None.
        sleep: waits.
    """
    console, last = output(console), ""
    try:
        while True:
            done = False
            with console.capture() as shown:
                try:
                    done = show(console)
                except (RewildError, OSError) as error:
                    console.print(Text(f"error: {error}", style="red"), soft_wrap=True)
            if shown.get() != last:
                last = shown.get()
                if console.is_terminal:
                    console.clear()
                console.file.write(last)
                console.file.flush()
            if done:
                return
            sleep(every)
    except KeyboardInterrupt:
        return
