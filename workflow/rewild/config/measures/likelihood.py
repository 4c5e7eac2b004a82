"""How likely a response is under a model, given its instruction and alone."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rewild.config.measures.base import Kind, Scored, Value

Convention = Literal["same-tokens", "superfiltering", "cherry"]
CUT: dict[str, int] = {"superfiltering": 1024, "cherry": 512}
"""Tokens at which the published programs cut, by convention."""


class Likelihood(Scored):
    """A response under a language model, twice: given its instruction, and alone; and IFD, their quotient.

    IFD is the instruction-following difficulty of Li et al. (2024, "From Quantity to Quality"): near 1, the
    instruction helps little. What is counted is a convention:

    - ``same-tokens``: perplexity over perplexity. The response is encoded by itself, and all of its tokens
      count on both sides; its first is predicted from what is given, or from the beginning-of-sequence token
      (the end-of-sequence token of a model that has none). What is too long is a failure.
    - ``superfiltering`` (tianyi-lab/Superfiltering, ``code_ifd``): perplexity over perplexity. Instruction,
      line break and response are encoded as one text. Alone, a tokenizer without a token of its own at the
      beginning (GPT-2's) leaves the response's first token uncounted. Cut at ``context``; alone, at what the
      instruction leaves of it.
    - ``cherry`` (tianyi-lab/Cherry_LLM, ``--prompt wiz``): mean loss over mean loss, and the words
      ``### Response:`` stand before the response on both sides. What its selection leaves out is a failure.

    Of several turns, the instruction is all that was said before the response.
    """

    row = Kind(
        "rewild.measures.likelihood:Likelihood",
        {
            "ifd": Value("number", "Perplexity given the instruction over perplexity alone (cherry: losses)"),
            "logprob_given": Value(
                "number", "Mean natural log-probability of a token, given the instruction"
            ),
            "logprob_alone": Value("number", "The same without the instruction"),
            "perplexity_given": Value("number", "exp(-logprob_given)"),
            "perplexity_alone": Value("number", "exp(-logprob_alone)"),
            "total_given": Value("number", "Sum of the log-probabilities, given the instruction"),
            "total_alone": Value("number", "Sum of the log-probabilities without it"),
            "tokens": Value("integer", "Tokens that were counted, given the instruction"),
            "tokens_alone": Value("integer", "Tokens that were counted without it"),
        },
        needs="score",
        context=True,
    )
    kind: Literal["likelihood"]
    of: Literal["responses"] = Field("responses", description="What is measured")
    convention: Convention = Field("same-tokens", description="Which tokens count, after which, and of what")
    template: Literal["none", "chat"] = Field(
        "none",
        description="What the instruction is given in. none: each message followed by a line break, as to a "
        "base model; chat: the model's own chat template, up to the assistant's header",
    )

    @model_validator(mode="before")
    @classmethod
    def _cut(cls, given: Any) -> Any:
        """The published programs' own number, unless another is given."""
        cut = CUT.get(str(given.get("convention"))) if isinstance(given, dict) else None
        return {"context": cut, **given} if cut else given

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if self.convention in CUT and self.template != "none":
            raise ValueError(f"template: the convention {self.convention} has none: leave it out")
        return self
