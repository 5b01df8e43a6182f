"""Keep a Route true: load, plan, apply."""

from dataclasses import replace

from controller import apply
from controller.route.hosts import claimed
from controller.route.plan import Seen, names_of, plan
from controller.world import World
from kfn.api import core, kinds
from kfn.api.serving import Route
from kfn.kube.reconcile import Done


async def reconcile(world: World, key: str) -> Done:
    namespace, _, name = key.partition("/")
    route = world.routes.get(namespace, name)
    if route is None or route.metadata.deletion_timestamp:
        return Done()
    seen = _load(world, route)
    wanted = plan(seen, world.settings, world.now())
    taken: dict[str, core.Service] = {}
    try:
        for service in wanted.services:
            try:
                await apply.part(world.client, kinds.CORE_SERVICE, service, seen.services.get(service.metadata.name))
            except apply.Taken as error:
                taken[service.metadata.name] = error.there
    except apply.Refused as error:
        seen = replace(seen, refused=str(error))
    if taken or seen.refused:
        seen = replace(seen, services={**seen.services, **taken})
        wanted = plan(seen, world.settings, world.now())
    await apply.show(world.client, kinds.ROUTE, route, wanted.status, world.recorder)
    for stale in wanted.delete:  # last: the gateway has stopped knowing a tag before its name goes
        await apply.remove(world.client, kinds.CORE_SERVICE, stale)
    return Done(apply.AGAIN if taken or seen.refused else None)


def _load(world: World, route: Route) -> Seen:
    namespace = route.metadata.namespace
    targets = route.spec.traffic
    configurations = {
        c.metadata.name: c for t in targets if t.configuration_name and (c := world.configurations.get(namespace, t.configuration_name))
    }
    wanted = {t.revision_name for t in targets} | {c.status.latest_ready_revision_name for c in configurations.values()}
    revisions = {r.metadata.name: r for name in wanted if name and (r := world.revisions.get(namespace, name))}
    services: dict[str, core.Service] = {s.metadata.name: s for s in world.services_of_route(route)}
    services |= {s.metadata.name: s for name in names_of(route) if (s := world.route_services.get(namespace, name))}
    rivals = {host: world.routes_claiming(host) for host in claimed(route)}
    return Seen(route, configurations, revisions, services, rivals=rivals)
