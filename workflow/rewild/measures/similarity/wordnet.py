"""WordNet's synonyms, read straight from its dictionary files: the third stage of METEOR's alignment.

nltk's reader builds objects for every synset it meets, which costs more than all of METEOR's arithmetic.
What METEOR asks is little: which single words stand in a synset of this word? An index line gives the byte
offsets of the synsets, and the line at such an offset starts with the words. So both files are held as
bytes (28 MB) and parsed where asked. Nothing is shared with forked workers but read-only memory.

File formats: https://wordnet.princeton.edu/documentation/wndb5wn and
https://wordnet.princeton.edu/documentation/morphy7wn.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

from rewild.core.errors import DataError
from rewild.core.files import atomic, write_text
from rewild.core.reading import any_fault, read_text

# Part of speech → the detachments that `morphy` tries, in nltk's order (it has one more than Princeton's).
_ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "verb": (
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}
_SUFFIXES = tuple(sorted({old for endings in _ENDINGS.values() for old, _ in endings}))
FILES = tuple(f"{kind}.{pos}" for kind in ("index", "data") for pos in _ENDINGS) + tuple(
    f"{pos}.exc" for pos in _ENDINGS
)
"""The files that are read: ``index.noun``, ``data.noun``, ``noun.exc`` and so on."""

HOW_TO_GET = (
    "get WordNet 3.0 in one of these ways:\n"
    "  python -m nltk.downloader wordnet        (nltk's copy; any folder of NLTK_DATA will do)\n"
    "  apt-get install wordnet-base             (Debian's copy, in /usr/share/wordnet)\n"
    "and, if it is elsewhere, name the folder or zip file in the study (similarity: {wordnet: PATH}). "
    "Or leave METEOR's synonym stage out (similarity: {synonyms: false}): the metric is then meteor_nosyn"
)


def candidates() -> list[Path]:
    """Where WordNet is looked for: the folders of ``NLTK_DATA``, nltk's own, then Debian's."""
    roots = [Path(p) for p in os.environ.get("NLTK_DATA", "").split(os.pathsep) if p]
    roots += [Path.home() / "nltk_data"]
    roots += [Path(p) / "nltk_data" for p in ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")]
    return [r / "corpora" / n for r in roots for n in ("wordnet", "wordnet.zip")] + [
        Path("/usr/share/wordnet")
    ]


def find(path: Path | str | None = None) -> Path:
    """The folder or zip file that holds WordNet.

    Args:
        path: where the study says it is; null looks in the usual places.

    Raises:
        DataError: there is none, or files are missing from it; the message says how to get it.
    """
    places = candidates() if path is None else [Path(path)]
    for place in places:
        if place.is_file() or (place / "index.noun").is_file():
            return place
    looked = ", ".join(map(str, places))
    raise DataError(f"WordNet is not here (looked in {looked}).\nMETEOR needs it; {HOW_TO_GET}")


def _reader(place: Path) -> Callable[[str], bytes]:
    if place.is_dir():
        return lambda name: (place / name).read_bytes()
    archive = zipfile.ZipFile(place)
    folder = next((n[: -len("index.noun")] for n in archive.namelist() if n.endswith("index.noun")), "")
    return lambda name: archive.read(folder + name)


class WordNet:
    """Synonyms as ``nltk.corpus.wordnet`` gives them to METEOR.

    Raises:
        DataError: a file is missing or is not a WordNet dictionary file.
    """

    def __init__(self, place: Path | str) -> None:
        self.place = Path(place)
        self._index: dict[str, dict[str, str]] = {}
        self._data: dict[str, bytes] = {}
        self._exceptions: dict[str, dict[str, list[str]]] = {}
        try:
            read = _reader(self.place)
            for pos in _ENDINGS:
                lines = read(f"index.{pos}").decode("utf-8").split("\n")
                self._index[pos] = {line[: line.find(" ")]: line for line in lines if line and line[0] != " "}
                self._data[pos] = read(f"data.{pos}")
                terms = (line.split() for line in read(f"{pos}.exc").decode("utf-8").splitlines())
                self._exceptions[pos] = {t[0]: t[1:] for t in terms if t}
            self._known = frozenset().union(*self._index.values(), *self._exceptions.values())
        except (OSError, KeyError, zipfile.BadZipFile, UnicodeDecodeError) as error:
            raise DataError(
                f"{self.place}: not a complete WordNet: {error}.\nMETEOR needs it; {HOW_TO_GET}"
            ) from error

    def synonyms(self, word: str) -> frozenset[str]:
        """The single words in all synsets of ``word``, lower-cased, and of its base forms."""
        word = word.lower()
        if word not in self._known and not word.endswith(_SUFFIXES):
            return frozenset()
        found: set[str] = set()
        for pos, index in self._index.items():
            if (base := self._exceptions[pos].get(word)) is None:
                base = [word[: -len(old)] + new for old, new in _ENDINGS[pos] if word.endswith(old)]
            for form in {word, *base}:
                if form in index:
                    found |= self._words(pos, index[form])
        return frozenset(found)

    def _words(self, pos: str, line: str) -> set[str]:
        fields = line.split()
        data = self._data[pos]
        words: set[str] = set()
        for offset in fields[len(fields) - int(fields[2]) :]:
            start = int(offset)
            end = data.find(b"|", start)
            row = data[start:end].decode("utf-8").split()
            if not row or row[0] != offset:
                raise DataError(f"{self.place}/data.{pos}: no synset at offset {offset}; the file is damaged")
            for name in row[4 : 4 + 2 * int(row[3], 16) : 2]:
                if "_" not in name:
                    words.add(name[: name.index("(")] if name.endswith(")") and "(" in name else name)
        return words


def fingerprint(place: Path) -> str:
    """A SHA-256 over the files that are read: which WordNet the scores were made with."""
    read = _reader(place)
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(read(name))
    return digest.hexdigest()


# The lexicographer files, in the order of their numbers:
# https://wordnet.princeton.edu/documentation/lexnames5wn
_LEXNAMES = [
    f"{pos}.{topic}"
    for pos, topics in (
        ("adj", ("all pert")),
        ("adv", ("all")),
        (
            "noun",
            (
                "Tops act animal artifact attribute body cognition communication event feeling "
                "food group location motive object person phenomenon plant possession process "
                "quantity relation shape state substance time"
            ),
        ),
        (
            "verb",
            (
                "body change cognition communication competition consumption contact creation "
                "emotion motion perception possession social stative weather"
            ),
        ),
        ("adj", ("ppl")),
    )
    for topic in topics.split()
]
_NUMBER = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


def make_nltk_data(source: Path, target: Path) -> Path:
    """Make ``target/corpora/wordnet`` as nltk's reader wants it, from dictionary files without nltk's extras.

    nltk also reads ``lexnames`` (written here from WordNet's documentation), and asks that ``cntlist.rev``
    and ``index.sense`` exist; METEOR uses neither, so they are copied or left empty.

    Returns:
        The folder made.
    """
    folder = target / "corpora" / "wordnet"
    with any_fault(source, "WordNet's dictionary"):
        read = _reader(source)
        contents = {name: read(name) for name in FILES}
    for name, content in contents.items():
        with atomic(folder / name) as temporary:
            temporary.write_bytes(content)
    for name in ("cntlist.rev", "index.sense"):
        extra = source / name
        write_text(folder / name, read_text(extra) if extra.is_file() else "")
    write_text(
        folder / "lexnames",
        "".join(f"{i:02d}\t{n}\t{_NUMBER[n.split('.', maxsplit=1)[0]]}\n" for i, n in enumerate(_LEXNAMES)),
    )
    return folder
