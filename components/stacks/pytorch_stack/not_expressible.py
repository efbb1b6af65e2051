"""What a native tool cannot say of a contract or a policy: listed, never dropped."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NotExpressible:
    """A rule that a native tool cannot check, or checks in another sense; the referee checks it.

    ``rule`` is ``<clause>:<subject>`` in the referee's names, ``tool`` the native tool that lacks
    it, ``why`` a sentence without any value out of the data.
    """

    rule: str
    tool: str
    why: str

    def to_json(self) -> dict[str, str]:
        """JSON of the three fields."""
        return {"rule": self.rule, "tool": self.tool, "why": self.why}
