"""kfn source apiserver: sources that tell of changed objects, in Knative's own kind."""

from typing import TYPE_CHECKING

import click

from cli import complete, objects, output, session
from cli.failures import CliError
from cli.trigger import destination

if TYPE_CHECKING:
    from kfn.api.apiserversource import ApiServerSource, ApiVersionKindSelector


@click.group("apiserver")
def apiserver() -> None:
    """Events of Kubernetes objects that are added, changed or removed."""


@apiserver.command("create")
@click.argument("name")
@click.option("-s", "--sink", required=True, help="broker:NAME, ksvc:NAME, svc:NAME or a URL.", shell_complete=complete.brokers)
@click.option(
    "--resource", "resources", multiple=True, required=True, metavar="KIND:VERSION[:LABEL=VALUE,...]",
    help="What is watched, such as Deployment:apps/v1:app=shop; may be repeated.",
)  # fmt: skip
@click.option("--mode", type=click.Choice(("Reference", "Resource")), default="Reference", show_default=True, help="What the data is.")
@click.option("--service-account", default="default", show_default=True, help="Whose rights are used; it must be allowed to watch.")
@click.option("--all-namespaces", is_flag=True, help="Watch in all namespaces, not only in the source's.")
@click.option("--ce-override", "overrides", multiple=True, metavar="NAME=VALUE", help="An attribute for every event; may be repeated.")
@click.option("--wait/--no-wait", default=True, help="Wait until it watches.")
@session.options
def create(
    session: session.Session, name: str, sink: str, resources: tuple[str, ...], mode: str, service_account: str, all_namespaces: bool,
    overrides: tuple[str, ...], wait: bool,
) -> None:  # fmt: skip
    """Create a source of the changes of objects.

    \b
    kfn source apiserver create maps --resource ConfigMap:v1 --sink broker:default
    """
    from cli.session import run
    from cli.sourced import pairs
    from cli.waiting import until_ready
    from kfn.api import kinds
    from kfn.api.apiserversource import ApiServerSource, ApiServerSourceSpec
    from kfn.api.meta import ObjectMeta
    from kfn.api.shapes import Selector
    from kfn.api.sourced import CloudEventOverrides

    extensions = pairs(overrides)
    made = ApiServerSource(
        metadata=ObjectMeta(name=name, namespace=session.namespace),
        spec=ApiServerSourceSpec(
            sink=destination(sink, session.namespace, "--sink"),
            ce_overrides=CloudEventOverrides(extensions) if extensions else None,
            resources=[_resource(one) for one in resources],
            mode=mode,
            service_account_name=service_account,
            namespace_selector=Selector() if all_namespaces else None,
        ),
    )

    async def work() -> None:
        async with session.client() as client:
            await objects.create(client, kinds.API_SERVER_SOURCE, made, session.namespace, "source apiserver")
            if wait:
                await until_ready(
                    client, kinds.API_SERVER_SOURCE, name, session.namespace, timeout=120, say=lambda why: click.echo(f"  {why}", err=True)
                )

    run(work)
    click.echo(f"apiserver source {name} created", err=True)


@apiserver.command("list")
@output.option
@session.options
def list_(session: session.Session, output: str) -> None:
    """List apiserver sources."""
    from cli.output import objects as show
    from cli.session import run
    from kfn.api import kinds

    async def work() -> "list[ApiServerSource]":
        async with session.client() as client:
            return await objects.listed(client, kinds.API_SERVER_SOURCE, session.namespace)

    show(output, run(work), row, empty=f"No apiserver sources in namespace {session.namespace}.")


@apiserver.command("describe")
@click.argument("name", shell_complete=complete.of("API_SERVER_SOURCE"))
@output.option
@session.options
def describe(session: session.Session, name: str, output: str) -> None:
    """Show an apiserver source."""
    from cli import output as out
    from cli.session import run
    from kfn.api import kinds

    async def work() -> "ApiServerSource":
        async with session.client() as client:
            return await objects.get(client, kinds.API_SERVER_SOURCE, name, session.namespace, "apiserver source")

    source = run(work)
    if output in ("json", "yaml"):
        out.objects(output, [source], row, empty="", single=True)
        return
    shown, spec = row(source, True), source.spec
    out.fields(
        [
            ("Name", name),
            ("Namespace", session.namespace),
            ("Resources", shown["RESOURCES"]),
            ("Mode", spec.mode),
            ("Account", spec.service_account_name),
            ("Watches in", _places(source)),
            ("Sink", shown["SINK"]),
            ("Age", shown["AGE"]),
        ]
    )
    out.conditions(source.status.conditions)


@apiserver.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete.of("API_SERVER_SOURCE"))
@session.options
def delete(session: session.Session, names: tuple[str, ...]) -> None:
    """Delete apiserver sources."""
    from cli.session import run
    from kfn.api import kinds

    async def work() -> None:
        async with session.client() as client:
            await objects.delete(client, kinds.API_SERVER_SOURCE, names, session.namespace, "apiserver source")

    run(work)


def _resource(text: str) -> "ApiVersionKindSelector":
    """As `kn` takes it: Kind:version, and labels."""
    from kfn.api.apiserversource import ApiVersionKindSelector
    from kfn.api.shapes import Selector

    kind, _, rest = text.partition(":")
    version, _, labels = rest.partition(":")
    if not kind or not version:
        raise CliError(f"--resource {text!r} is not KIND:VERSION, for example ConfigMap:v1 or Deployment:apps/v1:app=shop", 2)
    chosen = {}
    for item in filter(None, labels.split(",")):
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise CliError(f"--resource {text!r}: {item!r} is not LABEL=VALUE", 2)
        chosen[key] = value
    return ApiVersionKindSelector(version, kind, Selector(chosen) if chosen else None)


def _places(source: "ApiServerSource") -> str:
    from kfn.api.shapes import Selector

    if source.spec.namespace_selector is None:
        return "its own namespace"
    return "all namespaces" if source.spec.namespace_selector == Selector() else ", ".join(source.status.namespaces) or "no namespace"


def row(source: "ApiServerSource", wide: bool) -> dict[str, str]:
    return {
        "NAME": source.metadata.name,
        "RESOURCES": ", ".join(f"{one.kind}:{one.api_version}" for one in source.spec.resources),
        "SINK": source.status.sink_uri,
        "AGE": output.age(source.metadata.creation_timestamp),
        "READY": objects.ready(source.status.conditions),
        "REASON": objects.reason(source.status.conditions),
    }
