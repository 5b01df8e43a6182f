"""kfn invoke: one HTTP request to a function, by name."""

import http.client
import json
import ssl
import sys
import time
from pathlib import Path

import click

from cli import output, session
from cli.failures import CliError


@click.command("invoke")
@click.argument("name")
@click.option("-d", "--data", help="Request body; @FILE reads a file, - reads standard input. Makes it a POST.")
@click.option("-X", "--request", "method", help="HTTP method (default GET, POST with -d).")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Request header; may be repeated.")
@click.option("-p", "--path", default="/", show_default=True, help="Path and query.")
@click.option("--tag", help="Call the revision with this traffic tag.")
@click.option("-i", "--include", is_flag=True, help="Print the status line and the response headers too.")
@click.option("--timing", is_flag=True, help="Print the cold-start waterfall, if there was one, on stderr.")
@click.option("--timeout", type=float, default=300, show_default=True, help="Seconds to wait for the answer.")
@session.options
def command(
    session: session.Session, name: str, data: str | None, method: str | None, headers: tuple[str, ...], path: str, tag: str | None,
    include: bool, timing: bool, timeout: float,
) -> int:  # fmt: skip
    """Send a request to function NAME and print what it answers.

    The exit code is 0 for an answer below 400, else 22.
    """
    url = _url(session, name, tag)
    sent = _headers(headers)
    body = _body(data)
    if body is not None and "content-type" not in {n.lower() for n in sent}:
        sent["Content-Type"] = "application/json" if _is_json(body) else "text/plain; charset=utf-8"
    start = time.monotonic()
    connection, host = _connect(session, url, timeout)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body=body, headers={"Host": host, **sent})
        answer = connection.getresponse()
        if include:
            click.echo(f"HTTP/1.1 {answer.status} {answer.reason}")
            for key, value in answer.getheaders():
                click.echo(f"{key}: {value}")
            click.echo()
        _copy(answer)
    except (OSError, http.client.HTTPException) as error:
        raise CliError(f"no answer from {url}: {error or type(error).__name__}", 5) from error
    finally:
        connection.close()
    if timing:
        waterfall(answer.getheader("Server-Timing") or "", time.monotonic() - start)
    return 0 if answer.status < 400 else 22


def waterfall(server_timing: str, total: float) -> None:
    """Draw `Server-Timing` as bars, one phase a line."""
    phases = [(p.split(";")[0].strip(), float(p.partition("dur=")[2] or 0)) for p in server_timing.split(",") if "dur=" in p]
    phases = [(n, d) for n, d in phases if n != "total"]
    if not phases:
        click.echo(f"warm: {output.duration(total)} in all", err=True)
        return
    whole = sum(d for _, d in phases) or 1.0
    at = 0.0
    for phase, took in phases:
        left, width = round(40 * at / whole), max(1, round(40 * took / whole)) if took else 0
        click.echo(f"{phase:8} {took:8.1f} ms  {' ' * left}{click.style('█' * width, fg='cyan')}", err=True)
        at += took
    click.echo(f"{'total':8} {whole:8.1f} ms", err=True)


def _url(session: session.Session, name: str, tag: str | None) -> str:
    from cli.session import run
    from kfn.api import kinds
    from kfn.kube import errors

    async def get() -> str:
        async with session.client() as client:
            try:
                service = await client.get(kinds.SERVICE, name, session.namespace)
            except errors.NotFound:
                near = await _near(client, session.namespace, name)
                raise CliError(f"no function {name!r} in namespace {session.namespace}{near}") from None
            if tag:
                url = next((t.url for t in service.status.traffic if t.tag == tag), "")
                if not url:
                    known = ", ".join(t.tag for t in service.status.traffic if t.tag) or "none"
                    raise CliError(f"function {name!r} has no traffic tag {tag!r}; it has: {known}")
                return url
            if not service.status.url:
                raise CliError(f"function {name!r} has no address yet; see `kfn describe {name}`")
            return service.status.url

    return run(get)


async def _near(client: object, namespace: str, name: str) -> str:
    import difflib

    from kfn.api import kinds
    from kfn.kube.client import Client

    assert isinstance(client, Client)
    names = [s.metadata.name for s in (await client.list(kinds.SERVICE, namespace))[0]]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f". Did you mean {near[0]!r}?" if near else ". `kfn list` shows what is there"


def _connect(session: session.Session, url: str, timeout: float) -> tuple[http.client.HTTPConnection, str]:
    address, port, host = session.endpoint(url)
    if url.startswith("https:"):
        return http.client.HTTPSConnection(address, port, timeout=timeout, context=ssl.create_default_context()), host
    return http.client.HTTPConnection(address, port, timeout=timeout), host


def _headers(given: tuple[str, ...]) -> dict[str, str]:
    parsed = {}
    for header in given:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"{header!r} is not 'NAME: VALUE'", param_hint="-H")
        parsed[name.strip()] = value.strip()
    return parsed


def _body(data: str | None) -> bytes | None:
    if data is None:
        return None
    if data == "-":
        return sys.stdin.buffer.read()
    if data.startswith("@"):
        try:
            return Path(data[1:]).read_bytes()
        except OSError as error:
            raise click.BadParameter(f"{data[1:]}: {error.strerror}", param_hint="-d") from error
    return data.encode()


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _copy(answer: http.client.HTTPResponse) -> None:
    """Print as it comes, so that streams are seen; end a person's line when the body does not."""
    last = b""
    while chunk := answer.read1(65536):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        last = chunk
    if sys.stdout.isatty() and last and not last.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
