"""What can be said of one answer without a model: does it repeat itself, is it text, in which language."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

# The languages of WildChat-1M that the detector knows, as ISO 639-1. Fewer choices, fewer mistakes.
LANGUAGES = {
    "Afrikaans": "af", "Albanian": "sq", "Arabic": "ar", "Armenian": "hy", "Azerbaijani": "az",
    "Basque": "eu", "Belarusian": "be", "Bengali": "bn", "Bosnian": "bs", "Bulgarian": "bg",
    "Catalan": "ca", "Chinese": "zh", "Croatian": "hr", "Czech": "cs", "Danish": "da",
    "Dutch": "nl", "English": "en", "Esperanto": "eo", "Estonian": "et", "Finnish": "fi",
    "French": "fr", "Georgian": "ka", "German": "de", "Greek": "el", "Gujarati": "gu",
    "Hebrew": "he", "Hindi": "hi", "Hungarian": "hu", "Icelandic": "is", "Indonesian": "id",
    "Irish": "ga", "Italian": "it", "Japanese": "ja", "Kazakh": "kk", "Korean": "ko",
    "Latin": "la", "Latvian": "lv", "Lithuanian": "lt", "Macedonian": "mk", "Malay": "ms",
    "Marathi": "mr", "Mongolian": "mn", "Norwegian": "no", "Bokmal": "no", "Nynorsk": "no",
    "Persian": "fa", "Polish": "pl", "Portuguese": "pt", "Punjabi": "pa", "Romanian": "ro",
    "Russian": "ru", "Serbian": "sr", "Slovak": "sk", "Slovene": "sl", "Slovenian": "sl",
    "Somali": "so", "Spanish": "es", "Swahili": "sw", "Swedish": "sv", "Tagalog": "tl",
    "Tamil": "ta", "Telugu": "te", "Thai": "th", "Turkish": "tr", "Ukrainian": "uk",
    "Urdu": "ur", "Vietnamese": "vi", "Welsh": "cy", "Xhosa": "xh", "Yoruba": "yo",
    "Zulu": "zu",
}  # fmt: skip
# Pairs that a detector confuses and a reader understands; no evidence of a wrong language.
_ALIKE = (
    {"no", "da", "sv"},
    {"hr", "sr", "bs", "sl"},
    {"id", "ms"},
    {"cs", "sk"},
    {"bg", "mk"},
    {"zh", "ja"},
)

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff\U000f0000-\U0010ffff]")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_LETTERS = re.compile(r"[^\W\d_]")

GRAM = 4
TELLING_LETTERS, SURE = 24, 0.9


def repetition(text: str) -> float:
    """Share of the 4-grams that stood earlier in the text: 0 for no repetition, near 1 for a loop.

    Grams are of words; of characters where the script has no spaces (Chinese, Japanese, Thai). Texts shorter
    than two grams give 0.
    """
    words: list[str] | str = text.split()
    if len(_DENSE.findall(text)) > len(text) / 4:
        words = "".join(words)
    count = len(words) - GRAM + 1
    if count < 2:
        return 0.0
    distinct = len({tuple(words[i : i + GRAM]) for i in range(count)})
    return 1 - distinct / count


def garbled(text: str) -> float:
    """Share of the characters that are no text: replacement, control and private-use characters."""
    return len(_NO_TEXT.findall(text)) / len(text) if text else 0.0


def language(text: str) -> str | None:
    """ISO 639-1 code of the text's language; None where there is too little text, or too mixed, to tell.

    Code, inline code and addresses do not count. The detector (py3langid) works offline.
    """
    prose = _CODE.sub(" ", text[:4000])[:1000]
    letters = len(_LETTERS.findall(prose)) + 3 * len(_DENSE.findall(prose))
    if letters < TELLING_LETTERS:
        return None
    code, sure = _detector().classify(prose)
    return str(code) if sure >= SURE else None


def language_code(name: str | None) -> str | None:
    """ISO 639-1 code of a language's English name as sources give it (``Chinese``); codes pass through."""
    if not name:
        return None
    return LANGUAGES.get(name, name if name in LANGUAGES.values() else None)


def language_name(code: str | None) -> str | None:
    """The English name of an ISO 639-1 code, as sources give it; None for one that is not known."""
    return next((name for name, known in LANGUAGES.items() if known == code), None)


def disagree(prompt: str | None, answer: str | None) -> bool:
    """Whether two language codes are known and clearly differ."""
    if prompt is None or answer is None or prompt == answer:
        return False
    return not any({prompt, answer} <= alike for alike in _ALIKE)


@cache
def _detector() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    detector = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = set(detector.labels)
    detector.set_languages(sorted(known.intersection(LANGUAGES.values())))
    return detector
