"""GPU types: what the engine plan must know of them."""

from __future__ import annotations

from pydantic import Field

from rewild.config.base import HOW, Section

GIB = 2**30


class Gpu(Section, marks=HOW):
    """One kind of GPU, as the engine may use it."""

    memory_gib: float = Field(gt=0, description="Memory that CUDA reports (torch's total_memory), in GiB")
    utilization: float = Field(
        default=0.95,
        gt=0,
        le=1,
        description="Share of the memory the engine may use (the released code's setting)",
    )
    reserve_gib: float = Field(
        default=1.0,
        ge=0,
        description="Kept free besides weights, activations, CUDA graphs and cache: what NCCL and CUDA's "
        "libraries take, in GiB (0.64 was measured on one GPU)",
    )
    max_sequences: int | None = Field(
        default=None, ge=1, description="Sequences at once; null is vLLM's own number for such a GPU"
    )
    batched_tokens: int | None = Field(
        default=None, ge=1, description="Tokens of a step at most; null is vLLM's own number for such a GPU"
    )
    bandwidth_tb: float | None = Field(default=None, gt=0, description="Memory bandwidth, in TB/s")
    tflops: float | None = Field(default=None, gt=0, description="Dense bf16 arithmetic, in TFLOPS")
    tflops_fp8: float | None = Field(
        default=None, gt=0, description="Dense FP8 arithmetic, in TFLOPS; null computes FP8 weights in bf16"
    )
    link_gb: float | None = Field(
        default=None, gt=0, description="To the other GPUs of a node, in one direction, in GB/s"
    )

    @property
    def has_speeds(self) -> bool:
        """Whether all is stated that says how fast it is."""
        return None not in (self.bandwidth_tb, self.tflops, self.link_gb)

    @property
    def at_once(self) -> int:
        """Sequences at once at most: as set, or what vLLM 0.32 takes (``EngineArgs.get_batch_defaults``)."""
        return self.max_sequences or (1024 if self.memory_gib >= VLLM_LARGE else 256)

    @property
    def step_tokens(self) -> int:
        """Tokens of a step at most, for which vLLM keeps room: as set, or what vLLM 0.32's ``LLM`` takes."""
        return self.batched_tokens or (16_384 if self.memory_gib >= VLLM_LARGE else 8192)

    @property
    def memory(self) -> int:
        """Memory in bytes."""
        return int(self.memory_gib * GIB)

    @property
    def reserve(self) -> int:
        """Memory kept free, in bytes."""
        return int(self.reserve_gib * GIB)


VLLM_LARGE = 70  # GiB from which vLLM takes its larger batches, but not on an A100

# Memory: what CUDA reports, less than the name says (the driver and error correction keep some). Speeds:
# NVIDIA's data sheets of the SXM5 (H100, H200) and SXM4 (A100) modules, without sparsity; NVLink's 900
# and 600 GB/s are both ways.
GPUS = {
    "H100-80": Gpu(memory_gib=79.1, bandwidth_tb=3.35, tflops=989, tflops_fp8=1979, link_gb=450),
    "H200-141": Gpu(memory_gib=139.8, bandwidth_tb=4.8, tflops=989, tflops_fp8=1979, link_gb=450),
    "A100-80": Gpu(
        memory_gib=79.1, max_sequences=256, batched_tokens=8192, bandwidth_tb=2.039, tflops=312, link_gb=300
    ),
}
