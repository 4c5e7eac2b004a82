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
        default=4.0,
        ge=0,
        description="Kept free of weights and cache: activations, CUDA graphs, communication, in GiB",
    )
    max_sequences: int = Field(
        default=256,
        ge=1,
        description="Conversations at once; each holds a state in models with recurrent layers",
    )

    @property
    def memory(self) -> int:
        """Memory in bytes."""
        return int(self.memory_gib * GIB)

    @property
    def reserve(self) -> int:
        """Memory kept free, in bytes."""
        return int(self.reserve_gib * GIB)


# What CUDA reports is less than the name says: the driver and error correction keep some.
GPUS = {
    "H100-80": Gpu(memory_gib=79.1),
    "H200-141": Gpu(memory_gib=139.8),
    "A100-80": Gpu(memory_gib=79.1),
}
