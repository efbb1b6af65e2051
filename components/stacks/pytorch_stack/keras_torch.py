"""The torch backend's half of the Keras bridge: ``python -m <this module> FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from components.stacks.keras_training import work
from components.stacks.pytorch_stack.frameworks import start
from components.stacks.room_process import settle_in


def main(folder: Path) -> None:
    """Train and predict with Keras, whose backend is torch."""
    start()
    import keras
    import torch

    # As in this stack's own training: one thread, so that sums come in one order.
    torch.set_num_threads(1)
    work(keras, folder)


if __name__ == "__main__":
    settle_in()
    main(Path(sys.argv[1]))
