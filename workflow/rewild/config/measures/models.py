"""Measures by a model whose weights are loaded here."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rewild.config.base import HOW
from rewild.config.measures.base import Kind, Parted, Scored, Value


class Perplexity(Scored):
    """How likely a text is under a language model, token by token.

    Counted are the tokens of the text alone, encoded by themselves: the same ones whatever is given before.
    The first token is predicted from what is given, or from the beginning-of-sequence token (the
    end-of-sequence token of a model that has none). The token that ends an answer is not counted.
    """

    row = Kind(
        "rewild.measures.perplexity:Perplexity",
        {
            "logprob": Value("number", "Mean natural log-probability of a token of the text"),
            "perplexity": Value("number", "exp(-logprob)"),
            "total": Value("number", "Sum of the log-probabilities"),
            "tokens": Value("integer", "Tokens that were counted"),
        },
        version=2,  # what is longer than the model's files state is a failure
        needs="score",
        context=True,
    )
    kind: Literal["perplexity"]
    given: Literal["conversation", "nothing"] = Field(
        "conversation", description="What stands before the text: all that was said before it, or nothing"
    )
    template: Literal["chat", "none"] = Field(
        "chat",
        description="chat: the model's own chat template, up to the assistant's header; none: the "
        "earlier messages, each followed by a line break",
    )

    @model_validator(mode="after")
    def _answers(self) -> Self:
        if self.of == "prompts" and self.given == "conversation" and self.template == "chat":
            raise ValueError(
                "a chat template puts answers after a conversation: `template: none` for prompts"
            )
        return self


class Reward(Parted):
    """What a sequence-classification model says of a conversation that ends in the response."""

    row = Kind(
        "rewild.measures.reward:Reward",
        {"reward": Value("number", "The logit; more is better")},
        version=2,
        needs="classify",
        context=True,
    )
    kind: Literal["reward"]
    of: Literal["responses"] = Field("responses", description="What is measured")
    engine: str = Field("classifier", description="The engine that runs the model")
    output: str | None = Field(None, description="The label that is the reward; null: the only one there is")
    batch: Annotated[int, HOW] = Field(8, ge=1, description="Conversations at once")
