"""A trace told in words, as a tree: for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from components.audit.trace import Trace
from components.contract.stages import Stage

DIFFERS = "DIFFERS"
"""How the line of a link begins that does not hold."""

_BRIEF = 40


@dataclass(frozen=True, slots=True)
class Branch:
    """A line, and the lines that stand under it."""

    text: str
    children: tuple[Branch, ...] = ()

    @property
    def is_brief(self) -> bool:
        """Whether what stands under it is short and could stand side by side."""
        return all(len(c.text) <= _BRIEF and not c.children for c in self.children)


def drawn(branch: Branch) -> Iterator[str]:
    """The tree's lines, whole, however wide the terminal is: digests are there to be copied."""
    yield branch.text
    for child in branch.children:
        last = child is branch.children[-1]
        first, *more = drawn(child)
        yield f"{'└── ' if last else '├── '}{first}"
        yield from (f"{'    ' if last else '│   '}{line}" for line in more)


def tree_of(trace: Trace) -> Branch:
    """The trace from the decision down to the training rows."""
    told = trace.to_json()
    return Branch(
        f"decision {trace.decision_id}",
        (
            Branch(_decision_line(told["decision"]), tuple(_decision(told["decision"]))),
            Branch(f"by model {told['model']}"),
            Branch(
                _release_line(told["release"]),
                tuple(_release(told["release"], told["run"], told["decision"]["decidedAt"])),
            ),
            Branch(f"made by run {told['run']['id']}", tuple(_run(told["run"]))),
            Branch(_training_line(told["training"]), tuple(_training(told["training"]))),
            *(Branch(f"{DIFFERS}: {text}") for text in trace.differences),
        ),
    )


def _decision_line(held: dict[str, Any]) -> str:
    return f"{held['outcome']}: score {held['score']:.6f}, threshold {held['threshold']}"


def _decision(held: dict[str, Any]) -> Iterator[Branch]:
    yield Branch(f"at {held['decidedAt']}")
    reasons = held["reasons"] or []
    yield Branch("reasons" if reasons else "no reason codes", tuple(map(Branch, reasons)))
    broken = "given up" if held["logGivenUp"] else "scoring was interrupted"
    whole = "whole" if held["logIsWhole"] else f"not whole: {broken}"
    yield Branch(f"log {held['log']}, {whole}")
    yield Branch(f"row commitment {held['row']}")
    check = held["batchCheck"]
    yield Branch(f"the batch was checked before: {check['status']}, {check['reason']}")


def _release_line(held: dict[str, Any]) -> str:
    until = "which stands"
    if after := held["endedBy"]:
        until = f"{_ended(after)} on {after['at'][:10]}"
    where = f"release {held['release']} of {held['dataset']} in {held['stack']}"
    return f"{where}: {held['kind']}, {until}"


def _ended(after: dict[str, Any]) -> str:
    return "rolled back" if after["kind"] == "rollback" else "superseded"


def _release(held: dict[str, Any], run: dict[str, Any], decided: str) -> Iterator[Branch]:
    until = f"until {held['until']}" if held["until"] else "and stands"
    yield Branch(f"released by {held['actor']}: from {held['since']} {until}")
    if held["endedBy"]:
        yield Branch(_ending(held["endedBy"]), tuple(_late(held["until"], decided)))
    if held["reason"]:
        yield Branch(f"why: {held['reason']}")
    verdicts = held["verdicts"]
    lines = (
        f"{stage.replace('_', ' ')}: {verdicts[stage]}" for stage in Stage if stage in verdicts
    )
    yield Branch("verdicts", tuple(map(Branch, lines)))
    yield Branch(_champion(run["champion"]))
    if run["waiver"]:
        yield Branch(f"under waiver {run['waiver']['sha256']}", tuple(_waiver(run["waiver"])))


def _ending(after: dict[str, Any]) -> str:
    model = f", with the model of run {after['continues']}" if after["continues"] else ""
    why = f": {after['reason']}" if after["reason"] else ""
    by = f"by {after['actor']} with release {after['release']}"
    return f"{_ended(after)} at {after['at']}, {by}{model}{why}"


def _late(until: str, decided: str) -> Iterator[Branch]:
    if datetime.fromisoformat(decided) >= datetime.fromisoformat(until):
        yield Branch("this decision was made after that, in a batch that was begun before")


def _champion(held: dict[str, Any] | None) -> str:
    if held is None:
        return "no release stood when its gate judged: it had no champion to meet"
    return f"its champion was release {held['release']}: run {held['run']}, model {held['model']}"


def _waiver(held: dict[str, Any]) -> Iterator[Branch]:
    yield Branch(
        f"gate {held['gate']}, signed by {held['signer']} and {held['cosigner']} at {held['at']}, "
        f"good to the end of {held['expires']}"
    )
    closed = (f"{rule} {status}" for rule, status in held["findings"])
    yield Branch("excused: " + ", ".join(closed))
    yield Branch(f"why: {held['reason']}")


def _run(held: dict[str, Any]) -> Iterator[Branch]:
    yield Branch(f"{held['outcome']}; its chain of records ends with {held['head']}")
    if held["trainedBy"] != held["id"]:
        yield Branch(f"the model was trained by run {held['trainedBy']}")
    for name in ("code", "contract", "policy", "lock", "image", "seed"):
        yield Branch(f"{name} {held['inputs'][name]}")


def _training_line(held: dict[str, Any]) -> str:
    return f"trained on split {held['split']} of dataset {held['dataset']}"


def _training(held: dict[str, Any]) -> Iterator[Branch]:
    yield Branch(f"version {held['version']}")
    if "missing" in held:
        yield Branch(held["missing"])
        return
    yield Branch(f"{held['rows']} rows, Merkle root {held['root']}")
    sources = tuple(Branch(name) for name in held["sources"])
    yield Branch(f"spans {', '.join(held['spans'])}, read from", sources)
    yield Branch(f"this case {_proved(held['case'])}", tuple(_about(held["case"])))
    person = held["person"]
    if "missing" in person:
        yield Branch(person["missing"])
        return
    yield Branch(
        f"this person has {person['rows']} of the training rows",
        tuple(
            Branch(f"row {p['commitment']} {_proved(p)}", tuple(_about(p)))
            for p in person["proofs"]
        ),
    )


def _about(proof: dict[str, Any]) -> Iterator[Branch]:
    if proof["place"]:
        yield Branch(_place(proof["place"]))
    if proof["kind"] == "absence":
        yield Branch(
            "as it was scored: a case without its label has another commitment than the same case "
            "with it, so see the person's rows"
        )


def _place(held: dict[str, Any]) -> str:
    return f"span {held['span']}: row {held['row']}, counted from 0, of {held['file']}"


def _proved(proof: dict[str, Any]) -> str:
    if proof["kind"] == "inclusion":
        steps = len(proof["leaves"][0]["path"])
        return f"is among the training rows: proved by {steps} hashes"
    places = " and ".join(str(leaf["index"]) for leaf in proof["leaves"])
    return f"is not among the training rows: proved by its neighbours, {places}"
