"""Which canaries were planted, who may see them, and whether a text holds one.

A secret is seen by nobody: whoever writes it down is wrong. A word is what a user, a model or a tool has
said; it is shown to the one whose run it is, in events and answers, and to nobody else: not to a log, a
metric, a trace or a report. So tool output is in `tool_result` by design, and a secret of ours in it is not.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from random import Random
from urllib.parse import quote

__all__ = ["Planted"]


@dataclass
class Planted:
    dice: Random
    secrets: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    def secret(self, name: str, value: str | None = None) -> str:
        """A value that nothing may show; made up if there is none yet."""
        return self.secrets.setdefault(name, value or self._drawn())

    def word(self, name: str) -> str:
        """A value that only its owner may see."""
        return self.words.setdefault(name, self._drawn())

    def found(self, text: bytes, *, is_owners: bool) -> list[str]:
        """The names of those in `text` that do not belong there, also percent-encoded or in base64."""
        sought = self.secrets if is_owners else {**self.secrets, **self.words}
        return [name for name, value in sought.items() if any(form in text for form in _forms(value))]

    def _drawn(self) -> str:
        """It looks like nothing in particular, so that no pattern finds it."""
        return "".join(self.dice.choices("bcdfghjkmnpqrstvwxz", k=36))


def _forms(value: str) -> list[bytes]:
    plain = value.encode()
    # In base64 the letters depend on where a value begins; without its ends they are the same for each.
    encoded = [base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
    return [plain, quote(value, safe="").encode(), plain.hex().encode(), *encoded]
