"""One loop feeds every engine: responses, samples, judgments and labels go through it.

What is asked is a *work*: a conversation, a judgment. A work has strands, each a generator that yields a
request and is sent its completion, until it yields no more: retries and later turns join the stream that way.
The engine never waits for a work to be complete: whenever something is answered, something else goes in.

Two threads share it. The caller's runs the engine: it adds requests and takes completions. The desk, beside
it, does the rest: it renders what comes next, checks what came, and hands on what is complete, to be measured
and written. An engine that answers call by call waits for the desk to render and check, not for the rest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rewild.engines.base import Completion, Engine, EngineError, Request, Sampling

Strand = Generator[tuple[Request, Sampling], Completion, None]
Work = TypeVar("Work")
PIECE = 16  # works that are taken on before the desk looks up


def feed(
    engine: Engine,
    works: Iterable[tuple[Work, Sequence[Strand]] | None],
    finish: Callable[[Work], None],
    *,
    window: int,
    who: str,
) -> None:
    """Answer works in one stream.

    Args:
        engine: loaded.
        works: each with its strands, which run side by side; taken on when there is room. None says that
            there is none for now: it is asked again when something was answered.
        finish: called with each work that is complete, in whatever order that happens. It runs at the desk,
            as do ``works`` and the strands.
        window: requests under way at once; the turns of one work may go beyond it.
        who: for messages: the model.

    Raises:
        EngineError: the engine cannot go on. What was complete by then has been handed to ``finish``.
    """
    session = engine.stream()
    desk = _Desk(iter(works), finish, window, together=session.together)
    desk.start()
    under_way = 0
    try:
        while (new := desk.requests(under_way)) is not None:
            for number, request, sampling in new:
                session.add(number, request, sampling)
            under_way += len(new)
            done = session.wait()
            under_way -= len(done)
            desk.take(done)
    except EngineError as error:
        raise EngineError(
            f"{who}: {error}. {under_way:,} requests were in flight; what was finished is kept: run again"
        ) from error
    except MemoryError as error:
        raise EngineError(
            f"{who}: out of memory with {under_way:,} requests in flight and a window of {window:,}; lower "
            "the window or the batch and run again: what was finished is kept"
        ) from error
    finally:
        desk.leave()
        session.close()
    if desk.error is not None:
        raise desk.error


@dataclass(eq=False)
class _Open(Generic[Work]):
    """A work under way, and how many of its strands are."""

    work: Work
    strands: int


class _Desk(threading.Thread, Generic[Work]):
    """What happens beside the engine. Both threads touch only what ``changed`` guards."""

    def __init__(
        self,
        works: Iterator[tuple[Work, Sequence[Strand]] | None],
        finish: Callable[[Work], None],
        window: int,
        *,
        together: bool,
    ) -> None:
        super().__init__(name="desk", daemon=True)
        self._works, self._finish, self._window, self._together = works, finish, window, together
        self._strands: dict[int, tuple[Strand, _Open[Work]]] = {}  # by the number of what they wait for
        self._complete: deque[Work] = deque()
        self._new: list[tuple[int, Request, Sampling]] = []
        self._count = 0
        self._more = True  # works may be left
        self.error: BaseException | None = None
        self.changed = threading.Condition()
        self._outbox: list[tuple[int, Request, Sampling]] = []
        self._inbox: list[tuple[int, Completion]] = []
        self._settled = False  # nothing more will come out before something goes in
        self._over = self._left = False

    # The engine's side

    def requests(self, under_way: int) -> list[tuple[int, Request, Sampling]] | None:
        """What is to be added now; waits if there is nothing to do without it. None: all is done."""
        with self.changed:
            self.changed.wait_for(
                lambda: (
                    self._over
                    or ((self._settled or not self._together) and (under_way > 0 or bool(self._outbox)))
                )
            )
            if self._over:
                return None
            new, self._outbox = self._outbox, []
            return new

    def take(self, done: list[tuple[int, Completion]]) -> None:
        """Take completions in."""
        if done:
            with self.changed:
                self._inbox += done
                self._settled = False
                self.changed.notify_all()

    def leave(self) -> None:
        """Finish what is complete, take nothing on, and end."""
        with self.changed:
            self._left = True
            self.changed.notify_all()
        self.join()

    # The desk's side

    def run(self) -> None:
        """The thread."""
        try:
            while self._work():
                pass
        except BaseException as error:  # raised by the other thread
            self.error = error
        with self.changed:
            self._over = True
            self.changed.notify_all()

    def _work(self) -> bool:
        """Answers first, so that the engine gets its next requests; then one complete work."""
        with self.changed:
            taken, self._inbox = self._inbox, []
            left = self._left
        for number, completion in taken:
            self._go_on(*self._strands.pop(number), completion)
        full = left or self._admit()
        with self.changed:
            self._outbox += self._new
            self._new = []
            self._settled = full and not self._inbox
            self.changed.notify_all()
        if self._complete:
            self._finish(self._complete.popleft())
        elif full:
            with self.changed:
                if not self._inbox and (self._left or not (self._strands or self._more)):
                    return False
                self.changed.wait_for(lambda: bool(self._inbox) or self._left)
        return True

    def _admit(self) -> bool:
        """Take works on; whether that is all for now."""
        for _ in range(PIECE):
            # What is complete and not handed on counts: so much is lost at most when the job is killed. But
            # a call must not be the smaller for what is handed on beside it.
            complete = 0 if self._together else len(self._complete)
            if not self._more or len(self._strands) + complete >= self._window:
                return True
            try:
                taken = next(self._works)
            except StopIteration:
                self._more = False
                return True
            if taken is None:
                return bool(self._strands)
            work, strands = taken
            opened = _Open(work, len(strands))
            if not strands:
                self._complete.append(work)
            for strand in strands:
                self._go_on(strand, opened, None)
        return False

    def _go_on(self, strand: Strand, opened: _Open[Work], completion: Completion | None) -> None:
        try:
            request, sampling = next(strand) if completion is None else strand.send(completion)
        except StopIteration:
            opened.strands -= 1
            if not opened.strands:
                self._complete.append(opened.work)
            return
        self._count += 1
        self._strands[self._count] = strand, opened
        self._new.append((self._count, request, sampling))
