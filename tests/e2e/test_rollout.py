"""New versions under load, and who can reach what: a whole platform, the real commands, callers that count every answer."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx
import pytest

from tests.e2e.harness import Platform, function, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

FUNC = """specVersion: 0.36.0
name: greet
runtime: python
created: 2026-01-01T00:00:00Z
deploy:
  annotations:
    autoscaling.knative.dev/window: 6s
    autoscaling.knative.dev/target: "2"
    autoscaling.knative.dev/max-scale: "4"
"""


@dataclass
class Callers:
    """Steady callers of one function. `answers` has (asked at, text)."""

    platform: Platform
    answers: list[tuple[float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def run(self, number: int) -> None:
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            while True:
                asked = time.monotonic()
                try:
                    answer = await http.get(f"{self.platform.facts['gateway']}/", headers={"Host": "greet.default.localhost"})
                except httpx.HTTPError as error:
                    self.wrong.append(repr(error))
                    continue
                if answer.status_code == 200:
                    self.answers.append((asked, answer.text))
                else:
                    self.wrong.append(f"{answer.status_code} {answer.text}")
                await anyio.sleep(0.01)

    def since(self, moment: float) -> Counter[str]:
        return Counter(text for asked, text in self.answers if asked > moment)


@asynccontextmanager
async def called(platform: Platform, callers: int) -> AsyncIterator[Callers]:
    found = Callers(platform)
    async with anyio.create_task_group() as tasks:
        for number in range(callers):
            tasks.start_soon(found.run, number)
        yield found
        tasks.cancel_scope.cancel()


def _source(answer: str) -> str:
    return f"import time\ndef handle(request):\n    time.sleep(0.02)\n    return {answer!r}\n"


async def test_new_versions_under_load_cost_no_request(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        folder = function(tmp_path / "greet", _source("v0"), func__yaml=FUNC)
        await platform.kfn("deploy", str(folder))
        async with called(platform, 8) as callers:
            for version in range(1, 6):
                function(folder, _source(f"v{version}"))
                await platform.kfn("deploy", str(folder))
                deployed = time.monotonic()
                await asyncio.sleep(0.5)
                assert set(callers.since(deployed)) == {f"v{version}"}, "who asks after the deployment gets the new version"
            function(folder, "raise SystemExit('this version does not start')\n")
            assert (await platform.kfn("deploy", str(folder), check=False)).code != 0
            await platform.kfn("traffic", "greet", "greet-00003=30", "greet-00006=70")
            split = time.monotonic()
            await asyncio.sleep(7)  # longer than the window: what has no traffic any more goes to zero meanwhile
            shares = callers.since(split)
            await platform.kfn("traffic", "greet", "greet-00001=100")  # wakes from zero under load
            await asyncio.sleep(0.5)
            back = callers.since(time.monotonic() - 0.3)
        print(len(callers.answers), "answers", Counter(text for _, text in callers.answers), shares)
        assert callers.wrong == []
        assert len(callers.answers) > 500
        assert set(shares) == {"v2", "v5"} and shares["v2"] / shares.total() == pytest.approx(0.3, abs=0.02)
        assert set(back) == {"v0"}
