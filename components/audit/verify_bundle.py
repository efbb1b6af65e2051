"""A second verifier of evidence bundles, in one file: Python 3.11, its standard library, and the
package ``cryptography``. It shares no code with Assay and can be read in half an hour.

    python verify_bundle.py FILE --key evidence.pub

Exit code 0: sound. 1: tampered with, and every line says which entry and how. 2: bad input, such
as a missing key, a key that signed nothing here, or half a file.

It checks what `assay verify` checks, but for the inside of YAML: it knows no YAML and reads names,
keys and the ids of limits out of contract and policy as lines of text. Whether a signer of a waiver
stands in the right role, and which limits may be waived while inconclusive, is not checked here.
"""

import argparse
import base64
import binascii
import hashlib
import json
import mmap
import re
import struct
import sys
import unicodedata
import zlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

MANIFEST, ZEROS = "manifest.json", "0" * 64
IN_TOTO, PAYLOAD = "https://in-toto.io/Statement/v1", "application/vnd.in-toto+json"
STAGES = [
    "ingest",
    "statistics",
    "data_gate",
    "transform",
    "train",
    "release_gate",
    "push",
    "score",
]
GATES = ("data_gate", "release_gate")
FILE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
WORD = r"[a-z][a-z0-9_]{0,62}"
NAMES = re.compile(
    rf"manifest\.json|keys/{FILE}\.pub|reports/{FILE}|waivers/[0-9a-f]{{64}}\.json"
    rf"|releases/{WORD}/{WORD}/[0-9]{{6}}\.json|runs/{FILE}/(card/{FILE}"
    r"|evidence/[0-9]{4}-[a-z_]{1,32}\.json|(contract|policy)\.yaml|sbom\.cdx\.json"
    r"|native-receipt\.json)"
)
Entry = tuple[str, int, int, int]
Record = dict[str, Any]
Records = dict[str, Record]
Keys = dict[str, bytes]
Shape = Any
MOST_READ, MOST_ENTRIES, MOST_BYTES, MOST_DEEP = 16_000_000, 4096, 0xFFFF_FFFE, 32


class Tampered(Exception):
    """The bundle is not what was signed."""

    def __init__(self, entry: str, what: str) -> None:
        self.entry, self.what = entry, what
        super().__init__(f"{entry}: {what}")


class BadInput(Exception):
    """There is nothing to judge: no bundle, no key, or a key that does not belong to it."""


# ---- the archive: stored entries in rising order, and not a byte beside them


def read_end(view: memoryview) -> tuple[int, int, int]:
    """Where the directory begins and ends, and how many entries it has."""
    end = len(view) - 22
    if end < 0 or bytes(view[end : end + 4]) != b"PK\5\6":
        tail = bytes(view[-65_600:])
        if bytes(view[:4]) == b"PK\3\4" and 0 <= tail.rfind(b"PK\5\6") <= len(tail) - 22:
            raise Tampered("the archive", "bytes follow its end")
        raise BadInput("no whole zip file")
    disk, first, here, count, length, begin, comment = struct.unpack("<HHHHIIH", view[end + 4 :])
    wrong = disk or first or comment or here != count or not 1 <= count <= MOST_ENTRIES
    if wrong or begin + length != end or len(view) > MOST_BYTES:
        raise Tampered("the archive", "its end is not that of a bundle")
    return begin, end, count


def read_archive(view: memoryview) -> list[Entry]:
    """Name, start, size and CRC-32 of each entry."""
    begin, end, count = read_end(view)
    found, folded, place, position, before = [], set(), begin, 0, ""
    for _ in range(count):
        head = bytes(view[place : place + 46])
        nth = f"the entry after {before}" if before else "the first entry"
        if len(head) < 46 or head[:6] != b"PK\1\2\x14\0":
            raise Tampered(nth, "it is not in the directory")
        version, flags, method, clock, day, crc, packed, size, named, extra = struct.unpack(
            "<HHHHHIIIHH", head[6:32]
        )
        raw = bytes(view[place + 46 : place + 46 + named])
        name = raw.decode("ascii", "replace")
        if len(raw) != named or named > 240 or not NAMES.fullmatch(name):
            raise Tampered(nth, "its name is none that a bundle holds")
        if name <= before or name.lower() in folded:
            raise Tampered(name, "it is there twice, but for its case, or out of order")
        if (version, flags, method, clock, day, extra) != (20, 0, 0, 0, 33, 0) or packed != size:
            raise Tampered(name, "it is not a plain stored entry")
        if size > MOST_READ and not name.startswith("reports/"):
            raise Tampered(name, "it is too large")
        if head[32:42] != bytes(10) or struct.unpack("<I", head[42:])[0] != position:
            raise Tampered(name, "it has attributes, overlaps another entry or leaves a gap")
        start = position + 30 + named
        if bytes(view[position:start]) != b"PK\3\4" + head[6:32] + raw:
            raise Tampered(name, "its two headers differ")
        place, position, before = place + 46 + named, start + size, name
        if position > begin:
            raise Tampered(name, "it reaches into the directory")
        folded.add(name.lower())
        found.append((name, start, size, crc))
    if place != end or position != begin:
        raise Tampered("the archive", "bytes lie between its parts")
    return found


def hash_entries(
    view: memoryview, entries: list[Entry]
) -> tuple[dict[str, bytes], dict[str, str], set[str]]:
    """SHA-256 and CRC-32 of each entry, large ones in two threads; bytes of all but reports."""
    kept = {n: bytes(view[s : s + z]) for n, s, z, _ in entries if not n.startswith("reports/")}

    def over(update: Any, entry: Entry) -> None:
        name, start, size, _ = entry
        if name in kept:
            update(kept[name])
        else:
            for at in range(start, start + size, 1 << 23):
                with view[at : min(at + (1 << 23), start + size)] as piece:
                    update(piece)

    def sha256(entry: Entry) -> str:
        digest = hashlib.sha256()
        over(digest.update, entry)
        return digest.hexdigest()

    def crc32(entry: Entry) -> int:
        state = [0]

        def update(piece: Any) -> None:
            state[0] = zlib.crc32(piece, state[0])

        over(update, entry)
        return state[0]

    if max(z for _, _, z, _ in entries) > 1 << 20:
        with ThreadPoolExecutor(2) as pool:
            both = pool.map(sha256, entries), pool.map(crc32, entries)
            digests, sums = list(both[0]), list(both[1])
    else:
        digests, sums = [sha256(e) for e in entries], [crc32(e) for e in entries]
    names = [e[0] for e in entries]
    bad = {e[0] for e, s in zip(entries, sums, strict=True) if s != e[3]}
    return kept, dict(zip(names, digests, strict=True)), bad


# ---- JSON that can be written in one way only (RFC 8785), and DSSE envelopes around it


quote = json.JSONEncoder(ensure_ascii=False).encode


def canonical(value: Any) -> str:
    """RFC 8785, without fractions: nothing that is signed holds one."""
    if value is None or isinstance(value, bool | str):
        return quote(value)
    if isinstance(value, int) and abs(value) < 2**53:
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, dict):
        keys = sorted(value, key=lambda k: k.encode("utf-16-be"))
        return f"{{{','.join([quote(k) + ':' + canonical(value[k]) for k in keys])}}}"
    raise ValueError("a number that is not whole, or too large")


def parse(raw: bytes, entry: str) -> Record:
    """An object out of its canonical form."""
    try:
        found = json.loads(raw.decode("utf-8"))
        same = canonical(found).encode("utf-8") == raw
    except (ValueError, RecursionError) as error:
        raise Tampered(entry, "it is not canonical JSON") from error
    if not same or not isinstance(found, dict):
        raise Tampered(entry, "it is not a canonical JSON object")
    return found


def decode(text: Any, entry: str) -> bytes:
    """Base64 in the one way in which these bytes are written."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise Tampered(entry, "it is not standard base64") from error
    if base64.b64encode(raw).decode() != text:
        raise Tampered(entry, "it is not standard base64")
    return raw


def deep(value: Any) -> int:
    """How deep lists and objects are nested."""
    inside = value.values() if isinstance(value, dict) else value
    nested = [deep(v) for v in inside if isinstance(v, dict | list)]
    return 1 + max(nested, default=0)


def open_envelope(raw: bytes, keys: Keys, entry: str) -> tuple[Record, tuple[str, ...], str]:
    """Statement, names of its distinct signers, and SHA-256 of the statement."""
    if len(raw) > MOST_READ:
        raise Tampered(entry, "it is too large for an envelope")
    envelope = parse(raw, entry)
    if set(envelope) != {"payload", "payloadType", "signatures"}:
        raise Tampered(entry, "it is no DSSE envelope")
    signatures = envelope["signatures"]
    listed = isinstance(signatures, list) and 1 <= len(signatures) <= 16
    if envelope["payloadType"] != PAYLOAD or not listed:
        raise Tampered(entry, "it is no DSSE envelope around an in-toto statement")
    pairs = []
    for one in signatures:
        if not isinstance(one, dict) or set(one) != {"keyid", "sig"}:
            raise Tampered(entry, "a signature has not the fields of one")
        if not isinstance(one["keyid"], str):
            raise Tampered(entry, "a key id is not text")
        pairs.append((one["keyid"], decode(one["sig"], entry)))
    payload = decode(envelope["payload"], entry)
    kind = PAYLOAD.encode()
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    names = {signer_of(keyid, sig, message, keys, entry): None for keyid, sig in pairs}
    statement = parse(payload, entry)
    fields = {"_type", "subject", "predicateType", "predicate"}
    if set(statement) != fields or statement["_type"] != IN_TOTO or deep(statement) > MOST_DEEP:
        raise Tampered(entry, "what is signed is no in-toto statement")
    return statement, tuple(names), hashlib.sha256(payload).hexdigest()


def signer_of(keyid: str, signature: bytes, message: bytes, keys: Keys, entry: str) -> str:
    """The name whose key made a signature; its key id must be right and proves nothing."""
    ids = {name: hashlib.sha256(raw).hexdigest() for name, raw in keys.items()}
    for name, raw in keys.items():
        try:
            Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
        except InvalidSignature:
            continue
        if ids[name] == keyid:
            return name
        raise Tampered(entry, "a signature carries another key's id")
    if keyid in ids.values():
        raise Tampered(entry, "a signature does not fit what is signed")
    raise BadInput(f"{entry} is signed by a key that is not trusted ({keyid[:16]})")


# ---- shapes: what a statement must look like


def text(most: int, pattern: str = "", least: int = 0) -> Shape:
    """Text of a length and a form."""
    form = re.compile(pattern)
    return lambda v: isinstance(v, str) and least <= len(v) <= most and form.search(v)


def whole(least: int, most: int = 2**53) -> Shape:
    """A whole number; true is none."""
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and least <= v <= most


def one_of(*words: str) -> Shape:
    """One of some words."""
    return lambda v: isinstance(v, str) and v in words


class Maybe:
    """A shape, or null."""

    def __init__(self, shape: Any) -> None:
        self.shape = shape


NAME, LONG, SHA = text(400, least=1), text(100_000), text(64, "^[0-9a-f]{64}$")
TIME = text(32, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?\+00:00$")
DECIMAL = text(40, r"^(-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|NaN|-?Infinity)$")
STATUS = one_of("PASS", "FAIL", "INCONCLUSIVE")
DIGEST = {"sha256": SHA}
INPUTS = {
    **dict.fromkeys(("contract", "policy", "datasetVersion", "rowsRoot"), SHA),
    **dict.fromkeys(("dataset", "code", "environment", "lock", "sbom", "image"), NAME),
    "seed": text(20, "^[0-9]+$"),
}
WHO = {"stack": NAME, "candidate": NAME, "actor": LONG, "inputs": INPUTS, "finished": TIME}
MEASUREMENT = {
    **dict.fromkeys(("name", "slice", "unit", "source"), NAME),
    **dict.fromkeys(("value", "low", "high"), Maybe(DECIMAL)),
    "n": Maybe(whole(-(2**53))),
    "of": text(400),
}
FINDING = {"rule": NAME, "status": STATUS, "reason": LONG, "measurement": Maybe(MEASUREMENT)}
SIDE = Maybe({"status": STATUS, "reason": LONG, "findings": [FINDING]})
STAGE = {
    **WHO,
    "outputs": {"*": {"name": NAME, "kind": one_of("file", "directory"), "sha256": SHA}},
    "facts": {"*": lambda v: v is None or isinstance(v, str | int)},
    "tools": {"*": LONG},
    "started": TIME,
    "seconds": DECIMAL,
    "isGate": lambda v: isinstance(v, bool),
    "native": SIDE,
    "referee": SIDE,
    "verdict": {"status": STATUS, "reason": LONG},
    "nativeMeasurements": [MEASUREMENT],
    "measurements": [MEASUREMENT],
    "champion?": Maybe({"release": whole(1), "run": NAME, "model": SHA}),
    "waiver?": Maybe({"*": lambda v: True}),
}
CLOSING = {
    **WHO,
    "outcome": one_of("released", "blocked", "interrupted"),
    "reason": LONG,
    "records": whole(0),
    "notRun": [one_of(*STAGES)],
}
WAIVER = {
    **dict.fromkeys(("run", "dataset", "stack", "signer", "cosigner"), NAME),
    "head": SHA,
    "policy": SHA,
    "gate": one_of("release_gate"),
    "findings": lambda v: (
        isinstance(v, list)
        and len(v) > 0
        and v == sorted(v)
        and all(
            isinstance(f, list) and len(f) == 2 and NAME(f[0]) and f[1] in ("FAIL", "INCONCLUSIVE")
            for f in v
        )
    ),
    "reason": text(2000, least=1),
    "expires": text(10, "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    "at": text(32, r"^[0-9-]{10}T[0-9:]{8}\.[0-9]{6}\+00:00$"),
}
BUNDLE = {
    "schemaVersion": one_of("assay-bundle/v1"),
    "run": text(100, least=1),
    "continues": text(100),
    "dataset": text(100, least=1),
    "stack": text(100, least=1),
    "records": whole(1, 9),
    "head": SHA,
    "release": whole(0, 999_999),
    "sizes": {"*": whole(0, MOST_BYTES)},
}


def require(value: Any, shape: Any, entry: str, field: str = "it") -> None:
    """See that a value has a shape: a test, one or many of a shape, or fields with shapes."""
    if isinstance(shape, Maybe):
        if value is not None:
            require(value, shape.shape, entry, field)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise Tampered(entry, f"{field} is no list")
        for item in value:
            require(item, shape[0], entry, field)
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            raise Tampered(entry, f"{field} is no object")
        if "*" in shape:
            for key, item in value.items():
                require(item, shape["*"], entry, key)
            return
        there = {k: k.rstrip("?") for k in shape if k.rstrip("?") in value}
        if len(there) != len(value) or not all(k in there or k[-1] == "?" for k in shape):
            raise Tampered(entry, f"{field} has not the fields that it should have")
        for key, name in there.items():
            require(value[name], shape[key], entry, name)
    elif not shape(value):
        raise Tampered(entry, f"{field} is not what it should be")


# ---- the manifest and what it lists


def read_manifest(raw: bytes, keys: Keys) -> tuple[Record, dict[str, str], tuple[str, ...]]:
    """What the bundle is about, and size and SHA-256 of each entry."""
    statement, names, _ = open_envelope(raw, keys, MANIFEST)
    said, subject = statement["predicate"], statement["subject"]
    require(subject, [{"name": text(240, least=1), "digest": DIGEST}], MANIFEST, "subject")
    require(said, BUNDLE, MANIFEST, "predicate")
    listed = [s["name"] for s in subject]
    if statement["predicateType"] != "urn:assay:bundle:v1" or not listed:
        raise Tampered(MANIFEST, "what is signed is no manifest")
    if listed != sorted(set(listed)) or set(listed) != set(said["sizes"]):
        raise Tampered(MANIFEST, "it does not list each entry once, in order")
    if not all(NAMES.fullmatch(n) and n != MANIFEST for n in listed):
        raise Tampered(MANIFEST, "it lists what no bundle holds")
    return said, {s["name"]: s["digest"]["sha256"] for s in subject}, names


def compare(
    entries: list[Entry],
    digests: Mapping[str, str],
    bad_sums: Collection[str],
    sizes: Mapping[str, int],
    listed: Mapping[str, str],
) -> list[tuple[str, str]]:
    """Every entry that is not as the manifest says."""
    there = {name: size for name, _, size, _ in entries}
    found = []
    for name in sorted({*there, *listed}):
        if name not in there:
            found.append((name, "it is missing"))
        elif name == MANIFEST:
            if name in bad_sums:
                found.append((name, "its CRC-32 is wrong"))
        elif name not in listed:
            found.append((name, "it was added"))
        elif sizes[name] != there[name] or digests[name] != listed[name] or name in bad_sums:
            found.append((name, "it was altered"))
    return found


# ---- the records of a run


def read_records(run: str, kept: Mapping[str, bytes], keys: Keys) -> Records:
    """Body, digest and entry of each record by stage; every signature and link checked."""
    folder = f"runs/{run}/evidence/"
    names = sorted(n for n in kept if n.startswith(folder))
    found, before = {}, ZEROS
    for number, entry in enumerate(names, start=1):
        statement, signers, digest = open_envelope(kept[entry], keys, entry)
        said = statement["predicate"]
        fields = {"schemaVersion", "run", "stage", "sequence", "previous", "body"}
        if statement["predicateType"] != "urn:assay:evidence:v1" or not isinstance(said, dict):
            raise Tampered(entry, "it is no evidence record")
        expected = ("assay-evidence/v1", run, number, before)
        if set(said) != fields or not whole(1, 9)(said["sequence"]) or "close" in found:
            raise Tampered(entry, "it is no record that may stand here")
        if (said["schemaVersion"], said["run"], said["sequence"], said["previous"]) != expected:
            raise Tampered(entry, "it does not follow the record before it in this run")
        stage, body = said["stage"], said["body"]
        if entry != f"{folder}{number:04d}-{stage}.json" or stage in found:
            raise Tampered(entry, "it is of another stage, or of one that has a record")
        if stage not in (*STAGES, "close"):
            raise Tampered(entry, "there is no such stage")
        require(body, CLOSING if stage == "close" else STAGE, entry, "body")
        left = [
            {"name": f"{stage}/{name}", "digest": {"sha256": output["sha256"]}}
            for name, output in sorted(body.get("outputs", {}).items())
        ] or [{"name": "evidence", "digest": {"sha256": before}}]
        require(left, [{"name": NAME, "digest": DIGEST}], entry, "subject")
        if statement["subject"] != left:
            raise Tampered(entry, "it is about something else than what its stage left behind")
        found[stage] = {"body": body, "digest": digest, "entry": entry, "signers": signers}
        before = digest
    if "close" not in found:
        raise Tampered(folder.rstrip("/"), "the chain has no closing record: it is cut")
    return found


def worst(statuses: Collection[str]) -> str:
    """What several verdicts come to."""
    return next((s for s in ("FAIL", "INCONCLUSIVE") if s in statuses), "PASS")


def is_open(record: Record) -> bool:
    """Whether the run could go on behind a stage."""
    return record["body"]["verdict"]["status"] == "PASS" or record["body"].get("waiver") is not None


def moment(value: Any, entry: str) -> datetime:
    """A time out of its text."""
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise Tampered(entry, "a time of it is none") from error


def check_stage(stage: str, record: Record) -> None:
    """Its verdict follows from both sides, each side's from its findings."""
    body, entry = record["body"], record["entry"]
    sides = [body["native"], body["referee"]]
    if body["isGate"] != (stage in GATES) or (stage in GATES and None in sides):
        raise Tampered(entry, "it is no gate, or a side of it did not speak")
    for side in filter(None, sides):
        found = {f["status"] for f in side["findings"]}
        closed = side["status"] in ("FAIL", "INCONCLUSIVE")
        if side["status"] != worst(found) if found else not closed:
            raise Tampered(entry, "a verdict is not what its findings come to")
    if body["verdict"]["status"] != worst({s["status"] for s in sides if s is not None}):
        raise Tampered(entry, "its verdict is not what both sides come to")
    if stage != "release_gate" and ("champion" in body or "waiver" in body):
        raise Tampered(entry, "it has a champion or a waiver, and is not the release gate")
    waiver = body.get("waiver")
    if waiver is not None:
        digest = str(waiver.get("sha256"))
        if body["verdict"]["status"] == "PASS" or not re.fullmatch("[0-9a-f]{64}", digest):
            raise Tampered(entry, "its waiver is needless, or none")


def check_run(records: Records, stages: Sequence[str]) -> None:
    """Stages in turn, one subject, times that follow, and an end that fits."""
    done = [s for s in records if s != "close"]
    closing = records["close"]
    if done != list(stages[: len(done)]):
        raise Tampered(closing["entry"], "a stage ran out of turn")
    first = next(iter(records.values()))["body"]
    end = None
    for stage, record in records.items():
        body, entry = record["body"], record["entry"]
        if any(body[k] != first[k] for k in ("stack", "candidate", "actor", "inputs")):
            raise Tampered(entry, "it is not about what the first record is about")
        finished = moment(body["finished"], entry)
        if stage == "close":
            if end is not None and finished < end:
                raise Tampered(entry, "it closes the run too early")
            break
        check_stage(stage, record)
        if not is_open(record) and stage != done[-1]:
            raise Tampered(entry, "the run went on though it was closed")
        started = moment(body["started"], entry)
        if (end is not None and started != end) or finished < started:
            raise Tampered(entry, "its times do not follow")
        if body["seconds"] != f"{(finished - started).total_seconds():.1f}":
            raise Tampered(entry, "its seconds are not those between its times")
        end = finished
    check_end([records[s] for s in done], done, closing, stages)


def check_end(
    records: list[Record], done: list[str], closing: Record, stages: Sequence[str]
) -> None:
    """The closing record says what the others come to."""
    body, entry = closing["body"], closing["entry"]
    if body["records"] != len(done) or body["notRun"] != list(stages[len(done) :]):
        raise Tampered(entry, "it counts other records or stages")
    closed = [(s, r["body"]) for s, r in zip(done, records, strict=True) if not is_open(r)]
    complete, outcome = len(done) == len(stages), body["outcome"]
    if outcome == "released" and (closed or not complete):
        raise Tampered(entry, "it says released, and not every stage ran and is open")
    if outcome == "blocked" and not closed and not complete:
        raise Tampered(entry, "it says blocked, and no stage is closed")
    if not done and outcome != "interrupted":
        raise Tampered(entry, "it closes a run that did nothing")
    if outcome == "blocked" and closed:
        stage, last = closed[0]
        if body["reason"] != f"{stage}: {last['verdict']['reason']}":
            raise Tampered(entry, "its reason is not that of the stage that closed the run")


def check_continues(own: Records, origin_id: str, origin: Records) -> None:
    """A run that trained nothing goes on from the run that it names, as that one ended."""
    gate, before = own.get("release_gate"), origin.get("release_gate")
    if gate is None or before is None:
        raise Tampered(own["close"]["entry"], "it judges again what was never judged")
    body, first = gate["body"], next(iter(origin.values()))["body"]
    facts = (body["facts"].get("continues"), body["facts"].get("head"))
    bound = ("contract", "policy", "dataset", "datasetVersion", "rowsRoot", "seed")
    same = facts == (origin_id, origin["close"]["digest"])
    same = same and all(body["inputs"][k] == first["inputs"][k] for k in bound)
    same = same and all(body[k] == first[k] for k in ("stack", "candidate"))
    kept = ("native", "champion", "nativeMeasurements", "measurements")
    judged = [
        sorted(
            (f["rule"], f["status"])
            for f in r["body"]["referee"]["findings"]
            if f["rule"] != "champion"
        )
        for r in (gate, before)
    ]
    same = same and judged[0] == judged[1]
    if not same or any(body.get(k) != before["body"].get(k) for k in kept):
        raise Tampered(gate["entry"], "it does not continue the run that it names")


def check_model(own: Records, origin: Records) -> None:
    """What was pushed and what scored is what was trained."""
    if "push" not in own:
        return
    trained = origin.get("train", {"body": {"outputs": {}}})["body"]["outputs"].get("model")
    pushed = own["push"]["body"]["outputs"].get("serving_model")
    if trained is None or pushed is None or trained["sha256"] != pushed["sha256"]:
        raise Tampered(own["push"]["entry"], "it pushed another model than was trained")
    if "score" in own and own["score"]["body"]["facts"].get("model") != pushed["sha256"]:
        raise Tampered(own["score"]["entry"], "it scored with another model than was pushed")


def check_receipt(run: str, head: str, kept: Mapping[str, bytes], keys: Keys) -> None:
    """What the native store held when the run was over, where a receipt says so."""
    entry = f"runs/{run}/native-receipt.json"
    if entry not in kept:
        return
    statement, _, _ = open_envelope(kept[entry], keys, entry)
    said, subject = statement["predicate"], statement["subject"]
    shape = [{"name": one_of("native-entries.json"), "digest": {"sha256": lambda v: True}}]
    require(subject, shape, entry, "subject")
    require(said, dict.fromkeys(("run", "head", "store", "entries"), lambda v: True), entry)
    if statement["predicateType"] != "urn:assay:native-receipt:v1" or len(subject) != 1:
        raise Tampered(entry, "it is no receipt")
    if (said["run"], said["head"]) != (run, head):
        raise Tampered(entry, "it is about another run, or another end of this one")


# ---- release history, documents and waiver


def open_release(raw: bytes, keys: Keys, entry: str) -> tuple[Record, str, int]:
    """A release record, its digest, and which of the three formats it has; the third is signed."""
    document = parse(raw, entry)
    digest = hashlib.sha256(raw).hexdigest()
    formats = {"assay-release/v1": 1, "assay-release/v2": 2}
    kind = formats.get(str(document.get("schemaVersion")), 3)
    if kind == 3:
        statement, _, digest = open_envelope(raw, keys, entry)
        document = statement["predicate"]
        good = isinstance(document, dict)
        good = good and document.get("schemaVersion") == "assay-release/v3"
        good = good and statement["predicateType"] == "urn:assay:release:v3"
        model = {"name": "model", "digest": {"sha256": document.get("model") if good else ""}}
        if not good or statement["subject"] != [model]:
            raise Tampered(entry, "it is no release record")
    return document, digest, kind


def read_history(said: Record, kept: Mapping[str, bytes], keys: Keys) -> list[Record]:
    """Every release up to the run's own."""
    folder = f"releases/{said['dataset']}/{said['stack']}/"
    found: list[Record] = []
    before, version = ZEROS, 1
    for entry in sorted(n for n in kept if n.startswith(folder)):
        document, digest, kind = open_release(kept[entry], keys, entry)
        number = len(found) + 1
        if entry != f"{folder}{number:06d}.json" or not whole(number, number)(
            document.get("number")
        ):
            raise Tampered(entry, "it is another release")
        place = (document.get("dataset"), document.get("stack"))
        if kind < version or (kind > 1 and document.get("previous") != before):
            raise Tampered(entry, "it does not follow the release before it")
        if kind > 1 and place != (said["dataset"], said["stack"]):
            raise Tampered(entry, "it is a release of something else")
        for key in ("run", "candidate", "model", "head", "policy", "contract", "actor", "at"):
            if not isinstance(document.get(key), str):
                raise Tampered(entry, f"it has no {key}")
        for key in ("verdicts", "cards"):
            if not isinstance(document.get(key, {}), dict):
                raise Tampered(entry, f"its {key} are none")
        if moment(document["at"], entry).tzinfo is None:
            raise Tampered(entry, "its time has no zone")
        found.append({**document, "entry": entry})
        before, version = digest, kind
    if len(found) != said["release"]:
        raise Tampered(folder.rstrip("/"), "it does not end with the run's release")
    return found


def check_release(said: Record, own: Records, origin: Records, history: list[Record]) -> None:
    """The run's release is what its records come to."""
    release, closing, gate = history[-1], own["close"], own["release_gate"]["body"]
    body, waiver = closing["body"], gate.get("waiver")
    released_before = [r.get("continues") or r["run"] for r in history[:-1]]
    kind = "waived" if waiver else "release"
    if said["continues"] and said["continues"] in released_before:
        kind = "rollback"
    records = {**origin, **own}
    expected = {
        "run": said["run"],
        "candidate": body["candidate"],
        "model": own["push"]["body"]["outputs"]["serving_model"]["sha256"],
        "head": closing["digest"],
        "policy": body["inputs"]["policy"],
        "contract": body["inputs"]["contract"],
        "actor": body["actor"],
        "kind": kind,
        "continues": said["continues"],
        "reason": gate["facts"].get("reason", "") if said["continues"] else "",
        "waiver": waiver["sha256"] if waiver else "",
        "supersedes": len(history) - 1,
        "verdicts": {s: r["body"]["verdict"]["status"] for s, r in records.items() if s != "close"},
    }
    given = {"kind": "release", "supersedes": len(history) - 1, "verdicts": {}, **release}
    for key, value in expected.items():
        if given.get(key, "") != value:
            raise Tampered(release["entry"], f"its {key} is not what the records come to")
    if moment(release["at"], release["entry"]) != moment(body["finished"], closing["entry"]):
        raise Tampered(release["entry"], "its time is not that of the closing record")
    champion = gate.get("champion")
    if champion is not None:
        earlier = {r["number"]: (r["run"], r["model"]) for r in history[:-1]}
        if earlier.get(champion["release"]) != (champion["run"], champion["model"]):
            raise Tampered(own["release_gate"]["entry"], "its champion is not in the history")


def document_of(raw: bytes, entry: str) -> tuple[str, Any]:
    """A YAML file as text, and as an object where it is JSON."""
    try:
        words = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Tampered(entry, "it is not UTF-8") from error
    try:
        return words, json.loads(words)
    except (ValueError, RecursionError):
        return words, None


def word_of(words: str, document: Any, key: str) -> Any:
    """A word that stands under a key of the top level."""
    if isinstance(document, dict):
        return document.get(key)
    found = re.search(rf"""(?m)^["']?{key}["']?\s*:\s*["']?([^\s"'#]+)""", words)
    return found.group(1) if found else None


def check_documents(
    said: Record,
    runs: Mapping[str, Records],
    kept: Mapping[str, bytes],
    digests: Mapping[str, str],
    history: list[Record],
) -> None:
    """Contract, policy, SBOM and cards are those that records name; none is missing or extra."""
    wanted: dict[str, Any] = {}
    for run, records in runs.items():
        inputs = next(iter(records.values()))["body"]["inputs"]
        if run == said["run"]:
            wanted |= {f"runs/{run}/{n}.yaml": inputs[n] for n in ("contract", "policy")}
        if inputs["sbom"] != "none":
            wanted[f"runs/{run}/sbom.cdx.json"] = inputs["sbom"]
    cards = history[-1].get("cards", {}) if history else {}
    wanted |= {f"runs/{said['run']}/card/{n}": d for n, d in cards.items()}
    there = {n for n in kept if n.endswith((".yaml", "/sbom.cdx.json")) or "/card/" in n}
    for name in sorted(there | set(wanted)):
        if digests.get(name) != wanted.get(name):
            raise Tampered(name, "it is missing, extra, or not the one that is named")
    dataset = runs[said["run"]]["close"]["body"]["inputs"]["dataset"]
    for name, key in (("contract", "name"), ("policy", "dataset")):
        entry = f"runs/{said['run']}/{name}.yaml"
        if word_of(*document_of(kept[entry], entry), key) != dataset:
            raise Tampered(entry, "it is about another dataset")


def check_limits(said: Record, own: Records, kept: Mapping[str, bytes]) -> None:
    """An open release gate says of every limit of the policy that it holds."""
    gate = own.get("release_gate")
    if gate is None or gate["body"]["referee"]["status"] != "PASS":
        return
    entry = f"runs/{said['run']}/policy.yaml"
    words, document = document_of(kept[entry], entry)
    if document is not None:
        limits = [limit["id"] for limit in document["release_gate"]["limits"]]
    else:
        limits = re.findall(r"""(?m)(?:^\s*-\s*|[{,]\s*|^\s+)id\s*:\s*["']?([^\s"',}]+)""", words)
    rules = [f["rule"].split(":") for f in gate["body"]["referee"]["findings"]]
    judged = {r[1] for r in rules if r[0] == "limit" and len(r) > 1}
    if left := set(limits) - judged:
        raise Tampered(gate["entry"], f"it is open and says nothing of limit {min(left)}")


def open_waiver(raw: bytes, words: str, entry: str) -> tuple[Record, tuple[str, ...]]:
    """A waiver's statement and who signed it, of those whose keys stand in the policy's text."""
    pattern = r"""([a-z][a-z0-9._-]*)["']?\s*:\s*["']?([A-Za-z0-9+/]{43}=)"""
    keys = {base64.b64decode(k): name for name, k in re.findall(pattern, words)}
    try:
        statement, signers, _ = open_envelope(raw, {n: k for k, n in keys.items()}, entry)
    except BadInput as error:
        raise Tampered(entry, "it is signed by a key that the policy does not name") from error
    require(statement["predicate"], WAIVER, entry)
    return statement, signers


def check_waiver(
    said: Record, own: Records, origin: Records, origin_id: str, kept: Mapping[str, bytes]
) -> None:
    """What excused the gate is signed by the two whose keys the policy holds, and covers it all."""
    gate = own.get("release_gate")
    held = gate["body"].get("waiver") if gate else None
    if gate is None or held is None:
        return
    entry, body = f"waivers/{held['sha256']}.json", gate["body"]
    raw = kept.get(entry)
    if raw is None or hashlib.sha256(raw).hexdigest() != held["sha256"]:
        raise Tampered(entry, "it is missing, or another one")
    place = f"runs/{said['run']}/policy.yaml"
    words, _ = document_of(kept[place], place)
    statement, signers = open_waiver(raw, words, entry)
    waiver = statement["predicate"]
    model = origin["train"]["body"]["outputs"].get("model", {}).get("sha256")
    if statement["predicateType"] != "urn:assay:waiver:v1" or statement["subject"] != [
        {"name": "model", "digest": {"sha256": model}}
    ]:
        raise Tampered(entry, "it is no waiver of this model")
    if held != {"sha256": held["sha256"], "model": model, **waiver}:
        raise Tampered(gate["entry"], "its waiver is not the one that is here")
    about = {
        "run": origin_id,
        "head": origin["close"]["digest"],
        "dataset": body["inputs"]["dataset"],
        "stack": body["stack"],
        "policy": body["inputs"]["policy"],
    }
    if any(waiver[k] != v for k, v in about.items()):
        raise Tampered(entry, "it is about something else")
    people = [unicodedata.normalize("NFKC", waiver[k]).casefold() for k in ("signer", "cosigner")]
    named = {waiver["signer"], waiver["cosigner"]}
    if set(signers) != named or len(named) != 2 or people[0].strip() == people[1].strip():
        raise Tampered(entry, "it is not signed by the two people whom it names")
    check_terms(waiver, body, words, entry)


def check_terms(waiver: Record, body: Record, words: str, entry: str) -> None:
    """It held when the gate was judged, and covers everything that kept the gate closed."""
    given = moment(waiver["at"], entry)
    try:
        last = date.fromisoformat(waiver["expires"])
    except ValueError as error:
        raise Tampered(entry, "its last day is none") from error
    start, end = moment(body["started"], entry), moment(body["finished"], entry)
    if given > end or start.astimezone(UTC).date() > last:
        raise Tampered(entry, "it did not hold when the gate was judged")
    most = re.search(r"""max_days["']?\s*:\s*([0-9]+)""", words)
    if most is None or (last - given.date()).days > int(most.group(1)):
        raise Tampered(entry, "it holds for longer than the policy allows")
    closed = set()
    for side in ("native", "referee"):
        found = {(f["rule"], f["status"]) for f in body[side]["findings"] if f["status"] != "PASS"}
        if body[side]["status"] != "PASS" and not found:
            found = {(side, body[side]["status"])}
        closed |= found
    covered = {tuple(f) for f in waiver["findings"]}
    if not closed or not closed <= covered or any(not r.startswith("limit:") for r, _ in closed):
        raise Tampered(entry, "it does not cover everything that closed the gate")


# ---- all of it


def verify_bundle(raw: bytes | mmap.mmap, keys: Keys) -> tuple[list[str], list[tuple[str, str]]]:
    """Check a bundle; returns lines about what was checked, and what is wrong by entry.

    raw: bytes or a memory map. keys: raw 32-byte Ed25519 public key by name.
    """
    checks: list[str] = []
    problems: list[tuple[str, str]] = []
    try:
        with memoryview(raw) as view:
            _verify(view, keys, checks, problems)
    except Tampered as error:
        problems.append((error.entry, error.what))
    return checks, problems


def read_runs(
    said: Record, kept: Mapping[str, bytes], keys: Keys, checks: list[str]
) -> tuple[Records, Records, dict[str, Records]]:
    """Records of the run, of the run that trained its model, and both by id; all fit together."""
    run, origin_id = said["run"], said["continues"] or said["run"]
    own = read_records(run, kept, keys)
    origin = own if origin_id == run else read_records(origin_id, kept, keys)
    check_run(own, STAGES[5:] if said["continues"] else STAGES)
    if said["continues"]:
        check_run(origin, STAGES)
        check_continues(own, origin_id, origin)
    elif "continues" in own.get("release_gate", {"body": {"facts": {}}})["body"]["facts"]:
        raise Tampered(MANIFEST, "it hides that the run continues another one")
    check_model(own, {**origin, **own})
    body, head = own["close"]["body"], own["close"]["digest"]
    about = (len(own), head, body["inputs"]["dataset"], body["stack"])
    if (said["records"], said["head"], said["dataset"], said["stack"]) != about:
        raise Tampered(MANIFEST, "it is about another run than the records")
    runs = {origin_id: origin, run: own}
    for name, records in runs.items():
        check_receipt(name, records["close"]["digest"], kept, keys)
        checks.append(
            f"chain of {name}: {len(records)} records signed, linked, closed as "
            f"{records['close']['body']['outcome']}; head {records['close']['digest']}"
        )
    return own, origin, runs


def _verify(
    view: memoryview, keys: Keys, checks: list[str], problems: list[tuple[str, str]]
) -> None:
    entries = read_archive(view)
    checks.append(f"archive: {len(entries)} entries in {len(view):,} bytes")
    kept, digests, bad_sums = hash_entries(view, entries)
    if MANIFEST not in kept:
        raise Tampered(MANIFEST, "it is missing")
    said, listed, signers = read_manifest(kept[MANIFEST], keys)
    problems += compare(entries, digests, bad_sums, said["sizes"], listed)
    if problems:
        return
    checks.append(f"manifest: signed by {', '.join(signers)}; {len(listed)} entries are as it says")
    check_content(said, kept, digests, keys, checks)


def check_content(
    said: Record,
    kept: Mapping[str, bytes],
    digests: Mapping[str, str],
    keys: Keys,
    checks: list[str],
) -> None:
    """Everything behind the manifest, once each entry is known to be the one that it lists."""
    own, origin, runs = read_runs(said, kept, keys, checks)
    body, origin_id = own["close"]["body"], said["continues"] or said["run"]
    history = read_history(said, kept, keys)
    if bool(history) != (body["outcome"] == "released"):
        raise Tampered(MANIFEST, "outcome and release history do not fit together")
    if history:
        check_release(said, own, origin, history)
        checks.append(f"release: number {len(history)}, model {history[-1]['model']}")
    check_names(said, runs, own, history, kept)
    check_documents(said, runs, kept, digests, history)
    check_limits(said, own, kept)
    check_waiver(said, own, origin, origin_id, kept)
    checks.append("documents: contract, policy, SBOM, cards and waiver are those that are named")


def check_names(
    said: Record,
    runs: Mapping[str, Records],
    own: Records,
    history: list[Record],
    kept: Mapping[str, bytes],
) -> None:
    """Nothing lies in the bundle that is not of this run."""
    waiver = own.get("release_gate", {"body": {}})["body"].get("waiver")
    known = {MANIFEST, *(r["entry"] for r in history)}
    known |= {f"waivers/{waiver['sha256']}.json"} if waiver else set()
    folders = ("keys/", *(f"runs/{run}/" for run in runs))
    for name in sorted(kept):
        if name not in known and not name.startswith(folders):
            raise Tampered(name, "it does not belong to this run")


def load_key(path: Path) -> Keys:
    """A public key file, under its own name."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise BadInput(f"{path} is no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput(f"{path} is a key of another kind than Ed25519")
    raw = key.public_bytes_raw()
    prime, coordinate = 2**255 - 19, int.from_bytes(raw, "little") & (2**255 - 1)
    eight = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
    # Under these anybody can sign (RFC 8032, section 5.1): points of small order, twice encoded.
    if coordinate >= prime or coordinate in (0, 1, prime - 1, eight, prime - eight):
        raise BadInput(f"{path} is a key under which anybody can sign")
    return {path.stem: raw}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Verify an evidence bundle.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", type=Path, required=True, help="Ed25519 public key in PEM")
    given = parser.parse_args()
    try:
        keys = load_key(given.key)
        with (
            given.file.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        ):
            checks, problems = verify_bundle(mapped, keys)
    except (BadInput, OSError, ValueError) as error:
        print(f"verify_bundle: {given.file}: {error}", file=sys.stderr)
        return 2
    for line in checks:
        print(f"ok        {line}")
    for entry, what in problems:
        print(f"TAMPERED  {entry}: {what}")
    print("tampered" if problems else "sound")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
