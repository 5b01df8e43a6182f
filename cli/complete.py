"""Names for the shell's completion, most of them from the running platform: within two seconds, or silently none."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kfn.kube.client import Client

Completer = Callable[[click.Context, click.Parameter, str], list[str]]
TIMEOUT = 2.0  # seconds


def functions(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    return _names("SERVICE", context, typed)


def revisions(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """Of the function that is named already, if one is."""
    from kfn.api import names

    function = context.params.get("name") or context.params.get("service")
    return _names("REVISION", context, typed, labels=f"{names.SERVICE}={function}" if function else "")


def brokers(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    return _names("BROKER", context, typed)


def triggers(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    return _names("TRIGGER", context, typed)


def channels(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    return _names("CHANNEL", context, typed)


def subscriptions(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    return _names("SUBSCRIPTION", context, typed)


def of(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Names of the objects of a kind, which is given by its name in `kfn.api.kinds`."""
    return lambda context, parameter, typed: _names(kind, context, typed)


def builds(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    return _names("BUILD", context, typed)


def bases(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """kfn's own; no platform is asked."""
    from builder.base.recipes import RECIPES

    return [name for name in RECIPES if name.startswith(typed)]


def namespaces(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    return _names("NAMESPACE", context, typed, everywhere=True)


def _names(kind: str, context: click.Context, typed: str, *, labels: str = "", everywhere: bool = False) -> list[str]:
    from cli import session

    given: dict[str, Any] = {}
    for level in (context.parent, context):
        given |= {name: value for name, value in (level.params if level else {}).items() if name in session.CHOICE and value}

    async def ask() -> list[str]:
        import anyio

        from kfn.api import kinds

        with anyio.move_on_after(TIMEOUT):
            async with found.client(timeout=TIMEOUT) as client:
                return await _listed(client, getattr(kinds, kind), None if everywhere else found.namespace, labels)
        return []

    try:
        found = session.resolve(given.get("kubeconfig"), given.get("kube_context"), given.get("namespace"))
        return [name for name in session.run(ask) if name.startswith(typed)]
    except Exception:
        return []  # a shell that completes is no place for messages


async def _listed(client: "Client", kind: Any, namespace: str | None, labels: str) -> list[str]:
    items, _ = await client.list(kind, namespace, labels=labels)
    return sorted(item.metadata.name for item in items)
