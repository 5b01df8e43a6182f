"""A file of Pipelines: every mistake with file, line and field, before anything is sent."""

from pathlib import Path

import pytest

from cli import pipelinefile
from cli.failures import CliError

GOOD = """
apiVersion: kfn.dev/v1alpha1
kind: Pipeline
metadata: {name: words}
spec:
  on: {type: com.example.text}
  steps:
    split: {fn: split}
    count:
      fn: count
      map: split.lines
"""


def refused(tmp_path: Path, text: str) -> str:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(CliError) as caught:
        pipelinefile.read(str(file), "default")
    assert caught.value.exit_code == 2
    return str(caught.value).replace(str(tmp_path) + "/", "")


def test_it_may_hold_several_and_the_word_on_is_a_word(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"{GOOD}---\n{GOOD.replace('words', 'more')}---\n")
    one, other = pipelinefile.read(str(file), "shop")
    assert (one["metadata"], other["metadata"]) == ({"name": "words", "namespace": "shop"}, {"name": "more", "namespace": "shop"})
    assert one["spec"]["on"] == {"type": "com.example.text", "broker": "default"}
    assert list(one["spec"]["steps"]) == ["split", "count"]


def test_every_mistake_is_told_at_its_line(tmp_path: Path) -> None:
    told = refused(tmp_path, GOOD.replace("split.lines", "splt.lines").replace("fn: split}", "fun: split, needs: [x]}"))
    assert "p.yaml:8: spec.steps.split.fun: unknown field" in told
    told = refused(tmp_path, GOOD.replace("split.lines", "splt.lines").replace("fn: split}", "fn: split, needs: [count, x]}"))
    assert "pipeline 'words' has 2 mistakes" in told
    assert "p.yaml:8: spec.steps.split.needs[1]: there is no step 'x'" in told
    assert "p.yaml:11: spec.steps.count.map: reads 'splt', but there is no such step; did you mean 'split'?" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "p.yaml has no Pipeline in it"),
        ("{", "p.yaml is not YAML"),
        ("[1, 2]", "p.yaml:1: not a Pipeline"),
        ("kind: Service\napiVersion: v1", "p.yaml:1: not a Pipeline; write apiVersion: kfn.dev/v1alpha1"),
        ("kind: Pipeline\napiVersion: kfn.dev/v1alpha1\nmetadata: {}", "p.yaml:3: metadata.name: missing"),
        ("kind: Pipeline\napiVersion: kfn.dev/v1alpha1\nmetadata: {name: x}\nspec: 3", "p.yaml:4: spec: expected"),
        ("kind: Pipeline\napiVersion: kfn.dev/v1alpha1\nmetadata: {name: x}\nspec: {steps: [1]}", "p.yaml:4: spec.steps: expected"),
    ],
)
def test_what_is_no_pipeline_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"nowhere\.yaml: No such file"):
        pipelinefile.read(str(tmp_path / "nowhere.yaml"), "default")
