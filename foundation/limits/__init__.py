"""How often one client may ask over HTTP."""

from foundation.limits.keys import address_key, caller_key
from foundation.limits.requests import RequestLimit
from foundation.limits.verdict import LimitVerdict, RequestLimitReached

__all__ = [
    "LimitVerdict",
    "RequestLimit",
    "RequestLimitReached",
    "address_key",
    "caller_key",
]
