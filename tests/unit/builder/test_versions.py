"""Which Python a project wants, from func.yaml and requires-python."""

import pytest

from builder.errors import DependencyError, ProjectInvalid
from builder.python.versions import allows, base, lowest


@pytest.mark.parametrize(
    ("wanted", "requires", "found"),
    [
        ("", "", "python3.13"),
        ("3.11", "", "python3.11"),
        ("", ">=3.11", "python3.13"),
        ("", "<3.13", "python3.11"),
        ("", "~=3.11.0", "python3.11"),
        ("", "==3.11.*", "python3.11"),
        ("", ">=3.11, !=3.13.*", "python3.11"),
        ("3.13", ">=3.12", "python3.13"),
    ],
)
def test_the_newest_base_that_fits_is_taken(wanted: str, requires: str, found: str) -> None:
    assert base(wanted, requires) == found


@pytest.mark.parametrize(
    ("requires", "said"), [(">=3.14", "3.13.5 and 3.11.2"), ("==3.12.*", "Name an image"), ("<3.11", "requires-python is <3.11")]
)
def test_a_python_that_no_base_has_is_told_with_those_that_there_are(requires: str, said: str) -> None:
    with pytest.raises(DependencyError, match=said):
        base("", requires)


@pytest.mark.parametrize(("wanted", "requires", "said"), [("3.1", "", r"'3\.1'.*3\.13 and 3\.11"), ("3.11", ">=3.12", "does not allow")])
def test_a_python_that_func_yaml_cannot_have_is_told(wanted: str, requires: str, said: str) -> None:
    with pytest.raises(ProjectInvalid, match=said):
        base(wanted, requires)


@pytest.mark.parametrize(
    ("requires", "version", "held"),
    [
        (">=3.11.4", "3.11.2", False),
        (">3.11", "3.11.2", True),
        ("<=3.11", "3.11.2", False),
        ("===3.13.5", "3.13.5", True),
        ("==3.13", "3.13.5", False),
        ("~=3.11", "3.13.5", True),
        ("~=3.11", "4.0", False),
        ("!=3.13.5", "3.13.5", False),
        ("nonsense", "3.13.5", True),
    ],
)
def test_a_set_of_versions_is_read_as_its_specification_says(requires: str, version: str, held: bool) -> None:
    assert allows(requires, version) is held


@pytest.mark.parametrize(("requires", "found"), [("", "3.11"), (">=3.8", "3.11"), (">=3.12,<4", "3.12"), ("==3.13.*", "3.13")])
def test_a_lock_begins_with_the_lowest_python_that_both_allow(requires: str, found: str) -> None:
    assert lowest(requires) == found
