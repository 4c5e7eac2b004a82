"""What a model's template, its files and lm-eval's backends would decide by themselves is decided here.

Looked up in lm-eval 0.4.13, transformers 5 and vLLM 0.32:

- A template that refuses a system message loses the task's instructions: both backends catch its error and
  render the chat again without them (``apply_chat_template``). Here they stand before the first question.
- ``strftime_now`` of a template is the wall clock. Here it is the date that generation writes.
- transformers' ``generate`` takes what a call leaves open from the model's ``generation_config.json``: a
  repetition penalty, banned or forced tokens, a least length. Greedy decoding does not turn them off. Here
  only the end tokens are kept. vLLM's ``LLM`` is told ``generation_config="vllm"``, which does the same.
- Both end an answer at the tokenizer's end token; some templates end a turn with another one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rewild.config.reasoning import Reasoning, arguments_of
from rewild.core.errors import ConfigError, DataError, first_line
from rewild.engines.base import EngineError
from rewild.engines.chat import Chat
from rewild.engines.dates import TODAY, fixed_clock

log = logging.getLogger(__name__)
PROBE = "A system text to look for."
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
"""What stays of a model's generation config: ids, which say nothing of how a token is chosen."""
META = ("transformers_version", "_from_model_config", "_commit_hash")


class Prompts:
    """Renders lm-eval's chats with a model's template, and knows what must be in every prompt."""

    def __init__(  # noqa: PLR0917 (what a prompt depends on)
        self,
        tokenizer: Any,
        template: str,
        name: str,
        system: str | None = None,
        refuse: bool = False,
        reasoning: Reasoning | None = None,
    ) -> None:
        """
        Args:
            tokenizer: a Hugging Face tokenizer.
            template: its chat template, as Jinja.
            name: the model's, for messages.
            system: the study's system prompt; the empty text empties what the template writes by itself.
            refuse: stop if the template takes no system message, where one is needed.
            reasoning: what the template is told besides.

        Raises:
            ConfigError: the template fails on the simplest chat.
        """
        self.tokenizer, self.template, self.name = tokenizer, template, name
        self.system, self.refuse, self.arguments = system, refuse, arguments_of(reasoning)
        self.written: set[str] = set()
        user = [{"role": "user", "content": "Hello there."}]
        try:
            plain = self._text(user)
        except Exception as error:  # a template is a program, with any error a program can make
            raise ConfigError(
                f"{name}: its chat template fails on the simplest chat: {first_line(error)}"
            ) from error
        self.writes_date = plain != self._text(user, datetime(2001, 2, 3))
        self.begins = plain.partition("Hello there.")[0]
        try:
            asked = self._text([{"role": "system", "content": PROBE}, *user])
        except Exception:  # refused: that is what is asked
            asked = ""
        self.takes_system = PROBE in asked
        self.folded = False

    def render(self, chat: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """One chat as text; stands where lm-eval's ``apply_chat_template`` does.

        Raises:
            ConfigError: instructions without a place in the template, where the study says to stop.
            DataError: the template refuses the chat.
        """
        messages = self._placed([dict(message) for message in chat])
        try:
            text = self._text(messages, answer=add_generation_prompt)
        except Exception as error:
            roles = ", ".join(m["role"] for m in messages)
            raise DataError(
                f"{self.name}: its chat template refuses a chat of the roles {roles}: {first_line(error)}"
            ) from error
        # A BOS that is not at the very beginning is not seen by lm-eval, which then adds another.
        bos = getattr(self.tokenizer, "bos_token", None)
        return text.lstrip() if bos and text.lstrip().startswith(bos) else text

    def dates(self) -> list[str]:
        """The dates that the template wrote; one of them must be in every prompt. Empty if it writes none."""
        return sorted(self.written | {TODAY.strftime("%d %b %Y")}) if self.writes_date else []

    def about(self) -> dict[str, Any]:
        """For the record: where instructions went, what the template adds by itself, the date it wrote."""
        place = "first turn" if self.folded else "system message" if self.takes_system else "no system role"
        return {
            "instructions": place,
            "template_begins": self.begins,
            "date": TODAY.date().isoformat() if self.writes_date else None,
        }

    def _text(self, messages: list[dict[str, str]], today: datetime = TODAY, *, answer: bool = True) -> str:
        written = self.written if today == TODAY else None
        with fixed_clock(today, written):
            return str(
                self.tokenizer.apply_chat_template(
                    messages,
                    chat_template=self.template,
                    tokenize=False,
                    add_generation_prompt=answer,
                    continue_final_message=not answer,
                    **{"date_string": today.strftime("%d %b %Y")} | self.arguments,
                )
            )

    def _placed(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        system = "\n\n".join(m["content"].strip() for m in messages if m["role"] == "system")
        if not system:
            return [{"role": "system", "content": ""}, *messages] if self._empties else messages
        if self.takes_system:
            return messages
        if self.refuse:
            raise ConfigError(
                f"{self.name}: its chat template takes no system message, but there are instructions to give "
                f"({system[:60]!r}); evaluation.without_system_role: first-turn puts them before the first "
                "question"
            )
        if not self.folded:
            log.info("%s: its template takes no system message; instructions go first", self.name)
            self.folded = True
        rest = [m for m in messages if m["role"] != "system"]
        if rest and rest[0]["role"] == "user":
            return [{"role": "user", "content": f"{system}\n\n{rest[0]['content']}"}, *rest[1:]]
        return [{"role": "user", "content": system}, *rest]

    @property
    def _empties(self) -> bool:
        return self.system == "" and self.takes_system


def end_tokens(
    tokenizer: Any, name: str, template: str | None, own: Any, reasoning: Reasoning | None = None
) -> list[int]:
    """Every id that ends an answer: by the generation config, the tokenizer and the template.

    Args:
        tokenizer: a Hugging Face tokenizer.
        name: the model's.
        template: its chat template, if it has one.
        own: ``eos_token_id`` of its generation config: an id, several, or None.
        reasoning: how the model reasons; what ends that ends no answer.
    """
    ids = [own] if isinstance(own, int) else [int(i) for i in own or []]
    if template:
        try:
            chat = Chat(tokenizer, name, ids, template, reasoning)
            chat.text([{"role": "user", "content": "Hello there."}])  # in a process that bounds what it takes
            return list(chat.end_tokens)
        except EngineError as error:
            raise ConfigError(str(error)) from error
        except ValueError as error:
            raise ConfigError(f"{name}: it cannot be asked: {error}") from error
    if tokenizer.eos_token_id is not None:
        ids.append(int(tokenizer.eos_token_id))
    return sorted(set(ids))


def neutralise(
    lm: Any, backend: str, name: str, template: str | None, reasoning: Reasoning | None = None
) -> dict[str, Any]:
    """Take out of a loaded model what its files say of how a token is chosen.

    Args:
        lm: lm-eval's model.
        backend: ``hf`` or ``vllm``.
        name: the model's, for messages.
        template: its chat template, if it has one.
        reasoning: how it reasons.

    Returns:
        For the record: ``dropped``, what the files said, and ``end_tokens``.
    """
    found = _of_vllm(lm) if backend == "vllm" else lm.model.generation_config.to_diff_dict()
    ends = end_tokens(lm.tokenizer, name, template, found.get("eos_token_id"), reasoning)
    dropped = {k: v for k, v in found.items() if k not in (*TOKENS, *META) and v is not None}
    if backend == "vllm":
        lm.modify_gen_kwargs = _ending(lm.modify_gen_kwargs, ends)
    else:
        own = vars(lm.model)
        if own.pop("generate", None) is not None:  # a program of the repository's, in place of transformers'
            dropped["custom_generate"] = True
        config = type(lm.model.generation_config)
        kept = {key: found[key] for key in TOKENS if found.get(key) is not None}
        lm.model.generation_config = config(**kept | {"eos_token_id": ends or None})
    if dropped:
        log.info("%s: its generation config is not used: %s", name, ", ".join(sorted(dropped)))
    return {"dropped": dropped, "end_tokens": ends}


def _of_vllm(lm: Any) -> dict[str, Any]:
    return dict(lm.model.llm_engine.model_config.try_get_generation_config())


def _ending(modify: Callable[..., Any], ends: list[int]) -> Callable[..., Any]:
    """vLLM's sampling parameters of a request, with every end token."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        kwargs, until, longest = modify(*arguments, **named)
        return {**kwargs, "stop_token_ids": ends}, until, longest

    return wrapped
