"""The PyTorch stack's half of the exports: ``python -m <this module> RUN FOLDER``.

Of a release of its own it measures the ONNX file as it is served, and exports the model by
``torch.export``. Of a release of the TFX stack it writes ONNX: that stack's weights in this stack's
network, behind this stack's preprocessing, which is fitted on the same training rows. No converter
takes a SavedModel whose graph reads tf.Examples and looks up text.

A ``.pt2`` is loaded by unpickling part of it. So none is ever read from disk: what is measured is
loaded from the bytes that this process has just made.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.contract.features import model_inputs
from components.stacks.export_measures import Built, Call, measure, write_built
from components.stacks.keras_training import read_weights
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack.frameworks import start
from components.stacks.room_process import settle_in

ONNX_FILE, PT2_FILE, TFX_WEIGHTS = "model.onnx", "model.pt2", "weights.npz"
WEIGHTS, TRANSFORM = "weights.safetensors", "transform"
INPUTS_FILE = "inputs.json"
"""Extra file inside a ``.pt2``: name and kind of each input, and the vocabulary of its codes."""

SERVED_NOTE = "as served; takes raw columns, text included"
CARRIED_NOTE = (
    "raw columns, text included: the weights of the SavedModel behind preprocessing that was "
    "fitted again on the training rows"
)
PT2_NOTE = "takes numbers and codes of texts: torch has no strings; the vocabulary is inside"
_ERRORS_ONLY = 3
_NAMES_THE_MACHINE = ("stack_trace", "from_node")


def main(run_directory: Path, folder: Path) -> None:
    """Export what lies in the folder, all of it verified by the caller.

    Args:
        run_directory: the run that released the model.
        folder: holds ``model.onnx``, ``weights.safetensors`` and ``transform`` of a release of
            this stack, or ``weights.npz`` of one of the TFX stack; takes everything.
    """
    start()
    import torch

    torch.set_num_threads(1)
    process = ReleaseProcess.open(run_directory)
    if process.spec.stack == "pytorch":
        built = [_onnx(process, folder, SERVED_NOTE), _torch_export(process, folder)]
    else:
        _write_carried(process, folder)
        built = [_onnx(process, folder, CARRIED_NOTE)]
    write_built(folder, built)


def _onnx(process: ReleaseProcess, folder: Path, note: str) -> Built:
    from components.stacks.pytorch_stack.onnx_scoring import feeds
    from components.stacks.pytorch_stack.tensors import read_rows

    raw = read_rows(process, "evaluation")
    columns, file = feeds(raw), folder / ONNX_FILE
    return measure(
        folder, "onnx", file, note, lambda: load_onnx(file.read_bytes()),
        lambda rows: {name: cells[rows] for name, cells in columns.items()}, len(raw),
    )  # fmt: skip


def load_onnx(content: bytes) -> Call:
    """A model's scores, from bytes: a model without a directory cannot point outside itself."""
    import onnxruntime

    from components.stacks.pytorch_stack.onnx_export import OUTPUT

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda columns: session.run([OUTPUT], columns)[0]


def _write_carried(process: ReleaseProcess, folder: Path) -> None:
    """The TFX stack's weights as one ONNX file that takes raw columns."""
    from components.stacks.pytorch_stack.network import RiskModel
    from components.stacks.pytorch_stack.onnx_export import export_onnx, save_onnx
    from components.stacks.pytorch_stack.preprocessing import Preprocessing, fit
    from components.stacks.pytorch_stack.tensors import read_rows

    training = process.policy.training
    inputs = model_inputs(process.contract, process.candidate)
    train = read_rows(process, "train")
    preprocessing = Preprocessing(fit(train, inputs, process.contract, training.min_category_count))
    network = carried_network(preprocessing.width, training, read_weights(folder / TFX_WEIGHTS))
    save_onnx(export_onnx(RiskModel(preprocessing, network).eval()), folder / ONNX_FILE)


def carried_network(width: int, training: Any, weights: list[npt.NDArray[np.float32]]) -> Any:
    """This stack's network by Keras' weights.

    Keras keeps a layer's kernel with shape (inputs, units), torch with (units, inputs).
    """
    import torch

    from components.stacks.pytorch_stack.network import build_network

    network = build_network(width, training)
    names = list(network.state_dict())
    tensors = [torch.from_numpy(np.ascontiguousarray(w.T)) for w in weights]
    network.load_state_dict(dict(zip(names, tensors, strict=True)))
    return network


def _torch_export(process: ReleaseProcess, folder: Path) -> Built:
    import torch

    from components.stacks.pytorch_stack.artifacts import load_preprocessing, load_weights
    from components.stacks.pytorch_stack.preprocessing import module_inputs
    from components.stacks.pytorch_stack.tensors import read_rows

    preprocessing = load_preprocessing(folder / TRANSFORM)
    model = load_weights(folder / WEIGHTS, preprocessing, process.policy.training)
    raw = read_rows(process, "evaluation")
    columns = module_inputs(raw, preprocessing.fitted)
    content = exported(model, columns)
    file = folder / PT2_FILE
    file.write_bytes(content)

    def load() -> Callable[[Any], npt.NDArray[np.float32]]:
        module = torch.export.load(io.BytesIO(content)).module()
        return torch.inference_mode()(lambda batch: module(*batch).numpy())

    return measure(
        folder, "torch_export", file, PT2_NOTE, load,
        lambda rows: tuple(c[torch.from_numpy(rows)] for c in columns), len(raw),
    )  # fmt: skip


def exported(model: Any, columns: Any) -> bytes:
    """A ``.pt2`` archive of a model; it names no path of the machine that made it."""
    import torch

    fitted = model.preprocessing.fitted
    inputs = [
        {"name": f.name, "kind": str(f.kind), "vocabulary": list(f.vocabulary)} for f in fitted
    ]
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export warns of its own deprecated internals
        program = torch.export.export(
            model,
            tuple(torch.zeros(2, dtype=c.dtype) for c in columns),
            dynamic_shapes=(tuple({0: batch} for _ in columns),),
        )
        for node in program.graph.nodes:
            for name in _NAMES_THE_MACHINE:
                node.meta.pop(name, None)
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={INPUTS_FILE: json.dumps(inputs)})
    return buffer.getvalue()


if __name__ == "__main__":
    settle_in()
    main(Path(sys.argv[1]), Path(sys.argv[2]))
