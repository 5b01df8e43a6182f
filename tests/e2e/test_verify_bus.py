"""kfn verify-bus itself, for a minute: everything around the event bus is killed, stopped and cut, and nothing that was acknowledged is
lost. Ten minutes of it: `make soak`."""

import json
import os
import random

import pytest

from tests.e2e.harness import KFN, run

SECONDS = float(os.environ.get("KFN_VERIFY_SECONDS", "60"))

# Beside other tests the platform starts ten times slower; what has a bound here is only that it ends.
pytestmark = [pytest.mark.e2e, pytest.mark.crash, pytest.mark.timeout(SECONDS + 1200)]


async def test_a_minute_of_kills_stops_cuts_and_deploys_loses_no_acknowledged_event() -> None:
    seed = int(os.environ.get("KFN_VERIFY_SEED") or random.randrange(1_000_000))
    told = await run(
        *KFN, "verify-bus", "--seconds", f"{SECONDS:g}", "--seed", str(seed), "--rate", "40", "--patience", "240", "-o", "json",
        timeout=SECONDS + 1100,
    )  # fmt: skip
    assert told.code == 0, f"seed {seed}\n{told.out}\n{told.err}"
    report = json.loads(told.out)
    assert report["ok"]
    assert report["seed"] == seed
    assert report["acknowledged"] == report["published"] > SECONDS, "something was published between the faults"
    for name, one in report["triggers"].items():
        assert one["delivered"] + one["deadLetters"] + one["excused"] - one["deliveredAndDead"] == one["wanted"], name
    assert report["triggers"]["fails"]["deadLetters"] > 0
    assert report["order"]["keys"] == 12
    assert report["platformStarts"] > 1, "the platform itself was killed"
    done = {line.split()[1].rstrip(":") for line in report["done"] if "there was none" not in line}
    assert {"kill-nats", "kill-platform", "scale"} <= done
