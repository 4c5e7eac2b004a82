"""The engine plan's memory, beside vLLM's: weights, activations, CUDA graphs, room for the KV cache.

    benchmarks/gpu/run.sh plan                              the four shapes, one after the other
    … python benchmarks/gpu/plan.py SHAPE [--precision fp8] one shape (run.sh shows the whole command)
    … python benchmarks/gpu/plan.py --constants FILE        what to write back, by the results in FILE

Weights have random values (`load_format: dummy`) and the configurations are made here: nothing is downloaded.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from gpu.common import GIB, KINDS, Found, before_vllm, gpu_at_hand, make_config, parser_for, read_json

SHARE = 0.95  # of the GPU's memory, as the studies have it
LONGEST = 20_000  # tokens of context, as the study wildchat50m has it


class Graphs(logging.Handler):
    """Hears what vLLM says its CUDA graphs took; it keeps the number nowhere."""

    gib: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take the first figure of its message."""
        if str(record.msg).startswith("CUDA graph pool memory") and isinstance(record.args, tuple):
            self.gib = float(str(record.args[0]))


def gpu_type(found: Mapping[str, Any], share: float) -> tuple[str, Any]:
    """The nearest type of GPU that the plan knows, with the memory of the one at hand."""
    from rewild.config.gpus import GPUS

    gib = found.get("gpu_gib", 8.0)
    name = min(GPUS, key=lambda g: abs(GPUS[g].memory_gib - gib))
    return name, GPUS[name].model_copy(update={"memory_gib": gib, "utilization": share})


def planned(row: Any, precision: str, gpu: Any) -> Any:
    """The plan for one such GPU."""
    from rewild.engines.plan import architecture_of, plan_on

    return plan_on(architecture_of(row, precision), gpu, 1)


def start(folder: Path, precision: str, context: int, **more: Any) -> Any:
    """The studies' engine on the shape in ``folder``, with weights of no meaning and without a tokenizer.

    Args:
        folder: has ``config.json``.
        precision: ``bf16`` or ``fp8``.
        context: tokens.
        more: other arguments of vLLM's.
    """
    from rewild.engines import make_engine

    # A model without a tokenizer, whose answers are numbers: none is reasoning.
    chat = SimpleNamespace(
        name="shape",
        end_tokens=(),
        thinking=None,
        limit=lambda request: request.max_tokens,
        apart=lambda request, said: said,
    )
    given = {"load_format": "dummy", "skip_tokenizer_init": True} | more
    return make_engine(
        "vllm", path=folder, chat=chat, context=context, precision=precision, memory_share=SHARE, vllm=given
    )


def figures(llm: Any, graphs: Graphs) -> dict[str, Any]:
    """What the running engine says of its memory, in GiB where a name ends so; None on a CPU."""
    settings = llm.llm_engine.vllm_config
    found: dict[str, Any] = {
        "kv_tokens": settings.cache_config.num_gpu_blocks * settings.cache_config.block_size,
        "max_num_seqs": settings.scheduler_config.max_num_seqs,
        "max_num_batched_tokens": settings.scheduler_config.max_num_batched_tokens,
        "graphs_gib": graphs.gib,
    }
    try:
        worker = llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker
    except AttributeError:  # in a process of its own
        return found

    def gib(value: Any) -> float | None:
        return None if value is None else round(float(value) / GIB, 3)

    estimated = getattr(worker, "cudagraph_memory_estimate", None)
    weights = getattr(worker.model_runner, "model_memory_usage", None)
    consumed = getattr(worker, "total_consumed", None)
    # What vLLM calls activations holds its estimate of the graphs.
    activations = getattr(worker, "peak_activation_memory", None)
    if activations is not None and os.environ.get("VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS", "1") != "0":
        activations -= estimated or 0
    return found | {
        "requested_gib": gib(getattr(worker, "requested_memory", None)),
        "weights_gib": gib(weights),
        "beside_weights_gib": None if consumed is None else gib(consumed - weights),
        "activations_gib": gib(activations),
        "graphs_estimated_gib": gib(estimated),
        "kv_gib": gib(getattr(worker, "available_kv_cache_memory_bytes", None)),
    }


COMPARED = ("weights_gib", "activations_gib", "graphs_estimated_gib", "reserve_gib", "kv_gib", "kv_tokens")


def ratio(found: Mapping[str, Any], what: str) -> float:
    """Measured over planned."""
    return float(found[what]) / float(found["planned"][what])


def differences(found: Mapping[str, Any]) -> list[str]:
    """A Markdown table of one shape: only of what was measured."""
    lines = ["| | measured | planned | measured / planned |", "|---|---:|---:|---:|"]
    for what in COMPARED:
        if found.get(what) is not None and found["planned"][what]:
            measured, plan = found[what], found["planned"][what]
            lines.append(f"| {what} | {measured:,} | {plan:,} | {ratio(found, what):.3f} |")
    return lines


def constants(shapes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What to write back, and where: from shape → what was found of it.

    The reserve is what vLLM keeps free besides weights, activations, graphs and KV cache: one number must do
    for all shapes of a type, so the largest is told.
    """
    whole = {name: f for name, f in shapes.items() if f.get("reserve_gib") is not None}
    if not whole:
        return ["no shape was measured on a GPU: nothing to write back"]
    most = max(whole, key=lambda name: whole[name]["reserve_gib"])
    first, gpus = whole[most], "workflow/rewild/config/gpus.py"
    plan = "workflow/rewild/engines/plan.py"
    lines = [
        f"{gpus}, {first['type']}: reserve_gib is at least {first['reserve_gib']:.2f} (of {most}; the plan "
        f"has {first['planned']['reserve_gib']:.2f})",
        f"{gpus}, {first['type']}: memory_gib is {first['gpu_gib']:.2f} on this {first['gpu']}",
    ]
    for name, f in whole.items():
        lines += [
            f"{plan}, GRAPH_BYTES: times {ratio(f, 'graphs_estimated_gib'):.3f} by {name} (vLLM expects "
            f"{f['graphs_estimated_gib']:.2f} GiB and takes {f['graphs_gib'] or 0:.2f})",
            f"{plan}, activation_bytes: times {ratio(f, 'activations_gib'):.3f} by {name} "
            f"({f['activations_gib']:.2f} GiB at {f['max_num_batched_tokens']:,} tokens of a step)",
            f"{plan}, weight_bytes: times {ratio(f, 'weights_gib'):.4f} by {name}; tokens of KV cache: times "
            f"{ratio(f, 'kv_tokens'):.3f}",
        ]
    slowest = max(f["start_s"] for f in whole.values())
    lines.append(
        f"resources/cost/assumptions.yaml, start_minutes: {slowest / 60:.1f}, without reading weights"
    )
    return lines


def measure(shape: str, precision: str, small: bool, out: Path | None) -> None:
    """Start the engine on one shape, and write down what it says."""
    before_vllm(one_process=True)
    from rewild.engines.plan import architecture_of

    with TemporaryDirectory() as name:
        row = make_config(Path(name), shape, LONGEST)
        about = gpu_at_hand(small, architecture_of(row, precision).weight_bytes)
        kind, gpu = gpu_type(about, SHARE)
        plan = planned(row, precision, gpu)
        context = min(plan.context or LONGEST, row.native_context or LONGEST, LONGEST)
        make_config(Path(name), shape, context)
        found = Found(out, shape=shape, precision=precision, type=kind, context=context, **about)
        found.add(
            planned={
                "weights_gib": round(plan.weight_bytes / GIB, 3),
                "activations_gib": round(plan.activation_bytes / GIB, 3),
                "graphs_estimated_gib": round(plan.graph_bytes / GIB, 3),
                "reserve_gib": gpu.reserve_gib,
                "kv_gib": round(plan.cache_bytes / GIB, 3),
                "kv_tokens": plan.kv_tokens,
            }
        )
        import vllm

        graphs = Graphs()
        logging.getLogger("vllm.v1.worker.gpu_worker").addHandler(graphs)
        started = time.perf_counter()
        engine = start(Path(name), precision, context, **({"enforce_eager": True} if small else {}))
        found.add(start_s=round(time.perf_counter() - started, 1), vllm=vllm.__version__)
        said = figures(engine.llm, graphs)
        if said.get("kv_gib") is not None:
            parts = ("weights_gib", "activations_gib", "graphs_estimated_gib", "kv_gib")
            said["reserve_gib"] = round(said["requested_gib"] - sum(said[part] or 0 for part in parts), 3)
        found.add(**said)
        print("\n".join(differences(found.all)), flush=True)


def main() -> None:
    """Read the options."""
    parser = parser_for(__doc__)
    parser.add_argument("shape", nargs="?", choices=[*KINDS, "small"])
    parser.add_argument("--precision", choices=["bf16", "fp8"], default="bf16")
    parser.add_argument("--constants", type=Path, metavar="FILE", help="of run.sh: what to write back")
    options = parser.parse_args()
    if options.constants:
        cases = (read_json(options.constants) or {"parts": {"plan": {}}})["parts"]["plan"]
        lines = constants({name: case["found"] for name, case in cases.items() if case.get("found")})
        Found(options.out).add(write_back=lines)
        print("\n".join(lines))
        return
    if not options.shape:
        sys.exit(f"which shape? {', '.join(KINDS)}, small")
    measure(options.shape, options.precision, options.small, options.out)


if __name__ == "__main__":
    main()
