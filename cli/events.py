"""kfn events: publish a CloudEvent to a broker, or watch what passes through it."""

import http.client
import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import click

from cli import session
from cli.failures import CliError


@click.group("events")
def command() -> None:
    """Publish and watch events."""


@command.command("publish")
@click.option("--type", "type_", required=True, metavar="T", help="CloudEvents type, for example com.example.order.created.")
@click.option("--source", default="/kfn/cli", show_default=True, metavar="S", help="CloudEvents source.")
@click.option("--data", "-d", help="The data; @FILE reads a file, - reads standard input. JSON unless --content-type says otherwise.")
@click.option("--content-type", default="application/json", show_default=True)
@click.option("--id", "id_", help="CloudEvents id (default: a new one). The same source and id within two minutes count once.")
@click.option("--subject", help="CloudEvents subject.")
@click.option("-e", "--extension", "extensions", multiple=True, metavar="NAME=VALUE", help="Extension attribute; may be repeated.")
@click.option("--broker", default="default", show_default=True)
@session.options
def publish(
    session: session.Session, type_: str, source: str, data: str | None, content_type: str, id_: str | None, subject: str | None,
    extensions: tuple[str, ...], broker: str,
) -> None:  # fmt: skip
    """Publish one event. Returns when the bus has it on disk; prints the event's id."""
    body = _data(data)
    if content_type.split(";")[0].endswith("json") and body is not None:
        try:
            json.loads(body)
        except ValueError as error:
            raise CliError(f"--data is not JSON: {error}. For other data give --content-type", 2) from error
    event = {"specversion": "1.0", "id": id_ or str(uuid.uuid4()), "source": source, "type": type_}
    if subject:
        event["subject"] = subject
    event |= _extensions(extensions)
    headers = {f"ce-{name}": _header(value) for name, value in event.items()}
    if body is not None:
        headers["Content-Type"] = content_type
    _post(_address(session, broker), headers, body or b"", broker)
    click.echo(event["id"])


@command.command("tail")
@click.option("--broker", default="default", show_default=True)
@click.option("--filter", "filters", multiple=True, metavar="ATTRIBUTE=VALUE", help="Only events with this attribute.")
@click.option("--since", help="Start that long ago (10m, 2h) instead of now.")
@click.option("--count", "-c", type=click.IntRange(min=1), help="Stop after so many events.")
@session.options
def tail(session: session.Session, broker: str, filters: tuple[str, ...], since: str | None, count: int | None) -> None:
    """Print the events that pass through a broker, one JSON object a line."""
    from cli.session import run
    from cli.trigger import attributes

    query = urlencode([("filter", f"{k}={v}") for k, v in attributes(filters).items()] + ([("since", since)] if since else []))
    token = run(session.config.token)
    for seen, line in enumerate(_lines(f"{_address(session, broker)}/events?{query}", token), start=1):
        click.echo(line)
        if count and seen >= count:
            return


def _address(session: session.Session, broker: str) -> str:
    from cli import objects
    from cli.session import run
    from kfn.api import kinds

    async def work() -> str:
        async with session.client() as client:
            found = await objects.get(client, kinds.BROKER, broker, session.namespace, "broker")
            if found.status.address is None:
                raise CliError(f"broker {broker!r} has no address yet: {objects.reason(found.status.conditions) or 'it is being made'}")
            return found.status.address.url

    return run(work)


def _post(url: str, headers: dict[str, str], body: bytes, broker: str) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
    try:
        connection.request("POST", parts.path, body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read(4096).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise CliError(f"broker {broker!r} does not answer at {url}: {error}", 5) from error
    finally:
        connection.close()
    if answer.status >= 300:
        raise CliError(f"the broker refused the event ({answer.status}): {text}", 75 if answer.status in (429, 503) else 1)


def _lines(url: str, token: str) -> Iterator[str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        if answer.status != 200:
            raise CliError(f"cannot watch the broker ({answer.status}): {answer.read(4096).decode('utf-8', 'replace').strip()}")
        for line in answer:
            if text := line.decode("utf-8", "replace").strip():
                yield text
    except (OSError, http.client.HTTPException) as error:
        raise CliError(f"the stream of events from {parts.netloc} ended: {error}", 5) from error
    finally:
        connection.close()


def _data(data: str | None) -> bytes | None:
    if data is None:
        return None
    if data == "-":
        return sys.stdin.buffer.read()
    if data.startswith("@"):
        try:
            return Path(data[1:]).read_bytes()
        except OSError as error:
            raise CliError(f"--data {data}: {error.strerror}", 2) from error
    return data.encode()


def _extensions(given: tuple[str, ...]) -> dict[str, str]:
    parsed = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not (name.isascii() and name.isalnum() and name == name.lower()):
            raise CliError(f"-e {item!r}: write NAME=VALUE with a name of lower-case letters and digits", 2)
        parsed[name] = value
    return parsed


def _header(value: str) -> str:
    """Percent-encoding of the CloudEvents HTTP binding: space, quote, percent and what is not printable ASCII."""
    return quote(value, safe="!#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
