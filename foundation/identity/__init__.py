"""Who is asking: tokens, published keys, API keys, the service secret and the proved caller."""

from foundation.identity.api_keys import ApiKeys
from foundation.identity.authenticate import Authenticator
from foundation.identity.backends import backend_id
from foundation.identity.caller import Caller, CallerKind, Forwarded
from foundation.identity.development import issue_development_token
from foundation.identity.errors import KeysUnavailable, MissingCredentials
from foundation.identity.run_tokens import KEYS_PATH, RunTokens, run_tokens_of

__all__ = [
    "KEYS_PATH",
    "ApiKeys",
    "Authenticator",
    "Caller",
    "CallerKind",
    "Forwarded",
    "KeysUnavailable",
    "MissingCredentials",
    "RunTokens",
    "backend_id",
    "issue_development_token",
    "run_tokens_of",
]
