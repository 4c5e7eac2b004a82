"""Tokenizers of every kind, trained here in a moment: byte-level BPE, SentencePiece's two, WordPiece.

Each has ``<|end|>`` as an added token that is not flagged special, ``<|user|>`` and ``<|assistant|>`` as
special ones, and ``<|fold|>`` as a word of the vocabulary that no list of added tokens names.
"""

from __future__ import annotations

import json
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
LINES = [
    "the quick brown fox jumps over the lazy dog",
    "Water, light; music: 12 34 <|>[/] _s_",
    "a b c A B C",
    "[INST] x [/INST] INST",
]
SPECIAL = ["<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
KINDS = ("byte-level", "byte-level with a space", "prepend", "metaspace", "unigram", "wordpiece")


def make(kind: str, template: str | None = TEMPLATE, end_is_special: bool = False) -> Any:
    """A fast tokenizer of a kind."""
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(
        tokenizer_object=_backend(kind), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    made.add_tokens([AddedToken("<|user|>", special=True), AddedToken("<|assistant|>", special=True)])
    made.add_tokens([AddedToken("<|end|>", special=end_is_special, normalized=False)])
    made.chat_template = template
    return made


def _backend(kind: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    common = {"special_tokens": SPECIAL, "show_progress": False, "vocab_size": 420}
    spaces = pre_tokenizers.Metaspace(prepend_scheme="first" if kind == "metaspace" else "always")
    if kind.startswith("byte-level"):
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind.endswith("space"))
        made.decoder = decoders.ByteLevel()
        trainer: Any = trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **common)
    elif kind == "unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer, made.decoder = spaces, decoders.Metaspace()
        trainer = trainers.UnigramTrainer(unk_token="<unk>", **common)
    elif kind == "wordpiece":
        made = Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.pre_tokenizer, made.decoder = pre_tokenizers.WhitespaceSplit(), decoders.WordPiece(cleanup=False)
        trainer = trainers.WordPieceTrainer(**common)
    else:  # SentencePiece's BPE with byte fallback, as Llama 2's (prepend) and its newer form
        made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        made.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
            ]
        )
        if kind == "prepend":
            made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        else:
            made.pre_tokenizer = spaces
        trainer = trainers.BpeTrainer(
            **{**common, "special_tokens": [*SPECIAL, *(f"<0x{b:02X}>" for b in range(256))]},
        )
        trainer.vocab_size = 700
    made.train_from_iterator(LINES * 20, trainer)
    return _with_vocabulary(made, kind)


def _with_vocabulary(made: Any, kind: str) -> Any:
    """The same with single letters for all that is written here, and ``<|fold|>`` as an ordinary word."""
    from tokenizers import Tokenizer

    data = json.loads(made.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    letters = sorted(set("".join(LINES) + "|<>[]/_é\nINST"))
    wanted = ["<|fold|>"]
    if kind == "wordpiece":
        wanted += [*letters, *(f"##{c}" for c in letters)]
    elif not kind.startswith("byte-level"):
        wanted += [*letters, "▁"]
    vocabulary = data["model"]["vocab"]
    known = set(vocabulary) if isinstance(vocabulary, dict) else {token for token, _ in vocabulary}
    for token in (w for w in dict.fromkeys(wanted) if w not in known):
        if isinstance(vocabulary, dict):
            vocabulary[token] = len(vocabulary)
        else:
            vocabulary.append([token, -20.0 if token != "<|fold|>" else -1.0])
    return Tokenizer.from_str(json.dumps(data))
