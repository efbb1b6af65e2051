"""The Transform component's preprocessing: what the model sees, fitted on the training rows.

Transform keeps the numeric inputs of a row as one vector of standardised floats, and the
categorical ones as one vector of places in one vocabulary, whose entries name column and value.
One analyser for all numbers and one for all categories: TFT pays for each, not for each column.
``feature_matrix`` opens the places up to one-hot columns in the order that ``ModelInput`` promises.
All of it is TensorFlow and travels inside the serving model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components.contract.features import model_inputs
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack.example_columns import Kind, kind_of

NUMBERS = "assay_numbers"
CATEGORIES = "assay_categories"
VOCABULARY = "categories"
UNKNOWN = -1
"""Place of a value that is absent or not in the vocabulary."""

# The backslash comes first, or it would escape the others' escapes.
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}

# A column that never changes has a standard deviation of zero up to rounding, which is not one.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class InputColumn:
    """One model input, its kind of feature, and its position among the inputs."""

    name: str
    categorical: bool
    kind: str
    position: int

    @property
    def prefix(self) -> str:
        """What the input's entries in the vocabulary begin with."""
        return f"{self.position:04d} {self.name}="


def input_columns(process: ReleaseProcess) -> list[InputColumn]:
    """The inputs of the run's candidate, in the order that both stacks share."""
    return [
        InputColumn(
            item.name, item.categorical, str(kind_of(process.contract.column(item.name))), i
        )
        for i, item in enumerate(model_inputs(process.contract, process.candidate))
    ]


def transform_settings(process: ReleaseProcess) -> dict[str, Any]:
    """What ``preprocessing_fn`` is told, as JSON that Transform keeps in its execution record."""
    return {
        "inputs": [asdict(c) for c in input_columns(process)],
        "min_category_count": process.policy.training.min_category_count,
    }


def preprocessing_fn(
    inputs: Mapping[str, tf.SparseTensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor]:
    """Transform's entry point: sparse raw features in, dense transformed features out.

    Args:
        inputs: every input of the model, sparse, shape (batch, at most 1).
        custom_config: as made by ``transform_settings``.

    Returns:
        ``assay_numbers``, float32, shape (batch, numeric inputs); ``assay_categories``, int64,
        shape (batch, categorical inputs); each only where there are such inputs.
    """
    columns = [InputColumn(**settings) for settings in custom_config["inputs"]]
    numeric = [c for c in columns if not c.categorical]
    categorical = [c for c in columns if c.categorical]
    outputs = {}
    if numeric:
        rows = tf.stack([_number(inputs[c.name]) for c in numeric], axis=1)
        outputs[NUMBERS] = _standardised(rows)
    if categorical:
        entries = _on_one_line(tf.stack([_entry(inputs[c.name], c) for c in categorical], axis=1))
        outputs[CATEGORIES] = tft.compute_and_apply_vocabulary(
            entries,
            default_value=UNKNOWN,
            frequency_threshold=custom_config["min_category_count"],
            vocab_filename=VOCABULARY,
        )
    return outputs


def _dense(raw: tf.SparseTensor, default: Any) -> tf.Tensor:
    """Shape (batch,): the row's value, or the default where it has none."""
    one_wide = tf.SparseTensor(raw.indices, raw.values, [raw.dense_shape[0], 1])
    return tf.reshape(tf.sparse.to_dense(one_wide, default), [-1])


def _number(raw: tf.SparseTensor) -> tf.Tensor:
    values = tf.cast(raw.values, tf.float64)
    return _dense(tf.SparseTensor(raw.indices, values, raw.dense_shape), float("nan"))


def _standardised(rows: tf.Tensor) -> tf.Tensor:
    """``(x - mean) / std`` by column; 0 where a row has no number or the column never changes."""
    # Both ignore what is not a number.
    mean = tft.mean(rows, reduce_instance_dims=False)
    deviation = tf.sqrt(tft.var(rows, reduce_instance_dims=False))
    changes = deviation > _ROUNDING * tf.abs(mean)
    scaled = (rows - mean) / tf.where(changes, deviation, tf.ones_like(deviation))
    usable = tf.math.is_finite(scaled) & changes
    return tf.cast(tf.where(usable, scaled, tf.zeros_like(scaled)), tf.float32)


def _entry(raw: tf.SparseTensor, column: InputColumn) -> tf.Tensor:
    """Shape (batch,): the value as an entry of the vocabulary; empty, which is none, for null."""
    texts = raw.values if column.kind == Kind.TEXT else tf.strings.as_string(raw.values)
    entries = tf.strings.join([column.prefix, texts])
    return _dense(tf.SparseTensor(raw.indices, entries, raw.dense_shape), "")


def _on_one_line(entries: tf.Tensor) -> tf.Tensor:
    """Escape line breaks: a vocabulary is a text file, and TFT drops what would not fit a line."""
    for plain, escaped in _ESCAPES.items():
        entries = tf.strings.regex_replace(entries, _pattern(plain), escaped.replace("\\", "\\\\"))
    return entries


def _pattern(text: str) -> str:
    return "\\\\" if text == "\\" else text


def _as_written(entry: str) -> str:
    """Undo ``_on_one_line``."""
    back = {escaped[1]: plain for plain, escaped in _ESCAPES.items()}
    return re.sub(r"\\(.)", lambda found: back[found[1]], entry)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each feature of the model comes from.

    ``order`` lists, for each feature column, its index in the numbers followed by the one-hot
    columns of the vocabulary's places. ``vocabulary_size`` counts the places.
    """

    order: tuple[int, ...]
    numbers: int
    vocabulary_size: int


def feature_layout(output: tft.TFTransformOutput, columns: Sequence[InputColumn]) -> Layout:
    """The layout of a fitted transform.

    TFT orders a vocabulary by frequency; the model's one-hot columns are in the order of the
    inputs and, within one, of the texts.
    """
    entries: list[str] = []
    if any(c.categorical for c in columns):
        entries = [_as_written(e.decode()) for e in output.vocabulary_by_name(VOCABULARY)]
    numbers = sum(not c.categorical for c in columns)
    order: list[int] = []
    number = 0
    for column in columns:
        if column.categorical:
            # TFT fills a vocabulary that would be empty; such an entry belongs to no input.
            held = sorted((e, i) for i, e in enumerate(entries) if e.startswith(column.prefix))
            order += [numbers + place for _, place in held]
        else:
            order.append(number)
            number += 1
    return Layout(tuple(order), numbers, len(entries))


def feature_matrix(transformed: Mapping[str, tf.Tensor], layout: Layout) -> tf.Tensor:
    """The model's input, float32, shape (batch, width): the inputs' columns side by side."""
    parts = []
    if layout.numbers:
        parts.append(tf.cast(transformed[NUMBERS], tf.float32))
    if layout.vocabulary_size:
        places = tf.cast(transformed[CATEGORIES], tf.int64)
        known = tf.where(places >= 0)
        cells = tf.stack([known[:, 0], tf.gather_nd(places, known)], axis=1)
        shape = [tf.shape(places, tf.int64)[0], layout.vocabulary_size]
        parts.append(tf.scatter_nd(cells, tf.ones_like(cells[:, 0], tf.float32), shape))
    return tf.gather(tf.concat(parts, axis=1), layout.order, axis=1)
