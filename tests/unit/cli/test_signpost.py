"""What a leader does with the address that gateways follow when its time is over."""

import anyio
import pytest

from cli.process.autoscaler import Chosen, told_where
from cli.process.door import Door
from kfn.api import kinds
from kfn.kube.client import Client
from tests.fakes.kube import FakeApi


class TestTheEndOfATerm:
    @pytest.mark.parametrize(("holds", "left"), [(True, []), (False, ["10.1.2.3"])], ids=["stopped in order", "lost its lease"])
    async def test_only_who_still_leads_takes_its_address_out(self, holds: bool, left: list[str]) -> None:
        """The other one's time is short, and what the API server would answer changes nothing."""
        api = FakeApi()
        doors = {"load": Door("127.0.0.1", 0)}

        def addresses() -> list[str]:
            found = api.find(kinds.ENDPOINT_SLICE, "kfn-autoscaler-leader", "kfn-system")
            return [address for endpoint in found.endpoints for address in endpoint.addresses] if found else ["none yet"]

        try:
            async with told_where(Client(api), Chosen(advertise="10.1.2.3"), doors, lambda: holds):
                with anyio.fail_after(30):
                    while addresses() != ["10.1.2.3"]:
                        await anyio.sleep(0.01)
        finally:
            doors["load"].close()
        assert addresses() == left
