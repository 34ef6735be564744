"""Faults: real processes, something that goes badly wrong, and then the audit.

    python -m tests.hardening kill9 --n 40 --seed 7    one fault; one line of JSON; exit 0 or 1
    python -m tests.hardening all --full               every fault at its full N, as releases report it
    python -m tests.hardening kill9 --mutate           its guards removed, one by one: each must turn it red
    python -m tests.hardening --list                   which there are, their promises and their N

Three rules keep it honest:

1. The fault must be proved to have happened: a run without hits is red.
2. The guard must be proved to matter: each fault names mutations that take a guard away, by a patch in SQL or
   in the code of a process that is started for this only. With one of them the run must be red.
3. The seed is printed; the same seed draws the same places, ages and choices again.

How to add a fault: a file in `faults/` with a coroutine function `async def perform(ground, findings)` and a
`FAULT = Fault(...)` that names its promise, its full and small N and its mutations; and its name in
`catalogue.py`. `ground` (see `ground.py`) has the database, the scripted model, the dice and N, and starts
replicas, which take over the patch of a mutation by themselves; `launch.py` names the agents they have.
`findings.hit()` counts what has gone wrong on purpose, `findings.violated("...")` what must not be,
`findings.figure("p99_s", ...)` keeps what was measured. The audit of the database, joined with the log of the
model server, comes by itself at the end; a fault that leaves calls or runs under way waits for them first.

`test_hardening.py` performs each fault with its small N, and some mutations by the seed of the day.
"""
