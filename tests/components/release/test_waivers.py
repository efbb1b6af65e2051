"""Waivers: every rule with a waiver that breaks it, well signed, so that only the rule refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import EvidenceError, InputError
from components.lineage.digests import canonical_json, parse_canonical
from components.lineage.dsse import sign
from components.lineage.durable import write_numbered
from components.lineage.evidence import EvidenceRecord, chain_of
from components.lineage.keys import load_private, public_text
from components.release.waiver_requests import request_waiver
from components.release.waiver_rules import ClosedGate, Ground, Refusal, refusal_of, untimely
from components.release.waiver_terms import Waiver
from components.release.waivers import (
    check,
    closed_findings,
    examine,
    find_waiver,
)
from tests.blocked_run import (
    FAILED,
    MODEL,
    NOW,
    RUN,
    BlockedRun,
    Document,
    Findings,
    blocked_run,
    people,
    side,
)

DAY = timedelta(days=1)
CLOSED = (("limit:tpr", "FAIL"),)


@pytest.fixture
def run(tmp_path: Path) -> BlockedRun:
    """A run that two people may waive."""
    return blocked_run(tmp_path)


def granted(run: BlockedRun, **changes: Any) -> Waiver:
    """The waiver of a request that is granted."""
    result = request_waiver(run.directory, run.asked(**changes)).result
    assert isinstance(result, Waiver)
    return result


def found(run: BlockedRun, **changes: Any) -> Waiver | None:
    """What the release process finds."""
    wanted: Document = {
        "dataset": "clinic", "stack": "tfx", "gate": "release_gate", "model": MODEL,
        "policy": run.policy, "findings": CLOSED, "run": RUN, "head": run.head, "at": NOW,
    }  # fmt: skip
    return find_waiver(run.home, **{**wanted, **changes})


def refused(run: BlockedRun) -> Document:
    """The one record of a refusal."""
    (path,) = (run.waivers / "refused").iterdir()
    return parse_canonical(path.read_bytes(), path.name)


# What is granted.


def test_two_people_waive_a_closed_gate_and_the_release_process_finds_it(run: BlockedRun) -> None:
    answer = request_waiver(run.directory, run.asked())
    assert run.written == ["000001.json"]
    assert answer.path == run.waivers / "000001.json"
    raw = answer.path.read_bytes()
    assert answer.result == Waiver(
        run=RUN,
        head=run.head,
        dataset="clinic",
        stack="tfx",
        gate="release_gate",
        model=MODEL,
        policy=run.policy.digest,
        findings=CLOSED,
        reason="Nurses read every chart until the next release.",
        expires=date(2026, 12, 22),
        signer="ana",
        cosigner="bo",
        at=NOW,
        sha256=hashlib.sha256(raw).hexdigest(),
    )
    assert found(run) == answer.result


def test_what_is_signed_is_the_documented_statement(run: BlockedRun) -> None:
    waiver = granted(run)
    envelope = json.loads((run.waivers / "000001.json").read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": MODEL}}],
        "predicateType": "urn:assay:waiver:v1",
        "predicate": {
            "run": RUN,
            "head": waiver.head,
            "dataset": "clinic",
            "stack": "tfx",
            "gate": "release_gate",
            "policy": run.policy.digest,
            "findings": [["limit:tpr", "FAIL"]],
            "reason": waiver.reason,
            "expires": "2026-12-22",
            "signer": "ana",
            "cosigner": "bo",
            "at": "2026-11-22T12:00:00.000000+00:00",
        },
    }
    assert waiver.to_json() == {
        **statement["predicate"], "model": MODEL, "sha256": waiver.sha256
    }  # fmt: skip


def test_the_newest_waiver_that_holds_is_found(run: BlockedRun) -> None:
    granted(run)
    later = granted(run, expires="2026-12-01", reason="For less time.")
    assert run.written == ["000001.json", "000002.json"]
    assert found(run) == later
    after = datetime(2026, 12, 2, tzinfo=UTC)
    older = found(run, at=after)
    assert older is not None
    assert older.expires == date(2026, 12, 22)
    grounds = [
        (e.name, e.result.ground if isinstance(e.result, Refusal) else None)
        for e in examine(run.home, closed(run), after)
    ]
    assert grounds == [("000002.json", Ground.EXPIRED), ("000001.json", None)]


def test_no_waiver_is_found_where_there_is_none(run: BlockedRun) -> None:
    assert found(run) is None
    granted(run)
    assert found(run, stack="pytorch") is None
    assert found(run, dataset="other") is None


def test_a_limit_by_group_and_a_slice_name_are_waived_by_the_whole_rule(tmp_path: Path) -> None:
    both = [("limit:tpr:sex=f*age=young", "FAIL"), ("limit:auc", "FAIL"), ("scores", "PASS")]
    run = blocked_run(tmp_path, native=side([("limit:tpr-age", "FAIL")]), referee=side(both))
    assert granted(run).findings == (
        ("limit:auc", "FAIL"),
        ("limit:tpr-age", "FAIL"),
        ("limit:tpr:sex=f*age=young", "FAIL"),
    )


def _may_waive_tpr(document: Document, _: object) -> None:
    document["release_gate"]["limits"][1]["waive_inconclusive"] = True


def test_inconclusive_is_waived_where_the_policy_says_so(tmp_path: Path) -> None:
    open_ = side([("limit:tpr", "INCONCLUSIVE")])
    run = blocked_run(tmp_path, native=open_, referee=open_, change=_may_waive_tpr)
    assert granted(run).findings == (("limit:tpr", "INCONCLUSIVE"),)


def test_a_waiver_may_cover_more_than_keeps_the_gate_closed(tmp_path: Path) -> None:
    run = blocked_run(tmp_path, native=side([*FAILED, ("limit:auc", "FAIL")]))
    waiver = granted(run)
    assert found(run, findings=(("limit:auc", "FAIL"),)) == waiver


def _told_again(first: BlockedRun, there: BlockedRun) -> EvidenceRecord:
    """A run's records as those of a run named earlier in another home; returns the last one."""
    earlier = there.directory.parent / "earlier"
    (earlier / "evidence").mkdir(parents=True)
    for record in chain_of(first.directory).records():
        last = chain_of(earlier).append(record.stage, record.body)
    return last


def test_the_model_of_a_run_that_continues_another_is_the_one_that_was_trained(
    tmp_path: Path,
) -> None:
    first = blocked_run(tmp_path / "first")
    head = first.head
    continued = {"facts": {"continues": "earlier", "head": head}}
    run = blocked_run(tmp_path, stages=("release_gate",), release_gate=continued)
    last = _told_again(first, run)
    assert last.digest != head
    with pytest.raises(EvidenceError, match="is not as it was"):
        request_waiver(run.directory, run.asked())
    shutil.rmtree(run.directory)
    again = blocked_run(
        tmp_path / "again",
        stages=("release_gate",),
        release_gate={"facts": {"continues": "earlier", "head": last.digest}},
    )
    assert _told_again(first, again).digest == last.digest
    waiver = granted(again)
    assert (waiver.model, waiver.run, waiver.head) == (MODEL, "earlier", last.digest)


# What check refuses: each waiver is signed by the right people and wrong in one point.


def closed(run: BlockedRun, /, **changes: Any) -> ClosedGate:
    """The gate that the waivers below are about."""
    gate = ClosedGate("clinic", "tfx", "release_gate", MODEL, run.policy, CLOSED, RUN, run.head)
    return replace(gate, **changes)


def terms(run: BlockedRun, /, **changes: Any) -> Waiver:
    """A waiver that holds, but for what is changed."""
    waiver = Waiver(
        RUN, run.head, "clinic", "tfx", "release_gate", MODEL, run.policy.digest, CLOSED,
        "Because.", NOW.date() + 30 * DAY, "ana", "bo", NOW,
    )  # fmt: skip
    return replace(waiver, **changes)


def signed(run: BlockedRun, waiver: Waiver, *names: str) -> bytes:
    """Its envelope, by Ana and Bo unless others are named."""
    keys = [load_private(run.keys[n].private) for n in names or ("ana", "bo")]
    return sign(waiver.to_statement(), keys)


def test_the_waiver_that_the_refusals_change_holds(run: BlockedRun) -> None:
    result = check(signed(run, terms(run)), closed(run), NOW)
    assert isinstance(result, Waiver)
    assert replace(result, sha256="") == terms(run)


OTHER = "b" * 64


@pytest.mark.parametrize(
    ("changes", "signers", "gate", "ground", "says"),
    [
        pytest.param(
            {"model": OTHER}, (), {}, Ground.OTHER_MODEL, f"for model {OTHER[:12]} and", id="model"
        ),
        pytest.param({}, (), {"model": OTHER}, Ground.OTHER_MODEL, "not for bbbb", id="reused"),
        pytest.param(
            {"run": "other"}, (), {}, Ground.OTHER_RUN, f"other and not for {RUN}", id="run"
        ),
        pytest.param({"head": OTHER}, (), {}, Ground.OTHER_RUN, "for evidence bb", id="head"),
        pytest.param({}, (), {"run": "other"}, Ground.OTHER_RUN, "not for other", id="reused run"),
        pytest.param({}, (), {"head": OTHER}, Ground.OTHER_RUN, "not for bb", id="rewritten run"),
        pytest.param({"policy": OTHER}, (), {}, Ground.OTHER_POLICY, "for policy bb", id="policy"),
        pytest.param({"dataset": "x"}, (), {}, Ground.OTHER_DATASET, "dataset x", id="dataset"),
        pytest.param({"stack": "pytorch"}, (), {}, Ground.OTHER_STACK, "pytorch", id="stack"),
        pytest.param({"gate": "data_gate"}, (), {}, Ground.MALFORMED, "no waiver", id="gate"),
        pytest.param(
            {}, (), {"gate": "data_gate"}, Ground.NOT_WAIVABLE, "data_gate guards", id="data gate"
        ),
        pytest.param(
            {"cosigner": "ana"}, ("ana",), {}, Ground.NOT_AUTHORISED, "ana is no co-", id="self"
        ),
        pytest.param(
            {"signer": "bo", "cosigner": "ana"},
            (),
            {},
            Ground.NOT_AUTHORISED,
            "bo is no signer",
            id="roles swapped",
        ),
        pytest.param({}, ("ana",), {}, Ground.NOT_AUTHORISED, "not signed by", id="one signature"),
        pytest.param({}, ("bo",), {}, Ground.NOT_AUTHORISED, "not signed by", id="the other one"),
        pytest.param(
            {}, ("ana", "bo", "eve"), {}, Ground.NOT_AUTHORISED, "not trusted", id="one too many"
        ),
        pytest.param(
            {"cosigner": "eve"}, (), {}, Ground.NOT_AUTHORISED, "eve is no co", id="unknown person"
        ),
        pytest.param(
            {}, ("ana", "eve"), {}, Ground.NOT_AUTHORISED, "not trusted", id="unknown key"
        ),
        pytest.param(
            {"expires": NOW.date() - DAY}, (), {}, Ground.EXPIRED, "on 2026-11-21", id="expired"
        ),
        pytest.param(
            {"expires": NOW.date() + 91 * DAY}, (), {}, Ground.TOO_LONG, "for 91 days", id="long"
        ),
        pytest.param(
            {"at": NOW + DAY}, (), {}, Ground.NOT_YET, "only on 2026-11-23", id="in the future"
        ),
        pytest.param(
            {},
            (),
            {"findings": (*CLOSED, ("limit:tpr-age", "FAIL"))},
            Ground.NOT_COVERED,
            "does not cover limit:tpr-age (FAIL)",
            id="another finding",
        ),
        pytest.param(
            {},
            (),
            {"findings": (("limit:tpr:sex=f", "FAIL"),)},
            Ground.NOT_COVERED,
            "does not cover limit:tpr:sex=f (FAIL)",
            id="another slice",
        ),
        pytest.param({}, (), {"findings": ()}, Ground.NOT_CLOSED, "no finding", id="no finding"),
        pytest.param(
            {"findings": (("limit:tpr", "INCONCLUSIVE"),)},
            (),
            {"findings": (("limit:tpr", "INCONCLUSIVE"),)},
            Ground.NOT_WAIVABLE,
            "limit:tpr is INCONCLUSIVE",
            id="inconclusive",
        ),
        *(
            pytest.param(
                {"findings": ((rule, "FAIL"),)},
                (),
                {"findings": ((rule, "FAIL"),)},
                Ground.NOT_WAIVABLE,
                f"{rule} is no limit",
                id=rule,
            )
            for rule in ("scores", "skew:score", "tfma", "limit:", "limit:no", "limits:tpr", "tpr")
        ),
        pytest.param(
            {"findings": (("limit:tpr", "FAIL"), ("scores", "FAIL"))},
            (),
            {"findings": (("limit:tpr", "FAIL"), ("scores", "FAIL"))},
            Ground.NOT_WAIVABLE,
            "scores is no limit",
            id="integrity beside a limit",
        ),
        pytest.param(
            {"findings": (("limit:tpr", "FAIL"),)},
            (),
            {"findings": (("limit:tpr", "BROKEN"),)},
            Ground.NOT_WAIVABLE,
            "limit:tpr is BROKEN",
            id="unknown status",
        ),
        pytest.param(
            {"findings": (("limit:tpr", "FAIL"), ("limit:auc", "FAIL"))},
            (),
            {},
            Ground.MALFORMED,
            "another way",
            id="findings out of order",
        ),
        pytest.param({"findings": ()}, (), {}, Ground.MALFORMED, "no waiver", id="for nothing"),
        pytest.param(
            {"findings": CLOSED * 2}, (), {}, Ground.MALFORMED, "no waiver", id="a finding twice"
        ),
        pytest.param({"reason": ""}, (), {}, Ground.MALFORMED, "no waiver", id="no reason"),
        pytest.param({"model": "B" * 64}, (), {}, Ground.MALFORMED, "no waiver", id="no digest"),
    ],
)
def test_a_waiver_that_breaks_a_rule(
    run: BlockedRun,
    changes: Document,
    signers: tuple[str, ...],
    gate: Document,
    ground: Ground,
    says: str,
) -> None:
    raw = signed(run, terms(run, **changes), *signers)
    result = check(raw, closed(run, **gate), NOW)
    assert isinstance(result, Refusal)
    assert (result.ground, says in result.reason) == (ground, True), result


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: s["predicate"].update(more=1), id="a field more"),
        pytest.param(lambda s: s["predicate"].pop("reason"), id="a field less"),
        pytest.param(lambda s: s["subject"].append(s["subject"][0]), id="two models"),
        pytest.param(lambda s: s["subject"].clear(), id="no model"),
        pytest.param(lambda s: s["subject"][0].update(name="data"), id="no model but data"),
        pytest.param(lambda s: s["subject"][0]["digest"].update(md5="0"), id="another digest"),
        pytest.param(lambda s: s.update(predicateType="urn:assay:waiver:v2"), id="another version"),
        pytest.param(lambda s: s.update(predicate=[]), id="predicate is a list"),
        pytest.param(lambda s: s["predicate"].update(expires="2026-02-30"), id="no day"),
        pytest.param(lambda s: s["predicate"].update(expires="2026-12-22\n"), id="newline"),
        pytest.param(lambda s: s["predicate"].update(expires="20261222"), id="another form of day"),
        pytest.param(lambda s: s["predicate"].update(at="2026-11-22T12:00:00"), id="no zone"),
        pytest.param(
            lambda s: s["predicate"].update(at="2026-11-22T13:00:00.000000+01:00"), id="other zone"
        ),
        pytest.param(
            lambda s: s["predicate"].update(at="2026-11-22T25:00:00.000000+00:00"), id="no time"
        ),
        pytest.param(lambda s: s["predicate"].update(findings=["limit:tpr"]), id="no pair"),
        pytest.param(
            lambda s: s["predicate"].update(policy=s["predicate"]["policy"] + "\n"), id="nl"
        ),
    ],
)
def test_a_statement_that_is_no_waiver(run: BlockedRun, change: Callable[[Document], Any]) -> None:
    statement = terms(run).to_statement()
    change(statement)
    keys = [load_private(run.keys[n].private) for n in ("ana", "bo")]
    result = check(sign(statement, keys), closed(run), NOW)
    assert isinstance(result, Refusal)
    assert result.ground is Ground.MALFORMED


def _resigned(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The envelope with another payload and the old signatures."""
    envelope = json.loads(raw)
    payload = base64.b64decode(envelope["payload"])
    envelope["payload"] = base64.b64encode(change(payload)).decode()
    return canonical_json(envelope)


def test_an_edited_waiver_is_refused_and_says_so(run: BlockedRun) -> None:
    raw = signed(run, terms(run))
    for edit in (
        lambda p: p.replace(b"2026-12-22", b"2027-01-22"),
        lambda p: p.replace(MODEL.encode(), OTHER.encode()),
        lambda p: p + b"\n",
    ):
        result = check(_resigned(raw, edit), closed(run), NOW)
        assert isinstance(result, Refusal)
        assert result.ground is Ground.EDITED
        assert "does not fit what is signed" in result.reason
    for broken in (b"", raw + b"\n", raw[:-1], json.dumps(json.loads(raw)).encode()):
        result = check(broken, closed(run), NOW)
        assert isinstance(result, Refusal)
        assert result.ground is Ground.EDITED


def test_no_bit_of_a_waiver_can_change(run: BlockedRun) -> None:
    sound = signed(run, terms(run))
    gate = closed(run)
    for place in range(len(sound)):
        changed = sound[:place] + bytes([sound[place] ^ 1 << place % 8]) + sound[place + 1 :]
        assert isinstance(check(changed, gate, NOW), Refusal)


def test_a_second_signature_of_the_same_key_is_no_second_person(run: BlockedRun) -> None:
    envelope = json.loads(signed(run, terms(run), "ana"))
    envelope["signatures"] *= 2
    result = check(canonical_json(envelope), closed(run), NOW)
    assert isinstance(result, Refusal)
    assert result.ground is Ground.NOT_AUTHORISED


@pytest.mark.parametrize(
    ("signers", "cosigners", "names", "ground"),
    [
        pytest.param(("ana",), ("ana",), ("ana", "ana"), Ground.SELF_COSIGNED, id="in both roles"),
        pytest.param(("ana", "bo"), ("ana", "bo"), ("bo", "ana"), None, id="two in both roles"),
    ],
)
def test_one_person_in_both_roles_is_one(
    tmp_path: Path,
    signers: tuple[str, ...],
    cosigners: tuple[str, ...],
    names: tuple[str, str],
    ground: Ground | None,
) -> None:
    def change(document: Document, keys: Any) -> None:
        document["waivers"]["signers"] = people(keys, *signers)
        document["waivers"]["cosigners"] = people(keys, *cosigners)

    run = blocked_run(tmp_path, change=change)
    waiver = terms(run, signer=names[0], cosigner=names[1])
    result = check(signed(run, waiver, *set(names)), closed(run), NOW)
    assert (result.ground if isinstance(result, Refusal) else None) == ground


def _two_keys(document: Document, keys: Any) -> None:
    document["waivers"]["cosigners"] = {"Ana ": public_text(keys["bo"].raw)}


def test_one_person_with_two_keys_is_one(tmp_path: Path) -> None:
    run = blocked_run(tmp_path, change=_two_keys)
    result = check(signed(run, terms(run, cosigner="Ana ")), closed(run), NOW)
    assert isinstance(result, Refusal)
    assert result.ground is Ground.SELF_COSIGNED
    with pytest.raises(InputError, match="--cosigner: Ana  again, who signs already"):
        request_waiver(run.directory, run.asked())


def test_a_policy_without_waivers_lets_nobody_waive(tmp_path: Path, run: BlockedRun) -> None:
    strict = blocked_run(tmp_path / "strict", change=lambda d, _: d.pop("waivers"))
    result = check(signed(run, terms(run)), closed(strict), NOW)
    assert isinstance(result, Refusal)
    assert result.ground is Ground.NOT_ALLOWED
    assert refusal_of(terms(run), closed(strict), NOW) == result
    answer = request_waiver(strict.directory, strict.asked())
    assert answer.result == Refusal(Ground.NOT_ALLOWED, "the policy lets nobody waive anything")


def _endless_name(document: Document, keys: Any) -> None:
    document["waivers"]["signers"] = {"a" * 401: public_text(keys["ana"].raw)}


def test_no_waiver_is_acknowledged_that_would_not_be_believed(tmp_path: Path) -> None:
    run = blocked_run(tmp_path, change=_endless_name)
    result = request_waiver(run.directory, run.asked()).result
    assert isinstance(result, Refusal)
    assert result.ground is Ground.MALFORMED
    assert run.written == ["refused/000001.json"]


def _one_key(document: Document, keys: Any) -> None:
    document["waivers"]["cosigners"] = {"bo": public_text(keys["ana"].raw)}


def test_one_key_under_two_names_is_one_person(tmp_path: Path) -> None:
    run = blocked_run(tmp_path, change=_one_key)
    refusal = refusal_of(terms(run), closed(run), NOW)
    assert refusal is not None
    assert refusal.ground is Ground.SELF_COSIGNED


def _small_order(document: Document, _: object) -> None:
    document["waivers"]["cosigners"]["bo"] = public_text((1).to_bytes(32, "little"))


def _loose(document: Document, _: object) -> None:
    text = document["waivers"]["cosigners"]["bo"]
    place = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".index(text[42])
    other = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[place ^ 1]
    document["waivers"]["cosigners"]["bo"] = text[:42] + other + "="


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_one_key, "field waivers.cosigners.bo: is the key of ana as well"),
        (_small_order, "field waivers.cosigners.bo: a public key of small order"),
        (_loose, "field waivers.cosigners.bo: not standard base64"),
    ],
)
def test_a_policy_with_unsound_keys_is_bad_input(
    tmp_path: Path, change: Callable[[Document, Any], None], says: str
) -> None:
    run = blocked_run(tmp_path, change=change)
    for ask in (
        lambda: check(signed(run, terms(run)), closed(run), NOW),
        lambda: request_waiver(run.directory, run.asked()),
    ):
        with pytest.raises(InputError, match=says):
            ask()
    assert "waivers.cosigners" not in refused(run)["refused"]  # that text names the file


# Time.


@pytest.mark.parametrize(
    ("at", "ground"),
    [
        (NOW - timedelta(microseconds=1), Ground.NOT_YET),
        (NOW, None),
        (datetime(2026, 12, 22, 23, 59, 59, 999999, tzinfo=UTC), None),
        (datetime(2026, 12, 23, tzinfo=UTC), Ground.EXPIRED),
        (datetime(2026, 12, 22, 23, 30, tzinfo=timezone(timedelta(hours=-1))), Ground.EXPIRED),
        (datetime(2026, 12, 23, 0, 30, tzinfo=timezone(timedelta(hours=1))), None),
    ],
)
def test_the_last_day_is_a_day_of_utc_and_counts(
    run: BlockedRun, at: datetime, ground: Ground | None
) -> None:
    result = check(signed(run, terms(run)), closed(run), at)
    assert (result.ground if isinstance(result, Refusal) else None) == ground


def test_the_longest_time_counts_from_the_day_of_signing() -> None:
    assert untimely(NOW, NOW.date() + 90 * DAY, 90, NOW + 80 * DAY) is None
    late = untimely(NOW, NOW.date() + 91 * DAY, 90, NOW + 80 * DAY)
    assert late is not None
    assert late.ground is Ground.TOO_LONG
    with pytest.raises(ValueError, match="without a zone"):
        untimely(NOW, NOW.date(), 90, datetime(2026, 11, 22, 12))
    with pytest.raises(ValueError, match="without a zone"):
        untimely(datetime(2026, 11, 22, 12), NOW.date(), 90, NOW)


# What keeps a gate closed.


@pytest.mark.parametrize(
    ("native", "referee", "closed_by"),
    [
        (side([("a", "PASS")]), side([("b", "FAIL")]), [("b", "FAIL")]),
        (side([("b", "FAIL")]), side([("b", "FAIL")]), [("b", "FAIL")]),
        (
            side([("b", "INCONCLUSIVE")]),
            side([("b", "FAIL")]),
            [("b", "FAIL"), ("b", "INCONCLUSIVE")],
        ),
        (side([]), side([("a", "PASS")]), []),
        (side([], "FAIL"), side([("a", "FAIL")]), [("a", "FAIL"), ("native", "FAIL")]),
        (side([("a", "PASS")]), side([("a", "PASS")], "BROKEN"), [("referee", "BROKEN")]),
        (None, side([("a", "PASS")]), [("native", "INCONCLUSIVE")]),
        (side([("a", "WARN")], "PASS"), side([]), [("a", "WARN")]),
    ],
)
def test_everything_that_is_not_pass_keeps_a_gate_closed(
    native: Document | None, referee: Document | None, closed_by: Findings
) -> None:
    assert closed_findings({"native": native, "referee": referee}) == tuple(closed_by)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"native": side([])},
        {"native": {"status": "PASS"}, "referee": side([])},
        {"native": side([]), "referee": {"findings": []}},
        {"native": [1], "referee": side([])},
        {"native": side([]), "referee": {"status": "FAIL", "findings": [{"rule": "a"}]}},
        {"native": side([]), "referee": side([([], "FAIL")])},
        {"native": side([(None, "FAIL")]), "referee": side([("a", "FAIL")])},
    ],
)
def test_what_is_no_verdict_is_a_malfunction(body: Document) -> None:
    with pytest.raises(EvidenceError, match="does not hold two verdicts"):
        closed_findings(body)


# What request_waiver refuses, and what it leaves behind.


def _public_file(run: BlockedRun) -> Document:
    run.keys["ana"].public.chmod(0o600)
    return {"signer_key": run.keys["ana"].public}


def _open_key(run: BlockedRun) -> Document:
    run.keys["ana"].private.chmod(0o644)
    return {}


def _with(**changes: Any) -> Callable[[BlockedRun], Document]:
    return lambda _: changes


def _key(**names: str) -> Callable[[BlockedRun], Document]:
    return lambda run: {f"{role}_key": run.keys[name].private for role, name in names.items()}


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        pytest.param(_with(expires="2026-11-21"), "--expires: it expired on 2026-11-21", id="past"),
        pytest.param(_with(expires="2027-02-21"), "it holds for 91 days", id="far"),
        pytest.param(_with(expires="2026-13-01"), "'2026-13-01' is no day", id="no day"),
        pytest.param(_with(expires="20261222"), "'20261222' is no day", id="another form"),
        pytest.param(_with(expires="2026-W52-1"), "is no day", id="a week"),
        pytest.param(_with(expires="２０２６-12-22"), "is no day", id="other digits"),
        pytest.param(_with(expires=""), "'' is no day", id="empty day"),
        pytest.param(_with(gate="push"), "--gate: no gate 'push'; expected release", id="no gate"),
        pytest.param(_with(reason=""), "--reason: cannot stand", id="no reason"),
        pytest.param(_with(reason=" \t "), "--reason: cannot stand", id="blank reason"),
        pytest.param(_with(reason="x" * 2001), "--reason: cannot stand", id="long reason"),
        pytest.param(_with(reason="a\nb"), "--reason: cannot stand", id="two lines"),
        pytest.param(_with(reason="a\x1b[2Jb"), "--reason: cannot stand", id="escape"),
        pytest.param(_with(reason="a\u202eb"), "--reason: cannot stand", id="turned text"),
        pytest.param(_with(reason="a\u2028b"), "--reason: cannot stand", id="line separator"),
        pytest.param(_with(reason="a\udcffb"), "--reason: cannot stand", id="no character"),
        pytest.param(_open_key, "open to others than its owner (mode 0644)", id="open key"),
        pytest.param(_public_file, "not a private key", id="public key"),
        pytest.param(_with(signer_key=Path("nowhere.key")), "cannot be read", id="no key"),
        pytest.param(
            _key(cosigner="ana"), "--cosigner: the same key as --signer", id="same key twice"
        ),
        pytest.param(
            _key(signer="eve"),
            "--signer: a key that the policy does not name; expected a key of waivers.signers in "
            "the policy (ana)",
            id="unknown signer",
        ),
        pytest.param(_key(cosigner="eve"), "--cosigner: a key that the policy", id="unknown other"),
        pytest.param(_key(signer="bo", cosigner="ana"), "--signer: a key that", id="roles swapped"),
    ],
)
def test_what_cannot_be_right_is_bad_input_and_recorded(
    run: BlockedRun, ask: Callable[[BlockedRun], Document], says: str
) -> None:
    asked = run.asked(**ask(run))
    with pytest.raises(InputError) as caught:
        request_waiver(run.directory, asked)
    assert says in str(caught.value)
    assert run.written == ["refused/000001.json"]
    record = refused(run)
    assert record["refused"] == f"{caught.value.what}; expected {caught.value.expected}"
    assert found(run) is None


def _limit(rule: str, status: str) -> Document:
    findings = side([(rule, status), *FAILED])
    return {"native": findings, "referee": side(FAILED)}


@pytest.mark.parametrize(
    ("made", "asked", "ground", "says"),
    [
        pytest.param({}, {"gate": "data_gate"}, Ground.NOT_WAIVABLE, "data_gate guards", id="data"),
        *(
            pytest.param(
                _limit(rule, status), {}, Ground.NOT_WAIVABLE, f"{rule} is no limit", id=rule
            )
            for rule, status in (
                ("scores", "INCONCLUSIVE"),
                ("skew:score", "FAIL"),
                ("agreement:tpr:sex=f", "FAIL"),
                ("tfma", "FAIL"),
                ("limit:unknown", "FAIL"),
            )
        ),
        pytest.param(
            _limit("limit:auc", "INCONCLUSIVE"),
            {},
            Ground.NOT_WAIVABLE,
            "limit:auc is INCONCLUSIVE, which the policy lets nobody waive",
            id="inconclusive",
        ),
        pytest.param(
            {"native": side([], "FAIL")},
            {},
            Ground.NOT_WAIVABLE,
            "native is no limit",
            id="a side that does not say why",
        ),
        pytest.param(
            {"native": side([]), "referee": side([])},
            {},
            Ground.NOT_CLOSED,
            "no finding keeps the gate closed",
            id="closed by nothing",
        ),
        pytest.param({"outcome": None}, {}, Ground.NOT_CLOSED, "unfinished", id="not closed"),
        pytest.param({"outcome": "released"}, {}, Ground.NOT_CLOSED, "released", id="released"),
        pytest.param(
            {"outcome": "interrupted"}, {}, Ground.NOT_CLOSED, "interrupted", id="stopped"
        ),
        pytest.param(
            {"stages": ("ingest", "statistics", "data_gate")},
            {},
            Ground.NOT_CLOSED,
            "blocked at data_gate and not at release_gate",
            id="blocked at the data gate",
        ),
        pytest.param(
            {"stages": ("ingest", "train", "release_gate", "push")},
            {},
            Ground.NOT_CLOSED,
            "blocked at push",
            id="blocked at push",
        ),
        pytest.param(
            {"release_gate": {"verdict": {"status": "PASS"}}},
            {},
            Ground.NOT_CLOSED,
            "release_gate was not closed",
            id="open",
        ),
        pytest.param(
            {"release_gate": {"waiver": {"sha256": OTHER}}},
            {},
            Ground.NOT_CLOSED,
            "release_gate was not closed",
            id="waived already",
        ),
    ],
)
def test_what_a_rule_is_against_is_refused_and_recorded(
    tmp_path: Path, made: Document, asked: Document, ground: Ground, says: str
) -> None:
    run = blocked_run(tmp_path, **made)
    answer = request_waiver(run.directory, run.asked(**asked))
    assert isinstance(answer.result, Refusal)
    assert answer.result.ground is ground
    assert says in answer.result.reason
    assert run.written == ["refused/000001.json"]
    assert answer.path == run.waivers / "refused" / "000001.json"
    assert refused(run)["refused"] == answer.result.reason


def test_the_record_of_a_refusal_says_what_was_asked_and_by_whom(run: BlockedRun) -> None:
    with pytest.raises(InputError):
        request_waiver(run.directory, run.asked(expires="2020-01-01"))
    ids = {name: hashlib.sha256(run.keys[name].raw).hexdigest() for name in ("ana", "bo")}
    assert refused(run) == {
        "schemaVersion": "assay-waiver-refused/v1",
        "number": 1,
        "run": RUN,
        "head": run.head,
        "dataset": "clinic",
        "stack": "tfx",
        "model": MODEL,
        "policy": run.policy.digest,
        "findings": [["limit:tpr", "FAIL"]],
        "gate": "release_gate",
        "reason": "Nurses read every chart until the next release.",
        "expires": "2020-01-01",
        "signer": {"name": "ana", "keyId": ids["ana"]},
        "cosigner": {"name": "bo", "keyId": ids["bo"]},
        "refused": "it expired on 2020-01-01; expected a day from 2026-11-22 to 2027-02-20",
        "actor": "tester",
        "at": "2026-11-22T12:00:00.000000+00:00",
    }


def test_the_record_tells_an_unknown_key_from_none(run: BlockedRun) -> None:
    run.keys["bo"].private.chmod(0o604)
    with pytest.raises(InputError):
        request_waiver(run.directory, run.asked(signer_key=run.keys["eve"].private))
    eve = hashlib.sha256(run.keys["eve"].raw).hexdigest()
    assert refused(run)["signer"] == {"name": None, "keyId": eve}
    assert refused(run)["cosigner"] == {"name": None, "keyId": None}


def test_a_record_holds_no_control_character_and_no_endless_text(run: BlockedRun) -> None:
    for changes in ({"reason": "a\x1b\ud800b" + "x" * 9000}, {"expires": "9" * 9000 + "\n"}):
        with pytest.raises(InputError):
            request_waiver(run.directory, run.asked(**changes))
    for path in (run.waivers / "refused").iterdir():
        assert path.stat().st_size < 10_000
        assert b"\\u001b" not in path.read_bytes()


def test_refusals_are_numbered_apart_from_waivers(run: BlockedRun) -> None:
    for _ in range(2):
        with pytest.raises(InputError):
            request_waiver(run.directory, run.asked(gate="push"))
        granted(run)
    assert run.written == [
        "000001.json", "000002.json", "refused/000001.json", "refused/000002.json",
    ]  # fmt: skip


def test_no_key_material_and_no_path_is_written(run: BlockedRun) -> None:
    secrets = []
    for pair in run.keys.values():
        seed = load_private(pair.private).private_bytes_raw()
        body = "".join(pair.private.read_text().splitlines()[1:-1])
        secrets += [seed, seed.hex().encode(), base64.b64encode(seed)[:-2], body[20:].encode()]
    granted(run)
    told = []
    for changes in (
        {"gate": "push"},
        {"cosigner_key": run.keys["ana"].private},
        {"cosigner_key": run.keys["bo"].public},
        {"signer_key": run.keys["eve"].private},
        {"signer_key": run.home / "nowhere.key"},
    ):
        with pytest.raises(InputError) as caught:
            request_waiver(run.directory, run.asked(**changes))
        told.append(str(caught.value).encode())
    written = [p.read_bytes() for p in (run.home / "waivers").rglob("*.json")]
    written += [base64.b64decode(json.loads(w)["payload"]) for w in written if b'"payload"' in w]
    assert len(written) == 7
    for text in written + told:
        assert not any(secret in text for secret in secrets)
    for text in written:
        assert str(run.home).encode() not in text
        assert b"nowhere" not in text


# Runs that cannot be read: nothing is recorded.


def _edit(name: str) -> Callable[[BlockedRun], object]:
    def edit(run: BlockedRun) -> None:
        path = run.directory / name
        path.write_bytes(path.read_bytes() + b"\n")

    return edit


def _drop(name: str) -> Callable[[BlockedRun], object]:
    return lambda run: (run.directory / name).unlink()


@pytest.mark.parametrize(
    ("made", "tamper", "says"),
    [
        pytest.param(
            {}, _edit("policy.yaml"), "policy.yaml is not the one the run was", id="policy"
        ),
        pytest.param({}, _edit("contract.yaml"), "contract.yaml is not the one", id="contract"),
        pytest.param({}, _drop("policy.yaml"), "has no readable policy.yaml", id="no policy"),
        pytest.param(
            {}, _edit("evidence/0006-release_gate.json"), "not a canonical JSON", id="record"
        ),
        pytest.param({}, _drop("evidence/0003-data_gate.json"), "0004-transform", id="dropped"),
        pytest.param(
            {"train": {"inputs": {"policy": OTHER}}}, _with(), "not about the same", id="inputs"
        ),
        pytest.param({"dataset": "other"}, _with(), "about another dataset", id="dataset"),
        pytest.param({"dataset": "../up"}, _with(), "no sound inputs.dataset", id="data path"),
        pytest.param({"ingest": {"stack": "../up"}}, _with(), "no sound stack", id="stack"),
        pytest.param({"ingest": {"stack": None}}, _with(), "no sound stack", id="no stack"),
        pytest.param(
            {"train": {"outputs": {}}}, _with(), "no sound outputs.model.sha256", id="no model"
        ),
        pytest.param(
            {"train": {"outputs": {"model": {"sha256": "x"}}}}, _with(), "no sound out", id="model"
        ),
        pytest.param(
            {"release_gate": {"native": {"status": "FAIL"}}},
            _with(),
            "two verdicts",
            id="no verdicts",
        ),
    ],
)
def test_a_run_whose_evidence_is_broken_is_a_malfunction(
    tmp_path: Path, made: Document, tamper: Callable[[BlockedRun], object], says: str
) -> None:
    run = blocked_run(tmp_path, **made)
    tamper(run)
    with pytest.raises(EvidenceError, match=says):
        request_waiver(run.directory, run.asked())
    assert not (run.home / "waivers").exists()


def test_what_is_no_run_is_bad_input(run: BlockedRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no evidence"):
        request_waiver(run.directory.with_name("other"), run.asked())
    shutil.copytree(run.directory, tmp_path / RUN)
    with pytest.raises(InputError, match="not in a home"):
        request_waiver(tmp_path / RUN, run.asked())
    assert not (run.home / "waivers").exists()


# The home.


def test_a_waiver_taken_out_of_the_middle_shows(run: BlockedRun) -> None:
    for _ in range(3):
        granted(run)
    (run.waivers / "000002.json").unlink()
    with pytest.raises(EvidenceError, match="000003.json is not waiver 2 of clinic in tfx"):
        found(run)


def test_a_waiver_that_cannot_be_read_is_a_malfunction(run: BlockedRun) -> None:
    granted(run)
    (run.waivers / "000001.json").unlink()
    (run.waivers / "000001.json").mkdir()
    with pytest.raises(EvidenceError, match="000001.json cannot be read"):
        found(run)


def test_an_edited_waiver_does_not_hide_an_older_one(run: BlockedRun) -> None:
    older = granted(run)
    granted(run)
    path = run.waivers / "000002.json"
    path.write_bytes(path.read_bytes().replace(b"A", b"B", 1))
    assert found(run) == older


def test_a_file_that_is_no_waiver_shows(run: BlockedRun) -> None:
    granted(run)
    (run.waivers / "1-note.json").write_text("{}")
    granted(run)
    assert run.written == ["000001.json", "000002.json", "1-note.json"]
    with pytest.raises(EvidenceError, match="1-note.json is not waiver 3"):
        found(run)


def test_leftovers_of_a_crash_are_no_waivers(run: BlockedRun) -> None:
    granted(run)
    (run.waivers / ".000002.json.ab12.tmp").write_text("half")
    granted(run)
    assert [p.name for p in sorted(run.waivers.glob("0*"))] == ["000001.json", "000002.json"]
    assert found(run) is not None


def test_a_home_that_cannot_be_written_is_bad_input(run: BlockedRun) -> None:
    (run.home / "waivers").write_text("")
    for changes in ({}, {"gate": "push"}, {"gate": "data_gate"}):
        with pytest.raises(InputError, match="cannot be written"):
            request_waiver(run.directory, run.asked(**changes))


def _store_there(directory: Path, n: int, results: Any) -> None:
    results.put(write_numbered(directory, lambda _: f"{n}".encode()).name)


def test_waivers_at_the_same_moment_do_not_overwrite(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=_store_there, args=(tmp_path / "w", n, results)) for n in range(8)
    ]
    for process in processes:
        process.start()
    written = {results.get(timeout=30) for _ in processes}
    for process in processes:
        process.join(30)
    assert written == {f"{n:06d}.json" for n in range(1, 9)}
    assert {p.read_text() for p in (tmp_path / "w").iterdir()} == {str(n) for n in range(8)}
