"""A waived model through the whole process: judged, blocked, excused by two people, released."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.contract.stages import Stage
from components.lineage.keys import KeyPair, new_key, public_text
from components.release.records import Release, read_releases
from components.release.waiver_requests import Answer, Asked, request_waiver
from components.release.waiver_rules import Refusal
from components.release.waiver_terms import Waiver
from components.stacks.process import ReleaseProcess
from pipelines.launch import prepare_release
from tests import seeded
from tests.plain_stack import PlainStack, start

CLOSED = (("limit:impact-sex", "FAIL"), ("limit:opportunity-sex", "FAIL"))


class Home:
    """A home whose policy lets Ana and Bo waive, with models that are unfair to men."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: dict[str, KeyPair] = {n: new_key(path / "people", n) for n in ("ana", "bo")}
        ana, bo = ({n: public_text(pair.raw)} for n, pair in self.keys.items())
        rules = {"max_days": 30, "signers": ana, "cosigners": bo}
        self.contract, self.policy = seeded.write_documents(
            path / "documents", lambda document: document.update(waivers=rules)
        )

    def blocked(self, seed: int = 1) -> ReleaseProcess:
        """A run that its release gate ended."""
        data = seeded.write_rows(self.path / f"rows-{seed}.csv", seeded.biased, seed)
        process = start(self.path, "plain", policy=self.policy, contract=self.contract, data=data)
        assert PlainStack(process).run() == "blocked"
        return process

    def waive(self, process: ReleaseProcess, **changes: Any) -> Answer:
        """Ask for a waiver today."""
        now = datetime.now(UTC)
        wanted: dict[str, Any] = {
            "gate": "release_gate",
            "reason": "Men are called by a nurse until the burden of men is recorded as it is.",
            "expires": str(now.date() + timedelta(days=7)),
            "signer_key": self.keys["ana"].private,
            "cosigner_key": self.keys["bo"].private,
            "actor": "tester",
            "at": now,
        }
        return request_waiver(process.spec.directory, Asked(**{**wanted, **changes}))

    @property
    def releases(self) -> list[Release]:
        """The history."""
        return read_releases(self.path, "insurer", "tfx")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home of its own."""
    return Home(tmp_path)


def continued(earlier: ReleaseProcess) -> ReleaseProcess:
    """A run that is to release what an earlier one trained."""
    return ReleaseProcess(prepare_release(earlier.spec.directory, "a test"))


def gate(process: ReleaseProcess) -> dict[str, Any]:
    """The body of the release gate's record."""
    return next(r.body for r in process.chain.records() if r.stage == Stage.RELEASE_GATE)


def test_a_waived_model_is_released_and_the_release_names_the_waiver(home: Home) -> None:
    process = home.blocked()
    waiver = home.waive(process).result
    assert isinstance(waiver, Waiver)
    assert (waiver.findings, waiver.head) == (CLOSED, process.chain.records()[-1].digest)
    again = continued(process)
    assert PlainStack(again).release() == "released"
    assert gate(again)["verdict"]["status"] == "FAIL"
    assert gate(again)["waiver"] == waiver.to_json()
    (release,) = home.releases
    assert (release.kind, release.waiver, release.model) == ("waived", waiver.sha256, waiver.model)


def test_a_waiver_is_good_for_one_model_only(home: Home) -> None:
    first, second = home.blocked(1), home.blocked(2)
    assert isinstance(home.waive(first).result, Waiver)
    assert PlainStack(continued(second)).release() == "blocked"
    assert home.releases == []


def test_an_edited_waiver_opens_nothing(home: Home) -> None:
    process = home.blocked()
    path = home.waive(process).path
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"sig":"', b'"sig":"A', 1))
    assert PlainStack(continued(process)).release() == "blocked"
    path.write_bytes(raw)
    assert PlainStack(continued(process)).release() == "released"


def test_a_refused_request_opens_nothing(home: Home) -> None:
    process = home.blocked()
    assert isinstance(home.waive(process, gate="data_gate").result, Refusal)
    assert PlainStack(continued(process)).release() == "blocked"


def test_a_model_that_was_blocked_again_can_still_be_waived(home: Home) -> None:
    process = home.blocked()
    again = continued(process)
    assert PlainStack(again).release() == "blocked"
    waiver = home.waive(again).result
    assert isinstance(waiver, Waiver)
    assert waiver.model == process.model
    assert PlainStack(continued(process)).release() == "released"


def test_what_was_released_by_a_waiver_needs_no_second_one(home: Home) -> None:
    process = home.blocked()
    home.waive(process)
    again = continued(process)
    PlainStack(again).release()
    refusal = home.waive(again).result
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "the run is released and not blocked"
