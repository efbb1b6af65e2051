"""A home to put audit questions to, and its answers in a form that is the same on every machine.

Under both stacks' names: a release, a model that the release gate stopped, the same released under
a waiver, the first one put back, and data that gave the label away.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.audit.answers import Answer, Respondent
from components.audit.evidence_lineage import EvidenceLineage
from components.audit.paths import FIGURE
from components.audit.question_catalogue import load_catalogue
from components.contract.json_schema import ROOT
from components.lineage.graph import EdgeKind, LineageGraph, NodeKind
from components.lineage.keys import new_key, public_text
from components.release.waiver_requests import Asked, request_waiver
from components.release.waiver_terms import Waiver
from components.stacks.process import ReleaseProcess
from tests import seeded
from tests.plain_stack import PlainStack, start

GOLDEN = ROOT / "tests" / "golden" / "questions"
STACKS = ("tfx", "pytorch")
RUNS = ("first", "stopped", "waived", "put back", "leaked")
"""What the runs of a stack are called here, in the order in which they were made."""

REASON = "Men are called by a nurse until their burden is recorded as it is."
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d\.\d{6}\+00:00)?")
_NUMBER = re.compile(r"\d+\.\d+(\.\d+)?(e-\d+)?")


def make_home(home: Path) -> Path:
    """Make the home."""
    keys = {name: new_key(home / "people", name) for name in ("ana", "bo")}
    ana, bo = ({n: public_text(pair.raw)} for n, pair in keys.items())

    def change(document: dict[str, Any]) -> None:
        document["waivers"] = {"max_days": 30, "signers": ana, "cosigners": bo}

    contract, policy = seeded.write_documents(home / "documents", change)
    rows = {}
    for fault in (None, seeded.biased, seeded.leaked):
        path = home / f"{fault.__name__ if fault else 'good'}.csv"
        rows[fault] = seeded.write_rows(path, fault)

    def begin(stack: str, data: Path, continues: ReleaseProcess | None = None) -> ReleaseProcess:
        return start(
            home, "plain", policy=policy, contract=contract, data=data, stack=stack,
            continues=continues,
        )  # fmt: skip

    for stack in STACKS:
        first = begin(stack, rows[None])
        assert PlainStack(first).run() == "released"
        stopped = begin(stack, rows[seeded.biased])
        assert PlainStack(stopped).run() == "blocked"
        asked = Asked(
            gate="release_gate",
            reason=REASON,
            expires=str(datetime.now(UTC).date() + timedelta(days=7)),
            signer_key=keys["ana"].private,
            cosigner_key=keys["bo"].private,
            actor="tester",
            at=datetime.now(UTC),
        )
        assert isinstance(request_waiver(stopped.spec.directory, asked).result, Waiver)
        for earlier in (stopped, first):
            again = begin(stack, rows[None], earlier)
            assert PlainStack(again).release() == "released"
        assert PlainStack(begin(stack, rows[seeded.leaked])).run() == "blocked"
    return home


def copied_home(home: Path, target: Path) -> Path:
    """What evidence is read from, in another place, to be changed there."""
    kept = ("runs", "releases", "waivers", "keys", "datasets")
    for name in kept:
        shutil.copytree(
            home / name, target / name, ignore=shutil.ignore_patterns("artifacts", "*.parquet")
        )
    return target


def runs_of(graph: LineageGraph) -> dict[str, str]:
    """Ids of a stack's runs by what they are called here."""
    ordered = sorted(graph.of_kind(NodeKind.RUN), key=lambda n: n.attributes["started"])
    return dict(zip(RUNS, (n.key for n in ordered), strict=True))


def golden_answers(graph: LineageGraph, answers: Sequence[Answer]) -> dict[str, Any]:
    """Answers with names in place of ids, digests, times and figures, in a fixed order."""
    names = _names(graph)

    def said(text: str, attribute: str = "") -> str:
        for identity, name in names.items():
            text = text.replace(identity, name)
        text = _TIME.sub("(time)", _DIGEST.sub("(digest)", text))
        return "(figure)" if attribute.startswith(FIGURE) else _NUMBER.sub("(number)", text)

    return {
        a.question: {
            "status": str(a.status),
            "about": a.about,
            "facts": sorted(
                [f.name, said(f.about), said(f.value, f.attribute), said(f.node), f.attribute]
                for f in a.facts
            ),
            "missing": sorted([m.name, said(m.about), said(m.what)] for m in a.missing),
        }
        for a in answers
    }


def _names(graph: LineageGraph) -> dict[str, str]:
    """What stands for the ids and digests of a stack's runs, the first run of a thing naming it."""
    found: dict[str, str] = {}
    for name, run in runs_of(graph).items():
        node = graph.nodes[f"run/{run}"]
        found[run] = f"({name})"
        found[node.attributes["head"]] = f"(head of {name})"
        for thing in graph.out(node.id, EdgeKind.USED):
            found.setdefault(thing.key, f"({thing.kind} of {name})")
            if root := thing.attributes.get("rows_root"):
                found.setdefault(root, f"(rows of {name})")
        for model in graph.into(f"stage/{run}/train", EdgeKind.GENERATED_BY, NodeKind.MODEL):
            found.setdefault(model.key, f"(model of {name})")
    for waiver in graph.of_kind(NodeKind.WAIVER):
        found[waiver.key] = "(waiver)"
    return {k: v for k, v in found.items() if _DIGEST.fullmatch(k) or "Z-" in k}


def main() -> None:
    """Write the golden answers anew; read what changed before you commit it."""
    catalogue = load_catalogue()
    with TemporaryDirectory() as folder:
        home = make_home(Path(folder) / "home")
        for stack in STACKS:
            graph = EvidenceLineage(home, stack).read().graph
            answers = Respondent(graph, "evidence").answer_all(catalogue.questions)
            text = json.dumps(golden_answers(graph, answers), indent=1)
            (GOLDEN / f"{stack}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
