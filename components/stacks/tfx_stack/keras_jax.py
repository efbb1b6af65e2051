"""The JAX backend's half of the Keras bridge: ``python -m <this module> FOLDER``.

JAX belongs to neither stack and is no dependency; Keras is this room's. The half is asked for only
where JAX is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from components.stacks.keras_training import work
from components.stacks.room_process import settle_in
from components.stacks.telemetry import switch_off


def main(folder: Path) -> None:
    """Train and predict with Keras, whose backend is JAX."""
    switch_off()
    import keras

    work(keras, folder)


if __name__ == "__main__":
    settle_in()
    main(Path(sys.argv[1]))
