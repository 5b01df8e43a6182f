"""What follows an attempt to deliver: done, again later, or dead letter. Knative's rules on which answers are retried. Pure.

Attempts are counted by JetStream (`num_delivered`), so a crash of the dispatcher counts as one and the count survives it.
"""

from dataclasses import dataclass

from eventing.delivery import Policy

RETRIED = frozenset((404, 408, 409, 429))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the subscriber answered. `status` 0 means no answer. `problem` says what was wrong with an answer of 2xx."""

    status: int = 0
    body: bytes = b""
    retry_after: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """Delivered."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Given up: `code` and `data` go into the extensions knativeerrorcode and knativeerrordata."""

    reason: str
    code: int
    data: bytes
    at: str = ""  # the address that failed, where it is not the subscriber


Verdict = Ack | RetryAfter | DeadLetter


def decide(policy: Policy, outcome: Outcome, attempt: int, longest: float = 3600.0) -> Verdict:
    """`attempt` is 1 for the first. Delays are at most `longest` seconds."""
    if 200 <= outcome.status < 300 and not outcome.problem:
        return Ack()
    reason = _reason(outcome)
    if not retriable(outcome):
        return DeadLetter(reason, outcome.status, outcome.body)
    if attempt > policy.retry:
        code = outcome.status or 503
        if 200 <= code < 300:
            code = 502  # an answer that is no event counts as a bad gateway, as in Knative
        return DeadLetter(reason, code, outcome.body or outcome.problem.encode())
    return RetryAfter(min(_delay(policy, outcome, attempt), longest), reason)


def retriable(outcome: Outcome) -> bool:
    """No answer, a bad reply, 5xx, and those of 4xx that may pass by themselves."""
    return outcome.status < 300 or outcome.status >= 500 or outcome.status in RETRIED


def backoff(policy: Policy, attempt: int) -> float:
    """Seconds between attempt number `attempt` and the next: delay * 2^(attempt-1), or delay * attempt."""
    return policy.delay * (2 ** min(attempt - 1, 40) if policy.exponential else attempt)


def _delay(policy: Policy, outcome: Outcome, attempt: int) -> float:
    wait = backoff(policy, attempt)
    if outcome.retry_after is None or outcome.status not in (429, 503):
        return wait
    asked = outcome.retry_after if policy.retry_after_max is None else min(outcome.retry_after, policy.retry_after_max)
    return max(wait, asked)


def _reason(outcome: Outcome) -> str:
    if outcome.problem:
        return outcome.problem
    return f"the subscriber answered {outcome.status}"
