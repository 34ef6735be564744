"""How many tokens a text or a conversation has, when the provider does not say.

Pure, and a rule rather than a tokenizer, which would have to be downloaded: one token for every three UTF-8
bytes, rounded up, and four for each message. English has about four bytes a token, most other scripts three
or fewer; a rule that is a little high errs for a budget, not against it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import orjson

from foundation.errors import Json

__all__ = ["estimate_tokens", "size_bytes", "tokens_of"]

BYTES_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 4


def estimate_tokens(
    said: str | Sequence[Mapping[str, Json]], *, tools: Sequence[Mapping[str, Json]] = ()
) -> int:
    """Tokens of a text, or of messages in the shapes of Chat Completions with the `tools` sent along."""
    if isinstance(said, str):
        return tokens_of(size_bytes(said))
    messages = sum(TOKENS_PER_MESSAGE + tokens_of(_message_bytes(message)) for message in said)
    return messages + sum(tokens_of(_json_bytes(tool)) for tool in tools)


def tokens_of(n_bytes: int) -> int:
    return -(-n_bytes // BYTES_PER_TOKEN)


def size_bytes(text: str) -> int:
    """UTF-8 bytes of `text`; a lone surrogate counts as three."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def _message_bytes(message: Mapping[str, Json]) -> int:
    """A text as it is, everything else as the JSON it travels in; the role is in the four a message."""
    return sum(
        size_bytes(value) if isinstance(value, str) else _json_bytes(value)
        for name, value in message.items()
        if name != "role" and value is not None
    )


def _json_bytes(value: object) -> int:
    try:
        return len(orjson.dumps(value, default=_plain))
    except TypeError:
        # Lone surrogates and integers above 64 bits.
        return size_bytes(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain))


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
