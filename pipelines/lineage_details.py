"""What the runs' directories add to a lineage graph before it is handed out, and what stays here.

A record's findings and figures go along, but no figure that rests on 1 to 10 people and no name of
a group that only the data declare. Of what a native store holds, nobody knows how many people are
behind it: there a figure goes along only where the contract declares its groups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from components.checks.measurement import Finding, Measurement, Status
from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError
from components.contract.features import model_inputs
from components.contract.policy import Policy
from components.contract.policy_loader import load_policy
from components.lineage.evidence import EvidenceRecord, chain_of
from components.lineage.graph import EdgeKind, LineageGraph, Node, NodeKind
from components.lineage.run_documents import RunDocuments
from components.release.card_masking import Masking, is_small

_FINDING, _FIGURE = "finding:", "figure:"
_POOL = "pool"
_WORST = (Status.FAIL, Status.INCONCLUSIVE, Status.PASS)


@dataclass(frozen=True, slots=True)
class Bound:
    """The contract and the policy of a run, known to be those that it was bound to."""

    contract: Contract
    policy: Policy

    def documents(self, candidate: str | None) -> RunDocuments:
        """What of them an export says."""
        known = self.policy.candidates.get(candidate or "")
        inputs = model_inputs(self.contract, known) if known else ()
        return RunDocuments(
            columns=tuple((c.name, str(c.logical_type)) for c in self.contract.columns),
            model_inputs=tuple(i.name for i in inputs),
        )


def bound_documents(graph: LineageGraph, home: Path) -> dict[str, Bound]:
    """Contract and policy of each run whose directory has both, by run id.

    Raises:
        EvidenceError: one is not the one that the graph says the run was bound to.
    """
    found: dict[str, Bound] = {}
    read: dict[tuple[str, str], Bound] = {}
    for run in graph.of_kind(NodeKind.RUN):
        if Path(run.key).name != run.key:
            continue  # a native store can be made to name a run like a path
        paths = [home / "runs" / run.key / name for name in ("contract.yaml", "policy.yaml")]
        contract = _bound_digest(graph, run, paths[0], NodeKind.CONTRACT)
        policy = _bound_digest(graph, run, paths[1], NodeKind.POLICY)
        if contract is None or policy is None:
            continue
        if (contract, policy) not in read:  # many runs are bound to the same few
            loaded = load_contract(paths[0])
            read[contract, policy] = Bound(loaded, load_policy(paths[1], loaded))
        found[run.key] = read[contract, policy]
    return found


def _bound_digest(graph: LineageGraph, run: Node, path: Path, kind: NodeKind) -> str | None:
    """SHA-256 of a file that the run was bound to; None where that is not known or not there."""
    known = {node.key for node in graph.out(run.id, EdgeKind.USED, kind)}
    if not path.is_file() or not known:
        return None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest not in known:
        raise EvidenceError(f"{path} is not the one that run {run.key} was bound to")
    return digest


def with_records(graph: LineageGraph, home: Path, bound: Mapping[str, Bound]) -> LineageGraph:
    """A graph out of evidence with each stage's record, findings and figures.

    Args:
        graph: what the evidence came to.
        home: where the runs lie.
        bound: contract and policy of each of them.

    Raises:
        EvidenceError: a chain is broken, or a record lacks what its schema asks for.
    """
    nodes = dict(graph.nodes)
    for run in graph.of_kind(NodeKind.RUN):
        records = chain_of(home / "runs" / run.key).records()
        own = [r for r in records if f"{NodeKind.STAGE}/{run.key}/{r.stage}" in nodes]
        try:
            measured = {(m.name, m.slice): m for r in own for m, _ in _measured(r)}
            masking = Masking.of(bound[run.key].contract, measured.values())
            for record in own:
                node = nodes[f"{NodeKind.STAGE}/{run.key}/{record.stage}"]
                nodes[node.id] = _detailed(node, record, masking)
        except (KeyError, TypeError, ValueError) as error:
            raise EvidenceError(f"run {run.key}: a record lacks fields of its schema") from error
    return LineageGraph(nodes, graph.edges)


def _detailed(node: Node, record: EvidenceRecord, masking: Masking) -> Node:
    found = {k: v for k, v in node.attributes.items() if not k.startswith((_FINDING, _FIGURE))}
    found["record"] = record.digest
    for rule, status in _statuses(record, masking).items():
        found[f"{_FINDING}{rule}"] = str(status)
    if record.body["isGate"]:
        for name, value in _figures(record, masking).items():
            found[f"{_FIGURE}{name}"] = value
    return replace(node, attributes=found)


def _statuses(record: EvidenceRecord, masking: Masking) -> dict[str, Status]:
    """Each rule's status, the worst where both sides or several groups speak of it."""
    found: dict[str, Status] = {}
    for side in ("native", "referee"):
        for document in (record.body[side] or {}).get("findings", ()):
            finding = Finding.from_json(document)
            rule = masking.text(finding.rule)
            before = found.get(rule, Status.PASS)
            found[rule] = min(before, finding.status, key=_WORST.index)
    return found


def _figures(record: EvidenceRecord, masking: Masking) -> dict[str, str]:
    """Figures by ``<name>@<slice>``, the native tools' where both sides have one.

    One that rests on 1 to 10 people by either side's count is not among them.
    """
    few = {(m.name, m.slice) for m, _ in _measured(record) if is_small(m.n)}
    return {
        f"{m.name}@{m.slice}": value
        for m, value in _measured(record)
        if value is not None and (m.name, m.slice) not in few and m.slice not in masking.aliases
    }


def _measured(record: EvidenceRecord) -> list[tuple[Measurement, str | None]]:
    """The referee's and then the native tools' figures, each with its value as it is written."""
    documents = [*record.body["measurements"], *record.body["nativeMeasurements"]]
    return [(Measurement.from_json(d), d["value"]) for d in documents]


def declared_only(graph: LineageGraph, bound: Mapping[str, Bound]) -> LineageGraph:
    """A graph out of a native store without figures and findings of groups nobody declared."""
    nodes = dict(graph.nodes)
    for run in graph.of_kind(NodeKind.RUN):
        contract = bound[run.key].contract if run.key in bound else None
        for node in graph.into(run.id, EdgeKind.PART_OF, NodeKind.STAGE):
            kept = {
                name: value
                for name, value in node.attributes.items()
                if not name.startswith((_FINDING, _FIGURE)) or _is_declared(name, contract)
            }
            nodes[node.id] = replace(node, attributes=kept)
    return LineageGraph(nodes, graph.edges)


def _is_declared(name: str, contract: Contract | None) -> bool:
    """Whether every group that a figure or finding names is one that the contract declares."""
    if "=" not in name:
        return True  # it names no group
    if contract is None:
        return False
    declared = {c.name for c in contract.protected}
    declared |= {f"{c.name}={g}" for c in contract.protected for g in (*c.group_labels, _POOL)}
    before = name.partition("=")[0]  # a group's own label may hold anything
    where = name[max(before.rfind(":"), before.rfind("@")) + 1 :]
    return declared.issuperset(where.split("*"))
