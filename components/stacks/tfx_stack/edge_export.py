"""The TFX stack's half of the exports: ``python -m <this module> RUN MODEL FOLDER``.

The released SavedModel is measured as it is served. LiteRT gets the network alone: reading
tf.Examples and looking up text need TensorFlow's own ops (Flex), which no interpreter that can be
installed contains: see docs/adr/0022. The weights are left for the PyTorch room, which writes ONNX.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.contract.features import model_inputs
from components.stacks import keras_definition
from components.stacks.export_measures import Call, measure, write_built
from components.stacks.keras_training import write_weights
from components.stacks.process import ReleaseProcess
from components.stacks.room_process import settle_in
from components.stacks.tfx_stack.quiet_start import prepare_environment, quiet

LITERT_FILE, WEIGHTS_FILE = "model.tflite", "weights.npz"
SERVED_NOTE = "as served; takes serialized tf.Examples"
LITERT_NOTE = (
    "the network alone: takes features, since reading tf.Examples and looking up text need Flex ops"
)


def main(run_directory: Path, model: Path, folder: Path) -> None:
    """Measure the released model, export it, and leave its weights.

    Args:
        run_directory: the run that released it.
        model: a copy of the SavedModel, verified by the caller, that nobody else writes to.
        folder: takes everything.
    """
    prepare_environment()
    import tensorflow as tf

    from components.stacks.tfx_stack.serving import (
        FEATURES,
        FEATURES_SIGNATURE,
        SCORE,
        SIGNATURE,
    )

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    process = ReleaseProcess.open(run_directory)
    examples = _examples(process)

    def load_served() -> Call:
        served = tf.saved_model.load(str(model))

        def call(rows: Any) -> npt.NDArray[np.float32]:
            # By way of the model: a signature does not keep the model alive that it is of.
            return served.signatures[SIGNATURE](examples=rows)[SCORE].numpy()[:, 0]

        return call

    with quiet():
        loaded = tf.saved_model.load(str(model))
        every = tf.constant(examples)
        features = loaded.signatures[FEATURES_SIGNATURE](examples=every)[FEATURES].numpy()
        weights = [v.numpy() for v in loaded.signatures[SIGNATURE].variables]
        write_weights(folder / WEIGHTS_FILE, weights)
        lite = folder / LITERT_FILE
        lite.write_bytes(_lite_model(process, features.shape[1], weights))
        built = [
            measure(
                folder, "saved_model", model, SERVED_NOTE, load_served,
                lambda rows: tf.constant(examples[rows]), len(examples),
            ),
            measure(
                folder, "litert", lite, LITERT_NOTE, lambda: load_lite(lite.read_bytes()),
                lambda rows: features[rows], len(examples),
            ),
        ]  # fmt: skip
    write_built(folder, built)


def _examples(process: ReleaseProcess) -> npt.NDArray[np.object_]:
    """The evaluation rows as serialized tf.Examples of the model's inputs, shape (n,)."""
    from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

    from components.stacks.tfx_stack.example_columns import contract_columns, to_lists

    names = [i.name for i in model_inputs(process.contract, process.candidate)]
    columns = [c for c in contract_columns(process.contract) if c.source in names]
    files = process.dataset.files(split="evaluation")
    table = pa.concat_tables(pq.read_table(f, columns=names) for f in files)
    encoder = RecordBatchToExamplesEncoder()
    found: list[bytes] = []
    for batch in table.combine_chunks().to_batches():
        found += list(encoder.encode(to_lists(batch, columns)))
    return np.array(found, dtype=object)


def _lite_model(process: ReleaseProcess, width: int, weights: list[Any]) -> bytes:
    """The definition's network by these weights as a LiteRT model of built-in ops."""
    import keras
    import tensorflow as tf

    network = keras_definition.network(keras, width, process.policy.training)
    network.set_weights(weights)
    return tf.lite.TFLiteConverter.from_keras_model(network).convert()


def load_lite(content: bytes) -> Call:
    """A LiteRT model's scores of features, shape (n, width) to (n,)."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_content=content)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    shape: list[tuple[int, ...]] = []

    def call(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if shape != [features.shape]:
            interpreter.resize_tensor_input(source["index"], features.shape)
            interpreter.allocate_tensors()
            shape[:] = [features.shape]
        interpreter.set_tensor(source["index"], features)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])[:, 0]

    return call


if __name__ == "__main__":
    settle_in()
    main(*(Path(a) for a in sys.argv[1:4]))
