"""What follows an attempt: Knative's table of retried codes, back-off, and the end of patience."""

import pytest

from eventing.delivery import DeliveryError, Policy, effective, policy, seconds
from eventing.retry import Ack, DeadLetter, Outcome, RetryAfter, decide
from kfn.api.meta import DeliverySpec, Destination

POLICY = Policy(retry=3, exponential=True, delay=0.2)


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    assert decide(POLICY, Outcome(status), 1) == Ack()


@pytest.mark.parametrize("status", [0, 404, 408, 409, 429, 500, 502, 503, 504, 599])
def test_what_may_pass_is_tried_again(status: int) -> None:
    assert isinstance(decide(POLICY, Outcome(status), 3), RetryAfter)


@pytest.mark.parametrize("status", [300, 301, 400, 401, 403, 405, 410, 413, 415, 422])
def test_what_will_not_pass_is_given_up_at_once(status: int) -> None:
    verdict = decide(POLICY, Outcome(status, b"why"), 1)
    assert isinstance(verdict, DeadLetter)
    assert (verdict.code, verdict.data) == (status, b"why")


@pytest.mark.parametrize("status", [0, 404, 500])
def test_after_the_last_retry_it_is_given_up(status: int) -> None:
    assert isinstance(decide(POLICY, Outcome(status), 3), RetryAfter)
    assert isinstance(decide(POLICY, Outcome(status), 4), DeadLetter)
    assert isinstance(decide(POLICY, Outcome(status), 40), DeadLetter)


def test_without_retries_the_first_failure_is_the_last() -> None:
    assert isinstance(decide(Policy(retry=0), Outcome(503), 1), DeadLetter)


def test_no_answer_gives_a_code_all_the_same() -> None:
    verdict = decide(Policy(retry=0), Outcome(problem="no connection"), 1)
    assert verdict == DeadLetter("no connection", 503, b"no connection")


def test_an_answer_that_is_no_event_counts_as_a_bad_gateway() -> None:
    outcome = Outcome(200, b"hello", problem="not a CloudEvent")
    assert isinstance(decide(POLICY, outcome, 1), RetryAfter)
    assert decide(POLICY, outcome, 4) == DeadLetter("not a CloudEvent", 502, b"hello")


def delays(policy: Policy, count: int, **outcome: float) -> list[float]:
    verdicts = [decide(policy, Outcome(503, **outcome), n) for n in range(1, count + 1)]  # type: ignore[arg-type]
    return [round(v.delay, 3) for v in verdicts if isinstance(v, RetryAfter)]


def test_exponential_back_off_doubles() -> None:
    assert delays(Policy(retry=10, delay=0.2), 5) == [0.2, 0.4, 0.8, 1.6, 3.2]


def test_linear_back_off_adds() -> None:
    assert delays(Policy(retry=10, exponential=False, delay=0.5), 4) == [0.5, 1.0, 1.5, 2.0]


def test_delays_have_a_limit() -> None:
    assert delays(Policy(retry=100, delay=1), 60)[-1] == 3600


def test_a_subscriber_may_ask_for_a_longer_delay_up_to_the_limit() -> None:
    assert delays(Policy(retry=9, delay=0.2), 2, retry_after=7) == [7, 7]
    assert delays(Policy(retry=9, delay=0.2, retry_after_max=2), 1, retry_after=7) == [2]
    assert delays(Policy(retry=9, delay=0.2, retry_after_max=0), 1, retry_after=7) == [0.2]
    assert delays(Policy(retry=9, delay=60), 1, retry_after=7) == [60]


@pytest.mark.parametrize(
    ("text", "value"), [("PT0.2S", 0.2), ("PT1M", 60), ("PT1H30M", 5400), ("P1D", 86400), ("P1DT1S", 86401), ("PT10S", 10)]
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text, "f") == value


@pytest.mark.parametrize("text", ["", "P", "PT", "1s", "PT-1S", "P1M", "PT1", "0.2"])
def test_what_is_no_duration_names_its_field(text: str) -> None:
    with pytest.raises(DeliveryError, match=r"f: .*PT0\.2S"):
        seconds(text, "f")


def test_a_triggers_delivery_replaces_its_brokers_whole() -> None:
    sink = Destination(uri="http://dead")
    broker = DeliverySpec(retry=5, backoff_delay="PT1S", dead_letter_sink=sink)
    assert effective(DeliverySpec(retry=1), broker).dead_letter_sink is None
    assert effective(None, broker).dead_letter_sink == sink


def test_without_any_delivery_knatives_default_holds() -> None:
    assert policy(effective(None, None)) == Policy(retry=10, exponential=True, delay=0.2)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (DeliverySpec(retry=-1), "retry"),
        (DeliverySpec(backoff_policy="fast"), "backoffPolicy"),
        (DeliverySpec(timeout="1m"), "timeout"),
        (DeliverySpec(format="xml"), "format"),
    ],
)
def test_a_wrong_delivery_names_its_field(spec: DeliverySpec, field: str) -> None:
    with pytest.raises(DeliveryError, match=f"spec.delivery.{field}: "):
        policy(spec)
