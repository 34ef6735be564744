"""The front door: all HTTP of runs, one file an area. It parses, authenticates, limits and answers."""

from __future__ import annotations

from routing.app import create_app
from routing.protocol import HttpProtocol
from routing.readers import Readers
from routing.rooms import Rooms

__all__ = ["HttpProtocol", "Readers", "Rooms", "create_app"]
