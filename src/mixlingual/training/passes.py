"""Decides how many tokens go through the encoder together, by what their graph takes and what there is."""

from __future__ import annotations

from dataclasses import dataclass

from mixlingual.config.devices import PASS_TOKENS

PADDING = 0.1
"""A pass is cut where a larger share of its tokens would be padding."""
FEW_TOKENS = 64
"""So many tokens of padding cost less than one more pass."""
MEASURED_TOKENS = 256
"""The pass that is measured has so many tokens; no pass of a GPU is made smaller for want of memory."""


@dataclass(frozen=True, slots=True)
class PassPlan:
    """Says how large a step's passes may be, in tokens: each, and those together whose graph is kept."""

    pass_tokens: int
    kept_tokens: float


def plan_passes(
    bytes_per_token: float, room: float, device: str, *, pass_tokens: int | None, kept_bytes: float | None
) -> PassPlan:
    """Returns the sizes of passes, which preflight asks for too.

    On a GPU a pass may hold a quarter of the room, so that it fits beside the kept ones while its backward pass
    computes; sizes are `PASS_TOKENS` halved so often, so that like devices find like sizes. On a CPU they are the same
    everywhere: dropout masks go by passes, and a run's numbers must not depend on what else a machine does.

    Args:
        bytes_per_token: of the graph of a pass.
        room: bytes beside weights, gradients and moments.
        device: "cpu" or "cuda".
        pass_tokens: those asked for; None: found.
        kept_bytes: those asked for; None: half of the room.
    """
    if pass_tokens is None:
        pass_tokens = PASS_TOKENS[device]
        while device != "cpu" and pass_tokens > MEASURED_TOKENS and pass_tokens * bytes_per_token > room / 4:
            pass_tokens //= 2
    return PassPlan(pass_tokens, (room / 2 if kept_bytes is None else kept_bytes) / max(1.0, bytes_per_token))
