"""Every kind of handler, in a real process."""

import json
from pathlib import Path

from tests.fakes.function_process import function

PLAIN = """
import time
import kfn

def handle(request):
    match request.path:
        case "/text": return "grüße"
        case "/bytes": return b"\\x00\\x01"
        case "/dict": return {"a": [1, 2]}
        case "/list": return [1, "zwei"]
        case "/none": return None
        case "/status": return "made", 201
        case "/headers": return {"made": True}, 201, {"x-kind": "tuple"}
        case "/response": return kfn.Response("<p>", 202, {"x-a": "b"}, content_type="text/html")
        case "/generator": return (f"{n}\\n" for n in range(3))
        case "/query": return request.query
        case "/echo": return {"m": request.method, "h": request.headers["X-Some"], "b": request.text, "t": request.trace_id}
        case "/json": return request.json()
        case "/boom": raise ValueError("a secret")
        case "/exit": raise SystemExit(3)
        case "/object": return object()
        case "/late": return late()

def late():
    yield "begun"
    time.sleep(0.05)
    raise ValueError("too late")
"""


class TestPlainHandler:
    def test_what_it_returns_decides_the_response(self, tmp_path: Path) -> None:
        with function(tmp_path, PLAIN) as f:
            text = f.get("/text")
            assert (text.body.decode(), text.headers["content-type"]) == ("grüße", "text/plain; charset=utf-8")
            assert f.get("/bytes").headers["content-type"] == "application/octet-stream"
            assert (f.get("/dict").json(), f.get("/list").json()) == ({"a": [1, 2]}, [1, "zwei"])
            assert (f.get("/none").status, f.get("/status").status) == (204, 201)
            headers = f.get("/headers")
            assert (headers.status, headers.headers["x-kind"], headers.json()) == (201, "tuple", {"made": True})
            response = f.get("/response")
            assert (response.status, response.headers["content-type"], response.body) == (202, "text/html", b"<p>")
            streamed = f.get("/generator")
            assert (streamed.body, streamed.headers["transfer-encoding"]) == (b"0\n1\n2\n", "chunked")

    def test_the_request_has_what_was_sent(self, tmp_path: Path) -> None:
        trace = "0af7651916cd43dd8448eb211c80319c"
        with function(tmp_path, PLAIN) as f:
            assert f.get("/query?a=1&b=%20x").json() == {"a": "1", "b": " x"}
            reply = f.get("/echo", "X-SOME: v", f"traceparent: 00-{trace}-b7ad6b7169203331-01", method="POST", body=b"hi")
            assert reply.json() == {"m": "POST", "h": "v", "b": "hi", "t": trace}
            f.stop()
            assert f.lines()[-1]["trace_id"] == trace

    def test_a_failure_is_500_with_the_traceback_in_the_log_only(self, tmp_path: Path) -> None:
        with function(tmp_path, PLAIN) as f:
            for path in ("/boom", "/exit", "/object"):
                reply = f.get(path)
                assert (reply.status, reply.headers["content-type"]) == (500, "application/problem+json")
                assert b"secret" not in reply.body
                assert b"Traceback" not in reply.body
            f.stop()
            failed = next(json.loads(line) for line in f.log.splitlines() if "a secret" in line)
            assert 'raise ValueError("a secret")' in failed["traceback"]
            assert failed["trace_id"] in {line["trace_id"] for line in f.lines()}

    def test_a_stream_that_fails_is_cut_off(self, tmp_path: Path) -> None:
        with function(tmp_path, PLAIN) as f, f.connect() as wire:
            wire.send(b"GET /late HTTP/1.1\r\nhost: f\r\n\r\n")
            assert wire.rest().endswith(b"begun\r\n")  # and no last chunk
            assert f.get("/text").status == 200

    def test_a_bad_body_is_the_clients_fault(self, tmp_path: Path) -> None:
        with function(tmp_path, PLAIN, KFN_MAX_BODY="1000") as f:
            assert f.get("/json", method="POST", body=b"{").status == 400
            assert f.get("/json", method="POST", body=b"1" * 1001).status == 413
            with f.connect() as wire:
                wire.send(b"POST /json HTTP/1.1\r\nhost: f\r\ntransfer-encoding: chunked\r\n\r\n" + b"400\r\n" + b"1" * 1024 + b"\r\n")
                reply = wire.reply()
                assert (reply.status, reply.headers["connection"]) == (413, "close")
                assert "KFN_MAX_BODY" in reply.json()["detail"]

    def test_sync_handlers_run_side_by_side(self, tmp_path: Path) -> None:
        source = """
import threading
both = threading.Barrier(2, timeout=5)
def handle(request):
    both.wait()
    return "met"
"""
        with function(tmp_path, source) as f, f.connect() as one, f.connect() as two:
            for wire in (one, two):
                wire.send(b"GET / HTTP/1.1\r\nhost: f\r\n\r\n")
            assert [one.reply().body, two.reply().body] == [b"met", b"met"]

    def test_async_handlers_and_generators_are_served(self, tmp_path: Path) -> None:
        source = """
import asyncio
async def handle(request):
    await asyncio.sleep(0)
    if request.path == "/stream":
        return pieces()
    return {"ok": True}
async def pieces():
    for n in range(3):
        yield {"n": n}
"""
        with function(tmp_path, source) as f:
            assert f.get().json() == {"ok": True}
            assert f.get("/stream").body == b'{"n":0}\n{"n":1}\n{"n":2}\n'

    def test_an_async_generator_may_be_the_handler(self, tmp_path: Path) -> None:
        with function(tmp_path, "async def handle(request):\n    yield 'a'\n    yield 'b'\n") as f:
            assert f.get().body == b"ab"

    def test_a_handler_without_arguments_is_called(self, tmp_path: Path) -> None:
        with function(tmp_path, "def handle():\n    return 'hi'\n") as f:
            assert f.get().body == b"hi"


class TestOtherKinds:
    def test_an_asgi_application_with_lifespan_is_served(self, tmp_path: Path) -> None:
        source = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

@asynccontextmanager
async def lifespan(app):
    print("started", flush=True)
    yield {"greeting": "hello"}
    print("stopped", flush=True)

async def echo(request):
    return JSONResponse({"who": request.path_params["who"], "greeting": request.state.greeting, "body": (await request.body()).decode()})

async def stream(request):
    async def parts():
        yield b"a"
        yield b"b"
    return StreamingResponse(parts())

app = Starlette(routes=[Route("/s", stream), Route("/{who}", echo, methods=["POST"])], lifespan=lifespan)
"""
        with function(tmp_path, {"main.py": source}) as f:
            assert f.get("/ada", method="POST", body=b"x").json() == {"who": "ada", "greeting": "hello", "body": "x"}
            assert f.get("/s").body == b"ab"
            assert f.get("/nothing/here").status == 404
            assert f.stop() == 0
            assert f.log.index("started") < f.log.index("stopped")

    def test_a_failing_startup_stops_the_start(self, tmp_path: Path) -> None:
        from tests.fakes.function_process import failing

        source = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""
        code, told = failing(tmp_path, {"app.py": source})
        assert code == 1
        assert "no database" in told[-1]

    def test_a_wsgi_application_is_served(self, tmp_path: Path) -> None:
        source = """
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/gen":
        return pieces(start_response)
    start_response("201 Created", [("X-Query", environ["QUERY_STRING"]), ("Content-Type", "text/plain")])
    return [environ["REQUEST_METHOD"].encode(), b" ", body]

def pieces(start_response):
    start_response("200 OK", [])
    yield b"a"
    yield b"b"
"""
        with function(tmp_path, {"wsgi.py": source}) as f:
            reply = f.get("/x?q=1", method="POST", body=b"hey")
            assert (reply.status, reply.headers["x-query"], reply.body) == (201, "q=1", b"POST hey")
            assert f.get("/gen").body == b"ab"

    def test_a_model_is_loaded_once_before_ready_and_used_in_its_own_thread(self, tmp_path: Path) -> None:
        source = """
import threading
class Model:
    def load(self):
        print("loading", flush=True)
        self.thread = threading.get_ident()
    def handle(self, request):
        return {"same": self.thread == threading.get_ident()}
    def stop(self):
        print("unloading", flush=True)
"""
        with function(tmp_path, source) as f:
            assert f.log.count("loading") == 1
            assert all(f.get().json()["same"] for _ in range(3))
            assert f.stop() == 0
            assert "unloading" in f.log

    def test_knatives_http_function_is_served(self, tmp_path: Path) -> None:
        func = """
class Function:
    def start(self, cfg): self.port = cfg["PORT"]
    async def handle(self, scope, receive, send):
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [[b"content-type", b"text/plain"]]})
        await send({"type": "http.response.body", "body": b"port " + self.port.encode() + message["body"]})
    def alive(self): return True, "Alive"
    def ready(self): return False, "Warming"
    def stop(self): print("stopped", flush=True)
def new():
    return Function()
"""
        with function(tmp_path, {"function/__init__.py": "from .func import new\n", "function/func.py": func}) as f:
            assert f.get("/", method="POST", body=b"!").body == b"port 0!"
            alive, ready = f.get("/health/liveness"), f.get("/health/readiness")
            assert (alive.status, alive.body, ready.status, ready.body) == (200, b"Alive", 503, b"Warming")
            assert f.stop() == 0
            assert "stopped" in f.log

    def test_knatives_event_function_gets_and_sends_events(self, tmp_path: Path) -> None:
        func = """
import kfn
class Function:
    async def handle(self, scope, receive, send):
        event = scope["event"]
        await send(kfn.Event("done", "/f", {"was": event.data}, id="r1"))
def new():
    return Function()
"""
        with function(tmp_path, {"function/__init__.py": "from .func import new\n", "function/func.py": func}) as f:
            headers = ("ce-specversion: 1.0", "ce-id: 1", "ce-source: /s", "ce-type: t", "content-type: application/json")
            reply = f.get("/", *headers, method="POST", body=b"[1]")
            assert reply.headers["content-type"] == "application/cloudevents+json"
            assert reply.json()["data"] == {"was": [1]}
            missing = f.get("/")
            assert missing.status == 400
            assert "CloudEvents" in missing.json()["detail"]


class TestHealth:
    def test_default_health_is_good_and_not_logged(self, tmp_path: Path) -> None:
        with function(tmp_path, "def handle(request): return 'x'") as f:
            assert (f.get("/health/liveness").status, f.get("/health/readiness").status) == (200, 200)
            f.stop()
            assert f.lines() == []

    def test_knatives_probe_does_not_reach_the_handler(self, tmp_path: Path) -> None:
        with function(tmp_path, "def handle(request): raise ValueError") as f:
            assert f.get("/", "K-Network-Probe: queue").body == b"queue"
