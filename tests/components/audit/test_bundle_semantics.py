"""Named tamperings by somebody who holds the key: all is signed again, and still it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.contract.stages import Stage
from tests.small_bundle import (
    EARLIER,
    FAILED,
    MODEL,
    PASSED,
    RUN,
    Document,
    Draft,
    Sources,
    blocked,
    bodies,
    clock,
    judged,
    judged_by_second,
    key,
    release,
    released,
    seal,
    sha,
    side,
    sources,
    waived,
)

Case = tuple[str, Callable[[], Draft], str]
STAGES = [*map(str, Stage), "close"]
CHAMPION = {"release": 1, "run": "r", "model": MODEL}
NAMES = [f"{n:04d}-{s}.json" for n, s in enumerate(STAGES, start=1)]
FOLDER = f"runs/{RUN}/evidence"
LATER = list(zip(NAMES[1:], STAGES[1:], strict=True))


def packed(change: Callable[[Sources], None], of: Callable[[], Draft] = released) -> Draft:
    """A draft whose entries are changed before the manifest is signed."""
    draft = of()
    draft.packed.append(change)
    return draft


def changed(change: Callable[[Draft], None], of: Callable[[], Draft] = released) -> Draft:
    """A draft that says something else; chain and manifest fit what it says."""
    draft = of()
    change(draft)
    return draft


def linked(name: str, change: Callable[[Document], None]) -> Draft:
    """A draft in which one statement is changed after it was linked; the next go on from it."""
    draft = released()

    def apply(path: str, statement: Document) -> None:
        if path.endswith(name):
            change(statement)

    draft.linked.append(apply)
    return draft


def _drop(name: str) -> Callable[[Sources], None]:
    return lambda entries: entries.__delitem__(f"{FOLDER}/{name}")


def _swap(one: str, two: str) -> Callable[[Sources], None]:
    def change(entries: Sources) -> None:
        a, b = f"{FOLDER}/{one}", f"{FOLDER}/{two}"
        entries[a], entries[b] = entries[b], entries[a]

    return change


def _copy(source: str, target: str) -> Callable[[Sources], None]:
    return lambda e: e.__setitem__(f"{FOLDER}/{target}", e[f"{FOLDER}/{source}"])


def _keep(count: int) -> Callable[[Sources], None]:
    def change(entries: Sources) -> None:
        for name in NAMES[count:]:
            del entries[f"{FOLDER}/{name}"]

    return change


def _other_run(name: str) -> Callable[[Sources], None]:
    other = released()
    other.runs = {"run-9": other.runs[RUN]}
    other.files = {}
    found = sources(other)
    return lambda e: e.__setitem__(f"{FOLDER}/{name}", found[f"runs/run-9/evidence/{name}"])


def _empty(name: str) -> Callable[[Sources], None]:
    return lambda entries: entries.__setitem__(f"{FOLDER}/{name}", b"")


def _body(stage: str, field: str, value: Any) -> Callable[[Draft], None]:
    return lambda draft: draft.body(stage).__setitem__(field, value)


def _input(stage: str, field: str, value: str) -> Callable[[Draft], None]:
    return lambda draft: draft.body(stage)["inputs"].__setitem__(field, value)


def chain_cases() -> Iterator[Case]:
    """Records that are dropped, swapped, replayed, cut off, forked, of another run, or empty."""
    for i, name in enumerate(NAMES):
        following = NAMES[i + 1] if i < 8 else ""
        wanted = f"{following}: sequence is not what" if i < 8 else "no closing record: it is cut"
        yield f"drop {name}", lambda n=name: packed(_drop(n)), wanted
        yield f"empty {name}", lambda n=name: packed(_empty(n)), f"{name}: the envelope is not JSON"
        yield (
            f"cross-run {name}",
            lambda n=name: packed(_other_run(n)),
            f"{name}: run is not what the chain calls for",
        )
        if following:
            yield (
                f"swap {name} and {following}",
                lambda n=name, f=following: packed(_swap(n, f)),
                f"{name}: sequence is not what the chain calls for",
            )
            yield (
                f"replay {name} as {following}",
                lambda n=name, f=following: packed(_copy(n, f)),
                f"{following}: sequence is not what the chain calls for",
            )
            yield (
                f"truncate to {i + 1}",
                lambda k=i + 1: packed(_keep(k)),
                "the chain has no closing record: it is cut",
            )
    for name, stage in LATER:
        fork = f"{name[:4]}-aaa.json"
        yield f"fork at {stage}", lambda n=name, f=fork: packed(_copy(n, f)), f"{fork} holds a"


def statement_cases() -> Iterator[Case]:
    """Statements that are signed and linked, and not what their place calls for."""
    for name, stage in zip(NAMES, STAGES, strict=True):
        for field, value in (("run", "run-9"), ("previous", sha("other")), ("sequence", 7)):
            if (field, stage) == ("sequence", "push"):
                continue
            yield (
                f"{field} of {stage}",
                lambda n=name, f=field, v=value: linked(n, lambda s: s["predicate"].update({f: v})),
                f"{name}: {field} is not what the chain calls for",
            )
        yield (
            f"kind of {stage}",
            lambda n=name: linked(n, lambda s: s.update(predicateType="urn:assay:waiver:v1")),
            f"{name} is signed, but no evidence record",
        )
        yield (
            f"subject of {stage}",
            lambda n=name: linked(n, lambda s: s["subject"].append(s["subject"][0])),
            f"{name} is about something else than what its stage left behind",
        )


def body_cases() -> Iterator[Case]:
    """Records that are linked and signed, and do not fit the others."""
    for name, stage in LATER:
        entry = f"{FOLDER}/{name}: its"
        for field, value in (("stack", "pytorch"), ("candidate", "fair"), ("actor", "eve")):
            yield (
                f"{field} of {stage}",
                lambda s=stage, f=field, v=value: changed(_body(s, f, v)),
                f"{entry} {field} is not that of the run's first record",
            )
        for field in ("contract", "policy", "datasetVersion", "rowsRoot"):
            yield (
                f"{field} of {stage}",
                lambda s=stage, f=field: changed(_input(s, f, sha("other"))),
                f"{entry} inputs is not that of the run's first record",
            )
    for name, stage in list(zip(NAMES, STAGES, strict=True))[:-1]:
        entry = f"{FOLDER}/{name}:"
        fail = {"status": "FAIL", "reason": "no"}
        yield (
            f"verdict of {stage}",
            lambda s=stage, v=fail: changed(_body(s, "verdict", v)),
            f"{entry} its verdict is not what both sides come to",
        )
        hidden = side({"rule": "FAIL"}) | {"status": "PASS"}
        yield (
            f"findings of {stage}",
            lambda s=stage, v=hidden: changed(_body(s, "referee", v)),
            f"{entry} the referee verdict is not what its findings come to",
        )
        nothing = {"status": "PASS", "reason": "nothing", "findings": []}
        yield (
            f"no findings of {stage}",
            lambda s=stage, v=nothing: changed(_body(s, "referee", v)),
            f"{entry} the referee verdict is not what its findings come to",
        )
        yield (
            f"seconds of {stage}",
            lambda s=stage: changed(_body(s, "seconds", "2.0")),
            f"{entry} its seconds are not those between its times",
        )
        if stage != "ingest":
            yield (
                f"start of {stage}",
                lambda s=stage: changed(_body(s, "started", clock(-5))),
                f"{entry} its times do not follow those of the stage before",
            )
        gate = stage in ("data_gate", "release_gate")
        yield (
            f"gate of {stage}",
            lambda s=stage, g=not gate: changed(_body(s, "isGate", g)),
            f"{entry} it says wrongly whether it is a gate",
        )


def end_cases() -> Iterator[Case]:
    """Closing records that say something else than the others come to."""
    closing = f"{FOLDER}/0009-close.json: "
    for field, value, wanted in (
        ("records", 7, "it counts 7 records, there are 8"),
        ("notRun", ["score"], "the stages that it says did not run are others"),
        ("finished", clock(-1), "it closes the run before its last stage ended"),
    ):
        yield (
            f"end {field}",
            lambda f=field, v=value: changed(_body("close", f, v)),
            closing + wanted,
        )
    end = f"{FOLDER}/0007-close.json: "
    for field, value, wanted in (
        ("outcome", "released", "it says released, and not every stage ran and is open"),
        ("reason", "as it went", "its reason is not that of the stage that closed the run"),
        ("notRun", [], "the stages that it says did not run are others"),
    ):
        yield (
            f"blocked {field}",
            lambda f=field, v=value: changed(_body("close", f, v), blocked),
            end + wanted,
        )
    for field, value in (("outcome", "blocked"), ("outcome", "interrupted")):
        yield (
            f"released run that says {value}",
            lambda f=field, v=value: changed(_body("close", f, v)),
            "manifest.json: there is a release of a run that was not released",
        )
    yield (
        "went on behind a closed gate",
        lambda: Draft({RUN: bodies(list(Stage), FAILED, excused=True)}, files=released().files),
        f"{FOLDER}/0006-release_gate.json: the run went on though it was closed",
    )
    yield (
        "waiver at an open gate",
        lambda: changed(_body("release_gate", "waiver", {"sha256": sha("w")})),
        f"{FOLDER}/0006-release_gate.json: a gate that is open needs no waiver",
    )


def model_cases() -> Iterator[Case]:
    """Another model between training and serving, or a limit that nobody judged."""

    def swap(stage: str, name: str) -> Callable[[Draft], None]:
        return lambda d: d.body(stage)["outputs"][name].update(sha256=sha("other"))

    push, score = f"{FOLDER}/0007-push.json: ", f"{FOLDER}/0008-score.json: "
    wanted = "it pushed another model than the one that was trained"
    yield "trained model", lambda: changed(swap("train", "model")), push + wanted
    yield "pushed model", lambda: changed(swap("push", "serving_model")), push + wanted
    yield "no trained model", lambda: changed(_body("train", "outputs", {})), push + wanted
    yield (
        "scored model",
        lambda: changed(_body("score", "facts", {"model": sha("other")})),
        score + "it scored with another model than was pushed",
    )
    for limit in PASSED:
        left = {k: v for k, v in PASSED.items() if k != limit}
        yield (
            f"limit {limit} left out",
            lambda v=left: changed(_body("release_gate", "referee", side(v))),
            f"it is open and says nothing of limit {limit.removeprefix('limit:')}",
        )


def release_cases() -> Iterator[Case]:
    """Release records that say something else than the run."""
    entry = "releases/clinic/tfx/000001.json: its"
    fields = {
        "run": "run-9", "candidate": "fair", "model": sha("m"), "head": sha("h"), "actor": "eve",
        "policy": sha("p"), "contract": sha("c"), "at": clock(9), "kind": "rollback",
        "continues": EARLIER, "reason": "because", "waiver": sha("w"), "verdicts": {},
        "supersedes": 4,
    }  # fmt: skip
    for field, value in fields.items():
        yield (
            f"release {field}",
            lambda f=field, v=value: changed(lambda d: d.releases[-1].update({f: v})),
            f"{entry} {field} is not what the run's records come to",
        )
    history = "releases/clinic/tfx: 000001.json"
    for field, value, wanted in (
        ("number", 2, "is not release 1 of clinic in tfx"),
        ("number", True, "is not release 1 of clinic in tfx"),
        ("dataset", "insurer", "is no release of clinic in tfx"),
        ("stack", "pytorch", "is no release of clinic in tfx"),
        ("previous", sha("x"), "does not follow the release before it"),
        ("schemaVersion", "assay-release/v9", "is signed, but no release record"),
        ("run", 5, "does not have the fields of a release record"),
    ):
        yield (
            f"history {field} {value}",
            lambda f=field, v=value: changed(lambda d: d.releases[-1].update({f: v})),
            f"{history} {wanted}",
        )
    yield (
        "no release",
        lambda: changed(lambda d: d.releases.clear()),
        "manifest.json: the run was released, and its release is not there",
    )
    yield (
        "a release after the run's",
        lambda: changed(lambda d: d.releases.append(release("run-3", 2))),
        "releases/clinic/tfx/000002.json: its run is not what",
    )
    yield (
        "a champion that never stood",
        lambda: changed(_body("release_gate", "champion", CHAMPION)),
        "its champion is not that release of the history",
    )


def waiver_cases() -> Iterator[Case]:
    """Waivers that do not hold for this gate."""
    for field, value, wanted in (
        ("dataset", "insurer", "(other dataset)"),
        ("stack", "pytorch", "(other stack)"),
        ("policy", sha("p"), "(other policy)"),
        ("run", "run-9", "(other run)"),
        ("head", sha("h"), "(other run)"),
        ("model", sha("m"), "(other model)"),
        ("expires", "2026-11-21", "(expired)"),
        ("expires", "2027-11-21", "(too long)"),
        ("at", clock(70), "(not yet signed)"),
        ("signer", "bo", "(signer not authorised)"),
        ("cosigner", "ana", "(signer not authorised)"),
        ("findings", [["limit:auc", "FAIL"]], "(not covered)"),
        ("findings", [["limit:tpr", "INCONCLUSIVE"]], "(not covered)"),
        ("gate", "data_gate", "(malformed)"),
    ):

        def change(draft: Draft, field: str = field, value: Any = value) -> None:
            assert draft.waiver is not None
            draft.waiver[field] = value

        yield f"waiver {field} {value}", lambda c=change: changed(c, waived), wanted
    for people, wanted in (
        (("ana",), "(signer not authorised)"),
        (("bo",), "(signer not authorised)"),
        (("ana", "eve"), "(signer not authorised)"),
        (("ana", "bo", "eve"), "(signer not authorised)"),
        (("home",), "(signer not authorised)"),
    ):
        yield (
            f"waiver signed by {people}",
            lambda p=people: changed(lambda d: setattr(d, "waived_by", p), waived),
            wanted,
        )
    yield "waiver of no model", lambda: changed(_no_model, waived), "(other model)"
    yield (
        "no waiver",
        lambda: packed(_without("waivers/"), waived),
        "it is missing, and the release gate's record names it",
    )
    for rule in ("skew:age", "scores", "native"):
        found = {**PASSED, rule: "FAIL"}
        wanted = "(not waivable)"

        def other(draft: Draft, found: dict[str, str] = found) -> None:
            for run in draft.runs:
                draft.body("release_gate", run).update(native=side(found), referee=side(found))

        yield f"waiver of {rule}", lambda c=other: changed(c, waived), wanted


def _other_findings() -> Draft:
    """The gate that was judged first was closed by one thing more than the one that was waived."""
    draft = waived()
    draft.body("release_gate", EARLIER)["referee"] = side({**FAILED, "limit:auc": "FAIL"})
    return draft


def _no_model(draft: Draft) -> None:
    """The model was never trained, and the run stopped before it was pushed."""
    draft.body("train", EARLIER)["outputs"] = {}
    gate, *_, (_, closing) = draft.runs[RUN]
    closing.update(outcome="interrupted", records=1, notRun=["push", "score"])
    draft.runs[RUN] = [gate, ("close", closing)]
    draft.releases.clear()


def _without(prefix: str) -> Callable[[Sources], None]:
    def change(entries: Sources) -> None:
        for name in [n for n in entries if n.startswith(prefix)]:
            del entries[name]

    return change


def document_cases() -> Iterator[Case]:
    """Documents that are missing, others, or of another run."""
    for name in ("contract.yaml", "policy.yaml", "sbom.cdx.json"):
        path = f"runs/{RUN}/{name}"
        yield (
            f"no {name}",
            lambda p=path: packed(lambda e: e.__delitem__(p)),
            f"{path}: it is missing, and a record names it",
        )
        yield (
            f"another {name}",
            lambda p=path: packed(lambda e: e.__setitem__(p, b"{} ")),
            f"{path}: it is not the one that the records name",
        )
        beside = path.replace(RUN, "run-9")
        yield (
            f"{name} of another run",
            lambda p=beside: packed(lambda e: e.__setitem__(p, b"{}")),
            f"{beside}: it does not belong to this run",
        )
    for path in (
        f"runs/{RUN}/card/model-card.html", "releases/clinic/pytorch/000001.json",
        f"waivers/{sha('w')}.json", "runs/run-9/evidence/0001-ingest.json",
    ):  # fmt: skip
        wanted = "it is not a card" if "card" in path else "it does not belong to this run"
        yield (
            f"extra {path}",
            lambda p=path: packed(lambda e: e.__setitem__(p, b"{}")),
            f"{path}: {wanted}",
        )


def continued_cases() -> Iterator[Case]:
    """Runs that continue another one, or hide it."""
    gate = f"{FOLDER}/0001-release_gate.json: "
    for field, value, wanted in (
        ("facts", {"continues": "run-9", "reason": "why"}, "it does not continue run run-1"),
        (
            "facts",
            {"continues": EARLIER, "reason": "why", "head": sha("h")},
            "it does not continue run run-1",
        ),
        ("native", side({**FAILED, "limit:auc": "FAIL"}), "its native is not what was judged"),
        ("champion", {"release": 1, "run": "r", "model": MODEL}, "its champion is not what was"),
    ):
        yield (
            f"continued {' '.join([field, *sorted(value)])} {wanted}",
            lambda f=field, v=value: changed(_body("release_gate", f, v), waived),
            gate + wanted,
        )
    yield "continued findings", _other_findings, "its referee comes to other findings than before"
    for field, value in (("candidate", "fair"), ("stack", "pytorch")):

        def everywhere(draft: Draft, field: str = field, value: str = value) -> None:
            for _, body in draft.runs[EARLIER]:
                body[field] = value

        yield (
            f"continued {field}",
            lambda c=everywhere: changed(c, waived),
            f"{gate}its {field} is not that of the run that it continues",
        )
    for field, value in (
        ("records", 5), ("head", sha("h")), ("dataset", "insurer"), ("stack", "pytorch"),
    ):  # fmt: skip
        yield (
            f"manifest {field}",
            lambda f=field, v=value: changed(lambda d: d.manifest.update({f: v})),
            f"manifest.json: its {field} is not that of the run's records",
        )
    yield (
        "manifest release",
        lambda: changed(lambda d: d.manifest.update(release=2)),
        "releases/clinic/tfx: it ends with release 1, the manifest's is 2",
    )
    yield (
        "hidden origin",
        lambda: changed(_body("release_gate", "facts", {"continues": EARLIER})),
        "manifest.json: it hides that the run continues another one",
    )


CASES = [
    *chain_cases(), *statement_cases(), *body_cases(), *end_cases(), *model_cases(),
    *release_cases(), *waiver_cases(), *document_cases(), *continued_cases(),
]  # fmt: skip


@pytest.mark.parametrize(
    ("draft", "wanted"), [pytest.param(d, w, id=f"{i}-{n}") for i, (n, d, w) in enumerate(CASES)]
)
def test_a_named_tampering_is_found_and_named(draft: Callable[[], Draft], wanted: str) -> None:
    raw = seal(draft())
    code, problems = judged(raw)
    assert (code, wanted in problems) == (1, True), problems
    assert judged_by_second(raw)[0] == 1


def test_there_are_two_hundred_and_more() -> None:
    assert len(CASES) >= 200
    assert len({name for name, _, _ in CASES}) == len(CASES)


@pytest.mark.parametrize("made", [released, blocked, waived])
def test_what_nobody_tampered_with_is_sound(made: Callable[[], Draft]) -> None:
    raw = seal(made())
    assert judged(raw) == (0, "")
    assert judged_by_second(raw) == (0, "")


@pytest.mark.parametrize("name", [*NAMES, "manifest.json", "000001.json"])
def test_a_signer_whom_nobody_trusts_is_bad_input(name: str) -> None:
    found, by_eve = sources(released()), released()
    by_eve.signer = "eve"
    strange = sources(by_eve)
    path = next(n for n in found if n.endswith(name))

    def change(entries: Sources) -> None:
        entries[path] = strange[path]

    raw = seal(packed(change))
    code, problems = judged(raw)
    assert (code, "signed by a key that is not trusted" in problems) == (2, True), problems
    assert judged_by_second(raw)[0] == 2
    assert key("eve") is not key("home")
