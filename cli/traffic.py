"""kfn traffic: show or change how a function's requests are split over its revisions."""

import click

from cli import complete, objects, output, session
from cli.failures import CliError
from kfn.api import kinds, names, serving
from kfn.api.base import encode

LATEST = "@latest"


@click.command("traffic")
@click.argument("name", shell_complete=complete.functions)
@click.argument("split", nargs=-1, metavar="[REVISION=PERCENT]...", shell_complete=complete.revisions)
@click.option("--tag", "tags", multiple=True, metavar="REVISION=TAG", help="Give a revision a host of its own; may be repeated.")
@click.option("--untag", multiple=True, metavar="TAG", help="Take a tag away; may be repeated.")
@session.options
def command(session: session.Session, name: str, split: tuple[str, ...], tags: tuple[str, ...], untag: tuple[str, ...]) -> None:
    """Show or set the traffic of function NAME.

    \b
    kfn traffic hello                                     show
    kfn traffic hello hello-00001=90 @latest=10           split
    kfn traffic hello hello-00001=100                     roll back
    kfn traffic hello @latest=100                         follow the latest ready revision again
    kfn traffic hello --tag hello-00002=candidate         its own host, without traffic
    """
    from cli.session import run

    async def work() -> serving.Service:
        async with session.client() as client:
            service = await objects.get(client, kinds.SERVICE, name, session.namespace, "function")
            if not (split or tags or untag):
                return service
            revisions, _ = await client.list(kinds.REVISION, session.namespace, labels=f"{names.SERVICE}={name}")
            known = {r.metadata.name for r in revisions}
            wanted = change(list(service.spec.traffic), _pairs(split, "REVISION=PERCENT"), _pairs(tags, "REVISION=TAG"), untag, known)
            patch = {"spec": {"traffic": [encode(t) for t in wanted]}}
            await client.patch(kinds.SERVICE, name, session.namespace, patch)
            return await _settled(client, session.namespace, name)

    service = run(work)
    rows = [
        {
            "REVISION": t.revision_name,
            "PERCENT": f"{t.percent or 0}%",
            "LATEST": "yes" if t.latest_revision else "",
            "TAG": t.tag,
            "URL": t.url or (service.status.url if t.percent else ""),
        }
        for t in service.status.traffic
    ]
    if rows:
        output.table(rows)
    else:
        click.echo("No traffic yet.", err=True)


async def _settled(client: "object", namespace: str, name: str) -> serving.Service:
    """The Service once the controller has seen the change, so that what is shown is what is served."""
    import anyio

    from kfn.kube.client import Client

    assert isinstance(client, Client)
    with anyio.move_on_after(10):
        while True:
            service = await client.get(kinds.SERVICE, name, namespace)
            if service.status.observed_generation == service.metadata.generation and objects.ready(service.status.conditions) != "Unknown":
                return service
            await anyio.sleep(0.05)
    raise CliError(f"the change was accepted, but is not served yet; see `kfn describe {name}`", 124)


def change(
    current: list[serving.TrafficTarget], split: list[tuple[str, str]], tags: list[tuple[str, str]], untag: tuple[str, ...], known: set[str]
) -> list[serving.TrafficTarget]:
    """The new `spec.traffic`: percents replaced if any are given, tags moved, and targets that carry neither dropped."""
    for twice, flag in ((_twice([r for r, _ in split]), "revision"), (_twice([tag for _, tag in tags]), "tag")):
        if twice:
            raise CliError(f"{flag} {twice!r} is given twice", 2)
    percents = {_revision(r, known): _percent(p) for r, p in split} or {_key(t): t.percent or 0 for t in current if t.percent}
    if split and sum(percents.values()) != 100:
        raise CliError(f"the percents add up to {sum(percents.values())}, not 100", 2)
    tagged = {t.tag: _key(t) for t in current if t.tag and t.tag not in untag}
    missing = [t for t in untag if t not in {c.tag for c in current}]
    if missing:
        raise CliError(f"no tag {missing[0]!r} to take away; there are: {', '.join(t.tag for t in current if t.tag) or 'none'}", 2)
    tagged |= {tag: _revision(r, known) for r, tag in tags}
    targets = [_target(key, percent=percent) for key, percent in percents.items()]
    return targets + [_target(key, tag=tag, percent=0) for tag, key in tagged.items()]


def _twice(names: list[str]) -> str:
    return next((name for name in names if names.count(name) > 1), "")


def _key(target: serving.TrafficTarget) -> str:
    return target.revision_name or LATEST


def _target(key: str, *, percent: int, tag: str = "") -> serving.TrafficTarget:
    if key == LATEST:
        return serving.TrafficTarget(latest_revision=True, percent=percent, tag=tag)
    return serving.TrafficTarget(revision_name=key, latest_revision=False, percent=percent, tag=tag)


def _revision(name: str, known: set[str]) -> str:
    if name != LATEST and name not in known:
        raise CliError(f"no revision {name!r}; there are: {', '.join([*sorted(known), LATEST])}", 2)
    return name


def _percent(text: str) -> int:
    value = text.removesuffix("%")
    if not value.isdecimal() or int(value) > 100:
        raise CliError(f"{text!r} is not a percent from 0 to 100", 2)
    return int(value)


def _pairs(given: tuple[str, ...], form: str) -> list[tuple[str, str]]:
    pairs = [item.partition("=") for item in given]
    bad = next((item for item, (left, _, right) in zip(given, pairs, strict=True) if not left or not right), None)
    if bad:
        raise CliError(f"{bad!r} is not {form}", 2)
    return [(left, right) for left, _, right in pairs]
