"""A profile on disk: what it was made under, and bytes that a reader can trust or refuse."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.contract import Contract
from components.contract.errors import EvidenceError, InputError
from components.profile.profile import Profile

MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A profile, and the contract whose clauses and columns it was counted under.

    ``nonce`` is a keyed random text that keeps the file's digest from being guessed; empty where
    the digest goes nowhere. The file holds counts by category: it is as confidential as the data.
    """

    contract: str
    version: str
    digest: str
    profile: Profile
    nonce: str = ""

    @classmethod
    def of(cls, contract: Contract, profile: Profile, nonce: str = "") -> StoredProfile:
        """The profile of rows that were read under this contract."""
        return cls(contract.name, contract.version, contract.digest, profile, nonce)

    def to_bytes(self) -> bytes:
        """The file's content: JSON with sorted keys."""
        document = {
            "contract": {"name": self.contract, "version": self.version, "sha256": self.digest},
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
                profile=Profile.from_json(document["profile"]),
                nonce=str(document["nonce"]),
            )
        except OSError as error:
            why = f"cannot be read ({error.strerror})"
            raise InputError(why, where=str(path), expected=expected) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, EvidenceError):
            raise InputError("not a profile", where=str(path), expected=expected) from None

    def unusable_for(self, contract: Contract) -> str | None:
        """Why drift under a contract cannot be measured against this profile; None if it can."""
        if self.digest == contract.digest:
            return None
        return (
            f"the baseline was profiled under contract {self.contract} {self.version} "
            f"({self.digest[:12]}), this is {contract.name} {contract.version} "
            f"({contract.digest[:12]})"
        )
