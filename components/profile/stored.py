"""A profile on disk: what it was made under, and bytes that a reader can trust or refuse."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.contract import Contract
from components.contract.errors import EvidenceError, InputError
from components.contract.policy import DataGatePolicy
from components.profile.profile import Profile

MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A profile, and the contract and number of bins that it was counted under.

    ``nonce`` is a keyed random text that keeps the file's digest from being guessed; empty where
    the digest goes nowhere. The file holds counts by category: it is as confidential as the data.
    """

    contract: str
    version: str
    digest: str
    bins: int
    profile: Profile
    nonce: str = ""

    @classmethod
    def of(
        cls, contract: Contract, gate: DataGatePolicy, profile: Profile, nonce: str = ""
    ) -> StoredProfile:
        """The profile of rows that were read under this contract and counted under this policy."""
        return cls(contract.name, contract.version, contract.digest, gate.bins, profile, nonce)

    def to_bytes(self) -> bytes:
        """The file's content: JSON with sorted keys."""
        document = {
            "contract": {"name": self.contract, "version": self.version, "sha256": self.digest},
            "bins": self.bins,
            "nonce": self.nonce,
            "profile": self.profile.to_json(),
        }
        return json.dumps(document, sort_keys=True, allow_nan=False).encode()

    @classmethod
    def read(cls, path: Path) -> StoredProfile:
        """Read a profile back.

        Raises:
            InputError: missing, too large, or not a profile of this format.
        """
        expected = "a profile that this version of assay wrote"
        try:
            if path.exists() and not path.is_file():
                raise InputError("not a file", where=str(path), expected=expected)
            with path.open("rb") as stream:
                raw = stream.read(MAX_BYTES + 1)
            if len(raw) > MAX_BYTES:
                raise InputError("too large", where=str(path), expected=expected)
            document: dict[str, Any] = json.loads(raw)
            named = document["contract"]
            return cls(
                contract=str(named["name"]),
                version=str(named["version"]),
                digest=str(named["sha256"]),
                bins=int(document["bins"]),
                profile=Profile.from_json(document["profile"]),
                nonce=str(document["nonce"]),
            )
        except OSError as error:
            why = f"cannot be read ({error.strerror})"
            raise InputError(why, where=str(path), expected=expected) from error
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
            EvidenceError,
        ):
            raise InputError("not a profile", where=str(path), expected=expected) from None

    def unusable_for(self, contract: Contract, gate: DataGatePolicy) -> str | None:
        """Why drift under contract and policy cannot be measured against it; None if it can."""
        if self.digest == contract.digest:
            if self.bins == gate.bins:
                return None
            return f"the baseline was counted in {self.bins} bins, the policy asks for {gate.bins}"
        return (
            f"the baseline was profiled under contract {self.contract} {self.version} "
            f"({self.digest[:12]}), this is {contract.name} {contract.version} "
            f"({contract.digest[:12]})"
        )
