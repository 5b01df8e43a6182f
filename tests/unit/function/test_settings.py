"""The environment, read once."""

import pytest

from kfn.function.errors import BadSetting
from kfn.function.settings import from_environ


def test_an_empty_environment_has_every_default() -> None:
    settings = from_environ({})
    assert (settings.port, settings.host, settings.source, settings.max_body) == (8080, "", ".", 16 * 1024 * 1024)


def test_everything_can_be_set() -> None:
    settings = from_environ({"PORT": "1", "KFN_READY_FD": "7", "KFN_SPAWNED_AT": "1.5", "KFN_REQUEST_LOG": "off", "KFN_LOG_LEVEL": "debug"})
    assert (settings.port, settings.ready_fd, settings.spawned_at, settings.request_log, settings.log_level) == (1, 7, 1.5, False, "DEBUG")


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "x"), ("PORT", "70000"), ("PORT", "-1"), ("KFN_SPAWNED_AT", "soon"), ("KFN_LOG_LEVEL", "LOUD"), ("KFN_MAX_BODY", "16MB")],
)
def test_a_bad_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"{name} is '{value}'"):
        from_environ({name: value})


def test_events_come_from_the_service() -> None:
    settings = from_environ({"K_SERVICE": "s", "KFN_NAMESPACE": "n"})
    assert settings.event_source == "/apis/serving.knative.dev/v1/namespaces/n/services/s"
