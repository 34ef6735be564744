"""What many operations answer alike is said once, among the components: it is a third of the size then."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

__all__ = ["share_responses"]

# Any: pieces of an OpenAPI document.
Piece = dict[str, Any]

PROBLEM: Final = "application/problem+json"


def share_responses(document: Piece) -> None:
    """Moves the problems that stand at several operations to `components/responses`, by status and codes."""
    told = [each["responses"] for path in document["paths"].values() for each in path.values()]
    seen = Counter(_text(piece) for responses in told for piece in responses.values())
    shared: dict[str, str] = {}
    components = document["components"].setdefault("responses", {})
    for responses in told:
        for status, piece in responses.items():
            text = _text(piece)
            if seen[text] == 1 or PROBLEM not in piece.get("content", {}):
                continue
            if text not in shared:
                shared[text] = _free_name(components, status, piece)
                components[shared[text]] = piece
            responses[status] = {"$ref": f"#/components/responses/{shared[text]}"}


def _free_name(taken: Piece, status: str, piece: Piece) -> str:
    """`404-run_not_found`; with a number where the same codes come with other headers."""
    name = "-".join([status, *piece["content"][PROBLEM]["examples"]])
    return name if name not in taken else f"{name}-{sum(each.startswith(name) for each in taken) + 1}"


def _text(piece: Piece) -> str:
    return json.dumps(piece, sort_keys=True)
