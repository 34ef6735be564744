"""Joining neighbouring chunks of text before they are numbered, so that a busy log has fewer, longer rows."""

from __future__ import annotations

from collections.abc import Iterable

from heavy_agents.events.event import Draft

__all__ = ["merge"]

MAX_CHUNK_BYTES = 16 * 1024


def merge(drafts: Iterable[Draft]) -> list[Draft]:
    """The same drafts, with runs of chunks of one step joined; the text read in order stays the same."""
    merged: list[Draft] = []
    for draft in drafts:
        if merged and _joins(merged[-1], draft):
            merged[-1] = _join(merged[-1], draft)
        else:
            merged.append(draft)
    return merged


def _joins(left: Draft, right: Draft) -> bool:
    return (
        left.type == right.type == "chunk"
        and left.size_bytes + right.size_bytes <= MAX_CHUNK_BYTES
        and left.data.keys() == right.data.keys()
        and all(left.data[key] == right.data[key] for key in left.data if key != "content")
    )


def _join(left: Draft, right: Draft) -> Draft:
    content = f"{left.data['content']}{right.data['content']}"
    return Draft("chunk", {**left.data, "content": content}, left.size_bytes + right.size_bytes)
