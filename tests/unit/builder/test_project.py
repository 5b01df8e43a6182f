"""What a folder is taken for, and what its func.yaml means for a deployment."""

import shutil
import sys
from pathlib import Path

import pytest

from builder.errors import NotAProject, ProjectInvalid
from builder.project import EnvVar, Project, load_project, name_from, valid_name
from builder.python.compiling import Failure
from builder.service import service_manifest, trigger_manifests
from tests.unit.builder.test_funcyaml import WHOLE

IMAGE = "kfn.local/team/hello@sha256:" + "0" * 64


def project(folder: Path, text: str, **environ: str) -> Project:
    (folder / "func.yaml").write_text(text)
    return load_project(folder, environ)


class TestDetection:
    @pytest.mark.parametrize("name", ["func.py", "main.py", "app.py", "pyproject.toml", "requirements.txt", "uv.lock"])
    def test_one_known_file_is_enough(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        assert load_project(tmp_path).runtime == "python"

    @pytest.mark.parametrize(("name", "runtime"), [("package.json", "node"), ("go.mod", "go")])
    def test_node_and_go_have_a_file_of_their_own(self, tmp_path: Path, name: str, runtime: str) -> None:
        (tmp_path / name).touch()
        assert load_project(tmp_path).runtime == runtime

    def test_python_with_a_web_page_beside_it_is_python(self, tmp_path: Path) -> None:
        (tmp_path / "func.py").touch()
        (tmp_path / "package.json").touch()
        assert load_project(tmp_path).runtime == "python"

    def test_two_languages_need_a_word(self, tmp_path: Path) -> None:
        (tmp_path / "package.json").touch()
        (tmp_path / "go.mod").touch()
        with pytest.raises(NotAProject, match=r"has package\.json and go\.mod; say in func\.yaml which counts: runtime: node"):
            load_project(tmp_path)
        assert project(tmp_path, "runtime: go\n").runtime == "go"

    def test_one_program_in_the_folder_is_enough(self, tmp_path: Path) -> None:
        shutil.copy(sys.executable, tmp_path / "hello")
        (tmp_path / "README").write_text("hello")
        assert load_project(tmp_path).runtime == "binary"

    def test_another_language_is_told_by_its_name_and_how_to_bring_an_image(self, tmp_path: Path) -> None:
        (tmp_path / "Cargo.toml").touch()
        with pytest.raises(NotAProject, match=r"has Cargo\.toml, which is Rust\. kfn builds Python .*kfn deploy --image IMAGE"):
            load_project(tmp_path)

    @pytest.mark.parametrize(
        ("runtime", "said"),
        [
            ("typescript", r"func\.yaml:2: runtime: typescript is not built by kfn \(compile it to JavaScript and say runtime: node\)"),
            ("rust", r"rust is not built by kfn \(compile a static binary"),
            ("quarkus", r"quarkus is not built by kfn\. kfn builds Python .*kfn deploy --image IMAGE"),
            ("springboot", r"springboot is not built by kfn"),
            ("cobol", r"'cobol' is not known; use python, node, go, binary\."),
        ],
    )
    def test_a_runtime_of_func_that_kfn_lacks_is_refused_with_a_way_out(self, tmp_path: Path, runtime: str, said: str) -> None:
        with pytest.raises(NotAProject, match=said):
            project(tmp_path, f"name: a\nruntime: {runtime}\n")


class TestContainerFile:
    def test_is_never_chosen_silently(self, tmp_path: Path) -> None:
        (tmp_path / "Dockerfile").touch()
        with pytest.raises(NotAProject, match="used only when asked for: add --builder dockerfile"):
            load_project(tmp_path)

    def test_is_used_when_func_yaml_or_the_command_line_asks_for_it(self, tmp_path: Path) -> None:
        (tmp_path / "Dockerfile").touch()
        assert load_project(tmp_path, builder="dockerfile").builder == "dockerfile"
        made = project(tmp_path, "runtime: rust\nkfn: {builder: dockerfile}\n")
        assert (made.builder, made.runtime) == ("dockerfile", "rust")

    def test_the_command_line_can_take_it_back(self, tmp_path: Path) -> None:
        (tmp_path / "func.py").touch()
        (tmp_path / "func.yaml").write_text("kfn: {builder: dockerfile}\n")
        assert load_project(tmp_path, builder="kfn").builder == ""

    def test_an_unknown_builder_is_named_with_its_line(self, tmp_path: Path) -> None:
        with pytest.raises(ProjectInvalid, match=r"func\.yaml:1: kfn\.builder: 'pack' is not a builder"):
            project(tmp_path, "kfn: {builder: pack}\n")
        with pytest.raises(ProjectInvalid, match="--builder: 'pack' is not a builder"):
            load_project(tmp_path, builder="pack")


class TestFolders:
    def test_an_empty_or_missing_folder_is_told_apart(self, tmp_path: Path) -> None:
        with pytest.raises(NotAProject, match="holds nothing"):
            load_project(tmp_path)
        with pytest.raises(NotAProject, match="does not exist"):
            load_project(tmp_path / "none")
        (tmp_path / "file").touch()
        with pytest.raises(NotAProject, match="is not a folder"):
            load_project(tmp_path / "file")

    @pytest.mark.parametrize(("folder", "name"), [("My App", "my-app"), ("9lives", "f-9lives"), ("--", "function"), ("a" * 80, "a" * 63)])
    def test_a_name_is_made_of_the_folders(self, folder: str, name: str) -> None:
        assert name_from(folder) == name
        assert valid_name(name)


class TestValues:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("name: Hello_World\n", "func.yaml:1: name: 'Hello_World' must be at most 63"),
            ("name: " + "a" * 64 + "\n", "must be at most 63"),
            ("invoke: grpc\n", "func.yaml:1: invoke: 'grpc' is not supported; use http or cloudevent"),
            ("deploy: {options: {scale: {min: 5, max: 2}}}\n", "deploy.options.scale.min: 5 is more than max, 2"),
            ("deploy: {options: {scale: {metric: cpu}}}\n", "'cpu' is not supported; use concurrency or rps"),
            ("deploy: {options: {scale: {utilization: 101}}}\n", "is a percentage, at most 100"),
            ("deploy: {options: {resources: {limits: {concurrency: -1}}}}\n", "-1 is too small"),
            ("deploy: {labels: [{value: x}]}\n", "deploy.labels[0]: a label needs a key"),
            ("kfn: {handler: app.handle}\n", "must be module:attribute, for example func:handle"),
            ("runtime: node\nkfn: {handler: /etc/passwd}\n", "'/etc/passwd' must be the path of a script, for example ./server.js"),
            ("runtime: go\nkfn: {handler: ../other}\n", "must be the path of a main package, for example ./cmd/hello"),
            ("kfn: {timeoutSeconds: 0}\n", "kfn.timeoutSeconds: 0 is too small"),
            ("kfn: {resources: {limit: {}}}\n", "use limits or requests"),
            ("run: {envs: [{name: A, value: '{{ env:MISSING }}'}]}\n", "names a variable that is not set here"),
            ("run: {envs: [{name: A, value: '{{ secret:db }}'}]}\n", "with a name it must be {{ secret:NAME:KEY }}"),
            ("run: {envs: [{value: '{{ secret:db:key }}'}]}\n", "without a name it must be {{ secret:NAME }}"),
            ("run: {envs: [{value: x}]}\n", "a variable needs a name"),
        ],
    )
    def test_a_value_that_makes_no_sense_is_named(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "func.py").touch()
        with pytest.raises(ProjectInvalid) as error:
            project(tmp_path, text)
        assert said in str(error.value)

    def test_variables_come_from_here_from_secrets_or_from_the_text(self, tmp_path: Path) -> None:
        text = (
            "runtime: python\nrun:\n  envs:\n  - {name: HERE, value: '{{ env:TOKEN }}'}\n  - {name: FLAG, value: true}\n"
            "  - {name: KEY, value: '{{ secret:db:password }}'}\n  - {value: '{{ configMap:all }}'}\n"
        )
        assert project(tmp_path, text, TOKEN="t").envs == (
            EnvVar("HERE", "t"),
            EnvVar("FLAG", "true"),
            EnvVar("KEY", secret="db", key="password"),
            EnvVar(config_map="all"),
        )


class TestService:
    def test_a_whole_func_yaml_becomes_a_knative_service(self, tmp_path: Path) -> None:
        made = service_manifest(project(tmp_path, WHOLE), IMAGE, name="hello", namespace="team")
        assert made["metadata"]["name"] == "hello"
        assert made["metadata"]["annotations"] == {"a": "b", "debug": "true"}
        template = made["spec"]["template"]
        assert template["metadata"]["labels"] == {
            "function.knative.dev": "true",
            "function.knative.dev/name": "hello",
            "function.knative.dev/runtime": "python",
            "tier": "gold",
        }
        assert template["metadata"]["annotations"] == {
            "autoscaling.knative.dev/min-scale": "1",
            "autoscaling.knative.dev/max-scale": "10",
            "autoscaling.knative.dev/metric": "rps",
            "autoscaling.knative.dev/target": "50.5",
            "autoscaling.knative.dev/target-utilization-percentage": "75",
            "a": "b",
            "debug": "true",
        }
        spec = template["spec"]
        assert (spec["containerConcurrency"], spec["timeoutSeconds"], spec["serviceAccountName"]) == (4, 30, "worker")
        assert spec["imagePullSecrets"] == [{"name": "pull"}]
        assert spec["nodeSelector"] == {"gpu": "a100"}
        assert [sorted(volume) for volume in spec["volumes"]] == [
            ["name", "secret"],
            ["configMap", "name"],
            ["name", "persistentVolumeClaim"],
            ["emptyDir", "name"],
        ]
        container = spec["containers"][0]
        assert container["resources"] == {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"},
        }
        assert container["env"][1] == {"name": "KEYED", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
        assert container["envFrom"] == [{"configMapRef": {"name": "settings"}}]
        assert container["readinessProbe"] == {"httpGet": {"path": "/ready"}}

    def test_a_folder_without_settings_becomes_the_smallest_service(self, tmp_path: Path) -> None:
        (tmp_path / "func.py").touch()
        made = service_manifest(load_project(tmp_path), IMAGE, name="hello", namespace="default")
        assert made["spec"]["template"]["spec"] == {"containers": [{"name": "user-container", "image": IMAGE}]}
        assert made["spec"]["template"]["metadata"]["annotations"] == {}

    def test_a_whole_number_as_target_stays_one(self, tmp_path: Path) -> None:
        text = "runtime: python\ndeploy: {options: {scale: {target: 100, min: 0}}}\n"
        made = service_manifest(project(tmp_path, text), IMAGE, name="a", namespace="b")
        assert made["spec"]["template"]["metadata"]["annotations"] == {
            "autoscaling.knative.dev/min-scale": "0",
            "autoscaling.knative.dev/target": "100",
        }

    def test_subscriptions_become_triggers(self, tmp_path: Path) -> None:
        (made,) = trigger_manifests(project(tmp_path, WHOLE), name="hello", namespace="team")
        assert made["metadata"]["name"] == "hello-function-trigger-0"
        assert made["spec"] == {
            "broker": "default",
            "filter": {"attributes": {"type": "order.made"}},
            "subscriber": {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "hello"}},
        }


def test_of_a_very_long_faulty_line_only_the_place_is_shown() -> None:
    shown = str(Failure("func.py", 1, 5001, "x" * 5000 + "(" + "y" * 5000, "'(' was never closed")).splitlines()
    assert len(shown) == 3 and all(len(line) < 250 for line in shown)
    assert shown[1][shown[2].index("^")] == "("
    short = str(Failure("func.py", 1, 9, "    x = (", "'(' was never closed")).splitlines()
    assert short[1:] == ["    x = (", "        ^"]
