"""What every answer passes on its way out: pure ASGI, so that streams flow through untouched.

From the outside in: `RequestId` names the request, `Trace` traces it where somebody wants that, `Access`
counts and logs it, `Headers` adds what every answer carries, `Cors` lets browsers in, `Leaving` sends
requests elsewhere during a drain, `Unread` ends connections whose body was not taken, and `Failures` turns
what nobody expected into a problem.
"""

from __future__ import annotations

from routing.middleware.access import Access
from routing.middleware.cors import Cors
from routing.middleware.failures import Failures
from routing.middleware.headers import API, Headers
from routing.middleware.leaving import Leaving
from routing.middleware.request_id import RequestId
from routing.middleware.trace import Trace
from routing.middleware.unread import Unread

__all__ = ["API", "Access", "Cors", "Failures", "Headers", "Leaving", "RequestId", "Trace", "Unread"]
