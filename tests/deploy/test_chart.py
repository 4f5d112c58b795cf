"""The chart, rendered by a real Helm engine and checked against the schemas of Kubernetes."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fifhir import config
from fifhir.access import read_keys
from fifhir.workflow.config import load

helm = pytest.importorskip("helm_python", reason="no Helm engine: make deploy-tools installs it")
kubernetes = pytest.importorskip(
    "kubernetes_validate", reason="no Kubernetes schemas: make deploy-tools installs them"
)

CHART = Path(__file__).parents[2] / "deploy/helm/fi-fhir"
VERSIONS = ("1.29", "1.33")
FOREIGN = {"ServiceMonitor", "PrometheusRule", "Certificate"}  # of operators; no schema here
DATABASE: dict[str, Any] = {
    "config": {"database": {"enabled": True}},
    "secrets": {"database": {"host": "postgres", "name": "fifhir", "username": "fifhir"}},
}
EVERYTHING: dict[str, Any] = DATABASE | {
    "replicaCount": 3,
    "autoscaling": {"enabled": True},
    "ingress": {"enabled": True},
    "certificate": {"enabled": True},
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
    "tls": {"enabled": True, "clientCA": True, "mllp": True},
    "networkPolicy": {"egressTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
}
Objects = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def render() -> Callable[..., Objects]:
    """What an install would create with these values, by kind; a second of a kind by its name."""
    chart = helm.Chart.load(CHART)

    def made(values: dict[str, Any] | None = None) -> Objects:
        texts = chart.render(values=values or {}, name="fi-fhir", namespace="fi-fhir")
        documents = [
            each
            for name, text in texts.items()
            if name.endswith(".yaml")
            for each in yaml.safe_load_all(text)
            if each
        ]
        objects: Objects = {}
        for each in documents:
            kind = each["kind"]
            objects[f"{kind} {each['metadata']['name']}" if kind in objects else kind] = each
        return objects

    return made


def pod(objects: Objects) -> dict[str, Any]:
    return dict(objects["Deployment"]["spec"]["template"]["spec"])


def environment(objects: Objects) -> dict[str, Any]:
    return {each["name"]: each for each in pod(objects)["containers"][0]["env"]}


def test_the_chart_lints() -> None:
    assert helm.lint(CHART)["errors"] == []


@pytest.mark.parametrize("values", [{}, DATABASE, EVERYTHING, {"auth": {"enabled": False}}])
@pytest.mark.parametrize("version", VERSIONS)
def test_all_it_makes_is_valid(
    render: Callable[..., Objects], values: dict[str, Any], version: str
) -> None:
    for made in render(values).values():
        if made["kind"] not in FOREIGN:
            kubernetes.validate(made, version, strict=True)


def test_every_variable_is_a_setting(
    render: Callable[..., Objects],
) -> None:
    named = {variable for variable, _, _ in config.variables()}
    given = {name for name in environment(render(EVERYTHING)) if name.startswith("FI_FHIR_")}
    assert given <= named


def test_plain_values_start_the_daemon(render: Callable[..., Objects]) -> None:
    """Variables as the chart sets them, read as the daemon reads them."""
    environ = {
        name: each["value"]
        for name, each in environment(render()).items()
        if name.startswith("FI_FHIR_") and not name.endswith("_FILE")
    }
    settings = config.load(None, environ | {"FI_FHIR_SERVER_INSECURE": "true"}, {})
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 8080)  # noqa: S104


def test_the_default_workflow_is_a_workflow(render: Callable[..., Objects]) -> None:
    text = render()["ConfigMap"]["data"]["workflow.yaml"]
    assert [route.name for route in load(text, "workflow.yaml").routes] == ["all_events"]


def test_a_workflow_given_with_set_file_is_mounted(render: Callable[..., Objects]) -> None:
    text = "name: own\nroutes:\n  - name: a\n    actions: [{type: log}]\n"
    objects = render({"workflowConfig": text})
    assert objects["ConfigMap"]["data"]["workflow.yaml"] == text
    before = render()["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    after = objects["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert before["checksum/config"] != after["checksum/config"]


def test_probes_ports_and_names_are_the_runbooks(render: Callable[..., Objects]) -> None:
    objects = render(DATABASE)
    container = pod(objects)["containers"][0]
    assert {kind: made["metadata"]["name"] for kind, made in objects.items()} | {
        "Pod": "fi-fhir"
    } == dict.fromkeys([*objects, "Pod"], "fi-fhir")
    assert container["livenessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    ports = {each["name"]: each["port"] for each in objects["Service"]["spec"]["ports"]}
    assert ports == {"http": 80, "metrics": 9090}
    label = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert label["app.kubernetes.io/name"] == "fi-fhir"


def test_tls_is_what_probes_ingress_and_settings_speak(render: Callable[..., Objects]) -> None:
    line = "lab:workflow:cert:urn:example:lab"
    values = EVERYTHING | {"auth": {"keys": [line], "rateLimit": 600}}
    values["config"] = values["config"] | {"mllp": {"enabled": True}}
    objects = render(values)
    container = pod(objects)["containers"][0]
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
    told = {name: each.get("value") for name, each in environment(objects).items()}
    mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    for listener in ("SERVER", "MLLP"):
        for name, file in (("CERT", "tls.crt"), ("KEY", "tls.key"), ("CLIENT_CA", "ca.crt")):
            assert told[f"FI_FHIR_{listener}_TLS_{name}_FILE"] == f"{mounted['tls']}/{file}"
    assert told["FI_FHIR_SERVER_TLS_CLIENT_AUTH"] == "optional"
    assert told["FI_FHIR_AUTH_RATE_LIMIT"] == "600"
    annotations = objects["Ingress"]["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/backend-protocol"] == "HTTPS"
    keys, faults = read_keys(objects["Secret"]["stringData"]["api-keys"])
    assert ([key.caller.name for key in keys], faults) == (["chart", "lab"], [])
    assert objects["Certificate"]["spec"]["secretName"] == "fi-fhir-tls"


def test_a_plain_install_is_restricted_and_keeps_its_store(render: Callable[..., Objects]) -> None:
    objects = render()
    container = pod(objects)["containers"][0]
    assert pod(objects)["securityContext"]["runAsUser"] == 65532
    assert pod(objects)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not pod(objects)["automountServiceAccountToken"]
    assert "PersistentVolumeClaim" in objects
    assert objects["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert "PodDisruptionBudget" not in objects


def test_an_api_key_is_made_and_only_its_hash_is_read(render: Callable[..., Objects]) -> None:
    objects = render()
    secret = objects["Secret"]["stringData"]
    assert len(secret["api-key"]) >= 40
    assert hashlib.sha256(secret["api-key"].encode()).hexdigest() in secret["api-keys"]
    volumes = {each["name"]: each for each in pod(objects)["volumes"]}
    assert [item["key"] for item in volumes["keys"]["secret"]["items"]] == ["api-keys"]


def test_the_grace_outlasts_the_drain(render: Callable[..., Objects]) -> None:
    objects = render({"config": {"server": {"shutdownTimeout": "40s"}}, "preStopSeconds": 7})
    assert pod(objects)["terminationGracePeriodSeconds"] >= 47


def test_several_pods_on_sqlite_are_refused(render: Callable[..., Objects]) -> None:
    for values in ({"replicaCount": 2}, {"autoscaling": {"enabled": True}}):
        with pytest.raises(helm.HelmError, match="one store they share"):
            render(values)


def test_unknown_values_are_refused(render: Callable[..., Objects]) -> None:
    with pytest.raises(helm.HelmError, match=r"(?s)additional.*replicas"):
        render({"replicas": 2})


def test_the_schema_names_every_value() -> None:
    def keys(value: Any, path: str = "") -> set[str]:
        if not isinstance(value, dict):
            return {path}
        return {path}.union(*(keys(inner, f"{path}.{name}") for name, inner in value.items()))

    def named(node: dict[str, Any], path: str = "") -> set[str]:
        inner = node.get("properties", {})
        return {path}.union(*(named(each, f"{path}.{name}") for name, each in inner.items()))

    closed = named(json.loads((CHART / "values.schema.json").read_text()))
    for path in keys(yaml.safe_load((CHART / "values.yaml").read_text())):
        parents = {path.rsplit(".", cut)[0] for cut in range(1, path.count(".") + 1)}
        assert path in closed or closed & (parents - {""}), path


def test_the_runbooks_helm_flags_are_values(render: Callable[..., Objects]) -> None:
    shared = DATABASE | {"config": {"database": {"enabled": True, "maxOpenConns": 50}}}
    assert environment(render(shared))["FI_FHIR_DATABASE_MAX_OPEN_CONNS"]["value"] == "50"
    scaled = render(DATABASE | {"autoscaling": {"enabled": True, "minReplicas": 2}})
    assert scaled["HorizontalPodAutoscaler"]["spec"]["maxReplicas"] == 10
    assert "replicas" not in scaled["Deployment"]["spec"]
    memory = render({"resources": {"limits": {"memory": "1Gi"}}})
    assert pod(memory)["containers"][0]["resources"]["limits"]["memory"] == "1Gi"
    assert pod(render({"image": {"tag": "v1.2.0"}}))["containers"][0]["image"] == "fi-fhir:v1.2.0"
    debug = render({"config": {"observability": {"logLevel": "debug"}}})
    assert environment(debug)["FI_FHIR_LOG_LEVEL"]["value"] == "debug"


def test_a_new_secret_can_take_the_place_of_the_old(render: Callable[..., Objects]) -> None:
    objects = render(DATABASE | {"existingSecret": "fi-fhir-new"})
    assert "Secret" not in objects
    password = environment(objects)["FI_FHIR_DATABASE_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert password == {"name": "fi-fhir-new", "key": "database-password"}


def test_rules_and_dashboard_are_those_of_the_repository(render: Callable[..., Objects]) -> None:
    objects = render(EVERYTHING)
    groups = objects["PrometheusRule"]["spec"]["groups"]
    assert {group["name"] for group in groups} >= {"fi-fhir.delivery", "fi-fhir.intake"}
