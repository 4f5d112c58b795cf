"""`kubectl` and `helm` for the lines of the runbook, over manifests that Helm has rendered.

There is no Kubernetes here, so what a line changes is not run by one. What a line names has to be
there: namespace, kind, name, label, port, key of a Secret, deployment of the release. The release
is that of production-values.yaml; `helm` renders it anew with the flags of the line and judges all
of it by the schemas of Kubernetes. `logs` are a real daemon's, and `exec` really runs the program
with the variables of the pod; host names of the cluster lead to this machine's own servers.

State is a JSON file named by FIFHIR_CLUSTER: `values` of each revision, the daemon's `log`, its
`workflow` file, the `hosts` (name:port to host:port), the Postgres `database` by libpq's variables.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/fi-fhir"
RELEASE = NAMESPACE = "fi-fhir"
POD = "fi-fhir-7d9c5b6f4-x2x9q"
FOREIGN = {"ServiceMonitor", "PrometheusRule", "Certificate"}
ALIASES = {"svc": "service", "po": "pod", "pods": "pod", "deploy": "deployment"}
PACKAGES = {"nc": "netcat-openbsd", "psql": "postgresql-client"}  # who brings a program to the pod
Json = dict[str, Any]


def refuse(text: str) -> NoReturn:
    """As the program would end when something is not there."""
    print(f"Error: {text}", file=sys.stderr)
    sys.exit(1)


class Release:
    """The state of the cluster, and what the chart makes of its newest revision."""

    def __init__(self) -> None:
        self.path = Path(os.environ["FIFHIR_CLUSTER"])
        self.state: Json = json.loads(self.path.read_text())
        self.objects: list[Json] = self.state["objects"]

    def save(self) -> None:
        self.path.write_text(json.dumps(self.state))

    def get(self, kind: str, name: str) -> Json:
        kind = ALIASES.get(kind, kind)
        for each in self.objects:
            if each["kind"].lower() == kind and each["metadata"]["name"] == name:
                return each
        refuse(f'{kind} "{name}" not found in namespace {NAMESPACE}')

    def target(self, word: str) -> Json:
        kind, _, name = word.partition("/")
        return self.get(kind, name)

    def pod(self) -> Json:
        found: Json = self.get("deployment", RELEASE)["spec"]["template"]
        return found

    def environment(self) -> dict[str, str]:
        """The variables of the container, those of its Secrets as well."""
        (container,) = self.pod()["spec"]["containers"]
        return {each["name"]: self._value(each) for each in container["env"]}

    def _value(self, variable: Json) -> str:
        if "value" in variable:
            return str(variable["value"])
        wanted = variable["valueFrom"]["secretKeyRef"]
        secret = self.get("secret", wanted["name"])
        if wanted["key"] not in secret["stringData"]:
            refuse(f"the Secret {wanted['name']} has no key {wanted['key']}")
        return str(secret["stringData"][wanted["key"]])


def render(values: Json) -> list[Json]:
    """What the values make, every object of it valid."""
    helm_python = import_module("helm_python")

    try:
        texts = helm_python.Chart.load(CHART).render(values, name=RELEASE, namespace=NAMESPACE)
    except helm_python.HelmError as fault:
        refuse(str(fault))
    manifests = (text for name, text in texts.items() if name.endswith(".yaml"))
    made = [each for text in manifests for each in yaml.safe_load_all(text) if each]
    _judge(made)
    return made


def _judge(objects: list[Json]) -> None:
    kubernetes_validate = import_module("kubernetes_validate")

    for each in objects:
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, "1.33", strict=True)


# kubectl


def get(release: Release, words: list[str], asked: argparse.Namespace) -> None:
    match words:
        case ["nodes"]:
            print(
                "NAME     STATUS   ROLES    AGE   VERSION\nnode-1   Ready    worker   9d    v1.33.1"
            )
        case ["events"] if asked.all_namespaces:
            print("NAMESPACE  LAST SEEN  TYPE  REASON  OBJECT\nfi-fhir  1m  Normal  Started  pod")
        case ["pods"]:
            print(f"NAME                      READY   STATUS\n{POD}   1/1     Running")
        case ["all"]:
            for each in release.objects:
                print(f"{each['kind'].lower()}/{each['metadata']['name']}")
        case [kind, name]:
            found = release.get(kind, name)
            if found["kind"] == "Secret":
                found = _stored(found)
            if found["kind"] == "Certificate":  # what cert-manager adds (its API, v1)
                found["status"] = {"notAfter": "2027-02-22T00:00:00Z", "renewalTime": "..."}
            print(yaml.safe_dump(found) if asked.output == "yaml" else name)
        case _:
            refuse(f"unknown resource {words}")


def _stored(secret: Json) -> Json:
    """A Secret as the cluster gives it back: every value in base64."""
    texts = {
        key: base64.b64encode(str(v).encode()).decode() for key, v in secret["stringData"].items()
    }
    return {key: value for key, value in secret.items() if key != "stringData"} | {"data": texts}


def describe(release: Release, words: list[str], asked: argparse.Namespace) -> None:
    kind, name = words
    if kind == "pod":
        if name != POD:
            refuse(f'pods "{name}" not found')
        print(yaml.safe_dump(release.pod()))
        print(
            "    Last State:     Terminated\n      Reason:       OOMKilled\n      Exit Code:    137"
        )
        return
    print(yaml.safe_dump(release.get(kind, name)))


def logs(release: Release, words: list[str], asked: argparse.Namespace) -> None:
    (word,) = words
    if word != POD:
        release.target(word)
    sys.stdout.write(Path(release.state["log"]).read_text())


def port_forward(release: Release, words: list[str], asked: argparse.Namespace) -> None:
    word, ports = words
    wanted = int(ports.partition(":")[2])
    for port in release.target(word)["spec"]["ports"]:
        (container,) = release.pod()["spec"]["containers"]
        named = {each["name"]: each["containerPort"] for each in container["ports"]}
        if port["port"] == wanted:
            here, there = ports.partition(":")[0], named[port["targetPort"]]
            print(f"Forwarding from 127.0.0.1:{here} -> {there}")
            return
    refuse(f"Service does not have a service port {wanted}")


def rollout(release: Release, words: list[str], asked: argparse.Namespace) -> None:
    verb, word = words
    release.target(word)
    revisions = len(release.state["history"])
    if verb == "history":
        print("REVISION  CHANGE-CAUSE")
        print("\n".join(f"{number}         <none>" for number in range(1, revisions + 1)))
    elif verb == "undo":
        wanted = asked.to_revision or revisions - 1
        if not 0 < wanted <= revisions:
            refuse(f"unable to find specified revision {wanted} in history")
        _roll(release, release.state["history"][wanted - 1])
        print(f"deployment.apps/{RELEASE} rolled back")
    elif verb == "restart":
        print(f"deployment.apps/{RELEASE} restarted")
    elif verb == "status":
        print(f'deployment "{RELEASE}" successfully rolled out')
    else:
        refuse(f"unknown command {verb}")


def scale(release: Release, words: list[str], asked: argparse.Namespace) -> None:
    """As many pods as the chart would allow: they need a store they share."""
    (word,) = words
    release.target(word)
    render(_merged(release.state["history"][-1], {"replicaCount": asked.replicas}))
    print(f"deployment.apps/{RELEASE} scaled")


def edit(release: Release, words: list[str], asked: argparse.Namespace) -> None:
    """$EDITOR on the ConfigMap; the pod's file is what the kubelet makes of it."""
    found = release.get(*words)
    with tempfile.NamedTemporaryFile("w+", suffix=".yaml") as file:
        file.write(yaml.safe_dump(found))
        file.flush()
        subprocess.run(["sh", "-c", f"{os.environ['EDITOR']} {file.name}"], check=True)
        after = yaml.safe_load(Path(file.name).read_text())
    new = Path(release.state["workflow"] + ".new")
    new.write_text(after["data"]["workflow.yaml"])
    new.rename(release.state["workflow"])
    print(f"configmap/{RELEASE} edited")


def exec_(release: Release, words: list[str], asked: argparse.Namespace) -> None:
    word, *command = words
    release.target(word)
    image = (ROOT / "deploy/docker/Dockerfile").read_text().split()
    if PACKAGES[command[0]] not in image:
        refuse(f'exec: "{command[0]}": executable file not found in $PATH')
    if command[0] == "nc":
        address = ":".join(command[-2:])
        if address not in release.state["hosts"]:
            refuse(f"nc: getaddrinfo for {address}: Name or service not known")
        command[-2:] = release.state["hosts"][address].split(":")
    pod = {name: value for name, value in release.environment().items() if name.startswith("PG")}
    if set(release.state["database"]) - set(pod):
        refuse("the pod does not tell psql where the database is")
    subprocess.run(command, env=os.environ | pod | release.state["database"], check=True)


def delete(release: Release, words: list[str], asked: argparse.Namespace) -> None:
    if words == ["namespace", NAMESPACE]:
        print(f'namespace "{NAMESPACE}" deleted')
        return
    if words == ["pod"]:
        key, _, value = asked.selector.partition("=")
        if release.pod()["metadata"]["labels"].get(key) != value:
            refuse("No resources found")
        print(f'pod "{POD}" deleted')
        return
    found = release.get(*words)
    print(f'{found["kind"].lower()} "{found["metadata"]["name"]}" deleted')


def create(release: Release, words: list[str], asked: argparse.Namespace) -> None:
    """A Secret whose keys the chart would read in it (existingSecret)."""
    kind, _, name = words
    known = release.get("secret", RELEASE)["stringData"]
    for literal in asked.from_literal:
        if literal.partition("=")[0] not in known:
            refuse(f"the chart reads no key {literal.partition('=')[0]} from its Secret")
    print(f"{kind}/{name} created")


def top(release: Release, words: list[str], asked: argparse.Namespace) -> None:
    print(f"NAME                      CPU(cores)   MEMORY(bytes)\n{POD}   250m         180Mi")


VERBS: dict[str, Callable[[Release, list[str], argparse.Namespace], None]] = {
    "get": get,
    "describe": describe,
    "logs": logs,
    "port-forward": port_forward,
    "rollout": rollout,
    "scale": scale,
    "edit": edit,
    "exec": exec_,
    "delete": delete,
    "create": create,
    "top": top,
}


def kubectl(words: list[str]) -> None:
    """One line of the runbook that begins so."""
    parser = argparse.ArgumentParser(prog="kubectl", allow_abbrev=False)
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("-o", "--output", choices=["yaml"])
    parser.add_argument("-l", "--selector", default="")
    parser.add_argument("-f", "--follow", action="store_true")
    parser.add_argument("--previous", action="store_true")
    parser.add_argument("--all-namespaces", action="store_true")
    parser.add_argument("--since")
    parser.add_argument("--sort-by")
    parser.add_argument("--replicas", type=int)
    parser.add_argument("--to-revision", type=int)
    parser.add_argument("--from-literal", action="append")
    command: list[str] = []
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    asked, plain = parser.parse_known_intermixed_args(words)
    wide = plain[1:2] in (["nodes"], ["events"], ["namespace"])
    if asked.namespace != NAMESPACE and not wide:
        refuse(f"{plain[1:]} not found in namespace {asked.namespace}")
    VERBS[plain[0]](Release(), plain[1:] + command, asked)


# helm


def helm(words: list[str]) -> None:
    """One line of the runbook that begins so."""
    parser = argparse.ArgumentParser(prog="helm", allow_abbrev=False)
    parser.add_argument("verb", choices=["upgrade", "install", "rollback", "history", "show"])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--set-file", action="append", default=[])
    parser.add_argument("-f", "--values", action="append", default=[])
    parser.add_argument("-n", "--namespace")
    parser.add_argument("--reuse-values", action="store_true")
    parser.add_argument("--create-namespace", action="store_true")
    asked = parser.parse_intermixed_args(words)
    release = Release()
    match asked.verb:
        case "upgrade" | "install":
            _upgrade(release, asked)
        case "rollback":
            _rollback(release, asked.words)
        case "history":
            print("REVISION  STATUS")
            print("\n".join(f"{n + 1}  deployed" for n in range(len(release.state["history"]))))
        case "show":
            _show(asked.words)


def _upgrade(release: Release, asked: argparse.Namespace) -> None:
    helm_python = import_module("helm_python")

    name, chart = asked.words
    if (name, Path(chart).resolve()) != (RELEASE, CHART):
        refuse(f"release {name}: chart {chart} not found")
    values = release.state["history"][-1] if asked.reuse_values else {}
    for path in asked.values:
        values = _merged(values, yaml.safe_load(Path(path).read_text()))
    for expression in asked.set:
        values = _merged(values, helm_python.parse_set_string(expression))
    for expression in asked.set_file:
        values = _merged(values, helm_python.parse_set_file(expression))
    before = _without_key(release.objects)
    _roll(release, values)
    if (asked.set or asked.set_file) and before == _without_key(release.objects):
        refuse("the flags change nothing")
    print(f'Release "{RELEASE}" has been upgraded.')


def _without_key(objects: list[Json]) -> list[Json]:
    """All but the Secret, whose API key is a new one each time it is rendered."""
    return [each for each in objects if each["kind"] != "Secret"]


def _rollback(release: Release, words: list[str]) -> None:
    name, number = words
    if name != RELEASE or not 0 < int(number) <= len(release.state["history"]):
        refuse(f"release: revision {number} not found")
    _roll(release, release.state["history"][int(number) - 1])
    print("Rollback was a success!")


def _roll(release: Release, values: Json) -> None:
    release.state["history"].append(values)
    release.state["objects"] = release.objects = render(values)
    release.save()


def _show(words: list[str]) -> None:
    helm_python = import_module("helm_python")

    what, chart = words
    print(helm_python.show(str(Path(chart).resolve()), output_format=what))


def _merged(below: Json, above: Json) -> Json:
    made = dict(below)
    for key, value in above.items():
        inner = made.get(key)
        made[key] = (
            _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
        )
    return made


if __name__ == "__main__":
    {"kubectl": kubectl, "helm": helm}[sys.argv[1]](sys.argv[2:])
