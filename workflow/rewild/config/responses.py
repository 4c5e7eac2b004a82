"""Settings of generation: which models answer, how they sample, how much they may read and write.

What *identifies* a response goes into its recipe: change it, and the responses are made again. How it is
*computed* (:class:`Compute`) changes neither a response nor what is rerun.
"""

from __future__ import annotations

from operator import not_
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rewild.config.base import ENVIRONMENT, HOW, LISTED, RESULT, VERDICT, Section, part
from rewild.config.endpoint import EndpointUrl
from rewild.config.engines import EngineName, find_engine
from rewild.config.models import Share
from rewild.config.reasoning import Reasoning
from rewild.config.vllm import VllmArguments
from rewild.core.errors import known_name, twice

History = Literal["reference", "self"]
OverLong = Literal["skip", "truncate_left", "truncate_per_message"]


class SamplingSettings(Section, marks=RESULT):
    """How the next token is chosen. The released code set none of these: vLLM's defaults, as here."""

    temperature: float = Field(default=1.0, ge=0, le=2, description="0 takes the likeliest token")
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Choose among the likeliest tokens with this mass"
    )
    top_k: int = Field(default=0, ge=0, description="Choose among this many tokens; 0 is all")
    repetition_penalty: float = Field(
        default=1.0,
        ge=1,
        le=2,
        exclude_if=lambda value: value == 1,
        description="Divides the logits (multiplies negative ones) of tokens that stand in prompt or answer",
    )


class Limits(Section, marks=RESULT):
    """How much a model reads and writes, for one request."""

    output_share: float = Field(
        default=0.2, gt=0, lt=1, description="Longest answer, as a share of the context"
    )
    input_share: float = Field(
        default=0.75, gt=0, lt=1, description="Longest prompt, as a share of the context"
    )
    context: int | None = Field(
        default=None,
        ge=64,
        description="Tokens of context; null takes the engine plan's (or the model's, on a CPU)",
    )
    at_most: int | None = Field(
        default=None,
        ge=64,
        description="Cap on the plan's (or the model's) context; the paper's were up to 20,000",
    )
    max_output: int | None = Field(default=None, ge=1, description="Tokens of answer, instead of the share")
    max_input: int | None = Field(default=None, ge=16, description="Tokens of prompt, instead of the share")

    @model_validator(mode="after")
    def _fit(self) -> Limits:
        if self.output_share + self.input_share > 1:
            raise ValueError("input_share and output_share together exceed the context")
        return self


class Gates(Section, marks=VERDICT):
    """What a pilot may show at most before a model is stopped: shares of its answers, 0 to 1."""

    empty: Share = Field(default=0.02, description="Answers without text, after all attempts")
    failed: Share = Field(default=0.05, description="Rows without an answer for any reason")
    unfinished: Share = Field(default=0.5, description="Answers cut off by the output limit")
    truncated: Share = Field(default=0.3, description="Prompts that had to be cut or skipped")
    repetitive: Share = Field(default=0.1, description="Answers in which most of the 4-grams repeat")
    garbled: Share = Field(default=0.02, description="Answers with characters that are no text")
    wrong_language: Share = Field(
        default=0.3,
        description="Answers in another language than the prompt, among those long enough to tell",
    )
    # Above which value an answer counts as repetitive or garbled.
    repetition: Annotated[Share, RESULT] = Field(
        default=0.6, description="Share of repeated 4-grams from which an answer is repetitive"
    )
    garbage: Annotated[Share, RESULT] = Field(
        default=0.05, description="Share of such characters from which an answer is garbled"
    )


class PilotSettings(Section, marks=RESULT):
    """The small run that must pass before any full shard of a model may start (paper, appendix F)."""

    conversations: int = Field(
        default=64, ge=1, description="Conversations, spread over languages, turns and lengths"
    )
    gates: Gates = Gates()


Objective = Literal["fewest", "cheapest"]
"""What an engine plan is to have least of: GPUs, as in the paper's section 2.1, or GPU-seconds per token."""


class Tokens(Section, marks=HOW):
    """What a study's conversations are reckoned to hold: for plans and costs, before anything is counted."""

    prompt: float = Field(gt=0, description="Tokens of a user turn, on average")
    answer: float = Field(gt=0, description="Tokens of an answer, on average")
    turns: float = Field(ge=1, description="User turns of a conversation, on average")


class Compute(Section, marks=HOW):
    """How responses are computed. Nothing here identifies a response or triggers a rerun."""

    gpu: Annotated[str | None, ENVIRONMENT] = Field(
        default=None, description="GPU type of the engine plan; null runs on the CPU"
    )
    objective: Objective = Field(
        default="cheapest",
        description="Of the engine plan: the fewest GPUs that hold a model, or the least GPU-seconds a token",
    )
    tokens: Tokens | None = Field(
        default=None,
        description="Of the study's conversations, for plan and cost; null is WildChat's (assumptions.yaml)",
    )
    environments: Annotated[dict[EngineName, str], ENVIRONMENT] = Field(
        default_factory=dict, description="Environment (envs/*.txt) per engine, where not the usual one"
    )
    chunk: int = Field(
        default=256,
        ge=1,
        description="Finished conversations that are written together; these survive a crash",
    )
    # vLLM runs up to 1,024 sequences at once on an H100: as many again wait for one of them to end. A request
    # that waits has no share of the KV cache.
    window: int = Field(
        default=2048,
        ge=1,
        le=65_536,
        description="Requests in the engine's queue at once; more than it runs, so that it never waits",
    )
    request_seconds: float | None = Field(
        default=3600,
        gt=0,
        description="Seconds a request may run in vLLM or transformers; then it has failed (null: no limit)",
    )
    threads: int = Field(default=1, ge=1, description="CPU threads of a job; more for models of billions")
    minutes: int = Field(
        default=720, ge=5, description="Time a shard may take; a cluster stops it then, a rerun resumes"
    )
    batch: int = Field(default=32, ge=1, description="Rows at once in the transformers engine")
    concurrency: int = Field(default=16, ge=1, description="Requests at once to an endpoint")
    timeout: float = Field(default=300, gt=0, description="Seconds an endpoint may take for one answer")
    endpoint: EndpointUrl | None = Field(
        default=None, description="Base URL of an OpenAI-compatible endpoint, ending in /v1"
    )
    key: str = Field(
        default="OPENAI_API_KEY", description="Environment variable that holds the endpoint's key"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where the transformers engine runs"
    )
    batch_invariant: bool = Field(
        default=False,
        description="vLLM's kernels that round alike whatever shares a batch: slower, but the same bytes",
    )
    enforce_eager: bool = Field(default=False, description="vLLM without CUDA graphs: slower, starts sooner")
    gpu_memory_utilization: float | None = Field(
        default=None, gt=0, le=1, description="Memory vLLM may take; null uses the GPU type's"
    )
    vllm: Annotated[VllmArguments, RESULT] = Field(
        default=VllmArguments(), description="Other arguments of vLLM's engine, such as max_num_seqs"
    )

    @model_validator(mode="after")
    def _once(self) -> Compute:
        if "enforce_eager" in self.vllm.given:
            raise ValueError("vllm: 'enforce_eager' is not to be given: it is set by compute.enforce_eager")
        most = self.vllm.given.get("max_num_seqs")
        if isinstance(most, int) and most > self.window:
            raise ValueError(f"window: {self.window} is less than vllm.max_num_seqs, {most}; raise it")
        return self

    def environment(self, engine: str) -> str | None:
        """The environment that an engine runs in; None is the workflow's own."""
        return self.environments.get(engine, find_engine(engine).environment)


class ModelSettings(Section, marks=RESULT):
    """What one model needs otherwise than the study's other models."""

    engine: EngineName | None = Field(None, description="The engine that answers; null: the study's")
    sampling: SamplingSettings | None = None
    limits: Limits | None = None
    system: str | None = Field(default=None, description="System prompt of this model")
    gates: Annotated[Gates | None, part("pilot")] = None
    origins: list[str] = Field(
        default_factory=list,
        exclude_if=not_,
        description="Sources of the study's prompts whose conversations it answers; empty: all",
    )
    path: str | None = Field(
        default=None,
        description="A folder with the model, for one that is not in models.yaml; its content identifies it",
    )
    precision: Literal["fp32", "bf16", "fp8"] | None = Field(
        default=None, description="Of the weights; null is the paper's, or bf16 (fp32 for a folder)"
    )
    chat_template: str | None = Field(
        default=None, description="A file with a Jinja template, instead of the model's own"
    )
    reasoning: Reasoning | None = Field(
        default=None, exclude_if=not_, description="How it reasons, instead of what its row says"
    )
    objective: Annotated[Objective | None, HOW] = Field(
        default=None, description="Of this model's engine plan, where not as compute.objective"
    )
    gpus: Annotated[Literal[1, 2, 4, 8] | None, HOW] = Field(
        default=None, description="GPUs, where the model's dimensions are not known; needs limits.context"
    )
    vllm: VllmArguments = Field(default=VllmArguments(), description="Laid over compute.vllm for this model")

    @model_validator(mode="after")
    def _planned_by_hand(self) -> ModelSettings:
        if self.gpus is not None and (self.limits is None or self.limits.context is None):
            raise ValueError("gpus takes the place of the engine plan; give limits.context as well")
        return self


class Responses(Section, marks=RESULT):
    """Which models answer the study's prompts, and how."""

    models: Annotated[list[str], LISTED] = Field(min_length=1, description="Slugs from models.yaml")
    engine: EngineName = Field(default="vllm", description="What generates, unless a model says otherwise")
    history: History = Field(
        default="reference", description="Earlier answers in the context: the source's, or the model's own"
    )
    over_long: OverLong = Field(
        default="truncate_per_message", description="What happens to a prompt over the limit"
    )
    system: str | None = Field(default=None, description="System prompt; the released code had none")
    sampling: SamplingSettings = SamplingSettings()
    limits: Limits = Limits()
    attempts: int = Field(default=3, ge=1, le=20, description="Tries per row before its failure is recorded")
    pilot: Annotated[PilotSettings, part("pilot")] = PilotSettings()
    compute: Compute = Compute()
    overrides: Annotated[dict[str, ModelSettings], LISTED] = Field(
        default_factory=dict, description="Per model, what differs from the above"
    )

    @model_validator(mode="after")
    def _known(self) -> Responses:
        for slug in self.overrides:
            after = " is not among the models"
            known_name(slug, self.models, "overrides:", after=after, error=ValueError)
        engines = {model: self.of(model).engine for model in self.models}
        for slug, own in self.overrides.items():
            if own.chat_template and find_engine(engines[slug]).remote:
                raise ValueError(
                    f"overrides.{slug}.chat_template: the engine '{engines[slug]}' sends messages, which the "
                    "endpoint renders with a template of its own; take vllm or transformers, or leave it out"
                )
        if self.compute.vllm.given and "vllm" not in engines.values():
            raise ValueError("compute.vllm: no model of the study is answered by vllm")
        for slug, own in self.overrides.items():
            if own.vllm.given and engines[slug] != "vllm":
                raise ValueError(f"overrides.{slug}.vllm: its engine is {engines[slug]}")
        if double := twice(self.models):
            raise ValueError(f"models: '{double}' stands twice")
        return self

    def origins_of(self, model: str) -> list[str]:
        """The sources of prompts that ``model`` answers; none are all."""
        return self.overrides[model].origins if model in self.overrides else []

    def of(self, model: str) -> Responses:
        """These settings with ``model``'s own laid over them."""
        own = self.overrides.get(model)
        if own is None:
            return self
        over = {
            k: v for k in ("engine", "sampling", "limits", "system") if (v := getattr(own, k)) is not None
        }
        compute: dict[str, Any] = {"objective": own.objective} if own.objective else {}
        if own.vllm.given:
            compute["vllm"] = own.vllm.over(self.compute.vllm)
        if compute:
            over["compute"] = self.compute.model_copy(update=compute)
        if own.gates is not None:
            over["pilot"] = self.pilot.model_copy(update={"gates": own.gates})
        return self.model_copy(update=over)
