"""The front door: all HTTP of runs, one file an area. It parses, authenticates, limits and answers."""

from __future__ import annotations

from routing.app import create_app
from routing.arrivals import Arrivals
from routing.protocol import HttpProtocol
from routing.readers import Readers
from routing.rooms import Rooms
from routing.socket import SOCKET_PROTOCOL

__all__ = ["SOCKET_PROTOCOL", "Arrivals", "HttpProtocol", "Readers", "Rooms", "create_app"]
