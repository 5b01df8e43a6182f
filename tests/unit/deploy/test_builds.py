"""The chart's values about builds: what they trust, what they keep, what their pods may reach."""

from typing import Any

import pytest

from tests.peers.helm import refused, rendered

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
IMAGE = {"image": {"registry": "r.example/kfn"}}
Json = dict[str, Any]


def named(objects: list[Json], kind: str, name: str) -> list[Json]:
    return [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]


def controller(builds: Json) -> Json:
    (found,) = named(rendered({"builds": builds}), "Deployment", "kfn-controller")
    pod: Json = found["spec"]["template"]["spec"]
    return pod


class TestWhatTheyTrust:
    @pytest.mark.parametrize(
        ("ca", "name"), [({"pem": PEM}, "kfn-build-ca"), ({"configMap": "company"}, "company")], ids=["given as it is", "named"]
    )
    def test_reaches_the_controller_as_a_file(self, ca: Json, name: str) -> None:
        pod = controller({"ca": ca})
        (volume,) = (one for one in pod["volumes"] if one["name"] == "build-ca")
        assert volume["configMap"]["name"] == name
        assert "--build-ca=/etc/kfn/build-ca/ca.crt" in pod["containers"][0]["args"]
        assert {"name": "build-ca", "mountPath": "/etc/kfn/build-ca", "readOnly": True} in pod["containers"][0]["volumeMounts"]
        made = named(rendered({"builds": {"ca": ca}}), "ConfigMap", "kfn-build-ca")
        assert [one["data"] for one in made] == ([{"ca.crt": PEM}] if "pem" in ca else [])

    @pytest.mark.parametrize("builds", [{}, {"enabled": False, "ca": {"pem": PEM}}], ids=["nothing", "no builds"])
    def test_is_nothing_more_where_nothing_is_asked_for(self, builds: Json) -> None:
        pod = controller(builds)
        assert [one["name"] for one in pod["volumes"]] == ["tmp"]
        assert not any(arg.startswith("--build-ca=") for arg in pod["containers"][0]["args"])

    @pytest.mark.parametrize(
        ("ca", "words"),
        [({"pem": "nonsense"}, "builds/ca/pem"), ({"pem": PEM, "configMap": "x"}, "builds.ca: pem and configMap exclude each other")],
    )
    def test_is_refused_by_its_value(self, ca: Json, words: str) -> None:
        assert words in refused({**IMAGE, "builds": {"ca": ca}})


class TestWhatTheyKeep:
    @pytest.mark.parametrize(("value", "flag"), [(True, "--build-cache"), (False, "--no-build-cache")])
    def test_is_told_to_the_controller(self, value: bool, flag: str) -> None:
        assert flag in controller({"cache": value})["containers"][0]["args"]


class TestWhatTheyReach:
    def egress(self, **egress: Any) -> list[Json]:
        (policy,) = named(rendered({"builds": {"networkPolicyNamespaces": ["team"], "egress": egress}}), "NetworkPolicy", "kfn-build")
        rules: list[Json] = [
            rule
            for rule in policy["spec"]["egress"]
            if any("ipBlock" in to and to["ipBlock"]["cidr"] != "169.254.20.10/32" for to in rule["to"])
        ]
        return rules

    def test_is_tls_and_ssh_everywhere_but_where_clouds_answer_with_credentials(self) -> None:
        (rule,) = self.egress()
        assert [port["port"] for port in rule["ports"]] == [443, 22]
        assert [to["ipBlock"]["cidr"] for to in rule["to"]] == ["0.0.0.0/0", "::/0"]
        assert rule["to"][0]["ipBlock"]["except"] == ["169.254.0.0/16"]

    def test_may_be_said_to_the_address_and_the_port(self) -> None:
        (rule,) = self.egress(cidrs=["192.0.2.7/32"], ports=[8443])
        assert rule == {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [{"port": 8443, "protocol": "TCP"}]}

    @pytest.mark.parametrize("egress", [{"ports": []}, {"ports": [70000]}, {"cidrs": ["index.example"]}])
    def test_is_refused_where_it_says_nothing(self, egress: Json) -> None:
        assert "builds/egress" in refused({**IMAGE, "builds": {"egress": egress}})
