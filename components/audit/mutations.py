"""What was changed in a native store since its runs were over: every difference, by name.

Three things are held against each other: what the signed evidence says, what the native store held
when a run was over (a signed receipt names that list), and what the store holds now. The comparison
is a pure function of the three; who reads them, and the files beside them, is elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from components.audit.differences import Difference, Kind
from components.audit.evidence_runs import RunFacts
from components.contract.stages import Stage
from components.lineage.graph import (
    EdgeKind,
    Entries,
    LineageGraph,
    Node,
    NodeKind,
    StoreReading,
)
from components.release.records import Release

_CHAMPION = "champion"
_INPUTS = {
    NodeKind.DATASET: "datasetVersion",
    NodeKind.CONTRACT: "contract",
    NodeKind.POLICY: "policy",
    NodeKind.CODE: "code",
    NodeKind.ENVIRONMENT: "environment",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the evidence of one stack says.

    Attributes:
        runs: the runs that are looked at, by id, every signature checked.
        others: ids of runs that have a place in the home but are not looked at, or not readable.
        releases: the history of each dataset, oldest first, whole.
    """

    runs: Mapping[str, RunFacts]
    others: frozenset[str]
    releases: Mapping[str, tuple[Release, ...]]


def compare(
    evidence: Evidence, native: StoreReading, receipts: Mapping[str, Entries]
) -> list[Difference]:
    """Every difference between a native store and what is signed about it.

    Args:
        evidence: the runs and releases of one stack.
        native: what that stack's store holds of these runs now.
        receipts: what it held of a run when that was over, as its signed receipt says.

    Returns:
        Differences run by run, then those of releases; empty where nothing was changed.
    """
    found: list[Difference] = []
    made = _made(native.graph)
    for name, run in evidence.runs.items():
        now = native.entries.get(name, {})
        if not now and f"run/{name}" not in native.graph.nodes:
            found += _deleted(run, receipts.get(name))
            continue
        if name in receipts:
            found += compare_entries(name, receipts[name], now)
        found += _against_evidence(run, native.graph, made)
    known = evidence.runs.keys() | evidence.others
    added = {*native.entries, *(n.key for n in native.graph.of_kind(NodeKind.RUN))} - known
    found += [Difference(Kind.ADDED_RUN, n, f"run/{n}") for n in sorted(added)]
    return found + list(_releases(evidence, native.graph))


def _deleted(run: RunFacts, then: Entries | None) -> Iterator[Difference]:
    """A run that the store does not know: one that never came so far is none that was deleted."""
    if then or (then is None and run.stages):
        held = f"{len(then)} entries" if then else None
        yield Difference(Kind.DELETED_RUN, run.run, f"run/{run.run}", held)


def compare_entries(run: str, then: Entries, now: Entries) -> list[Difference]:
    """Entries that are gone, new, or another than they were; in the order of their paths."""
    found = []
    for where in sorted(then.keys() | now.keys()):
        old, new = then.get(where), now.get(where)
        if old != new:
            kind = Kind.ADDED if old is None else Kind.DELETED if new is None else Kind.EDITED
            found.append(Difference(kind, run, where, old, new))
    return found


Made = Mapping[tuple[str, str], Set[str]]
"""Digests of what a stage left, by the stage's node id and the name of the output."""


def _made(graph: LineageGraph) -> Made:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for edge in graph.edges:
        if edge.kind is EdgeKind.GENERATED_BY and edge.role:
            found[edge.target, edge.role].add(graph.nodes[edge.source].key)
    return found


def _against_evidence(run: RunFacts, graph: LineageGraph, made: Made) -> Iterator[Difference]:
    """What the store says otherwise than the evidence; what it does not know is no difference."""
    node = f"run/{run.run}"
    told = {
        "stack": run.stack,
        "candidate": run.candidate,
        "dataset": run.inputs["dataset"],
        "outcome": run.outcome,
        "actor": run.actor,
        "head": run.head,
        "continues": run.continued[0] if run.continued else "",
        "seed": run.inputs["seed"],
    }
    yield from _attributes(run.run, graph, node, told)
    for kind, name in _INPUTS.items():
        used = {n.key for n in graph.out(node, EdgeKind.USED, kind)}
        yield from _digest(run.run, f"{node}/{kind}", run.inputs[name], used)
    for stage in run.stages:
        node = f"stage/{run.run}/{stage.stage}"
        told = {"status": stage.status, **{f"figure:{k}": v for k, v in stage.figures.items()}}
        yield from _attributes(run.run, graph, node, told)
        for output, _, _, digest in stage.outputs:
            held = made.get((node, output), frozenset())
            yield from _digest(run.run, f"{node}/{output}", digest, held)


def _attributes(
    run: str, graph: LineageGraph, name: str, told: Mapping[str, str]
) -> Iterator[Difference]:
    node = graph.nodes.get(name)
    for attribute, old in told.items() if node else ():
        new = node.attributes.get(attribute, "") if node else ""
        if old and new and new != old:
            yield Difference(Kind.CONTRADICTS, run, f"{name}/{attribute}", old, new)


def _digest(run: str, where: str, digest: str, held: Set[str]) -> Iterator[Difference]:
    if held and digest not in held:
        yield Difference(Kind.CONTRADICTS, run, where, digest, ", ".join(sorted(held)))


def _releases(evidence: Evidence, graph: LineageGraph) -> Iterator[Difference]:
    """The store's releases against the history: none more, none less, the alias on the last."""
    present = {n.key: n for n in graph.of_kind(NodeKind.RELEASE)}
    recorded = set()
    for history in evidence.releases.values():
        for release in history:
            key = _key(release)
            recorded.add(key)
            if release.run not in evidence.runs:
                continue
            if key not in present:
                yield Difference(Kind.DELETED, release.run, f"release/{key}", release.model)
            push = evidence.runs[release.run].stage(Stage.PUSH)
            told = {
                "run": release.run,
                "model": release.model,
                "kind": release.kind,
                "actor": release.actor,
                "waiver": release.waiver,
                "version": push.facts.get("modelVersion", "") if push else "",
            }
            yield from _attributes(release.run, graph, f"release/{key}", told)
        yield from _alias(history, evidence.runs.get(history[-1].run), graph)
    for key in sorted(present.keys() - recorded):
        run = present[key].attributes.get("run", "")
        yield Difference(
            Kind.ADDED, run, f"release/{key}", new=present[key].attributes.get("model")
        )


def _alias(
    history: Sequence[Release], run: RunFacts | None, graph: LineageGraph
) -> Iterator[Difference]:
    """A registry that numbers its versions has an alias, which names the version of the last."""
    push = run.stage(Stage.PUSH) if run else None
    if push is None or not (version := push.facts.get("modelVersion")):
        return
    named = set()
    for release in history:
        node = graph.nodes.get(f"release/{_key(release)}")
        if node and _has_alias(node):
            named.add(node.attributes.get("version", node.key))
    registered = f"models:/{push.facts.get('registeredModel')}/"
    for node in graph.of_kind(NodeKind.MODEL):  # a version that was never released
        location = node.attributes.get("location", "")
        if _has_alias(node) and location.startswith(registered):
            named.add(location.removeprefix(registered))
    if named != {version}:
        where = f"release/{_key(history[-1])}/alias"
        new = ", ".join(sorted(named)) or None
        yield Difference(Kind.ALIAS, history[-1].run, where, version, new)


def _has_alias(node: Node) -> bool:
    return _CHAMPION in node.attributes.get("alias", "").split(", ")


def _key(release: Release) -> str:
    return f"{release.dataset}/{release.stack}/{release.number}"
