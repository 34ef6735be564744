"""A server of a fault: `python -m tests.hardening.launch <patch>`, with agents that do what a fault needs.

`<patch>` is `module:function`, called before anything else, or `-`. Such a function takes a guard away in
this process alone; there is no setting that could. `HARDENING_LOOP_LIMIT_S` in the environment makes the
watchdog of the event loop less patient; where there is a `COUNT_FILE`, a server counts its tasks when asked.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import commands
import railway_server
from foundation.settings import Settings
from heavy_agents.agents import Kind
from tests.support.agents import EchoAgent
from tests.support.counted_server import count_when_asked
from tests.support.poison import PoisonAgent
from tests.support.stubborn import StubbornAgent
from tests.support.talkative import TalkativeAgent

__all__: list[str] = []


def _build(settings: Settings) -> railway_server.Backend:
    loop_limit_s = float(os.environ.get("HARDENING_LOOP_LIMIT_S", railway_server.LOOP_LIMIT_S))
    kinds: list[Kind] = [EchoAgent(), StubbornAgent(), TalkativeAgent(), PoisonAgent()]
    return railway_server.build(settings, extra_kinds=kinds, loop_limit_s=loop_limit_s)


def _main() -> None:
    patch = sys.argv.pop(1)
    if patch != "-":
        module, _, function = patch.partition(":")
        getattr(import_module(module), function)()
    if "COUNT_FILE" in os.environ:
        count_when_asked()
    commands.main(_build)


if __name__ == "__main__":
    _main()
