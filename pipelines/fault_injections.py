"""Faults that come in while a run is working, and how a run is made to listen to one side alone.

They change the stack's own modules inside the process of one run, and nothing on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest import mock

from components.checks.measurement import Status, Verdict

_SHIFT = 0.05
"""How far every feature is off, in standard deviations: too little to look wrong."""


def _native_alone(native: Verdict | None, _: Verdict | None) -> Verdict:
    return native or Verdict(Status.PASS, "no native check at this stage")


def native_alone() -> AbstractContextManager[Any]:
    """Within the block a stage is as open as its native tools say; the referee is not heard."""
    return mock.patch("components.stacks.process.combine", _native_alone)


@contextmanager
def _skew_tfx() -> Iterator[None]:
    """The SavedModel's features are off; Trainer's module is loaded anew, ``serving`` is not."""
    from components.stacks.tfx_stack import serving

    class Skewed(serving.ServingModel):
        def __init__(self, to_features: Any, network: Any) -> None:
            super().__init__(to_features, network)
            self._right = to_features  # what is to be saved has to be an attribute
            shifted: Any = lambda examples: to_features(examples) + _SHIFT  # noqa: E731
            self._to_features = shifted

    with mock.patch.object(serving, "ServingModel", Skewed):
        yield


@contextmanager
def _skew_pytorch() -> Iterator[None]:
    """The ONNX file's means are off; the module in memory keeps its own."""
    from components.stacks.pytorch_stack import model_stages, onnx_export

    honest = onnx_export.export_onnx

    def skewed(model: Any) -> Any:
        mean, scale = model.preprocessing.mean, model.preprocessing.scale
        kept = mean.clone()
        mean.sub_(_SHIFT / scale.where(scale > 0, 1.0))
        try:
            return honest(model)
        finally:
            mean.copy_(kept)

    with mock.patch.object(model_stages, "export_onnx", skewed):
        yield


INJECTIONS: Mapping[tuple[str, str], Callable[[], AbstractContextManager[None]]] = {
    ("serving_skew", "tfx"): _skew_tfx,
    ("serving_skew", "pytorch"): _skew_pytorch,
}
"""By fault and stack, what changes the process that a run works in."""


def injected(fault: str, stack: str) -> AbstractContextManager[None]:
    """The fault within the block, where it is one that comes in while a run works."""
    found = INJECTIONS.get((fault, stack))
    return found() if found else nullcontext()
