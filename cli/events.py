"""kfn events: publish a CloudEvent to a broker, or watch what passes through it."""

import http.client
import json
import sys
import uuid
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import click

from cli import complete, session
from cli.failures import CliError

SOURCE = "/kfn/cli"
VARIABLE = "KFN_PUBLISH_TOKEN"
RESERVED = ("id", "source", "type", "specversion", "subject", "data", "datacontenttype", "time")


@click.group("events")
def command() -> None:
    """Publish and watch events."""


@command.command("publish")
@click.option("--type", "type_", required=True, metavar="T", help="CloudEvents type, for example com.example.order.created.")
@click.option("--source", default=SOURCE, show_default=True, metavar="S", help="CloudEvents source.")
@click.option("--data", "-d", help="The data; @FILE reads a file, - reads standard input. JSON unless --content-type says otherwise.")
@click.option("--content-type", default="application/json", show_default=True, help="What the data is.")
@click.option("--id", "id_", help="CloudEvents id (default: a new one). The same source and id within two minutes count once.")
@click.option("--subject", help="CloudEvents subject.")
@click.option("-e", "--extension", "extensions", multiple=True, metavar="NAME=VALUE", help="Extension attribute; may be repeated.")
@click.option(
    "--broker", default="default", show_default=True, help="The broker to publish to, or channel:NAME.", shell_complete=complete.brokers
)
@click.option(
    "--token", envvar=VARIABLE, metavar="T", help=f"For a broker that asks for one; better in ${VARIABLE}, where others do not see it."
)
@session.options
def publish(
    session: session.Session, type_: str, source: str, data: str | None, content_type: str, id_: str | None, subject: str | None,
    extensions: tuple[str, ...], broker: str, token: str | None,
) -> None:  # fmt: skip
    """Publish one event. Returns when the bus has it on disk; prints the event's id.

    \b
    kfn events publish --type com.example.order --data '{"id": 7}'
    kfn events publish --type com.example.photo --data @cat.jpg --content-type image/jpeg -e size=large
    """
    content = body(data, "--data")
    if content_type.split(";")[0].strip().endswith("json") and content is not None:
        try:
            json.loads(content)
        except ValueError as error:
            raise CliError(f"--data is not JSON: {error}. For other data give --content-type", 2) from error
    attributes = event(type_, source, id_=id_, subject=subject) | _extensions(extensions)
    url = _address(session, broker)
    if not session.facts and not _is_known(url):
        _from_outside(session, url, attributes, content, content_type, token)
        click.echo(attributes["id"])
        return
    sent = headers(attributes)
    if token:
        sent["Authorization"] = f"Bearer {token}"
    if content is not None:
        sent["Content-Type"] = content_type.encode()
    _post(url, sent, content or b"", broker)
    click.echo(attributes["id"])


@command.command("tail")
@click.option(
    "--broker", default="default", show_default=True, help="The broker to watch, or channel:NAME.", shell_complete=complete.brokers
)
@click.option("--filter", "filters", multiple=True, metavar="ATTRIBUTE=VALUE", help="Only events with this attribute.")
@click.option("--since", help="Start that long ago (10m, 2h) instead of now.")
@click.option("--count", "-c", type=click.IntRange(min=1), help="Stop after so many events.")
@session.options
def tail(session: session.Session, broker: str, filters: tuple[str, ...], since: str | None, count: int | None) -> None:
    """Print the events that pass through a broker, one JSON object a line.

    \b
    kfn events tail
    kfn events tail --filter type=com.example.order --since 10m -c 5
    """
    from cli.session import run
    from cli.trigger import attributes

    query = urlencode([("filter", f"{k}={v}") for k, v in attributes(filters).items()] + ([("since", since)] if since else []))

    async def work() -> None:
        from cli.busdoor import open_tail

        seen = 0
        async with open_tail(session, broker, query) as lines:
            async for line in lines:
                click.echo(line)
                seen += 1
                if seen == count:
                    return
        raise CliError(f"the stream of events from {broker} ended", 5)

    run(work)


def _address(session: session.Session, broker: str) -> str:
    from cli.busdoor import find
    from cli.session import run

    async def work() -> str:
        async with session.client() as client:
            found, _ = await find(session, client, broker)
            return str(found.status.address.url)

    return run(work)


def _is_known(url: str) -> bool:
    """Whether this machine finds that host: names of a cluster are known inside it only."""
    import socket

    try:
        return bool(socket.getaddrinfo(urlsplit(url).hostname, None))
    except OSError:
        return False


def _from_outside(
    session: session.Session, url: str, attributes: dict[str, str], content: bytes | None, content_type: str, token: str | None
) -> None:
    """Through the API server, which keeps `Authorization` for itself."""
    import base64

    from cli.busdoor import publish
    from cli.session import run

    if token:
        raise CliError(
            f"{urlsplit(url).hostname} is not known here, and no token passes the API server: publish from inside the cluster", 4
        )
    event: dict[str, object] = dict(attributes)
    if content is not None:
        is_json = content_type.split(";")[0].strip().endswith("json")
        data = {"data": json.loads(content)} if is_json else {"data_base64": base64.b64encode(content).decode()}
        event |= {"datacontenttype": content_type, **data}
    run(publish, session, url, event)


def _post(url: str, headers: dict[str, str | bytes], body: bytes, broker: str) -> None:
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
        raise CliError(f"the broker refused the event ({answer.status}): {text}", refusal(answer.status))


def refusal(status: int) -> int:
    """The exit code for an answer of the bus."""
    codes = {400: 2, 401: 4, 403: 4, 413: 2, 429: 75, 503: 75, 507: 75}
    return codes.get(status, 1)


def body(data: str | None, flag: str) -> bytes | None:
    """What -d gives: text, @FILE or - for standard input."""
    if data is None:
        return None
    if data in ("-", "@-"):
        return sys.stdin.buffer.read()
    if data.startswith("@"):
        try:
            return Path(data[1:]).read_bytes()
        except OSError as error:
            raise CliError(f"{flag} {data}: {error.strerror}", 2) from error
    return data.encode("utf-8", "surrogateescape")


def event(type_: str, source: str, *, id_: str | None = None, subject: str | None = None) -> dict[str, str]:
    """The attributes of a new event."""
    for flag, value in (("--type", type_), ("--source", source), ("--id", "new" if id_ is None else id_)):
        if not value:
            raise CliError(f"{flag} must not be empty", 2)
    attributes = {"specversion": "1.0", "id": id_ or str(uuid.uuid4()), "source": source, "type": type_}
    return attributes | ({"subject": subject} if subject else {})


def headers(attributes: dict[str, str]) -> dict[str, str | bytes]:
    return {f"ce-{name}": header(value) for name, value in attributes.items()}


def _extensions(given: tuple[str, ...]) -> dict[str, str]:
    parsed = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not (name.isascii() and name.isalnum() and name == name.lower()):
            raise CliError(f"-e {item!r}: write NAME=VALUE with a name of lower-case letters and digits", 2)
        if name in RESERVED:
            raise CliError(
                f"-e {item!r}: {name} is no extension{f'; give --{name}' if name in ('id', 'type', 'source', 'subject') else ''}", 2
            )
        parsed[name] = value
    return parsed


def header(value: str) -> str:
    """Percent-encoding of the CloudEvents HTTP binding: space, quote, percent and what is not printable ASCII."""
    return quote(value, safe="!#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
