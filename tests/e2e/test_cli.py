"""The command as a person uses it, where it is more than the API: namespaces, events straight to a function, logs at zero, completion."""

import json
import os
from pathlib import Path

import pytest

from tests.e2e.harness import KFN, function, run, running
from tests.e2e.test_user_story import FAST_ZERO

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SOURCE = "def handle(request):\n    print('hello from inside', flush=True)\n    return 'ok'\n"
EVENTS = "import kfn\n\n@kfn.cloudevent\ndef handle(event):\n    return event.reply(event.type + '.answered', {'saw': event.data})\n"


async def test_a_day_at_the_command_line(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        for command in (["list"], ["revisions"], ["broker", "list"], ["deploy", str(function(tmp_path / "greet", SOURCE))]):
            nowhere = await platform.kfn(*command, "-n", "nope", check=False)
            assert (nowhere.code, nowhere.out) == (1, "")
            assert "kubectl create namespace nope" in nowhere.err

        function(tmp_path / "greet", SOURCE, func__yaml=FAST_ZERO)
        await platform.kfn("deploy", str(tmp_path / "greet"))
        await platform.kfn("invoke", "greet")
        await platform.kfn("deploy", str(function(tmp_path / "answer", EVENTS)))
        answered = await platform.kfn("invoke", "answer", "--type", "com.example.asked", "-d", '{"a": 1}', "-i")
        assert "ce-type: com.example.asked.answered" in answered.out.lower()
        assert json.loads(answered.out.splitlines()[-1]) == {"saw": {"a": 1}}

        described = await platform.kfn("revisions", "describe", "greet-00001")
        assert "Image:" in described.out
        assert "✓ Ready" in described.out
        near = await platform.kfn("describe", "gret", check=False)
        assert "Did you mean 'greet'?" in near.err

        asked = {"_KFN_COMPLETE": "bash_complete", "COMP_WORDS": "kfn describe g", "COMP_CWORD": "2"}
        env = {**os.environ, "KUBECONFIG": str(platform.data / "kubeconfig"), **asked}
        # click knows the program by its name, which `python -m` does not have
        completed = await run(KFN[0], "-c", "import sys; sys.argv[0] = 'kfn'; from cli.main import main; main()", env=env)
        assert completed.out.split() == ["plain,greet"]
        silent = await run(KFN[0], "-c", "from cli.main import main; main()", env={**env, "KUBECONFIG": "/nowhere"})
        assert (silent.out.strip(), silent.err) == ("", "")

        await platform.at_zero("greet")
        logs = await platform.kfn("logs", "greet")
        assert "hello from inside" in logs.out
        assert "has no instance now" in logs.err


async def test_a_stopped_platform_is_named_before_anything_is_built(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        await platform.stop()
        for command in (["list"], ["deploy", str(function(tmp_path / "greet", SOURCE)), "--name", "greet"]):
            result = await platform.kfn(*command, check=False)
            assert (result.code, result.out) == (5, "")
            assert "kfn up" in result.err
            assert "Traceback" not in result.err


async def test_an_address_that_cannot_be_had_ends_the_start_with_its_name(tmp_path: Path) -> None:
    """The first failure cancels parts that have only begun: none of them may hold up the end."""
    for attempt in range(3):
        result = await run(*KFN, "up", "--host", "256.1.1.1", "--port", "0", "--data-dir", str(tmp_path / str(attempt)), timeout=15)
        assert result.code == 1
        assert "256.1.1.1" in result.err
        assert "--host" in result.err
        assert "reaches this machine" in result.err
