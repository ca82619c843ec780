"""States what GPUs can do, for plans that are made where there is none."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Device:
    """Holds memory in bytes as the driver shows it, and the rates of dense matrix products in operations a second."""

    memory: float
    bf16: float
    fp32: float


DEVICES = {
    "a100-40gb": Device(40_960 * MIB, 312e12, 19.5e12),
    "a100-80gb": Device(81_920 * MIB, 312e12, 19.5e12),
    "h100": Device(81_559 * MIB, 989e12, 67e12),
    "h200": Device(143_771 * MIB, 989e12, 67e12),
    "b200": Device(183_359 * MIB, 2250e12, 75e12),
    "l4": Device(23_034 * MIB, 121e12, 30.3e12),
    "l40s": Device(46_068 * MIB, 362e12, 91.6e12),
    "a10": Device(23_028 * MIB, 125e12, 31.2e12),
    "rtx4090": Device(24_564 * MIB, 165e12, 82.6e12),
}
"""Name -> what NVIDIA's data sheets say of it, without sparsity; PyTorch uses no TF32 unless told to."""

PASS_TOKENS = {"cpu": 2048, "cuda": 32768}
"""A pass through an encoder has so many tokens: what a CPU's cache holds, what keeps a GPU busy."""

USUAL = "a100-80gb"
"""The device of a plan where none is named or at hand."""
