"""Assay's rooms, floor by floor; see docs/adr/0001-the-house.md."""
