"""The one guarded way out: nobody can send the server where it must not go, or drown it with an answer."""

from foundation.outbound.client import Outbound
from foundation.outbound.errors import AnswerTooLarge, BlockedAddress, OutboundFailed, OutboundTimeout
from foundation.outbound.lines import Lines, LineTooLong
from foundation.outbound.messages import Fetched
from foundation.outbound.resolve import Resolver

__all__ = [
    "AnswerTooLarge",
    "BlockedAddress",
    "Fetched",
    "LineTooLong",
    "Lines",
    "Outbound",
    "OutboundFailed",
    "OutboundTimeout",
    "Resolver",
]
