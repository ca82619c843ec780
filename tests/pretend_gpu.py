"""Plays a GPU on a CPU: tensors say that they are on it, and what a real one would have a program wait for is counted.

Numbers are those of the CPU. As on a real GPU, an operation must not mix tensors of both devices.
"""

import sys
import traceback
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_any, tree_flatten, tree_map_only

GPU = torch.device("cuda:0")
ATEN = torch.ops.aten


class OnGpu(Tensor):
    """Holds `inner`, a tensor of the CPU, and says that it is on the GPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner):
        outer = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device="cpu", requires_grad=inner.requires_grad,
        )  # fmt: skip
        outer.inner = inner.detach()
        return outer

    device = property(lambda self: GPU)
    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), options=None):
        raise AssertionError(f"{function} outside of `pretend_gpu`")

    def cpu(self):
        """Copies back, which waits."""
        _Gpu.current._waits("cpu")
        return self.inner.clone()

    def tolist(self):
        """Reads back, which waits."""
        _Gpu.current._waits("tolist")
        return self.inner.tolist()

    def to(self, *arguments, **options):
        """Copies back where the CPU is asked for; PyTorch itself sees no GPU and means this one by it."""
        devices = [one for one in (*arguments, *options.values()) if isinstance(one, str | torch.device)]
        is_meant = "/torch/" not in sys._getframe(1).f_code.co_filename
        if is_meant and any(torch.device(one).type == "cpu" for one in devices):
            return self.cpu()
        dtypes = [one for one in (*arguments, *options.values()) if isinstance(one, torch.dtype)]
        return super().to(*dtypes) if dtypes else self

    def __repr__(self):
        return f"OnGpu({self.inner!r})"


class _Gpu(TorchDispatchMode):
    """Computes on the CPU and counts.

    Attributes:
        waits: what a GPU makes the program wait for -> how often.
        kernels: operations that a GPU would launch.
        sent: tensors that went to the GPU without waiting.
    """

    def __init__(self):
        super().__init__()
        self.waits = Counter()
        self.kernels = Counter()
        self.sent = 0
        _Gpu.current = self

    def reset(self):
        self.waits.clear()
        self.kernels.clear()
        self.sent = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        options = dict(options or {})
        flat = tree_flatten((arguments, options))[0]
        held = [one for one in flat if isinstance(one, OnGpu)]
        target = options.get("device")
        to_gpu = target is not None and torch.device(target).type == "cuda"
        if target is not None:
            options["device"] = torch.device("cpu")
        if not held and not to_gpu:
            return function(*arguments, **options)
        if function is ATEN._to_copy.default or function is ATEN.copy_.default:
            self._count_copy(function, arguments, options, to_gpu)
        elif function in _READ_BACKS or _selects(function, arguments, options):
            self._waits(function.overloadpacket.__name__)
        elif held:
            self._refuse_mixed(function, flat)
        if function is ATEN._fused_sdp_choice.default:
            return 0  # the plain formula
        inner_arguments, inner_options = tree_map_only(OnGpu, lambda one: one.inner, (arguments, options))
        result = function(*inner_arguments, **inner_options)
        if function in (ATEN._local_scalar_dense.default, ATEN.equal.default):
            return result
        if torch.Tag.inplace_view not in function.tags and not _is_view(function):
            self.kernels[function.overloadpacket.__name__] += 1
        if function._schema.is_mutable and not tree_any(lambda one: isinstance(one, Tensor), result):
            return result
        wrapped = tree_map_only(Tensor, lambda one: one if isinstance(one, OnGpu) else OnGpu(one), result)
        return return_and_correct_aliasing(function, arguments, options, wrapped) if held else wrapped

    def _count_copy(self, function, arguments, options, to_gpu):
        source = arguments[1] if function is ATEN.copy_.default else arguments[0]
        if isinstance(source, OnGpu):
            if not isinstance(arguments[0], OnGpu):
                self._waits("copy back")
        elif source.ndim or to_gpu:
            if options.pop("non_blocking", False) and getattr(source, "pinned", False):
                self.sent += 1
            else:
                self._waits("copy from pageable memory")

    def _waits(self, what):
        """Counts by what waits and the line that has it wait."""
        frames = reversed(traceback.extract_stack())
        line = next(
            f for f in frames if "/torch/" not in f.filename and f.filename not in (__file__, traceback.__file__)
        )
        self.waits[f"{what}, {Path(line.filename).name}:{line.lineno} {line.line}"] += 1

    def _refuse_mixed(self, function, flat):
        others = [one for one in flat if isinstance(one, Tensor) and not isinstance(one, OnGpu)]
        if mixed := [one for one in others if one.ndim]:
            raise AssertionError(f"{function} mixes the GPU with a tensor of the CPU, {list(mixed[0].shape)}")


_READ_BACKS = {
    ATEN._local_scalar_dense.default, ATEN.equal.default, ATEN.nonzero.default, ATEN.masked_select.default,
    ATEN._unique2.default, ATEN.unique_dim.default, ATEN.bincount.default,
}  # fmt: skip


def _selects(function, arguments, options):
    """Tells whether the size of the result depends on what a GPU has computed."""
    if function is ATEN.repeat_interleave.Tensor:
        return options.get("output_size") is None and len(arguments) < 2
    if function in (ATEN.index.Tensor, ATEN.index_put_.default, ATEN.index_put.default):
        return any(one is not None and one.dtype == torch.bool for one in arguments[1])
    return False


def _is_view(function):
    returns = function._schema.returns
    return bool(returns) and all(one.alias_info is not None and not one.alias_info.is_write for one in returns)


def _pinned(values, *_):
    copy = values.clone()
    copy.pinned = True
    return copy


def to_gpu(module):
    """Puts the parameters and buffers of a module on the GPU, in place."""
    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = torch.nn.Parameter(OnGpu(weight.detach()), weight.requires_grad)
        for name, values in part._buffers.items():
            if values is not None:
                part._buffers[name] = OnGpu(values)
    return module


@contextmanager
def pretend_gpu():
    """Gives a GPU in the block; yields its counts."""
    autocast, enabled = torch.autocast, torch.is_autocast_enabled
    answers = {
        "is_available": True, "is_bf16_supported": True, "get_device_capability": (9, 0), "_lazy_init": None,
        "mem_get_info": (64 * 2**30, 80 * 2**30), "memory_reserved": 0, "memory_allocated": 0, "empty_cache": None,
    }  # fmt: skip
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(patch.object(torch.cuda, name, lambda *_, answer=answer, **__: answer))
        stack.enter_context(patch.object(Tensor, "pin_memory", _pinned))
        stack.enter_context(
            patch.object(torch, "autocast", lambda _, *rest, **options: autocast("cpu", *rest, **options))
        )
        stack.enter_context(patch.object(torch, "is_autocast_enabled", lambda _: enabled("cpu")))
        yield stack.enter_context(_Gpu())
