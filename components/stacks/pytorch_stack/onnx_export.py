"""The whole model as one ONNX file that takes raw columns, text included."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from components.stacks.pytorch_stack.network import RiskModel
from components.stacks.pytorch_stack.preprocessing import UNKNOWN, FittedInput, Kind

PREFIX = "assay_"
"""Begins every name inside the graph; no column of a contract may begin so."""

OUTPUT = f"{PREFIX}score"
FEATURES = f"{PREFIX}features"
MODEL_FILE = "model.onnx"
_BATCH = "batch"
_ML_DOMAIN, _ML_OPSET = "ai.onnx.ml", 3


def export_onnx(model: RiskModel) -> onnx.ModelProto:
    """One input of shape (batch,) for each column, under its name; two outputs.

    ``assay_score`` has shape (batch,); ``assay_features``, shape (batch, width), is what the
    graph's own preprocessing made of the columns, so that it can be held against training's.
    Numbers and flags are float64 with NaN for null, text is string with empty text for null. The
    file carries its weights, and neither paths nor traces of the machine that made it.
    """
    fitted = model.preprocessing.fitted
    graph_model = _export_torch(model)
    graph_model = onnx.compose.add_prefix(graph_model, PREFIX)
    graph = graph_model.graph
    inner = [i.name for i in graph.input]
    nodes = [_entry(f, name) for f, name in zip(fitted, inner, strict=True) if f.width]
    later = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes + later)
    graph.input.extend(_column_input(f) for f in fitted)
    graph_model.opset_import.append(helper.make_opsetid(_ML_DOMAIN, _ML_OPSET))
    _forget_origin(graph_model)
    onnx.checker.check_model(graph_model, full_check=True)
    return graph_model


def save_onnx(model: onnx.ModelProto, path: Path) -> Path:
    """Write the model as one file, weights included."""
    onnx.save_model(model, path, save_as_external_data=False)
    return path


class _WithFeatures(nn.Module):
    """The model with its features beside the scores that are computed from them."""

    def __init__(self, model: RiskModel) -> None:
        super().__init__()
        self._model = model

    def forward(self, *columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self._model.preprocessing(*columns)
        return self._model.score(features), features


def _export_torch(model: RiskModel) -> onnx.ModelProto:
    example = tuple(
        torch.zeros(2, dtype=torch.int64 if f.kind is Kind.TEXT else torch.float64)
        for f in model.preprocessing.fitted
    )
    batch = torch.export.Dim(_BATCH)
    with warnings.catch_warnings():
        # torch.export warns of its own deprecated internals.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _WithFeatures(model).eval(),
            example,
            input_names=[f"input_{i}" for i in range(len(example))],
            output_names=[name.removeprefix(PREFIX) for name in (OUTPUT, FEATURES)],
            dynamic_shapes=(tuple({0: batch} for _ in example),),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return program.model_proto


def _column_input(fitted: FittedInput) -> onnx.ValueInfoProto:
    kind = TensorProto.STRING if fitted.kind is Kind.TEXT else TensorProto.DOUBLE
    return helper.make_tensor_value_info(fitted.name, kind, [_BATCH])


def _entry(fitted: FittedInput, inner: str) -> onnx.NodeProto:
    """The node between a column's input and the torch graph: text becomes its code here."""
    if fitted.kind is not Kind.TEXT:
        return helper.make_node("Identity", [fitted.name], [inner])
    return helper.make_node(
        "LabelEncoder",
        [fitted.name],
        [inner],
        domain=_ML_DOMAIN,
        keys_strings=list(fitted.vocabulary),
        values_int64s=list(range(fitted.width)),
        default_int64=UNKNOWN,
    )


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop metadata: the exporter notes source paths and stack traces at every node."""
    graph = model.graph
    for holder in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del holder.metadata_props[:]
    for initializer in graph.initializer:
        del initializer.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
