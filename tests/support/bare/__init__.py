"""Sockets of bare bytes: what a client does that no library would do for it."""

from tests.support.bare.connection import Bare, opening
from tests.support.bare.frames import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Frames,
    close_frame,
    frame,
    message,
    text,
)

__all__ = [
    "BINARY",
    "CLOSE",
    "CONT",
    "PING",
    "PONG",
    "TEXT",
    "Bare",
    "Frames",
    "close_frame",
    "frame",
    "message",
    "opening",
    "text",
]
