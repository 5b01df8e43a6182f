"""When a certificate is made, shown, and given up: a decision over the Secret and the clock."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.webhook import rotation
from controller.webhook.rotation import AUTHORITIES, CERT, KEY, NEXT_CERT, Contents, Plan, Step
from controller.webhook.settings import Settings, host
from kfn import certificates

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings()
DAY = timedelta(days=1)


def plan(contents: Contents, now: datetime, *, trusted: float | None = 1e9, unchanged: float = 1e9, settings: Settings = SETTINGS) -> Plan:
    return rotation.plan(contents, now, settings, trusted_for=trusted, unchanged_for=unchanged)


@pytest.fixture(scope="module")
def fresh() -> Contents:
    return rotation.created(SETTINGS, START)


@pytest.fixture(scope="module")
def staged(fresh: Contents) -> Contents:
    return rotation.staged(fresh, SETTINGS, START + 61 * DAY)


class TestTheFirst:
    @pytest.mark.parametrize(
        "contents",
        [{}, {CERT: b"", KEY: b""}, {CERT: b"junk", KEY: b"junk", AUTHORITIES: b"junk"}],
        ids=["nothing", "empty", "junk"],
    )
    def test_where_there_is_none_one_is_made(self, contents: Contents) -> None:
        assert plan(contents, START).step is Step.CREATE

    def test_it_is_for_the_services_names_and_signed_by_the_one_authority(self, fresh: Contents) -> None:
        cert, _ = certificates.read(fresh[CERT], fresh[KEY]) or (None, None)
        assert cert is not None
        assert "kfn-webhook.kfn-system.svc" in certificates.hosts(cert)
        (authority,) = certificates.bundle(fresh[AUTHORITIES])
        assert certificates.issued(cert, authority)
        assert set(fresh) == {CERT, KEY, AUTHORITIES}, "the authority's key is kept nowhere"

    def test_a_key_of_another_certificate_a_foreign_authority_and_an_ended_one_cannot_be_used(self, fresh: Contents) -> None:
        other = rotation.created(SETTINGS, START)
        for spoilt in ({**fresh, KEY: other[KEY]}, {**fresh, AUTHORITIES: other[AUTHORITIES]}):
            assert not rotation.usable(spoilt, START)
            assert plan(spoilt, START).step is Step.CREATE
        assert plan(fresh, START + 91 * DAY).step is Step.CREATE

    def test_it_is_left_alone_while_it_is_good(self, fresh: Contents) -> None:
        found = plan(fresh, START)
        assert found.step is Step.WAIT
        assert found.after == SETTINGS.look
        near = plan(fresh, START + 60 * DAY - timedelta(seconds=10))
        assert near.step is Step.WAIT and near.after <= 10


class TestTheNext:
    def test_it_is_made_in_time(self, fresh: Contents) -> None:
        assert plan(fresh, START + 60 * DAY + timedelta(seconds=1)).step is Step.STAGE

    def test_it_is_made_when_a_name_is_missing(self, fresh: Contents) -> None:
        found = plan(fresh, START, settings=replace(SETTINGS, url="https://10.1.2.3:9443"))
        assert found.step is Step.STAGE and "10.1.2.3" in found.why

    def test_at_first_only_its_authority_is_made_known(self, fresh: Contents, staged: Contents) -> None:
        assert staged[CERT] == fresh[CERT]
        assert len(certificates.bundle(staged[AUTHORITIES])) == 2
        assert staged[AUTHORITIES].startswith(fresh[AUTHORITIES])

    @pytest.mark.parametrize(("trusted", "after"), [(None, 20.0), (0.0, 20.0), (15.0, 5.0)])
    def test_it_waits_until_everybody_trusts_it(self, staged: Contents, trusted: float | None, after: float) -> None:
        found = plan(staged, START + 61 * DAY, trusted=trusted)
        assert (found.step, found.after) == (Step.WAIT, after)

    def test_then_it_is_shown_and_both_are_trusted(self, staged: Contents) -> None:
        now = START + 61 * DAY
        assert plan(staged, now, trusted=20.0).step is Step.PROMOTE
        shown = rotation.promoted(staged)
        assert shown[CERT] == staged[NEXT_CERT] and NEXT_CERT not in shown
        assert shown[AUTHORITIES] == staged[AUTHORITIES]
        assert rotation.usable(shown, now)
        assert rotation.ends(shown) > now + 89 * DAY

    def test_the_old_authority_goes_when_every_replica_has_had_time_to_follow(self, staged: Contents) -> None:
        shown, now = rotation.promoted(staged), START + 61 * DAY
        found = plan(shown, now, unchanged=600.0)
        assert (found.step, found.after) == (Step.WAIT, SETTINGS.retire_after - 600)
        assert plan(shown, now, unchanged=SETTINGS.retire_after).step is Step.RETIRE
        left = rotation.retired(shown)
        assert len(certificates.bundle(left[AUTHORITIES])) == 1
        assert rotation.usable(left, now)
        assert plan(left, now).step is Step.WAIT

    def test_an_authority_that_waits_to_go_does_not_hold_up_the_next_certificate(self) -> None:
        short = replace(SETTINGS, life=60.0, renew_before=50.0)
        shown = rotation.promoted(rotation.staged(rotation.created(short, START), short, START))
        found = plan(shown, START + timedelta(seconds=3), unchanged=0, settings=short)
        assert found.step is Step.WAIT and found.after <= 7, "then the next one is due"

    def test_what_is_shown_is_trusted_at_every_moment(self, fresh: Contents) -> None:
        """Whoever trusted the authorities of one state can check the certificate of the next, in both directions."""
        states, now = [fresh], START + 60 * DAY + timedelta(hours=1)
        for step in (Step.STAGE, Step.PROMOTE, Step.RETIRE):
            states.append(rotation.perform(step, states[-1], SETTINGS, now))
        for before, after in itertools.pairwise(states):
            assert rotation.usable({**after, AUTHORITIES: before[AUTHORITIES]}, now), "an API server that has not followed yet"
            assert rotation.usable({**before, AUTHORITIES: after[AUTHORITIES]}, now) or before is states[0], "a replica that has not"
        assert rotation.usable({**states[0], AUTHORITIES: states[1][AUTHORITIES]}, now)

    def test_a_spoilt_next_one_is_made_again(self, staged: Contents) -> None:
        assert plan({**staged, NEXT_CERT: b"junk"}, START + 61 * DAY).step is Step.STAGE


@pytest.mark.parametrize(
    ("url", "name"),
    [("https://10.0.0.1:8443", "10.0.0.1"), ("https://webhook.example/", "webhook.example"), ("https://[fd00::1]:8443/x", "fd00::1")],
)
def test_the_host_of_a_url_is_in_the_certificate(url: str, name: str) -> None:
    assert host(url) == name
    assert name in Settings(url=url).hosts
