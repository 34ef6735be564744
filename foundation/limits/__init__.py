"""How often one client may ask, over HTTP and on sockets.

Who proves nothing is counted by address, at once and in this process (`AddressLimit`). A proved caller is
counted among all replicas when there is Redis, and here otherwise (`RequestLimit`).
"""

from foundation.limits.addresses import AddressLimit
from foundation.limits.keys import address_key, caller_key
from foundation.limits.requests import RequestLimit, RequestLimits
from foundation.limits.shared import SharedCounts
from foundation.limits.verdict import LimitVerdict, RequestLimitReached

__all__ = [
    "AddressLimit",
    "LimitVerdict",
    "RequestLimit",
    "RequestLimitReached",
    "RequestLimits",
    "SharedCounts",
    "address_key",
    "caller_key",
]
