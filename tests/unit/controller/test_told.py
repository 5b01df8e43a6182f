"""Which changes of a status become Events."""

import pytest

from controller.told import News, news
from kfn.api.meta import Condition


def ready(status: str, reason: str = "", message: str = "") -> list[Condition]:
    return [Condition(type="Other", status="False"), Condition(type="Ready", status=status, reason=reason, message=message)]


FAILED = ready("False", "ContainerMissing", "no such image")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param([], FAILED, News("Warning", "ContainerMissing", "no such image"), id="it fails at once"),
        pytest.param(ready("Unknown"), FAILED, News("Warning", "ContainerMissing", "no such image"), id="it fails"),
        pytest.param(FAILED, FAILED, None, id="it goes on failing"),
        pytest.param(FAILED, ready("False", "ExitCode1", "x"), News("Warning", "ExitCode1", "x"), id="it fails in another way"),
        pytest.param(FAILED, ready("True"), News("Normal", "Ready", "Service hello is ready"), id="it recovers"),
        pytest.param(ready("True"), ready("True"), None, id="it stays ready"),
        pytest.param(ready("True"), ready("Unknown", "Deploying"), None, id="it is looked at"),
        pytest.param(FAILED, [], None, id="nothing is said any more"),
        pytest.param([], ready("False"), News("Warning", "NotReady", "Service hello is not ready"), id="it fails without a word"),
    ],
)
def test_an_event_is_news(before: list[Condition], after: list[Condition], said: News | None) -> None:
    assert news("Service", "hello", before, after) == said
