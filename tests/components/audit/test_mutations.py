"""What the mutation check names, on real runs of a tiny stack; the native store is a stand-in."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.audit.differences import Difference, Kind, shown
from components.audit.mutation_check import StackCheck, check_stack, runs_of, stack_of
from components.audit.mutations import compare_entries
from components.checks.measurement import Status
from components.contract.errors import EvidenceError, InputError
from components.contract.stages import Stage
from components.lineage.digests import canonical_json
from components.lineage.graph import Edge, EdgeKind, Node, NodeKind
from components.lineage.receipts import ENTRIES, RECEIPT
from tests.plain_stack import PILOT, PRODUCTION, PlainStack, start
from tests.recorded_store import RecordedStore, recorded_store, sign_receipts

OTHER = "f" * 64


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run that was released and one that was interrupted, both with receipts."""
    home = tmp_path_factory.mktemp("pristine")
    lenient = home / "lenient.yaml"
    lenient.write_text(PILOT.read_text().replace("at_most: 0.2", "at_most: 0.9"))
    stack = PlainStack(start(home, "mitigated", policy=lenient))
    assert stack.run() == "released"
    stopped = PlainStack(start(home, "plain", policy=PRODUCTION))
    stopped.process.run_stage(Stage.INGEST, lambda: stopped.hook(Stage.INGEST))
    stopped.process.close("a test stopped it")
    sign_receipts(home, recorded_store(home))
    return home


@pytest.fixture
def home(pristine: Path, tmp_path: Path) -> Path:
    """The home once more, to be changed."""
    shutil.copytree(pristine, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def store(pristine: Path) -> RecordedStore:
    """What the store holds, to be changed."""
    return recorded_store(pristine)


@pytest.fixture
def run(pristine: Path) -> str:
    """The run that was released."""
    return next(r for r in runs_of(pristine, "tfx") if "mitigated" in r)


@pytest.fixture
def stopped(pristine: Path) -> str:
    """The run that was interrupted."""
    return next(r for r in runs_of(pristine, "tfx") if "plain" in r)


def _check(home: Path, store: RecordedStore, run: str | None = None) -> StackCheck:
    return check_stack(home, "tfx", store, run)


def _told(found: StackCheck) -> list[tuple[Kind, str, str | None, str | None]]:
    return [(d.kind, d.where, d.old, d.new) for d in found.differences]


def test_what_nobody_touched_differs_in_nothing(
    home: Path, store: RecordedStore, run: str, stopped: str
) -> None:
    found = _check(home, store)
    assert found.differences == ()
    assert found.runs == tuple(sorted([run, stopped]))
    assert found.entries == sum(map(len, store.entries.values())) > 20
    assert found.files.checked > 30
    assert found.files.gone == 0
    assert _check(home, store, run).runs == (run,)
    assert _check(home, store, run).differences == ()


def test_one_look_tells_about_all_runs(home: Path, store: RecordedStore, run: str) -> None:
    _check(home, store)
    _check(home, store, run)
    assert store.looks == 2
    assert store.asked == [None, {run}]


def test_a_look_writes_nothing(home: Path, store: RecordedStore) -> None:
    def content() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file()}

    before = content()
    _check(home, store)
    assert content() == before


def test_properties_that_were_edited_added_and_deleted(
    home: Path, store: RecordedStore, run: str
) -> None:
    held = store.entries[run]
    actor, seed = f"run/{run}/actor", f"run/{run}/seed"
    old = held.pop(seed)
    held[actor] = "somebody"
    held["run/x/note"] = "new"
    expected = [
        (Kind.EDITED, actor, "tester", "somebody"),
        (Kind.DELETED, seed, old, None),
        (Kind.ADDED, "run/x/note", None, "new"),
    ]
    assert sorted(_told(_check(home, store)), key=str) == sorted(expected, key=str)


def test_entries_are_compared_in_the_order_of_their_paths() -> None:
    found = compare_entries(
        "r", {"b": "1", "a": "1", "same": "x"}, {"c": "2", "a": "", "same": "x"}
    )
    assert found == [
        Difference(Kind.EDITED, "r", "a", "1", ""),
        Difference(Kind.DELETED, "r", "b", "1", None),
        Difference(Kind.ADDED, "r", "c", None, "2"),
    ]


def test_a_deleted_run_is_one_difference(home: Path, store: RecordedStore, run: str) -> None:
    held = len(store.entries[run])
    store.forget(run)
    for found in (_check(home, store), _check(home, store, run)):
        assert _told(found) == [(Kind.DELETED_RUN, f"run/{run}", f"{held} entries", None)]


def test_a_run_that_never_came_to_the_store_was_not_deleted(
    home: Path, store: RecordedStore, stopped: str
) -> None:
    directory = home / "runs" / stopped
    for name in (RECEIPT, ENTRIES):
        (directory / name).unlink()
    store.forget(stopped)
    assert {d.kind for d in _check(home, store).differences} == {Kind.NO_RECEIPT, Kind.DELETED_RUN}
    store.entries[stopped] = {}
    sign_receipts_of(home, store, stopped)
    assert _check(home, store).differences == ()
    store.entries[stopped] = {"run/x/late": "1"}
    assert _told(_check(home, store)) == [(Kind.ADDED, "run/x/late", None, "1")]


def sign_receipts_of(home: Path, store: RecordedStore, run: str) -> None:
    """A receipt of one run."""
    alone = RecordedStore(store.nodes, store.edges, {run: store.entries[run]})
    sign_receipts(home, alone)


def test_a_run_that_no_evidence_knows(home: Path, store: RecordedStore, run: str) -> None:
    other = "20261124T000000Z-tfx-plain-ffffff"
    store.nodes[f"run/{other}"] = Node(f"run/{other}", NodeKind.RUN)
    store.entries["20261124T000001Z-tfx-plain-ffffff"] = {"a": "b"}
    kinds = {(d.kind, d.run) for d in _check(home, store).differences}
    assert kinds == {
        (Kind.ADDED_RUN, other),
        (Kind.ADDED_RUN, "20261124T000001Z-tfx-plain-ffffff"),
    }
    assert _check(home, store, run).differences == ()


def test_a_run_that_has_only_begun_is_not_one_that_no_evidence_knows(
    home: Path, store: RecordedStore
) -> None:
    begun = "20261124T000000Z-tfx-plain-ffffff"
    (home / "runs" / begun / "evidence").mkdir(parents=True)
    store.entries[begun] = {"a": "b"}
    assert _check(home, store).differences == ()


@pytest.mark.parametrize(
    ("node", "attribute", "old", "new"),
    [
        ("run/{}", "outcome", "released", "blocked"),
        ("run/{}", "candidate", "mitigated", "plain"),
        ("run/{}", "actor", "tester", "boss"),
        ("stage/{}/release_gate", "status", "PASS", "FAIL"),
        ("release/rand_hie/tfx/1", "actor", "tester", "boss"),
    ],
)
def test_what_the_store_says_otherwise_than_the_evidence(
    home: Path, store: RecordedStore, run: str, node: str, attribute: str, old: str, new: str
) -> None:
    """The receipt is silent where a store was edited before it was signed."""
    name = node.format(run)
    store.say(name, attribute, new)
    assert _told(_check(home, store)) == [(Kind.CONTRADICTS, f"{name}/{attribute}", old, new)]


def test_a_figure_that_the_store_says_otherwise(home: Path, store: RecordedStore, run: str) -> None:
    gate = f"stage/{run}/release_gate"
    held = store.nodes[gate].attributes
    store.say(gate, "figure:roc_auc@overall", "0.999")
    assert _told(_check(home, store)) == [
        (
            Kind.CONTRADICTS,
            f"{gate}/figure:roc_auc@overall",
            held["figure:roc_auc@overall"],
            "0.999",
        )
    ]


def test_other_data_another_contract_and_another_model(
    home: Path, store: RecordedStore, run: str
) -> None:
    changed = []
    for edge in store.edges:
        same = edge.source == f"run/{run}" or edge.target == f"stage/{run}/train"
        kind = edge.target.split("/")[0]
        if same and edge.kind is EdgeKind.USED and kind in ("dataset", "contract"):
            changed.append(Edge(edge.source, edge.kind, f"{kind}/{OTHER}"))
        elif same and edge.role == "model":
            changed.append(Edge(f"model/{OTHER}", edge.kind, edge.target, edge.role))
        else:
            changed.append(edge)
    for kind in (NodeKind.DATASET, NodeKind.CONTRACT, NodeKind.MODEL):
        store.nodes[f"{kind}/{OTHER}"] = Node(f"{kind}/{OTHER}", kind)
    store.edges = changed
    found = _check(home, store)
    assert {(d.kind, d.where) for d in found.differences} == {
        (Kind.CONTRADICTS, f"run/{run}/dataset"),
        (Kind.CONTRADICTS, f"run/{run}/contract"),
        (Kind.CONTRADICTS, f"stage/{run}/train/model"),
    }
    assert {d.new for d in found.differences} == {OTHER}


def test_a_release_that_is_gone_and_one_that_was_never_recorded(
    home: Path, store: RecordedStore, run: str
) -> None:
    node = store.nodes.pop("release/rand_hie/tfx/1")
    store.nodes["release/rand_hie/tfx/2"] = Node(
        "release/rand_hie/tfx/2", NodeKind.RELEASE, {"run": run, "model": OTHER}
    )
    assert _told(_check(home, store)) == [
        (Kind.DELETED, "release/rand_hie/tfx/1", node.attributes["model"], None),
        (Kind.ADDED, "release/rand_hie/tfx/2", None, OTHER),
    ]


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "name",
    [
        "plain/pushed.json",
        "plain/model.json",
        "plain/rows.parquet",
        "plain/statistics.json",
        "plain/trained.parquet",
        "predictions.parquet",
        "train-scores.parquet",
        "transform-features.parquet",
        "profile-current.json",
        "decisions.parquet",
    ],
)
def test_a_changed_byte_of_an_artifact(
    home: Path, store: RecordedStore, run: str, name: str
) -> None:
    path = home / "runs" / run / "artifacts" / name
    _flip(path)
    found = _check(home, store)
    assert [(d.kind, d.where) for d in found.differences] == [
        (Kind.FILE, f"runs/{run}/artifacts/{name}")
    ]
    (difference,) = found.differences
    assert difference.old != difference.new
    assert len(str(difference.old)) == len(str(difference.new)) == 64
    path.unlink()
    again = _check(home, store)
    assert [d for d in again.differences if d.new is not None] == []


def test_an_artifact_that_cannot_be_read_differs(
    home: Path, store: RecordedStore, run: str
) -> None:
    path = home / "runs" / run / "artifacts" / "plain" / "pushed.json"
    path.unlink()
    path.symlink_to("nowhere")
    (difference,) = _check(home, store).differences
    assert difference.kind is Kind.FILE
    assert str(difference.new).startswith("unreadable")


def test_a_pipe_in_a_folder_that_was_recorded_differs(
    home: Path, store: RecordedStore, run: str
) -> None:
    path = home / "runs" / run / "artifacts" / "plain" / "pushed.json"
    path.unlink()
    path.mkdir()
    (path / "file").write_bytes(b"x")
    os.mkfifo(path / "pipe")
    (difference,) = _check(home, store).differences
    assert difference.kind is Kind.FILE
    assert str(difference.new).startswith("unreadable")


def _data(home: Path) -> Path:
    return next((home / "datasets" / "rand_hie").iterdir())


def test_a_swapped_data_file(home: Path, store: RecordedStore) -> None:
    first, second = sorted(_data(home).rglob("*.parquet"))[:2]
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    found = _check(home, store)
    assert [d.kind for d in found.differences] == [Kind.DATA, Kind.DATA]
    assert [d.where for d in found.differences] == [
        p.relative_to(home).as_posix() for p in (first, second)
    ]
    assert found.differences[0].old == found.differences[1].new


def test_a_data_file_too_many_one_that_is_gone_and_another_manifest(
    home: Path, store: RecordedStore
) -> None:
    first = min(_data(home).rglob("*.parquet"))
    first.rename(first.with_name("other.parquet"))
    told = {
        (d.kind, d.where, d.old is None, d.new is None) for d in _check(home, store).differences
    }
    place = first.parent.relative_to(home).as_posix()
    assert told == {
        (Kind.DATA, f"{place}/{first.name}", False, True),
        (Kind.DATA, f"{place}/other.parquet", True, False),
    }
    manifest = _data(home) / "manifest.json"
    document = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps(document))
    (difference,) = _check(home, store).differences
    assert (difference.kind, difference.where.split("/")[-1]) == (Kind.DATA, "manifest.json")
    manifest.unlink()
    (difference,) = _check(home, store).differences
    assert (difference.kind, difference.new) == (Kind.DATA, None)


@pytest.mark.parametrize("name", [RECEIPT, ENTRIES])
def test_a_changed_receipt_or_list(home: Path, store: RecordedStore, run: str, name: str) -> None:
    _flip(home / "runs" / run / name)
    (difference,) = _check(home, store).differences
    assert (difference.kind, difference.run) == (Kind.RECEIPT, run)
    assert difference.status is Status.FAIL


def test_the_receipt_of_another_run_or_another_store(
    home: Path, store: RecordedStore, run: str, stopped: str
) -> None:
    store.name = "mlflow"
    assert {d.kind for d in _check(home, store).differences} == {Kind.RECEIPT}
    store.name = "mlmd"
    for name in (RECEIPT, ENTRIES):
        shutil.copyfile(home / "runs" / stopped / name, home / "runs" / run / name)
    (difference,) = _check(home, store).differences
    assert (difference.kind, difference.run) == (Kind.RECEIPT, run)
    assert "another run" in str(difference.new)


def test_without_its_receipt_a_run_cannot_be_decided(
    home: Path, store: RecordedStore, run: str
) -> None:
    (home / "runs" / run / RECEIPT).unlink()
    (difference,) = _check(home, store).differences
    assert (difference.kind, difference.status) == (Kind.NO_RECEIPT, Status.INCONCLUSIVE)
    store.say(f"run/{run}", "outcome", "blocked")
    kinds = {d.kind for d in _check(home, store).differences}
    assert kinds == {Kind.NO_RECEIPT, Kind.CONTRADICTS}


def test_a_chain_that_is_cut_short_is_unfinished_and_no_release(
    home: Path, store: RecordedStore, run: str
) -> None:
    (home / "runs" / run / "evidence" / "0009-close.json").unlink()
    found = {d.kind: d.status for d in _check(home, store).differences}
    assert found[Kind.UNFINISHED] is Status.INCONCLUSIVE
    assert found[Kind.EVIDENCE] is Status.FAIL


def _broken_record(home: Path, run: str) -> None:
    _flip(home / "runs" / run / "evidence" / "0005-train.json")


def _other_policy(home: Path, run: str) -> None:
    path = home / "runs" / run / "policy.yaml"
    path.write_text(path.read_text() + "\n")


@pytest.mark.parametrize(
    ("how", "named"),
    [(_broken_record, "0005-train.json"), (_other_policy, "policy.yaml")],
)
def test_broken_evidence_is_named_and_the_rest_is_compared(
    home: Path,
    store: RecordedStore,
    run: str,
    stopped: str,
    how: Callable[[Path, str], None],
    named: str,
) -> None:
    how(home, run)
    store.entries[stopped][f"run/{stopped}/actor"] = "somebody"
    found = _check(home, store)
    assert found.runs == (stopped,)
    assert {(d.kind, d.run) for d in found.differences} == {
        (Kind.EVIDENCE, run),
        (Kind.EDITED, stopped),
    }
    broken = next(d for d in found.differences if d.kind is Kind.EVIDENCE)
    assert named in str(broken.new)


def test_evidence_that_is_gone_while_store_and_release_remain(
    home: Path, store: RecordedStore, run: str
) -> None:
    shutil.rmtree(home / "runs" / run)
    kinds = {(d.kind, d.run) for d in _check(home, store).differences}
    assert kinds == {(Kind.EVIDENCE, run), (Kind.ADDED_RUN, run)}


@pytest.mark.parametrize("left", [(RECEIPT, ENTRIES), (RECEIPT,), (ENTRIES,), ()])
def test_a_run_that_was_over_and_whose_records_are_gone(
    home: Path, store: RecordedStore, run: str, left: tuple[str, ...]
) -> None:
    for record in (home / "runs" / run / "evidence").iterdir():
        record.unlink()
    for name in {RECEIPT, ENTRIES} - set(left):
        (home / "runs" / run / name).unlink()
    for found in (_check(home, store), _check(home, store, run)):
        emptied = (Kind.EVIDENCE, run, f"runs/{run}/evidence")
        assert emptied in [(d.kind, d.run, d.where) for d in found.differences]
        assert all(d.status is Status.FAIL for d in found.differences)


def test_a_run_without_release_whose_records_are_gone(
    home: Path, store: RecordedStore, stopped: str
) -> None:
    shutil.rmtree(home / "runs" / stopped / "evidence")
    assert (Kind.EVIDENCE, stopped) in [(d.kind, d.run) for d in _check(home, store).differences]


@pytest.mark.parametrize("name", ["predictions.parquet", "decisions.parquet", "plain/pushed.json"])
def test_a_file_that_has_to_stay_and_is_gone(
    home: Path, store: RecordedStore, run: str, name: str
) -> None:
    path = home / "runs" / run / "artifacts" / name
    path.unlink()
    missing = {d.where: d.status for d in _check(home, store).differences}
    assert [w.split("/")[-1] for w in missing] == [path.name]
    assert set(missing.values()) == {Status.FAIL}


def test_data_that_is_gone(home: Path, store: RecordedStore) -> None:
    shutil.rmtree(home / "datasets")
    (difference,) = _check(home, store).differences
    assert (difference.kind, difference.new) == (Kind.DATA, None)


def test_a_stored_folder_of_the_standing_release_that_is_gone(
    home: Path, store: RecordedStore, run: str
) -> None:
    folder = home / "stores" / "mlartifacts" / "m"
    folder.mkdir(parents=True)
    store.entries[run]["location"] = f"file://{folder}"
    for name in (RECEIPT, ENTRIES):
        (home / "runs" / run / name).unlink()
    sign_receipts_of(home, store, run)
    assert _check(home, store).differences == ()
    shutil.rmtree(folder)
    assert [(d.kind, d.where) for d in _check(home, store).differences] == [
        (Kind.MISSING_FILE, "stores/mlartifacts/m")
    ]


def test_a_served_version_that_no_run_pushed(home: Path, store: RecordedStore, run: str) -> None:
    rogue = home / "serving" / "rand_hie" / "tfx" / "9999999999"
    rogue.mkdir(parents=True)
    assert [(d.kind, d.where) for d in _check(home, store).differences] == [
        (Kind.ADDED_FILE, "serving/rand_hie/tfx/9999999999")
    ]
    assert _check(home, store, run).differences == ()


@pytest.mark.parametrize("field", ["candidate", "actor", "dataset_version", "policy"])
def test_run_json_that_says_otherwise_than_the_records(
    home: Path, store: RecordedStore, run: str, field: str
) -> None:
    path = home / "runs" / run / "run.json"
    document = json.loads(path.read_bytes())
    old, document[field] = document[field], "other"
    path.write_bytes(canonical_json(document))
    assert _told(_check(home, store)) == [(Kind.FILE, f"runs/{run}/run.json/{field}", old, "other")]
    path.write_text("no JSON")
    assert [d.kind for d in _check(home, store).differences] == [Kind.FILE]
    path.unlink()
    assert [d.kind for d in _check(home, store).differences] == [Kind.MISSING_FILE]


def test_a_model_card_that_was_changed_or_is_gone(
    home: Path, store: RecordedStore, run: str
) -> None:
    path = home / "runs" / run / "card" / "model-card.md"
    path.write_text(path.read_text() + "x")
    (difference,) = _check(home, store).differences
    assert (difference.kind, difference.where) == (
        Kind.FILE, f"runs/{run}/card/model-card.md",
    )  # fmt: skip
    path.unlink()
    (difference,) = _check(home, store).differences
    assert (difference.kind, difference.new) == (Kind.FILE, None)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (RECEIPT, Kind.NO_RECEIPT),
        (ENTRIES, Kind.RECEIPT),
        ("run.json", Kind.MISSING_FILE),
        ("contract.yaml", Kind.EVIDENCE),
        ("evidence/0005-train.json", Kind.EVIDENCE),
        ("artifacts/predictions.parquet", Kind.FILE),
    ],
)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    home: Path, store: RecordedStore, run: str, name: str, kind: Kind
) -> None:
    path = home / "runs" / run / name
    path.unlink()
    os.mkfifo(path)
    assert kind in {d.kind for d in _check(home, store).differences}


def test_a_release_history_that_is_gone_or_broken(
    home: Path, store: RecordedStore, run: str
) -> None:
    record = home / "releases" / "rand_hie" / "tfx" / "000001.json"
    _flip(record)
    broken = [d for d in _check(home, store).differences if d.kind is Kind.EVIDENCE]
    assert [d.where for d in broken] == ["releases/rand_hie/tfx"]
    record.unlink()
    gone = [d for d in _check(home, store).differences if d.kind is Kind.EVIDENCE]
    assert [(d.run, d.where) for d in gone] == [(run, "releases/rand_hie/tfx")]


def test_a_store_that_is_broken_differs_and_the_files_are_still_looked_at(
    home: Path, store: RecordedStore, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(runs: object = None) -> None:
        raise EvidenceError("a table is missing")

    monkeypatch.setattr(store, "read", fail)
    _flip(home / "runs" / run / "artifacts" / "predictions.parquet")
    found = _check(home, store)
    assert {d.kind for d in found.differences} == {Kind.STORE, Kind.FILE}


def test_a_folder_that_is_no_home_is_bad_input(tmp_path: Path, store: RecordedStore) -> None:
    with pytest.raises(InputError, match="holds no runs"):
        _check(tmp_path, store)


def test_a_stack_is_read_off_a_runs_id() -> None:
    assert stack_of("20261122T120000Z-tfx-plain-1a2b3c") == "tfx"
    assert stack_of("20261122T120000Z-pytorch-tfx-1a2b3c") == "pytorch"
    assert stack_of("tfx") == stack_of("") == ""


@pytest.mark.parametrize(
    "value", ["x" * 119, "x" * 200, "x" * 100_000, "\x1b[31m" * 50, "\n" * 150, "ä" * 130, "\ud800"]
)
def test_a_value_is_shown_short_and_moves_no_cursor(value: str) -> None:
    told = shown(value)
    assert len(told) < 200
    assert told.isprintable()
    assert shown(value + "!") != told
    assert json.loads(json.dumps(told)) == told
