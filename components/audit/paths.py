"""Paths over a lineage graph, as questions write them down: steps over edges, then an attribute.

``wasGeneratedBy>run/wasPartOf<stage:train.tools`` reads: from here along ``wasGeneratedBy`` to a
run, from there against ``wasPartOf`` to the stage ``train``, of that the tools. ``>`` goes the way
of the edge, ``<`` against it. ``.outcome`` is an attribute of where one stands, ``.key`` the node's
own key, ``.figure:tpr_difference@*`` and ``.finding:*`` every attribute that begins so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from components.contract.errors import InputError
from components.contract.stages import Stage
from components.lineage.graph import EdgeKind, Node, NodeKind

KEY = "key"
FIGURE, FINDING = "figure:", "finding:"

ATTRIBUTES: dict[NodeKind, frozenset[str]] = {
    NodeKind.DATASET: frozenset({"name", "rows_root", "rows"}),
    NodeKind.CONTRACT: frozenset({"dataset"}),
    NodeKind.POLICY: frozenset({"dataset"}),
    NodeKind.CODE: frozenset(),
    NodeKind.ENVIRONMENT: frozenset(),
    NodeKind.RUN: frozenset(
        ("stack", "candidate", "dataset", "actor", "started", "finished", "outcome", "reason")
        + ("head", "continues", "seed", "native_id")
    ),
    NodeKind.STAGE: frozenset(
        ("status", "reason", "started", "finished", "tools", "native_id", "record")
    ),
    NodeKind.ARTIFACT: frozenset({"name", "type", "location"}),
    NodeKind.MODEL: frozenset({"name", "type", "location", "seed"}),
    NodeKind.RELEASE: frozenset(
        ("kind", "at", "actor", "reason", "run", "model", "supersedes", "waiver", "version")
    ),
    NodeKind.WAIVER: frozenset({"reason", "expires", "signer", "cosigner"}),
    NodeKind.ACTOR: frozenset(),
}
"""What a node of each kind may say, as in ``components.lineage.graph``."""

_STEP = re.compile(r"([A-Za-z]+)([<>])([a-z]+)(?::([a-z_]+))?")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: along or against an edge, to nodes of a kind; of stages, to those of one name."""

    edge: EdgeKind
    along: bool
    kind: NodeKind
    stage: Stage | None = None

    def admits(self, node: Node) -> bool:
        """Whether a node is one that the step may lead to."""
        return node.kind == self.kind and (
            self.stage is None or node.key.endswith(f"/{self.stage}")
        )

    def __str__(self) -> str:
        """As one says it: ``used policy``, ``wasPartOf stage train``."""
        return " ".join([self.edge, self.kind, *([self.stage] if self.stage else [])])


@dataclass(frozen=True, slots=True)
class Path:
    """Steps, and the attribute at their end; with ``many``, all that begin with ``attribute``."""

    steps: tuple[Step, ...]
    attribute: str
    many: bool = False


def parse_path(text: str, start: NodeKind, where: str) -> Path:
    """Read a path that begins at a node of a kind.

    Args:
        text: the path.
        start: what it begins at.
        where: file and field, for the message.

    Raises:
        InputError: it is none, or names an edge, kind, stage or attribute that no graph has.
    """
    walk, dot, attribute = text.partition(".")
    if not dot:
        raise InputError(f"{text!r} names no attribute", where=where, expected="steps.attribute")
    steps = tuple(_step(part, where) for part in walk.split("/")) if walk else ()
    kind = steps[-1].kind if steps else start
    if attribute.startswith((FIGURE, FINDING)) and kind is NodeKind.STAGE:
        many = attribute.endswith("*")
        return Path(steps, attribute.removesuffix("*"), many)
    require_attribute(kind, attribute, where)
    return Path(steps, attribute)


def require_attribute(kind: NodeKind, attribute: str, where: str) -> None:
    """See that a kind of node has an attribute.

    Raises:
        InputError: it has not.
    """
    known = ATTRIBUTES[kind] | {KEY}
    if attribute not in known:
        raise InputError(
            f"a {kind} has no {attribute!r}",
            where=where,
            expected="one of " + ", ".join(sorted(known)),
        )


def _step(text: str, where: str) -> Step:
    match = _STEP.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        edge, way, kind, stage = match.groups()
        if stage and kind != NodeKind.STAGE:
            raise ValueError(stage)
        return Step(EdgeKind(edge), way == ">", NodeKind(kind), Stage(stage) if stage else None)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no step",
            where=where,
            expected="an edge, > or <, and a kind of node, as used>policy or wasPartOf<stage:train",
        ) from error
