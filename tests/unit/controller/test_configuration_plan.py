"""Which Revision a Configuration makes, and which of its Revisions count as latest."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from controller import owner
from controller.configuration.plan import Seen, plan, wanted_revision
from kfn.api import conditions, core, names
from kfn.api.meta import Condition, ObjectMeta
from kfn.api.serving import (
    Configuration,
    ConfigurationSpec,
    ConfigurationStatus,
    Revision,
    RevisionSpec,
    RevisionStatus,
    RevisionTemplate,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def template(image: str = "i", name: str = "") -> RevisionTemplate:
    return RevisionTemplate(ObjectMeta(name=name, labels={"mine": "1"}), RevisionSpec(containers=[core.Container(image=image)]))


def configuration(generation: int = 3, *, name: str = "", latest_ready: str = "") -> Configuration:
    meta = ObjectMeta(
        name="hello",
        namespace="ns",
        uid="u",
        generation=generation,
        labels={names.SERVICE: "hello", names.SERVICE_UID: "s", "of-the-service": "not on revisions"},
        annotations={names.CREATOR: "ann", names.LAST_MODIFIER: "bob"},
    )
    return Configuration(
        metadata=meta,
        spec=ConfigurationSpec(template(name=name)),
        status=ConfigurationStatus(observed_generation=2, latest_ready_revision_name=latest_ready),
    )


def revision(generation: int, ready: str = "Unknown", *, message: str = "", name: str = "", image: str = "i") -> Revision:
    return Revision(
        metadata=ObjectMeta(
            name=name or f"hello-{generation:05d}",
            namespace="ns",
            generation=1,
            labels={names.CONFIGURATION_GENERATION: str(generation)},
            owner_references=[owner.reference(configuration())],
        ),
        spec=template(image).spec,
        status=RevisionStatus(observed_generation=1, conditions=[Condition("Ready", ready, message=message)]),
    )


def test_a_revision_carries_what_kn_and_func_read() -> None:
    made = wanted_revision(configuration(), NOW)
    assert made.metadata.name == "hello-00003"
    assert made.metadata.labels == {
        "mine": "1",
        names.CONFIGURATION: "hello",
        names.CONFIGURATION_UID: "u",
        names.CONFIGURATION_GENERATION: "3",
        names.SERVICE: "hello",
        names.SERVICE_UID: "s",
        names.ROUTING_STATE: "pending",
    }
    assert made.metadata.annotations == {names.CREATOR: "bob", names.ROUTING_STATE_MODIFIED: "2026-01-01T00:00:00Z"}
    assert made.metadata.owner_references[0].block_owner_deletion


def test_a_missing_revision_is_made_and_the_status_waits_for_it() -> None:
    there = configuration()
    wanted = plan(Seen(there), NOW)
    assert wanted.create is not None
    assert wanted.status == there.status


def test_an_existing_revision_is_not_made_again() -> None:
    wanted = plan(Seen(configuration(), [revision(3)], named=revision(3)), NOW)
    assert wanted.create is None
    assert wanted.status.observed_generation == 3
    assert wanted.status.latest_created_revision_name == "hello-00003"


@pytest.mark.parametrize(
    ("before", "states", "latest"),
    [
        pytest.param("", {3: "Unknown"}, "", id="none-yet"),
        pytest.param("", {3: "True"}, "hello-00003", id="the-first"),
        pytest.param("hello-00002", {2: "True", 3: "Unknown"}, "hello-00002", id="the-one-before-while-the-new-one-starts"),
        pytest.param("hello-00002", {2: "True", 3: "False"}, "hello-00002", id="the-one-before-when-the-new-one-fails"),
        pytest.param("hello-00001", {1: "True", 2: "True", 3: "Unknown"}, "hello-00002", id="one-in-between"),
        pytest.param("hello-00002", {1: "True", 2: "False", 3: "False"}, "hello-00002", id="never-back"),
        pytest.param("hello-00002", {1: "True", 3: "False"}, "hello-00001", id="unless-it-was-deleted"),
        pytest.param("hello-00002", {3: "False"}, "", id="nothing-is-left"),
    ],
)
def test_latest_ready(before: str, states: dict[int, str], latest: str) -> None:
    there = [revision(n, ready) for n, ready in states.items()]
    status = plan(Seen(configuration(latest_ready=before), there, named=there[-1]), NOW).status
    assert status.latest_ready_revision_name == latest


def test_a_failed_revision_fails_the_configuration_with_its_message() -> None:
    failed = revision(3, "False", message="Container failed with: boom")
    ready = conditions.find(plan(Seen(configuration(), [failed], named=failed), NOW).status.conditions, "Ready")
    assert ready and (ready.status, ready.reason) == ("False", "RevisionFailed")
    assert ready.message == 'Revision "hello-00003" failed with message: Container failed with: boom'


def test_a_name_of_ones_own_is_kept() -> None:
    assert wanted_revision(configuration(name="hello-blue"), NOW).metadata.name == "hello-blue"


def test_a_name_of_ones_own_that_has_another_template_is_refused() -> None:
    other = revision(1, "True", name="hello-blue", image="another")
    wanted = plan(Seen(configuration(name="hello-blue"), [other], named=other), NOW)
    assert wanted.create is None
    assert conditions.is_false(wanted.status.conditions, "Ready")
    assert wanted.status.observed_generation == 3


def test_a_name_of_ones_own_with_the_same_template_is_that_revision() -> None:
    same = revision(1, "True", name="hello-blue")
    status = plan(Seen(configuration(name="hello-blue", latest_ready="hello-00002"), [same, revision(2, "True")], named=same), NOW).status
    assert (status.latest_created_revision_name, status.latest_ready_revision_name) == ("hello-blue", "hello-blue")


def test_a_revision_of_a_deleted_configuration_of_the_same_name_is_waited_for() -> None:
    left = revision(3, "True")
    older = replace(configuration(), metadata=replace(configuration().metadata, uid="older"))
    left = replace(left, metadata=replace(left.metadata, owner_references=[owner.reference(older)]))
    there = configuration()
    wanted = plan(Seen(there, named=left), NOW)
    assert (wanted.create, wanted.status) == (None, there.status)
