"""The chart, rendered by a real Helm engine and checked against the schemas of Kubernetes."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
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
    issuer = {"issuer": "https://i", "audience": "fi-fhir", "jwksUrl": "https://i/keys"}
    values = EVERYTHING | {"auth": {"keys": [line], "rateLimit": 600, "jwt": issuer}}
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
    given = [told[f"FI_FHIR_AUTH_JWT_{name}"] for name in ("ISSUER", "AUDIENCE", "JWKS_URL")]
    assert given == list(issuer.values())
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


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of values.yaml by its keys; an empty mapping is a value."""
    if isinstance(value, dict) and value and path not in FREE:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path, value


ONLY = ("config", "database", "driver")  # Postgres is what can be shared; the schema knows no other
FREE = {("podAnnotations",), ("ingress", "annotations"), ("affinity",), ("dashboard", "labels")}
LISTS: dict[str, Any] = {
    "imagePullSecrets": [{"name": "registry"}],
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "ingressFrom": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
    "metricsFrom": [{"ipBlock": {"cidr": "10.2.0.0/16"}}],
    "egressTo": [{"ipBlock": {"cidr": "10.3.0.0/16"}}],
    "rules": [{"alert": "Own", "expr": "up == 0"}],
    "hosts": [{"host": "other.example", "paths": [{"path": "/", "pathType": "Prefix"}]}],
    "tls": [{"secretName": "other-tls", "hosts": ["other.example"]}],
    "drop": ["NET_RAW"],
    "keys": ["lab:parse:cert:urn:example:lab"],
}
TEXTS = {
    "pullPolicy": "Always",
    "digest": f"sha256:{'a' * 64}",
    "driver": "nats",
    "sslMode": "disable",
    "logLevel": "debug",
    "logFormat": "console",
    "authType": "bearer",
    "type": "NodePort",
    "kind": "Issuer",
    "port": "5433",
    "fsGroupChangePolicy": "Always",
    "size": "9Gi",
    "host": "::",
    "metricsEndpoint": "/other",
    "configPath": "/app/config/other.yaml",
    "cpu": "250m",
    "memory": "640Mi",
}
PLAINLY = {"secrets": {"apiKey": "k" * 43}}  # a key that is made anew would be a change each time
SETTINGS: tuple[dict[str, Any], ...] = (
    PLAINLY,
    {"persistence": {"enabled": False}, **PLAINLY},
    {"secrets": DATABASE["secrets"] | PLAINLY["secrets"]},
    EVERYTHING
    | {
        "replicaCount": 2,
        "serviceAccount": {"create": False},
        "tls": {"enabled": True},
        "auth": {"jwt": {"issuer": "https://i", "audience": "a", "jwksUrl": "https://i/keys"}},
        "config": {
            "database": {"enabled": True},
            "queue": {"enabled": True},
            "mllp": {"enabled": True},
        },
        "secrets": DATABASE["secrets"] | {"fhir": {"baseUrl": "https://f/r4"}} | PLAINLY["secrets"],
    },
    DATABASE | {"replicaCount": 3, "secrets": DATABASE["secrets"] | PLAINLY["secrets"]},
)


def other(path: tuple[str, ...], value: Any) -> Any:  # noqa: PLR0911 - one a kind
    """A value that may stand in the place of this one."""
    match value:
        case bool():
            return not value
        case float():
            return value / 2
        case int():
            return value + 1
        case list():
            return LISTS[path[-1]]
        case dict():
            return {"some": "thing"}
    if path == ("config", "server", "host"):
        return "127.0.0.1"
    if path[0] == "secrets" and path[-1] == "host":
        return "db"
    return TEXTS.get(path[-1], "7s" if re.fullmatch(r"\d+[smh]", str(value)) else "another")


def put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    inner = put(values.get(path[0], {}), path[1:], value) if path[1:] else value
    return values | {path[0]: inner}


@pytest.fixture(scope="module")
def texts() -> Callable[[dict[str, Any]], dict[str, str]]:
    """What these values make, NOTES too, or why the chart refuses them."""
    chart = helm.Chart.load(CHART)
    known: dict[str, dict[str, str]] = {}

    def made(values: dict[str, Any]) -> dict[str, str]:
        key = json.dumps(values)
        if key not in known:
            try:
                known[key] = chart.render(values=values, name="fi-fhir", namespace="fi-fhir")
            except helm.HelmError as fault:
                known[key] = {"refused": str(fault)}
        return known[key]

    return made


VALUES = [
    each for each in leaves(yaml.safe_load((CHART / "values.yaml").read_text())) if each[0] != ONLY
]


@pytest.mark.parametrize(("path", "value"), VALUES, ids=[".".join(path) for path, _ in VALUES])
def test_every_value_changes_what_is_made(
    texts: Callable[[dict[str, Any]], dict[str, str]], path: tuple[str, ...], value: Any
) -> None:
    assert any(
        "refused" not in (changed := texts(put(base, path, other(path, value))))
        and changed != texts(base)
        for base in SETTINGS
    )


def test_values_that_a_production_release_sets_are_valid(
    render: Callable[..., Objects],
) -> None:
    values = yaml.safe_load((CHART.parent / "production-values.yaml").read_text())
    objects = render(values)
    assert objects["Deployment"]["spec"]["replicas"] == 2
    assert {"PodDisruptionBudget", "Certificate", "NetworkPolicy", "ServiceMonitor"} <= set(objects)
    for made in objects.values():
        if made["kind"] not in FOREIGN:
            kubernetes.validate(made, VERSIONS[-1], strict=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["plain", "production"])
def test_checkov_finds_nothing(
    texts: Callable[[dict[str, Any]], dict[str, str]], name: str, tmp_path: Path
) -> None:
    checkov = os.environ.get("CHECKOV") or shutil.which("checkov")
    if not checkov:
        pytest.skip(
            "NOT JUDGED: no checkov (pip install checkov in a venv of its own, CHECKOV=...)"
        )
    production = yaml.safe_load((CHART.parent / "production-values.yaml").read_text())
    for path, text in texts(production if name == "production" else {}).items():
        if path.endswith(".yaml") and text.strip():
            (tmp_path / path.replace("/", "_")).write_text(text)
    rules = CHART.parent / "checkov.yaml"
    command = [checkov, "--config-file", str(rules), "--directory", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_another_secret_may_hold_the_password_alone(render: Callable[..., Objects]) -> None:
    secrets = {"database": DATABASE["secrets"]["database"] | {"passwordSecret": "fi-fhir-new"}}
    variables = environment(render(DATABASE | {"secrets": secrets}))
    for name in ("FI_FHIR_DATABASE_PASSWORD", "PGPASSWORD"):
        wanted = variables[name]["valueFrom"]["secretKeyRef"]
        assert wanted == {"name": "fi-fhir-new", "key": "database-password"}
    assert variables["PGHOST"]["valueFrom"]["secretKeyRef"]["name"] == "fi-fhir"
