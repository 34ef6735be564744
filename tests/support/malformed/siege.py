"""Many malformed inputs to one server, and a look at the state of everything after each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any, Final

from tests.support.abuse import generated_cases
from tests.support.malformed.addresses import path, query
from tests.support.malformed.bodies import json, numbers, unicode
from tests.support.malformed.bulk import depth, size
from tests.support.malformed.case import Given, Make
from tests.support.malformed.heads import content_type, headers, multipart
from tests.support.malformed.perform import check_frames, check_request, check_said
from tests.support.malformed.said import said
from tests.support.state import State, changes

__all__ = ["CATEGORIES", "Siege"]

REQUESTS: Final[Mapping[str, Make]] = {
    "json": json,
    "unicode": unicode,
    "numbers": numbers,
    "depth": depth,
    "size": size,
    "headers": headers,
    "multipart": multipart,
    "query": query,
    "path": path,
    "content type": content_type,
}
MESSAGES: Final = "messages"
FRAMES: Final = "frames"
CATEGORIES: Final = (*REQUESTS, MESSAGES, FRAMES)
# Frames come in pieces with pauses between them, so that many are sent meanwhile.
AT_ONCE: Final = {FRAMES: 24}

# A name, and what says what is wrong with how it was taken.
# Any: nothing is sent into a coroutine.
Attempt = tuple[str, Coroutine[Any, Any, list[str]]]


@dataclass(frozen=True)
class Siege:
    url: str
    given: Given
    state: State

    async def wrong(self, category: str, *, count: int, seed: int) -> AsyncIterator[list[str]]:
        """For each of so many inputs of a category, what should not have been; mostly nothing."""
        # A category's inputs are the same whichever others are tried.
        attempts = self._attempts(category, count, Random(f"{seed} {category}"))  # noqa: S311 - no secret
        before = await self.state.read()
        while batch := list(islice(attempts, AT_ONCE.get(category, 1))):
            mistakes = await asyncio.gather(*(attempt for _, attempt in batch))
            after = await self.state.read()
            changed = [f"{table} has changed" for table in changes(before, after)]
            before = after
            for (name, _), each in zip(batch, mistakes, strict=True):
                yield [f"{category}: {name}: {mistake}" for mistake in [*each, *changed]]

    def _attempts(self, category: str, count: int, dice: Random) -> Iterator[Attempt]:
        url, token = self.url, self.given.token
        if category == FRAMES:
            for case in generated_cases(count, dice):
                yield case.name, check_frames(case, url, token)
            return
        for _ in range(count):
            if category == MESSAGES:
                message = said(dice, self.given)
                yield message.name, check_said(message, url, token)
            else:
                request = REQUESTS[category](dice, self.given)
                yield request.name, check_request(request, url)
