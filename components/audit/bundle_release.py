"""Whether a release is what its run came to, and its champion stood before it."""

from __future__ import annotations

from collections.abc import Sequence

from components.audit.bundle_format import TamperedError
from components.audit.bundle_links import entry_of, moment_of
from components.contract.stages import Stage
from components.lineage.evidence import CLOSING_STAGE, EvidenceRecord
from components.release.records import Release
from components.release.run_evidence import Records


def check_release(
    run: str, own: Records, whole: Records, history: Sequence[Release], origin_id: str
) -> None:
    """The last release of the history is what the run came to.

    Raises:
        TamperedError: it says something else than the run's records.
    """
    release = history[-1]
    entry = f"releases/{release.dataset}/{release.stack}/{release.number:06d}.json"
    closing, gate = own[CLOSING_STAGE], own[Stage.RELEASE_GATE]
    waiver = gate.body.get("waiver")
    continues = "" if origin_id == run else origin_id
    earlier = [r.continues or r.run for r in history[:-1]]
    kind = "waived" if waiver else "release"
    expected = {
        "run": run,
        "candidate": closing.body["candidate"],
        "model": own[Stage.PUSH].body["outputs"]["serving_model"]["sha256"],
        "head": closing.digest,
        "policy": closing.body["inputs"]["policy"],
        "contract": closing.body["inputs"]["contract"],
        "actor": closing.body["actor"],
        "at": moment_of(entry, closing.body["finished"]),
        "kind": "rollback" if continues and continues in earlier else kind,
        "continues": continues,
        "reason": gate.body["facts"].get("reason", "") if continues else "",
        "waiver": waiver["sha256"] if waiver else "",
        "verdicts": {
            s: r.body["verdict"]["status"] for s, r in whole.items() if "verdict" in r.body
        },
        "supersedes": release.number - 1,
    }
    for field, value in expected.items():
        found = getattr(release, field)
        if (dict(found) if field == "verdicts" else found) != value:
            raise TamperedError(entry, f"its {field} is not what the run's records come to")
    _check_champion(run, gate, history)


def _check_champion(run: str, gate: EvidenceRecord, history: Sequence[Release]) -> None:
    champion = gate.body.get("champion")
    if champion is None:
        return
    before = {r.number: r for r in history[:-1]}.get(champion["release"])
    if before is None or (before.run, before.model) != (champion["run"], champion["model"]):
        raise TamperedError(entry_of(run, gate), "its champion is not that release of the history")
