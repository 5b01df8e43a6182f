"""kfn invoke: one HTTP request to a function, by name; or one event, sent straight to it."""

import http.client
import json
import re
import ssl
import sys
import time
from urllib.parse import quote

import click

from cli import complete, events, output, reach, session
from cli.failures import CliError

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
EVENT_TYPE = "dev.kfn.invoke"
PHASES = (
    "queue",
    "connect",
    "scale",
    "start",
    "import",
    "ready",
    "handler",
)  # the gateway's; a function may add its own


@click.command("invoke")
@click.argument("name", shell_complete=complete.functions)
@click.option("-d", "--data", help="Request body; @FILE reads a file, - reads standard input. Makes it a POST.")
@click.option("-X", "--request", "method", help="HTTP method (default GET, POST with -d).")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Request header; may be repeated.")
@click.option("-p", "--path", default="/", show_default=True, help="Path and query.")
@click.option("--tag", help="Call the revision with this traffic tag.")
@click.option("--event", "as_event", is_flag=True, help="Send a CloudEvent straight to the function, past every broker.")
@click.option("--type", "type_", metavar="T", help=f"The event's type (default {EVENT_TYPE}); means --event.")
@click.option("--source", metavar="S", help=f"The event's source (default {events.SOURCE}); means --event.")
@click.option("-i", "--include", is_flag=True, help="Print the status line and the response headers too.")
@click.option("--timing", is_flag=True, help="Ask where the time went, and draw it on stderr: a cold start's phases, or a warm request's.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=300, show_default=True, help="Seconds to wait for the answer."
)
@reach.option
@session.options
def command(
    session: session.Session, name: str, data: str | None, method: str | None, headers: tuple[str, ...], path: str, tag: str | None,
    as_event: bool, type_: str | None, source: str | None, include: bool, timing: bool, timeout: float, gateway: str | None,
) -> int:  # fmt: skip
    """Send a request to function NAME and print what it answers.

    The exit code is 0 for an answer below 400, else 22.

    \b
    kfn invoke greet -d '{"name": "Ada"}' --timing
    kfn invoke greet -p '/hello?name=Ada' -H 'Accept: text/plain' -i
    kfn invoke price --type com.example.order -d '{"id": 7}'
    """
    sent = header_lines(headers)
    body = events.body(data, "-d")
    if method and not TOKEN.fullmatch(method):
        raise CliError(f"-X {method!r} is not an HTTP method, such as GET or DELETE", 2)
    if as_event or type_ is not None or source is not None:
        event = events.event(type_ if type_ is not None else EVENT_TYPE, source if source is not None else events.SOURCE)
        sent = {**events.headers(event), **sent}
        method = method or "POST"
    if body is not None and "content-type" not in {n.lower() for n in sent}:
        sent["Content-Type"] = "application/json" if _is_json(body) else "text/plain; charset=utf-8"
    if timing:
        sent.setdefault("Kfn-Timing", "1")
    url = _url(session, name, tag)
    start = time.monotonic()
    there = reach.endpoint(session, url, gateway or "")
    connection = _connect(there, url, timeout)
    try:
        answer = _send(
            connection, method or ("GET" if body is None else "POST"), target(path), body, {"Host": there.host, **sent}, url, timeout
        )
        if include:
            click.echo(f"HTTP/1.1 {answer.status} {answer.reason}")
            for key, value in answer.getheaders():
                click.echo(f"{key}: {value}")
            click.echo()
        _copy(answer, url, timeout)
    finally:
        connection.close()
    if timing:
        waterfall(answer.getheader("Server-Timing") or "", time.monotonic() - start)
    return 0 if answer.status < 400 else 22


def phases(server_timing: str) -> list[tuple[str, float]]:
    """Name and milliseconds of each of the gateway's phases in a `Server-Timing` header; what else is there is left out."""
    found = []
    for part in server_timing.split(","):
        name, *values = (piece.strip() for piece in part.split(";"))
        span = next((value[4:] for value in values if value.startswith("dur=")), "")
        if name in PHASES and re.fullmatch(r"\d+(\.\d+)?", span):
            found.append((name, float(span)))
    return found


def waterfall(server_timing: str, total: float) -> None:
    """Draw the phases as bars, one a line."""
    spans = phases(server_timing)
    if not spans:
        click.echo(f"{output.duration(total)} in all", err=True)
        return
    whole = sum(d for _, d in spans) or 1.0
    at = 0.0
    for phase, took in spans:
        left, width = round(40 * at / whole), max(1, round(40 * took / whole)) if took else 0
        click.echo(f"{phase:8} {took:8.2f} ms  {' ' * left}{click.style('█' * width, fg='cyan')}".rstrip(), err=True)
        at += took
    click.echo(f"{'total':8} {whole:8.2f} ms in the gateway, {output.duration(total)} in all", err=True)


def header_lines(given: tuple[str, ...]) -> dict[str, str | bytes]:
    """`NAME: VALUE` texts as headers; the value goes out as UTF-8."""
    parsed: dict[str, str | bytes] = {}
    for header in given:
        name, colon, value = header.partition(":")
        if not colon or not TOKEN.fullmatch(name.strip()):
            raise CliError(f"-H {header!r} is not 'NAME: VALUE' with a name of ASCII letters, digits and '-'", 2)
        if name.strip().lower() == "host":
            raise CliError("-H Host cannot be set: NAME and --tag choose the host", 2)
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise CliError(f"-H {name.strip()}: the value holds a line end or another control character", 2)
        parsed[name.strip()] = value.strip().encode("utf-8", "surrogateescape")
    return parsed


def target(path: str) -> str:
    """The path as it goes on the wire: with its first slash, and everything that is no URL character percent-encoded."""
    path = path if path.startswith("/") else f"/{path}"
    return quote(path.encode("utf-8", "surrogateescape"), safe="/?:@!$&'()*+,;=-._~%[]")


def _url(session: session.Session, name: str, tag: str | None) -> str:
    from cli import objects
    from cli.session import run
    from kfn.api import kinds

    async def get() -> str:
        async with session.client() as client:
            service = await objects.get(
                client, kinds.SERVICE, name, session.namespace, "function", otherwise="`kfn list` shows what is there"
            )
            if tag is not None:
                url = next((t.url for t in service.status.traffic if t.tag == tag), "")
                if not url:
                    known = ", ".join(t.tag for t in service.status.traffic if t.tag) or "none"
                    raise CliError(f"function {name!r} has no traffic tag {tag!r}; it has: {known}. `kfn traffic {name} --tag` gives one")
                return url
            if not service.status.url:
                raise CliError(f"function {name!r} has no address yet; see `kfn describe {name}`")
            return service.status.url

    return run(get)


def _connect(there: reach.Endpoint, url: str, timeout: float) -> http.client.HTTPConnection:
    if not url.startswith("https:"):
        return http.client.HTTPConnection(there.address, there.port, timeout=timeout)
    return http.client.HTTPSConnection(there.address, there.port, timeout=timeout, context=ssl.create_default_context())


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str | bytes],
    url: str,
    timeout: float,
) -> http.client.HTTPResponse:
    try:
        try:
            connection.request(method, path, body=body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a body that is too large is answered, and the connection closed, before it was read: the answer says so
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise _no_answer(error, url, timeout) from error


def _no_answer(error: Exception, url: str, timeout: float) -> CliError:
    if isinstance(error, TimeoutError):
        return CliError(f"{url} did not answer within {timeout:g} s (--timeout)", 124)
    return CliError(f"no answer from {url}: {error or type(error).__name__}. Is the platform running (`kfn up`)?", 5)


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _copy(answer: http.client.HTTPResponse, url: str, timeout: float) -> None:
    """Print as it comes, so that streams are seen; end a person's line when the body does not, and keep bytes off a terminal."""
    terminal, last = sys.stdout.isatty(), b""
    while True:
        try:
            chunk = answer.read1(65536)
        except (OSError, http.client.HTTPException) as error:
            raise _no_answer(error, url, timeout) from error
        if not chunk:
            break
        if terminal and b"\0" in chunk:
            raise CliError("the answer is binary; send it to a file: kfn invoke ... > FILE")
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        last = chunk
    if terminal and last and not last.endswith(b"\n"):
        click.echo()
