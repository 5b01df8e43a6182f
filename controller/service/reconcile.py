"""Keep a Service true: load, plan, apply."""

from dataclasses import replace

from controller import apply
from controller.service.plan import Seen, plan
from controller.world import World
from kfn.api import kinds
from kfn.kube.reconcile import Done


async def reconcile(world: World, key: str) -> Done:
    namespace, _, name = key.partition("/")
    service = world.services.get(namespace, name)
    if service is None or service.metadata.deletion_timestamp:
        return Done()
    named = service.spec.template.metadata.name
    seen = Seen(
        service,
        configuration=world.configurations.get(namespace, name),
        route=world.routes.get(namespace, name),
        named=world.revisions.get(namespace, named) if named else None,
    )
    wanted = plan(seen, world.now())
    try:
        if wanted.configuration is not None:
            await apply.whole(world.client, kinds.CONFIGURATION, wanted.configuration, seen.configuration)
        if wanted.route is not None:
            await apply.whole(world.client, kinds.ROUTE, wanted.route, seen.route)
    except apply.Refused as error:
        seen = replace(seen, refused=str(error))
        wanted = plan(seen, world.now())
    await apply.show(world.client, kinds.SERVICE, service, wanted.status, world.recorder)
    return Done(apply.AGAIN if seen.refused else None)
