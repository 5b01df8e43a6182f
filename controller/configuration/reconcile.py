"""Keep a Configuration true: load, plan, apply."""

from dataclasses import replace

from controller import apply
from controller.configuration.plan import Seen, plan, revision_name
from controller.world import World
from kfn.api import kinds
from kfn.kube.reconcile import Done


async def reconcile(world: World, key: str) -> Done:
    namespace, _, name = key.partition("/")
    configuration = world.configurations.get(namespace, name)
    if configuration is None or configuration.metadata.deletion_timestamp:
        return Done()
    seen = Seen(
        configuration,
        revisions=world.revisions_of_configuration(configuration),
        named=world.revisions.get(namespace, revision_name(configuration)),
    )
    wanted = plan(seen, world.now())
    try:
        if wanted.create is not None:
            await apply.create(world.client, kinds.REVISION, wanted.create)
    except apply.Refused as error:
        seen = replace(seen, refused=str(error))
        wanted = plan(seen, world.now())
    await apply.show(world.client, kinds.CONFIGURATION, configuration, wanted.status, world.recorder)
    return Done(apply.AGAIN if seen.refused else None)
