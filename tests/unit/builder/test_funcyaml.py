"""func.yaml: everything that Knative's func writes is read, and what is wrong is named with its line."""

import pytest

from builder.errors import ProjectInvalid
from builder.funcyaml import parse

WHOLE = """\
specVersion: 0.36.0
name: hello
domain: example.org
runtime: python
registry: example.org/me
registryInsecure: true
image: example.org/me/hello:latest
namespace: team
created: 2026-01-02T03:04:05Z
invoke: cloudevent
build:
  git: {url: https://example.org/x.git, revision: main, contextDir: fn}
  builder: host
  builderImages: {host: x}
  buildpacks: [a]
  buildEnvs: [{name: A, value: b}]
  pvcSize: 1Gi
  remoteStorageClass: fast
  baseImage: x
  volumes: [{hostPath: /a, path: /b}]
run:
  envs:
    - {name: PLAIN, value: 5}
    - {name: KEYED, value: '{{ secret:db:password }}'}
    - {value: '{{ configMap:settings }}'}
  volumes:
    - {secret: db, path: /db}
    - {configMap: settings, path: /settings}
    - {persistentVolumeClaim: {claimName: data, readOnly: true}, path: /data}
    - {emptyDir: {medium: Memory, sizeLimit: 1Gi}, path: /tmp/x}
  startTimeout: 60
  kafka: {brokers: b, topic: t, consumerGroup: g}
deploy:
  namespace: team
  image: x
  annotations: {a: b, debug: true}
  labels: [{key: tier, value: gold}]
  healthEndpoints: {liveness: /live, readiness: /ready}
  serviceAccountName: worker
  imagePullSecret: pull
  deployer: knative
  managementDisabled: true
  subscriptions: [{source: default, filters: {type: order.made}}]
  options:
    scale: {min: 1, max: 10, metric: rps, target: 50.5, utilization: 75}
    resources:
      requests: {cpu: 100m, memory: 128Mi}
      limits: {cpu: 1, memory: 1Gi, concurrency: 4}
kfn:
  handler: app:handle
  preload: [numpy]
  timeoutSeconds: 30
  resources: {limits: {nvidia.com/gpu: 1}}
  pod: {nodeSelector: {gpu: a100}}
"""


def test_every_field_of_knatives_schema_is_read() -> None:
    content = parse(WHOLE)
    assert (content.name, content.invoke, content.deploy.options.scale.target) == ("hello", "cloudevent", 50.5)
    assert content.run.volumes[2].persistent_volume_claim is not None
    assert content.kfn.resources == {"limits": {"nvidia.com/gpu": 1}}


def test_an_empty_file_and_empty_sections_mean_defaults() -> None:
    assert parse("") == parse("deploy:\nname:\n") == parse("# nothing\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "name: a\ndeploy:\n  options:\n    scale:\n      mni: 1\n",
            "func.yaml:5: deploy.options.scale.mni: no such field; did you mean min?",
        ),
        ("name: a\nrun:\n  envs:\n  - name: A\n    valeu: b\n", "func.yaml:5: run.envs.0.valeu: no such field; did you mean value?"),
        ("zzz: 1\n", "func.yaml:1: zzz: no such field; known here: specVersion, name"),
        ("kfn:\n  gpu: 1\n", "kfn.gpu: no such field; known here: handler, base"),
        ("name: a\ndeploy:\n  options:\n    scale:\n      min: many\n", "func.yaml:5: deploy.options.scale.min: expected int, got str"),
        ("name: [a]\n", "func.yaml:1: name: expected str, got array"),
        ("deploy: 5\n", "func.yaml:1: deploy: expected object, got int"),
        ("run:\n  envs:\n  - A=b\n", "func.yaml:3: run.envs.0: expected object, got str"),
        ("- a\n", "must hold fields such as `name: hello`, not a list"),
        ("name: 'a\n", "func.yaml:2:1: found unexpected end of stream"),
        ("name: !!python/object:os.system a\n", "could not determine a constructor"),
        ("a: " + "x" * 300_000, "larger than 256 KiB"),
        ("a: &a [x]\nb: [" + "*a," * 200 + "]\n", "200 YAML aliases"),
        ("a0: &a0 [x,x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)), "more than 100000 values"),
        ("a: &a [*a]\n", "more than 100000 values"),
        ("a: &a {b: *a}\n", "more than 100000 values"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_path(text: str, said: str) -> None:
    with pytest.raises(ProjectInvalid) as error:
        parse(text)
    assert said in str(error.value)
    assert error.value.exit_code == 3
