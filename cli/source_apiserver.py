"""kfn source apiserver: sources that tell of changed objects, in Knative's own kind."""

from typing import TYPE_CHECKING

import click

from cli import session, sourced
from cli.failures import CliError

if TYPE_CHECKING:
    from kfn.api.apiserversource import ApiServerSource, ApiVersionKindSelector

WORD = "apiserver source"


@click.group("apiserver")
def apiserver() -> None:
    """Events of Kubernetes objects that are added, changed or removed."""


@apiserver.command("create")
@click.argument("name")
@sourced.sink
@click.option(
    "--resource", "resources", multiple=True, required=True, metavar="KIND:VERSION[:LABEL=VALUE,...]",
    help="What is watched, such as Deployment:apps/v1:app=shop; may be repeated.",
)  # fmt: skip
@click.option("--mode", type=click.Choice(("Reference", "Resource")), default="Reference", show_default=True, help="What the data is.")
@click.option("--service-account", default="default", show_default=True, help="Whose rights are used; it must be allowed to watch.")
@click.option("--all-namespaces", is_flag=True, help="Watch in all namespaces, not only in the source's.")
@sourced.override
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
    from kfn.api import kinds
    from kfn.api.apiserversource import ApiServerSource, ApiServerSourceSpec
    from kfn.api.meta import ObjectMeta
    from kfn.api.shapes import Selector

    made = ApiServerSource(
        metadata=ObjectMeta(name=name, namespace=session.namespace),
        spec=ApiServerSourceSpec(
            **sourced.spec(session, sink, overrides),
            resources=[_resource(one) for one in resources],
            mode=mode,
            service_account_name=service_account,
            namespace_selector=Selector() if all_namespaces else None,
        ),
    )
    sourced.create(session, kinds.API_SERVER_SOURCE, made, WORD, wait=wait)


def _resource(text: str) -> "ApiVersionKindSelector":
    """As `kn` takes it: Kind:version, and labels."""
    from kfn.api.apiserversource import ApiVersionKindSelector
    from kfn.api.shapes import Selector

    kind, _, rest = text.partition(":")
    version, _, labels = rest.partition(":")
    if not kind or not version:
        raise CliError(f"--resource {text!r} is not KIND:VERSION, for example ConfigMap:v1 or Deployment:apps/v1:app=shop", 2)
    chosen = sourced.pairs(tuple(filter(None, labels.split(","))), f"--resource {text!r}:", "ConfigMap:v1:app=shop")
    return ApiVersionKindSelector(version, kind, Selector(chosen) if chosen else None)


def _fields(source: "ApiServerSource") -> list[tuple[str, str]]:
    spec = source.spec
    return [
        ("Resources", _resources(source)),
        ("Mode", spec.mode),
        ("Account", spec.service_account_name),
        ("Watches in", _places(source)),
    ]


def _places(source: "ApiServerSource") -> str:
    from kfn.api.shapes import Selector

    if source.spec.namespace_selector is None:
        return "its own namespace"
    return "all namespaces" if source.spec.namespace_selector == Selector() else ", ".join(source.status.namespaces) or "no namespace"


def _resources(source: "ApiServerSource") -> str:
    return ", ".join(f"{one.kind}:{one.api_version}" for one in source.spec.resources)


def row(source: "ApiServerSource", wide: bool) -> dict[str, str]:
    return sourced.row(source, RESOURCES=_resources(source))


sourced.looking(apiserver, "API_SERVER_SOURCE", WORD, row, _fields)
