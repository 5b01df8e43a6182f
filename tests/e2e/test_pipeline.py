"""The Pipeline of docs/pipelines.md from the command line: started by hand and by an event; and one that fails, is shown and done again."""

import json
import re
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, eventually, running
from tests.fakes.sink import Got, Say, sink

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

EXAMPLE = ROOT / "examples/pipeline"
FLAKY = """
apiVersion: kfn.dev/v1alpha1
kind: Pipeline
metadata: {{name: flaky}}
spec:
  steps:
    first: {{fn: split}}
    second: {{uri: "{url}/second", input: {{sum: size(first.lines)}}, retries: 0}}
"""


async def test_functions_are_put_together_run_looked_at_and_done_again(tmp_path: Path) -> None:
    assert (EXAMPLE / "words.yaml").read_text() in (ROOT / "docs/pipelines.md").read_text()
    async with running(tmp_path / "data") as platform, sink() as outside:
        for name in ("split", "count", "total"):
            await platform.kfn("deploy", str(EXAMPLE / name))
        await platform.kfn("broker", "create", "default")
        address = await platform.kfn("pipeline", "apply", "-f", str(EXAMPLE / "words.yaml"))
        assert "pipeline words created" in address.err and address.last_line.endswith("/default/pipelines/words")

        ran = await platform.kfn("pipeline", "run", "words", "-d", '{"text": "one two\\n\\nthree four"}')
        assert json.loads(ran.out) == {"lines": 2, "words": 4, "long": True}
        long = await platform.kfn("events", "tail", "--filter", "type=com.example.text.long", "--since", "5m", "--count", "1")
        assert json.loads(long.out)["data"]["words"] == 4

        await platform.kfn("events", "publish", "--type", "com.example.text", "-d", '{"text": "one"}')

        outside.answer = broken
        file = tmp_path / "flaky.yaml"
        file.write_text(FLAKY.format(url=outside.url))
        await platform.kfn("pipeline", "apply", "-f", str(file))
        failed = await platform.kfn("pipeline", "run", "flaky", "-d", '{"text": "a\\nb"}', check=False)
        found = re.search(r"run (\w+) failed at step second: .*500", failed.err)
        assert failed.code == 1 and found, failed.err
        shown = await platform.kfn("pipeline", "show", "flaky", found[1])
        assert re.search(r"✓ first +succeeded +1 .*split-00001", shown.out) and "✗ second" in shown.out, shown.out
        outside.answer = mended
        again = await platform.kfn("pipeline", "retry", "flaky", found[1], "--from", "second", "--wait")
        assert json.loads(again.out) == {"got": {"sum": 2}}

        async def both() -> bool:
            listed = await platform.kfn("pipeline", "runs", "words", "--status", "succeeded", "-o", "json")
            return len(json.loads(listed.out)) == 2

        await eventually(both, 60, "the event's run has not succeeded")


async def broken(got: Got) -> Say:
    return Say(500, body=b"not today")


async def mended(got: Got) -> Say:
    return Say(200, {"content-type": "application/json"}, json.dumps({"got": json.loads(got.body)}).encode())
