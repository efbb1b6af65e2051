"""The Merkle tree of RFC 6962, section 2.1: a root that names a list of leaves of known size.

Leaves and inner nodes are hashed with different prefixes, no leaf is ever doubled, and the empty
tree has a root of its own, so that no two different lists share a root.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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
        level = _above(level)
    return level[0]


def _above(level: list[bytes]) -> list[bytes]:
    paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return [*paired, level[-1]] if len(level) % 2 else paired


def levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """The nodes of a tree from the leaves' hashes up to the root; none of an empty one.

    Whoever proves many leaves of one tree makes them once.
    """
    if not leaves:
        return []
    found = [[leaf_hash(leaf) for leaf in leaves]]
    while len(found[-1]) > 1:
        found.append(_above(found[-1]))
    return found


def inclusion_proof(
    leaves: Sequence[bytes], index: int, tree: list[list[bytes]] | None = None
) -> list[bytes]:
    """Audit path of RFC 6962, section 2.1.1, from the leaf upwards.

    Args:
        leaves: of the tree.
        index: the leaf's, from 0.
        tree: the leaves' ``levels``, where they are made already.

    Raises:
        IndexError: no leaf has that index.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    path = []
    for level in tree or levels(leaves):
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        index //= 2
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


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A leaf beside the place where another one would stand, with its index and audit path."""

    leaf: bytes
    index: int
    path: tuple[bytes, ...]


def absence_proof(
    leaves: Sequence[bytes], leaf: bytes, tree: list[list[bytes]] | None = None
) -> list[Neighbour]:
    """The leaves between which one would stand that is not there; none in an empty tree.

    Args:
        leaves: in rising order, as the tree that is to be proved about has them.
        leaf: the one that is not among them.
        tree: the leaves' ``levels``, where they are made already.

    Raises:
        ValueError: it is among them.
    """
    place = bisect_left(leaves, leaf)
    if leaves[place : place + 1] == [leaf]:
        raise ValueError("the leaf is in the tree")
    around = [i for i in (place - 1, place) if 0 <= i < len(leaves)]
    return [Neighbour(leaves[i], i, tuple(inclusion_proof(leaves, i, tree))) for i in around]


def verify_absence(
    leaf: bytes, size: int, neighbours: Sequence[Neighbour], expected_root: bytes
) -> bool:
    """Whether a leaf is in no tree of ``size`` leaves in rising order with that root.

    Both neighbours must stand in the tree, next to each other, one below and one above the leaf; at
    either end of the tree there is only one. That the leaves are in rising order is what whoever
    signed the root says: it cannot be seen from a proof.
    """
    if not neighbours:
        return size == 0 and expected_root == EMPTY_ROOT
    indices = [n.index for n in neighbours]
    if any(b != a + 1 for a, b in pairwise(indices)) or len(indices) > 2:
        return False
    below = [n for n in neighbours if n.leaf < leaf]
    above = [n for n in neighbours if n.leaf > leaf]
    if len(below) > 1 or len(above) > 1 or [*below, *above] != list(neighbours):
        return False
    if not below and indices[0] != 0:
        return False
    if not above and indices[-1] != size - 1:
        return False
    return all(verify_inclusion(n.leaf, n.index, size, n.path, expected_root) for n in neighbours)
