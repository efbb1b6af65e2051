"""`assay keys disclose` and `assay keys destroy-row-key`: one row is told, then nobody's is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from components.audit.access_log import read_access
from components.contract.errors import InputError
from components.datasets.canonical import rows_root
from components.datasets.dataset import ROW_COLUMN, SPLITS, Dataset
from components.lineage.commitments import commit_rows, commitment, encode_rows, nonce_of_copy
from components.lineage.merkle import verify_inclusion
from components.lineage.row_key import read_row_key
from components.stacks.abandoned import hold, let_go
from components.stacks.process import ReleaseProcess
from pipelines import lineage_stores
from pipelines.cli import app
from pipelines.launch import Order, prepare, prepare_release
from tests import seeded
from tests.decided import decide, rows_of
from tests.plain_stack import PlainStack, start
from tests.recorded_store import recorded_store, sign_receipts


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> ReleaseProcess:
    """A released run, two of whose rows are the same, with a log, a bundle and receipts."""
    folder = tmp_path_factory.mktemp("keys")
    contract, policy = seeded.write_documents(folder / "documents")
    data = seeded.write_rows(folder / "a.csv")
    lines = data.read_text().splitlines()
    data.write_text("\n".join([*lines, lines[1]]) + "\n")
    made = start(folder / "home", "plain", policy=policy, contract=contract, data=data)
    assert PlainStack(made).run() == "released"
    decide(made, "a-log", rows_of(made, "evaluation"))
    sign_receipts(folder / "home", recorded_store(folder / "home"))
    bundle = ("bundle", made.spec.run_id, "-o", str(folder / "run.zip"))
    assert _assay(folder / "home", *bundle)[0] == 0
    return made


@pytest.fixture
def home(pristine: ReleaseProcess, tmp_path: Path) -> Path:
    """The home once more, to be changed."""
    shutil.copytree(pristine.spec.home, tmp_path / "home")
    return tmp_path / "home"


def _assay(home: Path, *arguments: str) -> tuple[int, str]:
    """Exit code, and what was said: the error's one line where there was one."""
    done = CliRunner().invoke(app, [*arguments, "--home", str(home)])
    if done.exception is None or isinstance(done.exception, SystemExit):
        return done.exit_code, done.output
    assert done.output == ""
    return done.exception.exit_code, str(done.exception)  # type: ignore[attr-defined]


def _everything(process: ReleaseProcess, split: str) -> list[dict[str, Any]]:
    files = process.dataset.files(split=split)
    return [row for f in files for row in pq.read_table(f).to_pylist()]


def _encoded(process: ReleaseProcess) -> dict[bytes, bytes]:
    """Each row's encoding, by its commitment."""
    names = [c.name for c in process.contract.columns]
    found = {}
    for file in process.dataset.files():
        table = pq.read_table(file)
        rows = table[ROW_COLUMN].to_pylist()
        found |= dict(zip(rows, encode_rows(table.select(names)), strict=True))
    return found


def _disclosed(home: Path, process: ReleaseProcess, row: bytes) -> dict[str, Any]:
    code, told = _assay(home, "keys", "disclose", process.spec.run_id, row.hex(), "--json")
    assert code == 0
    document: dict[str, Any] = json.loads(told)
    return document


def test_a_disclosed_nonce_verifies_its_row_and_no_other(pristine, home: Path) -> None:
    encoded = _encoded(pristine)
    row = rows_of(pristine, "train")[ROW_COLUMN].to_pylist()[3]
    told = _disclosed(home, pristine, row)
    drawn, (leaf,) = bytes.fromhex(told["nonce"]), told["leaves"]
    assert commitment(drawn, encoded[row]) == row
    assert verify_inclusion(
        row, leaf["index"], told["size"], [bytes.fromhex(p) for p in leaf["path"]],
        bytes.fromhex(pristine.dataset.root(told["split"])),
    )  # fmt: skip
    assert [c for c, e in encoded.items() if commitment(drawn, e) in encoded] == [row]
    # Nothing that is told is another row's nonce, or the key.
    key = read_row_key(home)
    nonces = {nonce_of_copy(key, e, 0).hex() for c, e in encoded.items() if c != row}
    assert nonces.isdisjoint(_hex_texts(told))
    assert key.hex() not in _hex_texts(told)
    access = read_access(home)[-1]
    assert (access.command, access.subjects) == ("keys disclose", (row.hex(),))


def _hex_texts(document: Any) -> set[str]:
    if isinstance(document, dict):
        return {t for v in document.values() for t in _hex_texts(v)}
    if isinstance(document, list):
        return {t for v in document for t in _hex_texts(v)}
    return {document} if isinstance(document, str) else set()


def test_each_copy_of_a_row_has_a_nonce_of_its_own(pristine, home: Path) -> None:
    encoded = _encoded(pristine)
    first = next(e for e in encoded.values() if list(encoded.values()).count(e) == 2)
    copies = [c for c, e in encoded.items() if e == first]
    nonces = {_disclosed(home, pristine, c)["nonce"] for c in copies}
    assert len(copies) == len(nonces) == 2


def test_a_trace_discloses_no_nonce(pristine, home: Path) -> None:
    key, encoded = read_row_key(home), _encoded(pristine)
    nonces = {nonce_of_copy(key, e, place).hex() for e in encoded.values() for place in (0, 1)}
    page = home.parent / "trace.html"
    said = ""
    for more in ((), ("--json",), ("--html", str(page))):
        code, told = _assay(home, "trace", "a-log.0000000001", *more)
        assert code == 0
        said += told
    said += page.read_text()
    windows = {said[i : i + 64] for i in range(len(said) - 63)}
    assert windows.isdisjoint(nonces)
    assert pristine.dataset.root("train") in windows


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("ab" * 32, "is no row of this run's dataset"),
        ("ab" * 31, "is no row commitment"),
        ("AB" * 32, "is no row commitment"),
        ("p00001", "is no row commitment"),
    ],
)
def test_a_row_that_is_not_there_is_bad_input(pristine, home: Path, row: str, says: str) -> None:
    before = len(read_access(home))
    code, told = _assay(home, "keys", "disclose", pristine.spec.run_id, row)
    assert (code, says in told) == (2, True)
    assert len(told.splitlines()) == 1
    assert len(read_access(home)) == before


def test_a_row_under_the_commitment_of_another_is_broken_evidence(pristine, home: Path) -> None:
    from components.audit.disclosure import disclose
    from components.contract.errors import EvidenceError

    row = rows_of(pristine, "train")[ROW_COLUMN].to_pylist()[0]
    with pytest.raises(EvidenceError, match="is not the one it names"):
        disclose(pristine.dataset, pristine.contract, b"k" * 32, row)


def test_destroying_the_key_wants_a_word(home: Path) -> None:
    key = read_row_key(home)
    code, told = _assay(home, "keys", "destroy-row-key")
    assert (code, "--yes" in told, read_row_key(home)) == (2, True, key)


def test_while_a_run_is_at_work_its_key_stays(home: Path) -> None:
    (run,) = (home / "runs").iterdir()
    hold(run)
    try:
        code, told = _assay(home, "keys", "destroy-row-key", "--yes")
    finally:
        let_go(run)
    assert (code, "is at work and may need what would go" in told) == (2, True)
    assert read_row_key(home)
    assert read_access(home)[-1].command != "keys destroy-row-key"


def test_destroying_the_key_forgets_and_integrity_stays(
    pristine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, bundle = pristine.spec.run_id, Path(pristine.spec.home).parent / "run.zip"
    row = rows_of(pristine, "train")[ROW_COLUMN].to_pylist()[3]
    kept, encoded = bytes.fromhex(_disclosed(home, pristine, row)["nonce"]), _encoded(pristine)[row]
    person = str(rows_of(pristine, "evaluation")["person"].to_pylist()[0])
    store = recorded_store(home)
    monkeypatch.setattr(lineage_stores, "native_store", lambda _stack, _home: store)
    assert _assay(home, "impact", "--member", person)[0] == 0

    assert _assay(home, "keys", "destroy-row-key", "--yes")[0] == 0
    entry = read_access(home)[-1]
    assert (entry.command, entry.result) == ("keys destroy-row-key", "the row key is destroyed")

    # Integrity stays: signatures, chain, native store, roots, figures.
    public = str(home / "keys" / "evidence.pub")
    assert CliRunner().invoke(app, ["verify", str(bundle), "--key", public]).exit_code == 0
    again = str(home.parent / "again.zip")
    assert _assay(home, "bundle", run, "-o", again)[0] == 0
    assert CliRunner().invoke(app, ["verify", again, "--key", public]).exit_code == 0
    assert _assay(home, "audit", "mutations", "--stack", "tfx")[0] == 0
    assert _assay(home, "recompute", run)[0] == 0
    dataset = Dataset.open(ReleaseProcess.open(home / "runs" / run).dataset.directory)
    for split in SPLITS:
        leaves = [r[ROW_COLUMN] for r in _everything(pristine, split)]
        assert rows_root(leaves) == dataset.root(split)
    assert commitment(kept, encoded) == row  # what was disclosed once is not taken back

    # Nobody is named any more.
    code, told = _assay(home, "trace", "a-log.0000000001")
    assert code == 0
    assert "the row key was destroyed on 2" in told
    assert "of the training rows" not in told
    for command in (
        ("impact", "--member", person),
        ("keys", "disclose", run, row.hex()),
        ("score", "insurer/tfx", "--data", str(bundle.with_name("a.csv"))),
    ):
        code, told = _assay(home, *command)
        assert code == 2
        assert len(told.splitlines()) == 1
        assert "the row key was destroyed on 2" in told
        assert person not in told
    assert _assay(home, "keys", "destroy-row-key", "--yes")[0] == 2


@pytest.mark.parametrize("how", ["destroyed", "lost"])
def test_no_run_makes_another_key_beside_the_old_rows(pristine, home: Path, how: str) -> None:
    folder = Path(pristine.spec.home).parent
    order = Order("tfx", "plain", folder / "documents" / "policy.yaml")
    if how == "destroyed":
        assert _assay(home, "keys", "destroy-row-key", "--yes")[0] == 0
    else:
        (home / "keys" / "row.key").unlink()
    before = {p for p in home.rglob("*") if "access" not in p.parts}
    says = "was destroyed on 2" if how == "destroyed" else "the row key is missing"
    with pytest.raises(InputError, match=says):
        prepare(folder / "documents" / "insurer.yaml", [order], home, folder / "a.csv")
    with pytest.raises(InputError, match=says):
        prepare_release(home / "runs" / pristine.spec.run_id, "again")
    assert {p for p in home.rglob("*") if "access" not in p.parts} == before


def test_the_same_rows_under_another_key_are_another_version(pristine, tmp_path: Path) -> None:
    rows = sorted(_encoded(pristine).values())
    keys = (read_row_key(Path(pristine.spec.home)), b"k" * 32)
    roots = {rows_root(list(commit_rows(key, rows))) for key in keys}
    assert len(roots) == 2
