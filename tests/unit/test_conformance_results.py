"""What is made of the output of Knative's conformance suite."""

from tests.cluster.conformance.results import Outcome, Reader, Result, count, table, worse

OUTPUT = """\
=== RUN   TestA
=== PAUSE TestA
=== RUN   TestB
    b_test.go:7: not for us | at all
--- SKIP: TestB (0.00s)
=== RUN   TestC
=== CONT  TestA
    a_test.go:1: one
=== CONT  TestC
=== RUN   TestC/sub
=== NAME  TestA
    a_test.go:2: two
=== NAME  TestC/sub
    c_test.go:9: the body was "x",
        and another line
--- PASS: TestA (1.50s)
--- FAIL: TestC (0.20s)
    --- FAIL: TestC/sub (0.10s)
=== RUN   TestD
panic: test timed out
"""


def read(output: str) -> dict[str, Result]:
    reader = Reader()
    for line in output.splitlines():
        reader.read(line)
    return {one.name: one for one in reader.end()}


class TestReading:
    def test_each_test_has_its_outcome_and_the_end_of_its_own_log(self) -> None:
        found = read(OUTPUT)
        assert found["TestA"] == Result("TestA", Outcome.PASSED, 1.5, "one / two")
        assert found["TestB"] == Result("TestB", Outcome.SKIPPED, 0.0, "not for us | at all")
        assert found["TestC/sub"] == Result("TestC/sub", Outcome.FAILED, 0.1, 'the body was "x",')

    def test_a_test_that_never_ended_has_failed(self) -> None:
        assert read(OUTPUT)["TestD"].outcome is Outcome.FAILED

    def test_whole_tests_are_counted_and_not_their_parts(self) -> None:
        assert count(read(OUTPUT).values()) == {Outcome.PASSED: 1, Outcome.FAILED: 2, Outcome.SKIPPED: 1}


class TestComparing:
    def test_what_was_to_pass_and_did_not_is_named_with_its_reason(self) -> None:
        wrong = worse(read(OUTPUT).values(), ["TestA", "TestB", "TestC", "TestGone"])
        assert wrong == ["TestB skipped: not for us | at all", "TestC failed: ", "TestGone: it is no test of this suite any more"]

    def test_the_table_has_a_row_for_each_test_and_for_each_part_that_failed(self) -> None:
        rows = table([("one", read(OUTPUT))], {"TestC": "a reason by hand"}).splitlines()
        assert rows[2:] == [
            "| TestA | passed (2 s) |  |",
            "| TestB | skipped | not for us \\| at all |",
            "| TestC | failed (0 s) | a reason by hand |",
            '| TestC/sub | failed (0 s) | the body was "x", |',
            "| TestD | failed (0 s) | it did not end: the test process did |",
        ]
