"""The Merkle tree of RFC 6962, section 2.1: a root that names a list of leaves of known size.

Leaves and inner nodes are hashed with different prefixes, no leaf is ever doubled, and the empty
tree has a root of its own, so that no two different lists share a root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """SHA-256 of ``0x00`` and the leaf's data; 32 bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of ``0x01`` and both children; 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf data, in the given order; 32 bytes.

    Level by level with an odd last node carried up gives the same tree as the RFC's recursive
    split at the largest power of two.
    """
    if not leaves:
        return EMPTY_ROOT
    level = [leaf_hash(leaf) for leaf in leaves]
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Audit path of RFC 6962, section 2.1.1, from the leaf upwards.

    Raises:
        IndexError: no leaf has that index.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    level, path = [leaf_hash(leaf) for leaf in leaves], []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level, index = paired, index // 2
    return path


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes
) -> bool:
    """Whether a leaf stands at ``index`` in the tree of ``size`` leaves with that root.

    The path must have exactly the length that index and size call for.
    """
    if not 0 <= index < size:
        return False
    node, last, remaining = leaf_hash(leaf), size - 1, list(path)
    while last:
        if index % 2 or index < last:
            if not remaining:
                return False
            sibling = remaining.pop(0)
            node = node_hash(sibling, node) if index % 2 else node_hash(node, sibling)
        index, last = index // 2, last // 2
    return not remaining and node == expected_root
