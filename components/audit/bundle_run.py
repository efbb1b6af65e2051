"""The run inside a bundle: its records, those of the run that it continues, and its release."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from components.audit.bundle_format import MANIFEST, Manifest, TamperedError
from components.audit.bundle_links import (
    CONTINUED,
    check_continues,
    check_model,
    check_run,
    entry_of,
)
from components.audit.bundle_release import check_release
from components.contract.errors import EvidenceError
from components.contract.stages import Stage
from components.lineage.dsse import UnknownSignerError
from components.lineage.evidence import (
    CLOSING_STAGE,
    EvidenceRecord,
    check_schema,
    read_chain,
    statement_of,
)
from components.lineage.receipts import RECEIPT, parse_receipt
from components.release.records import Release, read_history
from components.release.run_evidence import Records


@dataclass(frozen=True, slots=True)
class BundledRun:
    """A run of a bundle, every link between its records checked.

    ``origin`` has the records of the run that trained the model: ``own`` where it is this one.
    ``history`` ends with the run's release; it is empty where there was none.
    """

    run: str
    own: Records
    origin_id: str
    origin: Records
    history: tuple[Release, ...]

    @property
    def runs(self) -> dict[str, Records]:
        """Records by run id: one run, or two."""
        return {self.origin_id: self.origin, self.run: self.own}

    @property
    def closing(self) -> EvidenceRecord:
        """The run's last record."""
        return self.own[CLOSING_STAGE]

    @property
    def waiver(self) -> dict[str, Any] | None:
        """What excused the release gate, as its record has it."""
        gate = self.own.get(Stage.RELEASE_GATE)
        found: dict[str, Any] | None = gate.body.get("waiver") if gate else None
        return found


def read_run(
    manifest: Manifest,
    parsed: Mapping[str, bytes],
    trusted: Mapping[str, bytes],
    checks: list[str],
) -> BundledRun:
    """Read and check the records of a bundle.

    Args:
        manifest: what the bundle says that it holds; it is sound.
        parsed: bytes of each entry that may be read.
        trusted: raw public key of each name that may sign evidence.
        checks: takes in a line for each thing that was checked.

    Raises:
        UnknownSignerError: a record is signed by another key.
        TamperedError: records do not fit together or with the manifest.
    """
    run, origin_id = manifest.run, manifest.continues or manifest.run
    own = _records(run, parsed, trusted)
    origin = own if origin_id == run else _records(origin_id, parsed, trusted)
    check_run(run, list(own.values()), CONTINUED if manifest.continues else tuple(Stage))
    if manifest.continues:
        check_run(origin_id, list(origin.values()), tuple(Stage))
        check_continues(run, own, origin_id, origin)
    elif own.get(Stage.RELEASE_GATE) and "continues" in own[Stage.RELEASE_GATE].body["facts"]:
        raise TamperedError(MANIFEST, "it hides that the run continues another one")
    check_model(run, own, {**origin, **own})
    _check_manifest(manifest, own)
    for name, records in {origin_id: origin, run: own}.items():
        *_, last = records.values()
        checks.append(
            f"chain of {name}: {len(records)} records signed, linked, closed; head {last.digest}"
        )
        _check_receipt(name, last.digest, parsed, trusted, checks)
    found = BundledRun(run, own, origin_id, origin, _history(manifest, parsed, trusted))
    _check_history(found, checks)
    _check_names(found, parsed.keys())
    return found


def _records(run: str, parsed: Mapping[str, bytes], trusted: Mapping[str, bytes]) -> Records:
    folder = f"runs/{run}/evidence/"
    named = [(n.removeprefix(folder), parsed[n]) for n in sorted(parsed) if n.startswith(folder)]
    records = _named(folder.rstrip("/"), lambda: read_chain(named, run, trusted))
    if not records:
        raise TamperedError(folder.rstrip("/"), "it has no records")
    for r in records:
        statement = statement_of(run, r.stage, r.sequence, r.previous, r.body)
        _named(entry_of(run, r), lambda s=statement: check_schema(s))  # type: ignore[misc]
    return {r.stage: r for r in records}


def _named(entry: str, work: Callable[[], Any]) -> Any:
    """Give an error of the evidence the name of the entry that shows it."""
    try:
        return work()
    except (UnknownSignerError, TamperedError):
        raise
    except EvidenceError as error:
        raise TamperedError(entry, str(error)) from error


def _check_manifest(manifest: Manifest, own: Records) -> None:
    closing = own[CLOSING_STAGE]
    expected = {
        "records": (manifest.records, len(own)),
        "head": (manifest.head, closing.digest),
        "dataset": (manifest.dataset, closing.body["inputs"]["dataset"]),
        "stack": (manifest.stack, closing.body["stack"]),
    }
    for field, (said, found) in expected.items():
        if said != found:
            raise TamperedError(MANIFEST, f"its {field} is not that of the run's records")


def _check_receipt(
    run: str,
    head: str,
    parsed: Mapping[str, bytes],
    trusted: Mapping[str, bytes],
    checks: list[str],
) -> None:
    name = f"runs/{run}/{RECEIPT}"
    if name in parsed:
        receipt = _named(name, lambda: parse_receipt(parsed[name], run, head, trusted))
        checks.append(f"receipt: {receipt.store} held {receipt.entries} properties of {run}")


def _history(
    manifest: Manifest, parsed: Mapping[str, bytes], trusted: Mapping[str, bytes]
) -> tuple[Release, ...]:
    folder = f"releases/{manifest.dataset}/{manifest.stack}/"
    named = [(n.removeprefix(folder), parsed[n]) for n in sorted(parsed) if n.startswith(folder)]
    history: list[Release] = _named(
        folder.rstrip("/"),
        lambda: read_history(named, manifest.dataset, manifest.stack, trusted),
    )
    if len(history) != manifest.release:
        what = f"it ends with release {len(history)}, the manifest's is {manifest.release}"
        raise TamperedError(folder.rstrip("/"), what)
    return tuple(history)


def _check_history(found: BundledRun, checks: list[str]) -> None:
    released = found.closing.body["outcome"] == "released"
    if released != bool(found.history):
        what = "the run was released, and its release is not there"
        if not released:
            what = "there is a release of a run that was not released"
        raise TamperedError(MANIFEST, what)
    checks.append(f"process: {_told(found)}")
    if released:
        whole = {**found.origin, **found.own}
        check_release(found.run, found.own, whole, found.history, found.origin_id)
        last = found.history[-1]
        checks.append(
            f"release: number {last.number} of {last.dataset} in {last.stack}, {last.kind}, "
            f"model {last.model}; {last.number - 1} before it linked"
        )


def _told(found: BundledRun) -> str:
    body = found.closing.body
    return (
        f"{body['outcome']}; stages in turn, about one contract, policy and data; verdicts follow "
        "from findings, one model throughout"
    )


def _check_names(found: BundledRun, names: Collection[str]) -> None:
    """Nothing lies in the bundle that is not of this run."""
    folders = ("keys/", *(f"runs/{run}/" for run in found.runs))
    history = {f"releases/{r.dataset}/{r.stack}/{r.number:06d}.json" for r in found.history}
    waiver = {f"waivers/{found.waiver['sha256']}.json"} if found.waiver else set()
    for name in sorted(names):
        known = name == MANIFEST or name in history | waiver or name.startswith(folders)
        if not known:
            raise TamperedError(name, "it does not belong to this run")
