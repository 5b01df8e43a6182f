"""A function's process from its first line to its last: start, failures to start, logs, stop."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.fakes.function_process import failing, function

SLOW = """
import asyncio
async def handle(request):
    try:
        await asyncio.sleep(0.3 if request.path == "/slow" else 60)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
    return "done"
"""


class TestStart:
    def test_it_tells_when_it_is_ready_and_where(self, tmp_path: Path) -> None:
        with function(tmp_path, "def handle(request): return 'x'", KFN_SPAWNED_AT="1000.5") as f:
            times = f.ready["times"]
            assert times["spawned"] == 1000.5
            assert times["started"] <= times["imported"] <= times["ready"]

    def test_the_first_answer_and_no_other_tells_the_start_times(self, tmp_path: Path) -> None:
        with function(tmp_path, "def handle(request): return 'x'", KFN_SPAWNED_AT="1000.5") as f:
            assert "kfn-start" not in f.get("/health/readiness").headers
            told = dict(part.split("=") for part in f.get().headers["kfn-start"].split(", "))
            assert list(told) == ["spawned", "started", "imported", "ready"]
            assert float(told["spawned"]) == 1000.5
            assert "kfn-start" not in f.get().headers


class TestCannotStart:
    def test_a_syntax_error_is_shown_with_its_line(self, tmp_path: Path) -> None:
        code, told = failing(tmp_path, "x = 1\ndef handle(request)\n    return 1\n")
        assert code == 1
        assert told[1].startswith("func.py:2: SyntaxError")
        assert "def handle(request)" in told[2]

    def test_a_syntax_error_with_the_handler_named_is_shown_too(self, tmp_path: Path) -> None:
        code, told = failing(tmp_path, "x = 1\ndef handle(request)\n    return 1\n", KFN_HANDLER="func:handle")
        assert (code, told[1][:10]) == (1, "func.py:2:")

    def test_a_missing_package_is_named_with_the_line_that_wants_it(self, tmp_path: Path) -> None:
        code, told = failing(tmp_path, "import os\nimport numpyy\ndef handle(request): pass\n")
        assert code == 1
        assert told[1] == "func.py:2: ModuleNotFoundError: No module named 'numpyy'"
        assert told[2].strip() == "import numpyy"
        assert "requirements.txt" in told[3]

    def test_an_unknown_handler_is_told_with_what_there_is(self, tmp_path: Path) -> None:
        code, told = failing(tmp_path, "def hello(request): pass\ndef main2(): pass\n", KFN_HANDLER="func:handle")
        assert code == 1
        assert "handler `func:handle` not found in" in told[1]
        assert "it defines: hello, main2. Set KFN_HANDLER, or `handler:`" in told[1]

    def test_a_folder_without_a_handler_is_told_what_is_looked_for(self, tmp_path: Path) -> None:
        code, told = failing(tmp_path, {"other.py": ""})
        assert code == 1
        assert "none of func.py" in told[1]

    @pytest.mark.parametrize(
        ("files", "env", "said"),
        [
            ("raise RuntimeError('no key')", {"KFN_HANDLER": "func:handle"}, "func.py:1: RuntimeError: no key"),
            ("import sys\nsys.exit(3)", {"KFN_HANDLER": "func:handle"}, "func.py:2: the module called sys.exit(3)"),
            ("handle = 3", {}, "cannot be called"),
            ("def handle(a, b, c, d): pass", {}, "takes 4 arguments (a, b, c, d)"),
            ("def handle(request): pass", {"PORT": "abc"}, "PORT is 'abc'"),
            ("def handle(request): pass", {"KFN_HANDLER": "nowhere:handle"}, "there is no module `nowhere`"),
            ("class M:\n    def load(self):\n        raise OSError('no weights')\n    def handle(self, request): pass", {}, "no weights"),
        ],
    )
    def test_everything_else_says_what_to_do(self, tmp_path: Path, files: str, env: dict[str, str], said: str) -> None:
        code, told = failing(tmp_path, files, **env)
        assert code == 1
        assert said in "\n".join(told)

    def test_a_taken_port_is_told(self, tmp_path: Path) -> None:
        with function(tmp_path, "def handle(request): return 'x'") as f:
            code, told = failing(tmp_path, {}, PORT=str(f.port))
            assert code == 1
            assert "cannot listen" in told[1]


class TestStop:
    def test_sigterm_lets_requests_finish_and_takes_no_more(self, tmp_path: Path) -> None:
        with function(tmp_path, SLOW) as f, f.connect() as busy, f.connect() as idle:
            assert idle.request("/slow").body == b"done"
            busy.send(b"GET /slow HTTP/1.1\r\nhost: f\r\n\r\n")
            time.sleep(0.1)  # noqa: TID251 - until the request has begun
            f.process.send_signal(signal.SIGTERM)
            assert idle.closed()
            with pytest.raises(ConnectionError):
                f.connect()
            reply = busy.reply()
            assert (reply.body, reply.headers["connection"]) == (b"done", "close")
            assert f.process.wait(5) == 0

    def test_a_request_that_does_not_end_is_cut_off_at_the_drain_timeout(self, tmp_path: Path) -> None:
        with function(tmp_path, SLOW, KFN_DRAIN_TIMEOUT="1") as f, f.connect() as wire:
            wire.send(b"GET / HTTP/1.1\r\nhost: f\r\n\r\n")
            time.sleep(0.1)  # noqa: TID251 - until the request has begun
            assert f.stop() == 0
            assert "1 requests unfinished" in f.log
            assert "cancelled" in f.log

    def test_sigterm_while_a_model_loads_ends_at_once(self, tmp_path: Path) -> None:
        import subprocess
        import sys

        from tests.fakes.function_process import environment, write

        source = """
import time
class M:
    def load(self):
        print("loading", flush=True)
        time.sleep(60)
    def handle(self, request):
        pass
"""
        write(tmp_path, source)
        with subprocess.Popen([sys.executable, "-m", "kfn.function"], env=environment(tmp_path), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"loading\n"
            process.terminate()
            assert process.wait(5) == 0

    def test_a_client_that_goes_away_cancels_its_request(self, tmp_path: Path) -> None:
        with function(tmp_path, SLOW) as f:
            with f.connect() as wire:
                wire.send(b"GET / HTTP/1.1\r\nhost: f\r\n\r\n")
                time.sleep(0.1)  # noqa: TID251 - until the request has begun
            for _ in range(100):
                if f.lines():
                    break
                time.sleep(0.02)  # noqa: TID251 - until the log says so
            assert "cancelled" in f.log
            assert f.lines()[0]["status"] == 499

    def test_a_slow_reader_holds_the_handler_back(self, tmp_path: Path) -> None:
        source = """
made = 0
async def handle(request):
    global made
    if request.path == "/made":
        return str(made)
    return pieces()
async def pieces():
    global made
    for _ in range(1000):
        made += 1
        yield b"x" * 100_000
"""
        with function(tmp_path, source) as f, f.connect() as wire:
            wire.send(b"GET / HTTP/1.1\r\nhost: f\r\n\r\n")
            time.sleep(0.3)  # noqa: TID251 - as long as a handler that is not held back needs for everything
            assert int(f.get("/made").body) < 500
            assert len(wire.reply().body) == 100_000_000


class TestLogs:
    def test_a_request_is_one_line_and_prints_stay_as_they_are(self, tmp_path: Path) -> None:
        source = "import logging\ndef handle(request):\n    print('plain text')\n    logging.info('counted %d', 3)\n    return 'x'\n"
        with function(tmp_path, source) as f:
            f.get("/a?b=c", "x-request-id: r-1")
            f.stop()
            (line,) = f.lines()
            assert (line["method"], line["path"], line["status"], line["request_id"], line["level"]) == ("GET", "/a", 200, "r-1", "info")
            assert line["ms"] >= 0
            assert "plain text" in f.log.splitlines()
            record = next(json.loads(text) for text in f.log.splitlines() if "counted 3" in text)
            assert (record["trace_id"], record["request_id"]) == (line["trace_id"], "r-1")

    def test_the_request_log_can_be_turned_off(self, tmp_path: Path) -> None:
        with function(tmp_path, "def handle(request): return 'x'", KFN_REQUEST_LOG="off") as f:
            f.get()
            f.stop()
            assert f.log == ""
