"""What a run of Knative Eventing's conformance tests came to."""

from tests.cluster.conformance.eventing_report import Found, claims, counts, passed
from tests.cluster.conformance.results import Outcome, Reader, Result

LOG = """\
=== RUN   TestX
=== RUN   TestX/Set_-_Data_Plane
=== RUN   TestX/Set_-_Data_Plane/Spec_-_dlq-test-1
=== RUN   TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Setup
=== RUN   TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Setup/install
=== RUN   TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Assert
=== RUN   TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Assert/holds
=== RUN   TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Assert/empty
    topology.go:7: TODO, Implement this.
=== RUN   TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Assert/differs
    topology.go:9: wanted 2 events, got 3
--- FAIL: TestX (3.00s)
    --- FAIL: TestX/Set_-_Data_Plane (3.00s)
        --- FAIL: TestX/Set_-_Data_Plane/Spec_-_dlq-test-1 (3.00s)
            --- PASS: TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Setup (1.00s)
                --- PASS: TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Setup/install (1.00s)
            --- FAIL: TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Assert (1.00s)
                --- PASS: TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Assert/holds (1.00s)
                --- PASS: TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Assert/empty (1.00s)
                --- FAIL: TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Assert/differs (1.00s)
"""
ASSERT = "TestX/Set_-_Data_Plane/Spec_-_dlq-test-1/Assert"


def read() -> list[Result]:
    reader = Reader()
    for line in LOG.splitlines():
        reader.read(line)
    return reader.end()


def test_claims_count_once_and_one_that_looks_at_nothing_is_not_passed() -> None:
    assert claims(read()) == {
        f"{ASSERT}/holds": (Found.PASSED, ""),
        f"{ASSERT}/empty": (Found.EMPTY, "TODO, Implement this."),
        f"{ASSERT}/differs": (Found.FAILED, "wanted 2 events, got 3"),
    }
    assert passed(read()) == [Result(f"{ASSERT}/holds", Outcome.PASSED)]


def test_counts_are_by_test_and_feature() -> None:
    assert counts(read()) == {"TestX | Data Plane: Spec": {Found.PASSED: 1, Found.EMPTY: 1, Found.SKIPPED: 0, Found.FAILED: 1}}


def test_what_fails_on_the_way_to_a_claim_counts_as_failed() -> None:
    setup = Result("TestX/Set_-_Data_Plane/Spec/Setup/install", Outcome.FAILED, said="no room")
    assert claims([setup]) == {setup.name: (Found.FAILED, "no room")}
