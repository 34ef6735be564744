"""The stream that hands waiting runs out, and how it is made: bounded in every direction.

    one hint a run       a newer one takes the place of the older
    a minute             then a hint is worth nothing
    in memory            a server that starts again has lost them, and everybody looks when it is back
    each to one worker   until it says it has it; a worker that does not is given two seconds, five times

The same hint said by two within ten seconds is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from foundation.hints.wire import RUNS, token_of

if TYPE_CHECKING:
    from nats.js import JetStreamContext
    from nats.js.api import ConsumerConfig, StreamConfig

__all__ = ["STREAM", "Rules", "consumer_of", "prepare"]

STREAM: Final = "SWITCHYARD_RUNS"
# What the server calls a stream of that name that is made otherwise.
OTHERWISE: Final = 10058


@dataclass(frozen=True, slots=True)
class Rules:
    most_hints: int = 20_000
    most_bytes: int = 16 * 1024 * 1024
    age_s: float = 60.0
    window_s: float = 10.0
    ack_wait_s: float = 2.0
    deliveries: int = 5
    # A kind that nobody executes any more is forgotten.
    forgotten_after_s: float = 3600.0


async def prepare(streams: JetStreamContext, *, kinds: list[str], rules: Rules) -> None:
    """Make what is missing and change what is otherwise. Safe for all replicas at once.

    Raises:
        nats.errors.Error: the server has no streams, or no room for this one.
    """
    from nats.js.errors import BadRequestError

    stream = _stream(rules)
    try:
        await streams.add_stream(stream)
    except BadRequestError as error:
        if error.err_code != OTHERWISE:
            raise
        await _change(streams, stream)
    for kind in kinds:
        await streams.add_consumer(STREAM, _consumer(kind, rules))


def consumer_of(kind: str) -> str:
    return f"workers-{token_of(kind)}"


async def _change(streams: JetStreamContext, stream: StreamConfig) -> None:
    from nats.js.errors import APIError

    try:
        await streams.update_stream(stream)
    except APIError:
        # Some things can never be changed. It holds nothing that is not found again.
        await streams.delete_stream(STREAM)
        await streams.add_stream(stream)


def _stream(rules: Rules) -> StreamConfig:
    from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

    return StreamConfig(
        name=STREAM,
        description="Runs that wait; Postgres knows which.",
        subjects=[f"{RUNS}.*.*"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.MEMORY,
        discard=DiscardPolicy.OLD,
        max_msgs=rules.most_hints,
        max_msgs_per_subject=1,
        max_bytes=rules.most_bytes,
        max_age=rules.age_s,
        duplicate_window=rules.window_s,
    )


def _consumer(kind: str, rules: Rules) -> ConsumerConfig:
    from nats.js.api import AckPolicy, ConsumerConfig

    name = consumer_of(kind)
    return ConsumerConfig(
        name=name,
        durable_name=name,
        filter_subject=f"{RUNS}.{token_of(kind)}.*",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=rules.ack_wait_s,
        max_deliver=rules.deliveries,
        inactive_threshold=rules.forgotten_after_s,
    )
