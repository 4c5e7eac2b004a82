"""Reasoning in lm-eval: only what follows it is an answer, and reasoning that never stopped has none.

Looked up in lm-eval 0.4.13: ``HFLM`` takes ``think_end_token`` as an id and strips all up to its last place;
``VLLM`` takes a text. Where it is missing, both score the reasoning as if it were the answer; of several that
may end reasoning they know one, and of two budgets only the sum. ``HFLM`` also stops at a task's stop texts
(an empty line) within reasoning, which ``VLLM`` does not. None of that happens here: both get the answer
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewild.config.reasoning import Reasoning, tokens_of
from rewild.core.errors import ConfigError
from rewild.engines.base import EngineError
from rewild.engines.chat import Chat
from rewild.engines.thinking import NEVER, Thinking, never_stopped


class Thought:
    """What stands between a loaded model of lm-eval and its answers.

    Attributes:
        never: answers whose reasoning never stopped, since it was asked last.
    """

    def __init__(self, lm: Any, backend: str, name: str, template: str | None, reasoning: Reasoning) -> None:
        """Give lm-eval's model its marker, and watch over what it generates.

        Args:
            lm: lm-eval's model.
            backend: ``hf`` or ``vllm``.
            name: the model's, for messages.
            template: its chat template.
            reasoning: how it reasons.

        Raises:
            ConfigError: nothing says what ends its reasoning.
        """
        self.name, self.reasoning, self.budget, self.never = name, reasoning, tokens_of(reasoning), 0
        try:
            found = Chat(lm.tokenizer, name, (), template, reasoning).thinking
        except EngineError as error:
            raise ConfigError(str(error)) from error
        assert found is not None
        self.thinking: Thinking = found
        in_tokens = backend == "hf" and found.ends
        # Of a marker of several tokens the last one is told: nothing of it is the answer's.
        self.marker: int | str = found.ends[-1][-1] if in_tokens else found.markers.ends[-1]
        lm.think_end_token = self.marker
        watch = self._of_vllm if backend == "vllm" else self._of_hf
        lm._model_generate = watch(lm._model_generate, lm)

    def told(self) -> dict[str, Any]:
        """For the record: how it reasons, and how many answers it never came to."""
        how = {"think_end_token": self.marker, **self.reasoning.identity}
        return {"reasoning": how, NEVER: self.never}

    def lengthen(
        self, benchmark: str, leaves: Mapping[str, Any], longest: Mapping[str, int]
    ) -> dict[str, int]:
        """Let each task's answers be preceded by the budget of reasoning; the longest outputs, in tokens.

        Raises:
            ConfigError: a task reads likelihoods, which are no answers, of a model that reasons first.
        """
        first = self.thinking.opens or self.reasoning.arguments.get("enable_thinking") is True
        if first and (scored := next((name for name in leaves if name not in longest), None)):
            raise ConfigError(
                f"benchmark {benchmark}: the task {scored} reads the likelihood of answers, and {self.name} "
                "reasons before it answers; take a benchmark that lets it write, or a model that is told not "
                "to reason (reasoning.arguments)"
            )
        found = {name: tokens + self.budget for name, tokens in longest.items()}
        for name, tokens in found.items() if self.budget else ():
            own = leaves[name].config.generation_kwargs or {}
            leaves[name].config.generation_kwargs = {**own, "max_gen_toks": tokens}
        self.never = 0
        return found

    def _answer(self, prompt: list[int], output: list[int], most: int) -> tuple[int, ...]:
        """Token ids of the answer in an output of so many tokens at most; none if reasoning never stopped."""
        told = self.thinking.tell(prompt, output)
        if never_stopped(told, self.thinking.budget, cut=False):
            self.never += 1
            return ()
        return told.rest[: most - self.budget]

    def _of_hf(self, ask: Any, lm: Any) -> Any:
        def watched(context: Any, max_length: int, stop: Any, **named: Any) -> Any:
            eos = lm.tok_decode(lm.eot_token_id, skip_special_tokens=False)
            made = ask(context=context, max_length=max_length, stop=[eos], **named)
            width = context.shape[1]
            for row in made:
                answer = self._answer(row[:width].tolist(), row[width:].tolist(), max_length - width)
                row[width:] = lm.eot_token_id
                row[width : width + len(answer)] = row.new_tensor(answer)
            return made

        return watched

    def _of_vllm(self, ask: Any, lm: Any) -> Any:
        def watched(requests: Any, generate: bool = False, sampling_params: Any = None) -> Any:
            made = ask(requests=requests, generate=generate, sampling_params=sampling_params)
            for prompt, output, how in zip(requests, made, sampling_params, strict=True) if generate else ():
                best = output.outputs[0]
                answer = self._answer(list(prompt), list(best.token_ids), how.max_tokens)
                best.text = self.thinking.decode(answer)
            return made

        return watched
