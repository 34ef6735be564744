"""How often one client may ask over HTTP."""

from foundation.limits.keys import address_key, caller_key
from foundation.limits.middleware import LimitRequests, Refuse
from foundation.limits.requests import RequestLimit
from foundation.limits.verdict import LimitVerdict, RequestLimitReached

__all__ = [
    "LimitRequests",
    "LimitVerdict",
    "Refuse",
    "RequestLimit",
    "RequestLimitReached",
    "address_key",
    "caller_key",
]
