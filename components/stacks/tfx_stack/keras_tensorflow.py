"""The TensorFlow backend's half of the Keras bridge: ``python -m <this module> FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from components.stacks.keras_training import work
from components.stacks.room_process import settle_in
from components.stacks.tfx_stack.quiet_start import prepare_environment


def main(folder: Path) -> None:
    """Train and predict with Keras, whose backend is TensorFlow."""
    prepare_environment()
    import keras

    work(keras, folder)


if __name__ == "__main__":
    settle_in()
    main(Path(sys.argv[1]))
