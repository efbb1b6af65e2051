"""Small bundles made by hand: every field can be changed, and everything signed again.

The run is written by hand, so that a test chooses what it says; keys, signatures, chain, waiver and
archive are real. ``Draft`` is what a bundle says before it is signed; ``seal`` signs it.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.audit import verify_bundle
from components.audit.bundle_format import MANIFEST
from components.audit.bundle_zip import measure, write_entries
from components.audit.trust import Trust, TrustedKey
from components.audit.verify import verify_bytes
from components.contract.errors import AssayError, InputError
from components.contract.stages import GATES, Stage
from components.lineage.digests import sha256_json
from components.lineage.dsse import STATEMENT_TYPE, sign, verify
from components.lineage.evidence import CLOSING_STAGE, GENESIS, statement_of
from components.lineage.keys import public_bytes, public_text
from tests import clinic

Document = dict[str, Any]
Sources = dict[str, bytes]

RUN, EARLIER = "run-2", "run-1"
BEGAN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FAILED = {"limit:auc": "PASS", "limit:tpr": "FAIL", "limit:tpr-age": "PASS"}
PASSED = dict.fromkeys(FAILED, "PASS")


def sha(text: str) -> str:
    """A digest that stands for something."""
    return hashlib.sha256(text.encode()).hexdigest()


MODEL = sha("model")


@cache
def key(name: str) -> Ed25519PrivateKey:
    """Somebody's key, always the same."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def raw_key(name: str) -> bytes:
    """Somebody's public key."""
    return public_bytes(key(name))


TRUST = Trust("the test", (TrustedKey("home", raw_key("home")),))


@cache
def documents() -> tuple[bytes, bytes]:
    """The clinic's contract and policy, in the form of YAML that is JSON."""
    policy = clinic.policy_document()
    people = {n: public_text(raw_key(n)) for n in ("ana", "bo")}
    policy["waivers"] = {
        "max_days": 30, "signers": {"ana": people["ana"]}, "cosigners": {"bo": people["bo"]}
    }  # fmt: skip
    return json.dumps(clinic.contract_document()).encode(), json.dumps(policy).encode()


def side(findings: dict[str, str]) -> Document:
    """One side's verdict, as its findings make it."""
    worst = next((s for s in ("FAIL", "INCONCLUSIVE") if s in findings.values()), "PASS")
    made = [
        {"rule": r, "status": s, "reason": "as found", "measurement": None}
        for r, s in findings.items()
    ]
    return {"status": worst, "reason": "as found", "findings": made}


def inputs() -> Document:
    """What binds every record."""
    contract, policy = (hashlib.sha256(raw).hexdigest() for raw in documents())
    return {
        "contract": contract, "policy": policy, "dataset": "clinic",
        "datasetVersion": sha("data"), "rowsRoot": sha("rows"), "code": "assay 1",
        "environment": sha("environment"), "lock": "none", "sbom": sha("{}"), "image": "none",
        "seed": "1",
    }  # fmt: skip


def who() -> Document:
    """What stands in every record."""
    return {"stack": "tfx", "candidate": "plain", "actor": "tester", "inputs": inputs()}


def clock(seconds: int) -> str:
    """A time some seconds after the run began."""
    return (BEGAN + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


_OUTPUTS = {Stage.TRAIN: "model", Stage.PUSH: "serving_model"}


def stage_body(stage: Stage, at: int, gate: dict[str, str]) -> Document:
    """One stage's record: it took a second."""
    outputs = {
        n: {"name": "m", "kind": "file", "sha256": MODEL} for n in [_OUTPUTS.get(stage)] if n
    }
    judged = gate if stage is Stage.RELEASE_GATE else {"rule": "PASS"}
    native = side(judged) if stage in GATES else None
    body = {
        **who(), "outputs": outputs, "facts": {"model": MODEL} if stage is Stage.SCORE else {},
        "tools": {"numpy": "2"}, "started": clock(at), "finished": clock(at + 1), "seconds": "1.0",
        "isGate": stage in GATES, "native": native, "referee": side(judged),
        "verdict": {"status": side(judged)["status"], "reason": "both"},
        "nativeMeasurements": [], "measurements": [],
    }  # fmt: skip
    return body | ({"champion": None} if stage is Stage.RELEASE_GATE else {})


def closing_body(stages: list[Stage], at: int, outcome: str, left: list[str]) -> Document:
    """The closing record."""
    reason = "release_gate: both" if outcome == "blocked" else "as it went"
    return {
        **who(), "finished": clock(at), "outcome": outcome, "reason": reason,
        "records": len(stages), "notRun": left,
    }  # fmt: skip


def bodies(stages: list[Stage], gate: dict[str, str], at: int = 0, excused: bool = False) -> Any:
    """Stage and body of each record of a run, which stops at its release gate if that is closed."""
    done = []
    for stage in stages:
        done.append(stage)
        if stage is Stage.RELEASE_GATE and "FAIL" in gate.values() and not excused:
            break
    outcome = "released" if len(done) == len(stages) and done[-1] is Stage.SCORE else "blocked"
    left = [str(s) for s in stages[len(done) :]]
    records = [(str(s), stage_body(s, at + i, gate)) for i, s in enumerate(done)]
    return [*records, (CLOSING_STAGE, closing_body(done, at + len(done), outcome, left))]


@dataclass
class Draft:
    """What a bundle says: records by run, releases, waiver, and files beside them.

    ``linked`` are changes to statements once they are linked, ``packed`` to the entries once they
    are signed; ``manifest`` replaces fields of the manifest.
    """

    runs: dict[str, list[tuple[str, Document]]]
    releases: list[Document] = field(default_factory=list)
    waiver: Document | None = None
    files: Sources = field(default_factory=dict)
    manifest: Document = field(default_factory=dict)
    linked: list[Callable[[str, Document], None]] = field(default_factory=list)
    packed: list[Callable[[Sources], None]] = field(default_factory=list)
    waived_by: tuple[str, ...] = ("ana", "bo")
    signer: str = "home"

    @property
    def run(self) -> str:
        """The run that the bundle is about."""
        return list(self.runs)[-1]

    def body(self, stage: str, run: str = "") -> Document:
        """A stage's body, to be changed."""
        return next(b for s, b in self.runs[run or self.run] if s == stage)


def release(run: str, number: int = 1, **changes: Any) -> Document:
    """A release record; head and previous are filled in when it is sealed."""
    verdicts = {str(s): "PASS" for s in Stage}
    record = {
        "run": run, "candidate": "plain", "model": MODEL, "head": "", "actor": "tester",
        "policy": inputs()["policy"], "contract": inputs()["contract"], "at": clock(8),
        "kind": "release", "continues": "", "reason": "", "waiver": "", "verdicts": verdicts,
        "cards": {}, "schemaVersion": "assay-release/v3", "number": number, "dataset": "clinic",
        "stack": "tfx", "supersedes": number - 1,
    }  # fmt: skip
    return record | changes


def _files(*runs: str) -> Sources:
    contract, policy = documents()
    found = {f"runs/{run}/sbom.cdx.json": b"{}" for run in runs}
    last = runs[-1]
    return {
        **found,
        f"runs/{last}/contract.yaml": contract,
        f"runs/{last}/policy.yaml": policy,
        "keys/evidence.pub": b"key",
        "reports/report.html": b"<p>",
    }


def released() -> Draft:
    """A run that trained a model and was released."""
    return Draft({RUN: bodies(list(Stage), PASSED)}, [release(RUN)], files=_files(RUN))


def blocked() -> Draft:
    """A run that its release gate ended."""
    return Draft({RUN: bodies(list(Stage), FAILED)}, files=_files(RUN))


def waived() -> Draft:
    """A run that releases what another one trained, its closed gate excused by two people."""
    continued = [Stage.RELEASE_GATE, Stage.PUSH, Stage.SCORE]
    runs = {
        EARLIER: bodies(list(Stage), FAILED),
        RUN: bodies(continued, FAILED, at=60, excused=True),
    }
    verdicts = {str(s): "PASS" for s in Stage} | {"release_gate": "FAIL"}
    record = release(
        RUN, kind="waived", continues=EARLIER, reason="why", at=clock(63), verdicts=verdicts
    )
    draft = Draft(runs, [record], waiver_document(), _files(EARLIER, RUN))
    draft.body("release_gate")["facts"] = {"continues": EARLIER, "reason": "why"}
    return draft


def waiver_document() -> Document:
    """What two people sign; run, head and model are filled in when it is sealed."""
    return {
        "dataset": "clinic", "stack": "tfx", "gate": "release_gate", "run": EARLIER, "head": "",
        "policy": inputs()["policy"], "findings": [["limit:tpr", "FAIL"]], "reason": "nurses read",
        "expires": "2026-12-01", "signer": "ana", "cosigner": "bo", "at": clock(30),
    }  # fmt: skip


def sources(draft: Draft) -> Sources:
    """Every entry, linked and signed, the manifest included."""
    found, heads = dict(draft.files), {}
    for run, records in draft.runs.items():
        if run == draft.run and draft.waiver is not None:
            _seal_waiver(draft, found, heads[EARLIER])
        if run == draft.run and len(draft.runs) == 2:
            draft.body("release_gate")["facts"].setdefault("head", heads[EARLIER])
        previous = GENESIS
        for number, (stage, body) in enumerate(records, start=1):
            statement = copy.deepcopy(statement_of(run, stage, number, previous, body))
            name = f"runs/{run}/evidence/{number:04d}-{stage}.json"
            for change in draft.linked:
                change(name, statement)
            found[name] = sign(statement, [key(draft.signer)])
            previous = sha256_json(statement)
        heads[run] = previous
    _seal_releases(draft, found, heads[draft.run])
    for change in draft.packed:
        change(found)
    found.setdefault(MANIFEST, sign(_manifest(draft, found, heads), [key(draft.signer)]))
    return found


def _seal_waiver(draft: Draft, found: Sources, head: str) -> None:
    said = copy.deepcopy(draft.waiver or {})
    said["head"] = said["head"] or head
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "model", "digest": {"sha256": said.pop("model", MODEL)}}],
        "predicateType": "urn:assay:waiver:v1",
        "predicate": said,
    }
    raw = sign(statement, [key(n) for n in draft.waived_by])
    digest = hashlib.sha256(raw).hexdigest()
    found[f"waivers/{digest}.json"] = raw
    held = {"sha256": digest, "model": statement["subject"][0]["digest"]["sha256"], **said}
    draft.body("release_gate").setdefault("waiver", held)
    for record in draft.releases[-1:]:
        record["waiver"] = record["waiver"] or digest


def _seal_releases(draft: Draft, found: Sources, head: str) -> None:
    previous = GENESIS
    for number, record in enumerate(draft.releases, start=1):
        said = {"previous": previous, **record}
        said["head"] = said["head"] or head
        statement = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": "model", "digest": {"sha256": said["model"]}}],
            "predicateType": "urn:assay:release:v3",
            "predicate": said,
        }
        name = f"releases/clinic/tfx/{number:06d}.json"
        for change in draft.linked:
            change(name, statement)
        found[name] = sign(statement, [key(draft.signer)])
        previous = sha256_json(statement)


def _manifest(draft: Draft, found: Sources, heads: dict[str, str]) -> Document:
    names = sorted(set(found) - {MANIFEST})
    said = {
        "schemaVersion": "assay-bundle/v1", "run": draft.run,
        "continues": EARLIER if len(draft.runs) == 2 else "", "dataset": "clinic", "stack": "tfx",
        "records": len(draft.runs[draft.run]), "head": heads[draft.run],
        "release": len(draft.releases), "sizes": {n: len(found[n]) for n in names},
    }  # fmt: skip
    digests = [{"name": n, "digest": {"sha256": sha_of(found[n])}} for n in names]
    return {
        "_type": STATEMENT_TYPE, "subject": digests, "predicateType": "urn:assay:bundle:v1",
        "predicate": said | draft.manifest,
    }  # fmt: skip


def sha_of(raw: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(raw).hexdigest()


def with_report(draft: Draft, report: Path) -> dict[str, bytes | Path]:
    """Every entry, with a report of any size that is read from its file."""
    small = sources(draft)
    size, digest, _ = measure(report)
    heads = {draft.run: str(_said(small[MANIFEST])["predicate"]["head"])}
    statement = _manifest(draft, small, heads)
    statement["subject"].append({"name": "reports/z.bin", "digest": {"sha256": digest}})
    statement["subject"].sort(key=lambda s: s["name"])
    statement["predicate"]["sizes"]["reports/z.bin"] = size
    manifest = sign(statement, [key(draft.signer)])
    return {**small, "reports/z.bin": report, MANIFEST: manifest}


def _said(raw: bytes) -> Document:
    return verify(raw, {"home": raw_key("home")}).statement


def pack(entries: Sources) -> bytes:
    """The archive."""
    stream = io.BytesIO()
    write_entries(stream, entries)
    return stream.getvalue()


def seal(draft: Draft) -> bytes:
    """The bundle."""
    return pack(sources(draft))


def judged(raw: bytes, trust: Trust = TRUST) -> tuple[int, str]:
    """Exit code of the library's verifier, and everything that it finds wrong."""
    try:
        found = verify_bytes(raw, trust)
    except InputError as error:
        return 2, str(error)
    except AssayError as error:
        return 3, repr(error)
    return (0 if found.sound else 1), "\n".join(map(str, found.problems))


def judged_by_second(raw: bytes, trust: Trust = TRUST) -> tuple[int, str]:
    """The same of the second verifier."""
    keys = {k.name: k.raw for k in trust.keys}
    try:
        _, problems = verify_bundle.verify_bundle(raw, keys)
    except verify_bundle.BadInput as error:
        return 2, str(error)
    return (1 if problems else 0), "\n".join(f"{e}: {w}" for e, w in problems)
