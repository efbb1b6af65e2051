"""Which log a batch has: the one that the deciding release began for it, or a new one."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.checks.measurement import Status, Verdict
from components.contract.errors import InputError
from components.contract.policy import DecisionPolicy, OnDrift
from components.decisions.decision_log import DecisionLog, decision_logs, new_log_id
from components.decisions.log_form import DECIDE, REVIEW_ALL
from components.decisions.log_form import REFUSE as REFUSE
from components.decisions.reasons import METHOD

_DRIFT = ("drift:", "row_ratio:")
_REVIEWED_BY = "a qualified person reviews every adverse decision before it takes effect"


def route_of(verdict: Verdict, policy: DecisionPolicy) -> str:
    """What the check of a batch says about its rows.

    Drift alone may leave them to a person where the policy says so; a broken contract refuses them
    whatever it says.
    """
    if verdict.is_open:
        return DECIDE
    wrong = [f.rule for f in verdict.findings if f.status is not Status.PASS]
    drifted = bool(wrong) and all(rule.startswith(_DRIFT) for rule in wrong)
    return REVIEW_ALL if drifted and policy.on_drift is OnDrift.REVIEW else REFUSE


def row_key_id(key: bytes) -> str:
    """A name of the row key, in hex, that tells nothing of it: another key has another one."""
    return hmac.digest(key, b"assay-row-key-id", "sha256").hex()


def was_named_with(log: DecisionLog, key: bytes) -> bool:
    """Whether a log's rows and persons were named with this key; an old log does not say."""
    return log.header.get("rowKey") in (None, row_key_id(key))


def require_key(log: DecisionLog, key: bytes) -> None:
    """See that rows and persons of a log were named with this key.

    Raises:
        InputError: they were named with another one.
    """
    if not was_named_with(log, key):
        raise InputError(
            "the row key is not the one that this log was written with",
            where=log.log_id,
            expected="that key put back: under another one every row and person has another name",
        )


def find_log(home: Path, release: str, batch: str, key: bytes) -> DecisionLog | None:
    """The log in which a release decided, or began to decide, about a batch; None if none does.

    A refusal is none, nor is a log that was given up.

    Args:
        home: the home.
        release: digest of the release record.
        batch: keyed digest of the batch.
        key: the row key that it was made with.

    Raises:
        InputError: a log of the release was written with another key, so it cannot be told whether
            it is of this batch.
    """
    for log in decision_logs(home):
        header = log.header
        if header["releaseDigest"] != release or header["route"] == REFUSE or log.aborted:
            continue
        require_key(log, key)
        if header["batch"] == batch:
            return log
    return None


def begin_log(
    home: Path, about: Mapping[str, Any], policy: DecisionPolicy, verdict: Verdict
) -> DecisionLog:
    """Begin the log of a batch that was checked; one that is refused is closed at once.

    Args:
        home: the home.
        about: release, model, policy, contract, threshold, batch and actor; see
            ``DecisionLog.header``.
        policy: what is adverse, and what is done on drift.
        verdict: of the batch's check.
    """
    route = route_of(verdict, policy)
    wrong = [f for f in verdict.findings if f.status is not Status.PASS]
    header = {
        **about,
        "check": {
            "status": str(verdict.status),
            "reason": verdict.reason,
            "findings": [f.to_json() for f in wrong],
        },
        "route": route,
        "startedAt": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    if policy.adverse is not None:
        header |= {"adverse": policy.adverse, "reasons": METHOD, "review": _REVIEWED_BY}
        header["sentences"] = sorted(set(policy.reasons.values()))
    log = DecisionLog.create(home, new_log_id(str(about["stack"])), header)
    if route == REFUSE:
        log.close()
    return log
