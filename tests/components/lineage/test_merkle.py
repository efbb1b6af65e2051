from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest

from components.lineage.merkle import (
    EMPTY_ROOT,
    Neighbour,
    absence_proof,
    inclusion_proof,
    leaf_hash,
    levels,
    node_hash,
    root,
    verify_absence,
    verify_inclusion,
)

# The reference leaves and roots of the Certificate Transparency implementations (RFC 6962).
LEAVES = [
    bytes.fromhex(h)
    for h in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def _leaves(size: int) -> list[bytes]:
    return [b"leaf-%d" % i for i in range(size)]


def _recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written there."""
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(_recursive_root(leaves[:split]), _recursive_root(leaves[split:]))


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("place", "path"), PATHS.items(), ids=str)
def test_paths_are_those_of_the_reference(place: tuple[int, int], path: list[str]) -> None:
    index, size = place
    found = inclusion_proof(LEAVES[:size], index)
    assert [h.hex() for h in found] == path
    expected = bytes.fromhex(ROOTS[size - 1])
    assert verify_inclusion(LEAVES[index], index, size, found, expected)


def test_the_empty_tree_has_a_root_of_its_own() -> None:
    assert root([]) == EMPTY_ROOT == hashlib.sha256().digest()
    assert root([b""]) != EMPTY_ROOT
    assert not verify_inclusion(b"", 0, 0, [], EMPTY_ROOT)


@pytest.mark.parametrize("size", range(65))
def test_every_leaf_of_every_size_is_proven_and_nothing_else(size: int) -> None:
    leaves = _leaves(size)
    top, tree = root(leaves), levels(leaves)
    if size:
        assert top == _recursive_root(leaves)
    for index, leaf in enumerate(leaves):
        path = inclusion_proof(leaves, index)
        assert path == inclusion_proof(leaves, index, tree)
        assert verify_inclusion(leaf, index, size, path, top)
        assert not verify_inclusion(b"other", index, size, path, top)
        assert not verify_inclusion(leaf, index, size, path, bytes(32))
        assert not verify_inclusion(leaf, index, size, [*path, bytes(32)], top)
        assert not verify_inclusion(leaf, index, size, [*path, top], top)
        if path:
            assert not verify_inclusion(leaf, index, size, path[:-1], top)
            assert not verify_inclusion(leaf, index, size, path[1:], top)
            assert not verify_inclusion(leaf, index, size, [bytes(32), *path[1:]], top)
        if len(path) > 1:
            assert not verify_inclusion(leaf, index, size, path[::-1], top)
        for wrong in {index ^ 1, index + 1, index - 1, 0, size - 1, size, -1} - {index}:
            assert not verify_inclusion(leaf, wrong, size, path, top)
        for wrong in (size * 2, size * 2 + 1, index):
            assert not verify_inclusion(leaf, index, wrong, path, top)


def test_a_wrong_size_of_the_same_shape_is_not_seen_so_the_size_is_kept_beside_the_root() -> None:
    # RFC 9162, 2.1.3.2: the path of the first of seven leaves fits a tree of eight as well.
    leaves = _leaves(7)
    assert verify_inclusion(leaves[0], 0, 8, inclusion_proof(leaves, 0), root(leaves))


@pytest.mark.parametrize("index", [-1, 3, 100])
def test_there_is_no_proof_for_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError):
        inclusion_proof(_leaves(3), index)


def test_lists_that_look_alike_have_other_roots() -> None:
    a, b = b"a", b"b"
    alike = [
        [],
        [b""],
        [a],
        [a, a],
        [a, a, a],
        [a, b],
        [b, a],
        [a + b],
        [a, b, b],
        [a, b, b, b],
        [leaf_hash(a) + leaf_hash(b)],
        [b"\x01" + leaf_hash(a) + leaf_hash(b)],
    ]
    assert len({root(leaves) for leaves in alike}) == len(alike)


def _levels(leaves: list[bytes]) -> list[list[bytes]]:
    """All hashes of a tree, leaves first: every path of it can be read off."""
    levels = [[leaf_hash(leaf) for leaf in leaves]]
    while len(levels[-1]) > 1:
        level = levels[-1]
        above = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        levels.append(above + level[len(level) - len(level) % 2 :])
    return levels


def _path(levels: list[list[bytes]], index: int) -> list[bytes]:
    path = []
    for level in levels[:-1]:
        if (index ^ 1) < len(level):
            path.append(level[index ^ 1])
        index //= 2
    return path


def _flipped(raw: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(raw) * 8)
    return (int.from_bytes(raw, "big") ^ 1 << place).to_bytes(len(raw), "big")


def _forged(
    leaves: list[bytes], index: int, path: list[bytes], top: bytes, chance: random.Random
) -> list[tuple[bytes, int, int, list[bytes], bytes]]:
    """Claims about one leaf that are not so: each differs from the truth in one way."""
    leaf, size = leaves[index], len(leaves)
    claims = [
        (_flipped(leaf, chance), index, size, path, top),
        (leaf + b"\x00", index, size, path, top),
        (leaf, index, size, path, _flipped(top, chance)),
        (leaf, index, size, [*path, chance.randbytes(32)], top),
        (leaf, index, size, [*path, top], top),
        (leaf, size, size, path, top),
        (leaf, ~index, size, path, top),
        (leaf, index, index, path, top),
        (leaf, index, size * 2 + 1, path, top),
        (leaf, index + size, size * 2 + 1, path, top),
    ]
    if path:
        place = chance.randrange(len(path))
        changed = [*path[:place], _flipped(path[place], chance), *path[place + 1 :]]
        other = chance.choice([i for i in range(size) if i != index])
        claims += [
            (leaf, index, size, changed, top),
            (leaf, index, size, path[:-1], top),
            (leaf, index, size, path[1:], top),
            (leaf, index, size, [*path[:place], path[place][:31], *path[place + 1 :]], top),
            (leaf, other, size, path, top),
            (leaves[other], index, size, path, top),
        ]
    if len(path) > 1:
        claims.append((leaf, index, size, [*path[1:], path[0]], top))
    return claims


def test_half_a_million_claims_about_trees_of_every_size_up_to_256() -> None:
    chance, checked = random.Random(6962), 0
    for size in range(257):
        leaves = _leaves(size)
        levels = _levels(leaves)
        top = root(leaves)
        assert top == (levels[-1][0] if size else EMPTY_ROOT)
        for index, leaf in enumerate(leaves):
            path = _path(levels, index)
            assert verify_inclusion(leaf, index, size, path, top)
            forged = _forged(leaves, index, path, top, chance)
            assert not [claim for claim in forged if verify_inclusion(*claim)]
            checked += 1 + len(forged)
        if size:
            place = chance.randrange(size)
            assert inclusion_proof(leaves, place) == _path(levels, place)
    print(f"{checked:,} claims")
    assert checked >= 500_000


def test_a_list_that_differs_in_any_leaf_has_another_root() -> None:
    chance = random.Random(6962)
    for size in range(1, 257):
        leaves = _leaves(size)
        i, j = chance.randrange(size), chance.randrange(size)
        lists = {
            "flipped": [*leaves[:i], _flipped(leaves[i], chance), *leaves[i + 1 :]],
            "dropped": leaves[:i] + leaves[i + 1 :],
            "cut": leaves[:-1],
            "doubled": [*leaves[:i], leaves[i], *leaves[i:]],
            "last again": [*leaves, leaves[-1]],
            "added": [*leaves[:i], b"", *leaves[i:]],
            "reversed": leaves[::-1] if size > 1 else [],
            "hashes as leaves": [leaf_hash(leaf) for leaf in leaves],
            "pairs as leaves": [b"".join(map(leaf_hash, leaves[k : k + 2]))
                                for k in range(0, size, 2)],
        }  # fmt: skip
        if i != j:
            swapped = list(leaves)
            swapped[i], swapped[j] = leaves[j], leaves[i]
            lists["swapped"] = swapped
        roots = {root(leaves), *map(root, lists.values())}
        # At the very end two of the changes come to the same list.
        expected = {tuple(found) for found in [leaves, *lists.values()]}
        assert len(roots) == len(expected) >= 6


def _leaf(number: int) -> bytes:
    return number.to_bytes(4, "big")


@pytest.mark.parametrize("size", [*range(18), 31, 32, 33, 64])
def test_every_leaf_that_is_not_there_is_proved_not_to_be(size: int) -> None:
    leaves = [_leaf(2 * i + 1) for i in range(size)]
    whole = root(leaves)
    for between in range(size + 1):
        proof = absence_proof(leaves, _leaf(2 * between))
        assert verify_absence(_leaf(2 * between), size, proof, whole)
        # It proves nothing about a leaf that is there, nor about another gap.
        for i in range(size):
            assert not verify_absence(_leaf(2 * i + 1), size, proof, whole)
        # Of one leaf, either side of it has the same proof.
        for other in {0, size} - {between} if size > 1 else ():
            assert not verify_absence(_leaf(2 * other), size, proof, whole)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 13])
def test_no_leaf_that_is_there_is_ever_proved_away(size: int) -> None:
    leaves = [_leaf(i) for i in range(size)]
    whole, paths = root(leaves), [tuple(inclusion_proof(leaves, i)) for i in range(size)]
    known = [Neighbour(leaves[i], i, paths[i]) for i in range(size)]
    for i in range(size):
        with pytest.raises(ValueError, match="in the tree"):
            absence_proof(leaves, leaves[i])
        for a in known:
            assert not verify_absence(leaves[i], size, [a], whole)
            for b in known:
                assert not verify_absence(leaves[i], size, [a, b], whole)
        assert not verify_absence(leaves[i], size, [], whole)


def test_a_changed_proof_of_absence_proves_nothing() -> None:
    leaves = [_leaf(2 * i + 1) for i in range(9)]
    whole, proof = root(leaves), absence_proof(leaves, _leaf(8))
    first, second = proof
    forged = [
        [second, first],
        [first],
        [second],
        [first, second, second],
        [replace(first, index=first.index - 1), replace(second, index=second.index - 1)],
        [replace(first, leaf=_leaf(6)), second],
        [replace(first, path=first.path[:-1]), second],
        [first, replace(second, path=(*second.path, second.path[0]))],
    ]
    assert verify_absence(_leaf(8), 9, proof, whole)
    assert not any(verify_absence(_leaf(8), 9, f, whole) for f in forged)
    assert not verify_absence(_leaf(8), 20, proof, whole)
    assert not verify_absence(_leaf(8), 9, proof, root(leaves[:-1]))
    assert verify_absence(_leaf(8), 0, [], EMPTY_ROOT)
    assert not verify_absence(_leaf(8), 0, [], whole)
