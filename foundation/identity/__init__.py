"""Who is asking: tokens, published keys, API keys, the service secret and the proved caller."""

from foundation.identity.api_keys import ApiKeys
from foundation.identity.authenticate import Authenticator
from foundation.identity.caller import Caller, CallerKind
from foundation.identity.development import issue_development_token
from foundation.identity.errors import KeysUnavailable, MissingCredentials

__all__ = [
    "ApiKeys",
    "Authenticator",
    "Caller",
    "CallerKind",
    "KeysUnavailable",
    "MissingCredentials",
    "issue_development_token",
]
