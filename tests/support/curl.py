"""Stands in for curl on a machine without it: the options our pages use, and no others.

python tests/support/curl.py [-N] [-s] [-f] [-X METHOD] [-H HEADER]… [-d BODY] ADDRESS
"""

from __future__ import annotations

import argparse
import sys
from http.client import HTTPConnection
from urllib.parse import urlsplit

__all__ = ["main"]

FAILED = 22  # as curl -f ends when the answer is an error


def main() -> int:
    asked = _options().parse_args()
    address = asked.address if "://" in asked.address else f"http://{asked.address}"
    to = urlsplit(address)
    assert to.scheme == "http", "the pages of this project ask a server on this machine"
    target = to._replace(scheme="", netloc="", fragment="").geturl() or "/"
    headers = dict(header.split(": ", 1) for header in asked.headers)
    if asked.body is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    connection = HTTPConnection(to.hostname or "", to.port, timeout=60)
    body = None if asked.body is None else asked.body.encode()
    connection.request(asked.method or ("GET" if body is None else "POST"), target, body, headers)
    answer = connection.getresponse()
    if asked.fail and answer.status >= 400:
        return FAILED
    while piece := answer.read1():
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("address")
    parser.add_argument("-N", "-s", "-S", action="store_true", dest="_ignored")
    parser.add_argument("-f", action="store_true", dest="fail")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", action="append", default=[], dest="headers")
    parser.add_argument("-d", dest="body")
    return parser


if __name__ == "__main__":
    sys.exit(main())
