"""What leased slots cost: two gateway processes over the same instances, with limits kept through a keeper and without limits.

    python -m tests.benchmarks.slots [SECONDS]

wrk loads both gateways at once. An instance answers at once (so that nothing hides what the slots cost) or after 5 ms. Every answer
must be 200: the instances answer 500 when more requests are inside than their limit. Ends with 2 where wrk is missing.
"""

import asyncio
import json
import shutil
import sys
import tempfile

from tests.benchmarks._measure import cpu
from tests.benchmarks.peers.load import SCRIPT
from tests.fakes.crew import Crew, crew
from tests.fakes.routed import HOST

CONNECTIONS = 8  # to each gateway


async def wrk(port: int, seconds: float) -> dict[str, float]:
    load = ["-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds:g}s", "-s", str(SCRIPT)]
    url = [f"http://127.0.0.1:{port}/0", "--", "GET", "0", HOST]
    process = await asyncio.create_subprocess_exec("wrk", *load, *url, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    told: dict[str, float] = json.loads(next(line for line in out.decode().splitlines() if line.startswith("{")))
    assert not any(told[kind] for kind in ("connect", "read", "write", "status", "timeout")), told
    return told


async def measure(name: str, one: Crew, seconds: float) -> None:
    await asyncio.gather(*(wrk(gateway.said, 1) for gateway in one.gateways))
    trips = [await gateway.ask("slots") for gateway in one.gateways] if one.address else []
    before = [cpu(process.process.pid) for process in one.gateways], cpu(one.keeper.process.pid) if one.keeper else 0.0
    told = await asyncio.gather(*(wrk(gateway.said, seconds) for gateway in one.gateways))
    requests = sum(t["requests"] for t in told)
    used = sum(cpu(p.process.pid) for p in one.gateways) - sum(before[0])
    keeping = cpu(one.keeper.process.pid) - before[1] if one.keeper else 0.0
    if one.address:
        after = [await gateway.ask("slots") for gateway in one.gateways]
        granted, said = (sum(a[i] for a in after) - sum(b[i] for b in trips) for i in (0, 1))
    else:
        granted = said = 0
    p50, p99 = (max(t[which] for t in told) / 1e3 for which in ("p50", "p99"))
    print(
        f"{name:58} {requests / seconds:8,.0f}/s  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms"
        f"  gateways {used / requests * 1e6:5.1f} µs  keeper {keeping / requests * 1e6:5.1f} µs"
        f"  round trips {granted / requests:6.4f}  frames {said / requests:6.4f}",
        flush=True,
    )


async def main(seconds: float = 3.0) -> None:
    with tempfile.TemporaryDirectory(prefix="kfn-bench-slots-") as folder:
        for lasts in (0.0, 0.005):
            said = f"answers after {lasts * 1e3:g} ms"
            for name, limit, instances, gateways, shared in (
                ("no limit", 0, 4, 2, False),
                ("one gateway, limit 1 x 4, kept alone", 1, 4, 1, False),
                ("limit 100 x 4, leased", 100, 4, 2, True),
                ("limit 1 x 16, leased: no one waits", 1, 16, 2, True),
                ("limit 1 x 4, leased: most wait", 1, 4, 2, True),
            ):
                address = f"unix:{folder}/slots" if shared else ""
                async with crew(address, limit=limit, instances=instances, gateways=gateways, keeper=shared, ttl=2.0, lasts=lasts) as one:
                    await measure(f"{name}, {said}", one, seconds)


if __name__ == "__main__":
    if shutil.which("wrk") is None:
        print("this needs wrk", file=sys.stderr)
        sys.exit(2)
    asyncio.run(main(*(float(arg) for arg in sys.argv[1:2])))
