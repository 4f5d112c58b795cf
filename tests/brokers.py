"""Real brokers for tests: Kafka (jars from Maven), nats-server and rabbitmq-server (Debian).

Each listens on free ports of this machine, with its data in a folder of its own, and is gone with
the test. What a machine lacks makes its tests say so: `make brokers` and `.ci/run` fetch it.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

JARS = Path(__file__).resolve().parent.parent / "build" / "kafka"
RABBIT = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # Debian's /usr/sbin one changes the user
PATIENCE = 120.0  # seconds; a JVM on a busy machine
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk"  # any UUID in Kafka's spelling


def free_ports(count: int) -> list[int]:
    """Ports that nobody has; they are free until somebody takes them."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Process:
    """A program in a session of its own, with its log in its folder."""

    def __init__(self, folder: Path, command: list[str], environ: dict[str, str]) -> None:
        self.folder = folder
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=os.environ | environ,
                start_new_session=True,
            )

    def ready(self, port: int) -> None:
        """It takes connections."""
        end = time.monotonic() + PATIENCE
        while not _listens(port):
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < end, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """It and all it has started are gone."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, how)
        self._process.wait(PATIENCE)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def folder(name: str) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix=f"fifhir-{name}-", dir="/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Kafka:
    """One broker in KRaft mode: without TLS at `plain`, with TLS and a login at `secured`."""

    def __init__(self, where: Path, pki: Path) -> None:
        self.where = where
        plain, secured, controller = free_ports(3)
        self.plain, self.secured = f"127.0.0.1:{plain}", f"localhost:{secured}"
        self._port = plain
        server = pki / "server"
        chain = "".join(Path(f"{server}{kind}").read_text() for kind in (".key", ".pem"))
        (where / "server.pem").write_text(chain)
        login = "org.apache.kafka.common.security.{}LoginModule required"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secured},"
            f"CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.plain},SASL_SSL://{self.secured}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,"
            "CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(where / "server.pem"),
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{login.format('plain.Plain')}"
            ' user_me="hush";',
            "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": login.format("scram.Scram")
            + ";",
            "log.dirs": str(where / "data"),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "offsets.topic.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            "message.max.bytes": "1048588",
            "log.flush.interval.messages": "1",
        }
        text = "\n".join(f"{name}={value}" for name, value in settings.items())
        (where / "server.properties").write_text(text)
        scram = "SCRAM-SHA-256=[name=me,password=hush]"
        self._java(
            *("kafka.tools.StorageTool", "format", "-t", CLUSTER),
            *("-c", str(where / "server.properties"), "--add-scram", scram),
        )
        self.start()

    def start(self) -> None:
        """It takes connections."""
        command = [*_JAVA, str(JARS / "*"), "kafka.Kafka", str(self.where / "server.properties")]
        self._process = Process(self.where, command, {})
        self._process.ready(self._port)

    def stop(self) -> None:
        """It is gone at once, as after a crash."""
        self._process.kill()

    def _java(self, *arguments: str) -> None:
        done = subprocess.run(
            [*_JAVA, str(JARS / "*"), *arguments],
            cwd=self.where,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


_JAVA = ("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp")


class Nats:
    """A server with JetStream; `secured` also asks for TLS and a password."""

    def __init__(self, where: Path, pki: Path | None = None) -> None:
        self.where = where
        (self._port,) = free_ports(1)
        self.server = f"localhost:{self._port}"
        self.url = f"{'tls' if pki else 'nats'}://{self.server}"
        lines = [f"port: {self._port}", "host: 127.0.0.1", f"jetstream: {{store_dir: '{where}'}}"]
        if pki:
            lines.append(f"tls: {{cert_file: '{pki}/server.pem', key_file: '{pki}/server.key'}}")
            lines.append("authorization: {user: me, password: hush}")
        (where / "nats.conf").write_text("\n".join(lines))
        self.start()

    def start(self) -> None:
        """It takes connections."""
        command = ["nats-server", "-c", str(self.where / "nats.conf")]
        self._process = Process(self.where, command, {})
        self._process.ready(self._port)

    def stop(self) -> None:
        """It is gone at once, as after a crash."""
        self._process.kill()


class Rabbit:
    """A node of RabbitMQ, without TLS at `url` and with it at `secured`."""

    def __init__(self, where: Path, pki: Path) -> None:
        self.where = where
        plain, secured, distribution, mapper = free_ports(4)
        self._port = plain
        self.url = f"127.0.0.1:{plain}"
        self.secured = f"localhost:{secured}"
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{plain}",
            f"listeners.ssl.1 = 127.0.0.1:{secured}",
            f"ssl_options.cacertfile = {pki}/ca.pem",
            f"ssl_options.certfile = {pki}/server.pem",
            f"ssl_options.keyfile = {pki}/server.key",
        ]
        (where / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (where / "plugins").write_text("[].\n")
        self._environ = {
            "HOME": str(where),
            "RABBITMQ_NODENAME": f"fifhir{plain}@localhost",
            "RABBITMQ_CONFIG_FILE": str(where / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(where / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(where / "mnesia"),
            "RABBITMQ_LOG_BASE": str(where / "logs"),
            "RABBITMQ_PID_FILE": str(where / "pid"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self._mapper = Process(where, ["epmd"], self._environ)  # else the node leaves one behind
        self._mapper.ready(mapper)
        self.start()

    def start(self) -> None:
        """It takes connections."""

        self._process = Process(self.where, [RABBIT], self._environ)
        self._process.ready(self._port)

    def stop(self) -> None:
        """It is gone at once, as after a crash."""
        self._process.kill()

    def remove(self) -> None:
        self.stop()
        self._mapper.kill()


def needs_kafka() -> None:
    """Skip the test, loudly, where there is no Kafka."""
    if not any(JARS.glob("kafka_*.jar")) or shutil.which("java") is None:
        pytest.skip("NO KAFKA: run make brokers (Maven and Java 17)")


def needs(program: str) -> None:
    """Skip the test, loudly, where there is no such program."""
    if shutil.which(program) is None and not Path(program).exists():
        pytest.skip(f"NO {program}: apt-get install {Path(program).name}")
