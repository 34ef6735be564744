"""JSON as it is sent, in no more memory than it has bytes.

orjson 3.13 returns its whole working buffer, of which the text may be a sixteenth. What is sent may wait for
a client that does not read, and there may be hundreds of them.
"""

from __future__ import annotations

import orjson

__all__ = ["json_bytes"]


def json_bytes(document: object) -> bytes:
    """
    Raises:
        TypeError: something in it is no JSON value.
    """
    return b"%b" % orjson.dumps(document)
