"""The gateway under steady load while everything around it changes at random: wrong answers, and splits that were not kept.

    python -m tests.benchmarks.prober [RUNS] [SEED]

`tests/integration/gateway/test_prober.py` is one such run; this is as many as there is patience for, each with its own seed.
"""

import asyncio
import random
import sys
from collections import Counter

import uvloop

from tests.benchmarks._measure import Table
from tests.fakes.prober import probe

RUNS, UPDATES, SECONDS, RATE = 5, 200, 8.0, 500.0


async def main(runs: int, seed: int | None) -> int:
    table = Table()
    answers, epochs, faults, updates = 0, 0, 0, Counter[str]()
    for _ in range(runs):
        chosen = random.randrange(2**32) if seed is None else seed
        told = await probe(chosen, UPDATES, SECONDS, RATE)
        broken = [*told.wrong, *told.splits_not_kept()]
        answers, epochs, faults = answers + told.answers.total(), epochs + len(told.epochs), faults + len(broken)
        updates += told.updates
        for one in broken[:5]:
            print(f"seed {chosen}: {one}")
    table.add(f"prober, {runs} times {UPDATES} updates at {RATE:g} requests/s", f"{faults} wrong of {answers} answers", "0")
    table.add("splits, each compared turn by turn", f"{epochs} tables of the route")
    table.add("updates", ", ".join(f"{times} {kind}" for kind, times in updates.most_common()))
    return 1 if faults else 0


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main(given[0] if given else RUNS, given[1] if len(given) > 1 else None)))
