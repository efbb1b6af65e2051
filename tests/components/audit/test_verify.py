"""Trust, verdicts and exits of both verifiers, and a bundle that is kept for ever."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.audit import verify_bundle
from components.audit.bundle_format import MANIFEST, SignerError
from components.audit.import_bundle import public_pem
from components.audit.trust import Trust, TrustedKey, load_trust
from components.audit.verify import verify_bytes, verify_file
from components.contract.errors import InputError
from components.contract.json_schema import ROOT
from components.lineage.keys import public_text
from tests.small_bundle import (
    RUN,
    TRUST,
    judged,
    raw_key,
    released,
    seal,
    sources,
    waived,
)

GOLDEN = ROOT / "tests" / "golden" / "bundle_v1"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
SECOND = Path(verify_bundle.__file__)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A sound bundle in a file."""
    path = tmp_path / "bundle.zip"
    path.write_bytes(seal(released()))
    return path


def root(path: Path, *fields: str, name: str = "clinic") -> Path:
    """A trust root with one key."""
    text = "schemaVersion: assay-trust/v1\nkeys:\n"
    path.write_text(text + f"  {name}:\n" + "".join(f"    {f}\n" for f in fields))
    return path


KEY = f"key: {public_text(raw_key('home'))}"


def test_the_golden_bundle_verifies_for_ever() -> None:
    found = verify_file(GOLDEN / "bundle.zip", load_trust(GOLDEN / "evidence.pub"))
    assert (found.sound, found.problems) == (True, [])
    keys = verify_bundle.load_key(GOLDEN / "evidence.pub")
    checks, problems = verify_bundle.verify_bundle((GOLDEN / "bundle.zip").read_bytes(), keys)
    assert (len(checks), problems) == (5, [])


def test_what_was_checked_is_said_line_by_line() -> None:
    found = verify_bytes(seal(waived()), TRUST)
    told = [line.partition(":")[0] for line in found.checks]
    assert told == [
        "archive", "manifest", "entries", "chain of run-1", "chain of run-2", "process", "release",
        "documents", "waiver",
    ]  # fmt: skip


def test_the_second_verifier_imports_nothing_of_ours() -> None:
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='x');"
        "print(sorted({m.partition('.')[0] for m in sys.modules}"
        " & {'components', 'yaml', 'jsonschema', 'rfc8785', 'pipelines'}))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, SECOND], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("change", "code"), [(b"", 0), (b"altered", 1), (b"half", 2), (b"other key", 2)]
)
def test_the_second_verifier_runs_alone(
    bundle: Path, tmp_path: Path, change: bytes, code: int
) -> None:
    key = tmp_path / "key.pub"
    key.write_bytes(public_pem(raw_key("eve" if change == b"other key" else "home")))
    raw = bundle.read_bytes()
    if change == b"altered":
        raw = raw.replace(b"<p>", b"<q>")
    bundle.write_bytes(raw[:100] if change == b"half" else raw)
    done = subprocess.run(
        [sys.executable, "-I", SECOND, bundle, "--key", key], capture_output=True, text=True
    )
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == (1 if code == 2 else 0)
    if code == 1:
        assert "TAMPERED  reports/report.html: it was altered" in done.stdout


def test_a_key_of_a_trust_root_counts_on_its_days_and_in_its_role(
    bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "root.yaml"
    fields = (KEY, "role: evidence", 'not_before: "2026-01-01"', 'not_after: "2026-12-31"')
    trust = load_trust(root(path, *fields))
    assert verify_file(bundle, trust, NOW).sound
    for at, wanted in (
        (datetime(2027, 1, 1, tzinfo=UTC), "clinic, whose key expired on 2026-12-31"),
        (datetime(2025, 12, 31, tzinfo=UTC), "clinic, whose key counts only from 2026-01-01 on"),
    ):
        with pytest.raises(SignerError, match=wanted):
            verify_file(bundle, trust, at)
    assert verify_file(bundle, trust, datetime(2026, 12, 31, 23, 59, tzinfo=UTC)).sound
    other = load_trust(root(path, KEY, "role: waiver"))
    with pytest.raises(SignerError, match="whose role is waiver and not evidence"):
        verify_file(bundle, other, NOW)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ((KEY,), "a role"),
        (("role: evidence",), "a role, as evidence, and a key"),
        ((KEY, "role: evidence", "colour: blue"), "only key, not_after, not_before, role"),
        ((KEY, "role: evidence", "not_after: 2026-12-31"), "quotes around it"),
        ((KEY, "role: evidence", 'not_after: "never"'), "a day in quotes"),
        ((KEY, KEY, "role: evidence"), "each key once"),
        (("key: &a x", "role: *a"), "the value written out"),
        (("key: AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "role: evidence"), "a line that"),
    ],
)
def test_a_trust_root_that_is_none_is_told_in_one_line(
    tmp_path: Path, fields: tuple[str, ...], wanted: str
) -> None:
    with pytest.raises(InputError, match=wanted) as told:
        load_trust(root(tmp_path / "root.yaml", *fields))
    assert "\n" not in str(told.value)


def test_one_key_under_two_names_is_no_trust_root(tmp_path: Path) -> None:
    path = root(tmp_path / "root.yaml", KEY, "role: evidence")
    path.write_text(path.read_text() + f"  other:\n    {KEY}\n    role: evidence\n")
    with pytest.raises(InputError, match="each key under one name"):
        load_trust(path)


def test_a_key_inside_the_bundle_is_never_trusted() -> None:
    draft = released()
    draft.signer = "eve"
    draft.files["keys/evidence.pub"] = public_pem(raw_key("eve"))
    assert judged(seal(draft))[0] == 2


def test_of_two_keys_either_may_sign() -> None:
    both = Trust("both", (TrustedKey("a", raw_key("eve")), TrustedKey("b", raw_key("home"))))
    assert verify_bytes(seal(released()), both).sound


@pytest.mark.parametrize("path", ["/nowhere/bundle.zip", "/", "/dev/null"])
def test_what_is_no_file_is_bad_input(path: str) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        verify_file(Path(path), TRUST)


def test_every_entry_that_is_missing_or_extra_is_named() -> None:
    def change(entries: dict[str, bytes]) -> None:
        entries[MANIFEST] = sources(released())[MANIFEST]
        del entries["keys/evidence.pub"]
        entries["keys/evidence-2.pub"] = b"key"
        entries[f"runs/{RUN}/sbom.cdx.json"] = b"[]"

    draft = released()
    draft.packed.append(change)
    code, problems = judged(seal(draft))
    assert (code, problems.splitlines()) == (
        1,
        [
            "keys/evidence-2.pub: the manifest does not list it: it was added",
            "keys/evidence.pub: it is missing",
            f"runs/{RUN}/sbom.cdx.json: its SHA-256 is not that of the manifest: it was altered",
        ],
    )
