"""What some instructions of IFEval need: nltk's ``punkt_tab``, or a stand-in where it cannot be had.

Punkt finds the ends of sentences. Its data says which words are abbreviations; the stand-in is Punkt without
any, so that "e.g." may end a sentence. Scores that used it say so in their version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rewild.core.errors import DataError
from rewild.core.files import write_text

NEEDED = ("length_constraints:number_sentences", "change_case:capital_word_frequency")
"""The instructions of IFEval that split text with nltk."""
_FILES = ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt")


def prepare(scratch: Path) -> bool:
    """Whether nltk has ``punkt_tab``; if not, an untrained stand-in is put where it looks.

    Call it before the tasks are loaded: they try a download as they are imported.
    """
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab/english")
    except LookupError:
        for name in _FILES:
            write_text(scratch / "tokenizers" / "punkt_tab" / "english" / name, "")
        nltk.data.path.insert(0, str(scratch))
        return False
    return True


def check(questions: Iterable[Mapping[str, Any]], wanted: str, installed: bool, benchmark: str) -> str | None:
    """What split the text of a benchmark's answers; None if none of its questions needs it.

    Args:
        questions: the benchmark's questions; IFEval's have ``instruction_id_list``.
        wanted: ``punkt_tab`` or ``stand-in``, as the study says.
        installed: the result of :func:`prepare`.

    Raises:
        DataError: questions need ``punkt_tab``, it is not there, and the study does not take the stand-in.
    """
    lists = [row.get("instruction_id_list") or [] for row in questions]
    count = sum(any(name in NEEDED for name in names) for names in lists)
    if not count:
        return None
    if installed:
        return "punkt_tab"
    if wanted == "stand-in":
        return "stand-in for punkt_tab"
    raise DataError(
        f"{benchmark}: {count} of {len(lists)} questions count sentences or words with nltk's data "
        "'punkt_tab', which is not installed. Get it where there is a network: `python -m nltk.downloader "
        "punkt_tab`, with the Python of lm-eval's environment; or set evaluation.sentences: stand-in, which "
        "may count a few sentences otherwise and is named in the scores"
    )
