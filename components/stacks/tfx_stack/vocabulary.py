"""TFX's own words, for the pipeline to be written in: only this room imports TFX."""

from __future__ import annotations

from tfx import v1 as tfx
from tfx.components import DistributionValidator

__all__ = ["DistributionValidator", "tfx"]
