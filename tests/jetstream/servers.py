"""Real NATS servers for tests: one or a cluster of three, on loopback, with users and TLS."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import nkeys

from chora_logging.errors import ServerError
from chora_logging.jetstream.address import Address
from chora_logging.jetstream.connection import Connection
from chora_logging.jetstream.credentials import Credentials
from chora_logging.jetstream.stream import Stream
from tests.ports import free_port

#: The longest wait for anything, in seconds.
PATIENCE = 60.0

STREAM = "CLOG"
SHIPPER = "shipper"
ADMIN = "admin"
PASSWORD = "p4ssw0rd"


def wait_for(found, what="the condition", patience=PATIENCE):
    """Return the first true result of *found*, called again and again."""
    deadline = time.monotonic() + patience
    while not (result := found()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return result


class Server:
    """One server; `start` it, `kill` it, `stop` it.

    Its attribute `log` is the path of what it writes to stderr.
    """

    def __init__(self, program, folder, name, configuration, port):
        self.program = program
        self.port = port
        self.name = name
        self.log = folder / f"{name}.log"
        self.process = None
        self._configuration = folder / f"{name}.conf"
        self._configuration.write_text(configuration)

    def start(self):
        with open(self.log, "ab") as log:
            self._log_start = log.tell()
            command = [self.program, "-c", str(self._configuration)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def says(self, text):
        """Return whether it has said *text* since its start."""
        return text.encode() in self.log.read_bytes()[self._log_start :]

    def listens(self):
        """Return whether somebody can connect."""
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self, number=signal.SIGKILL):
        """Send a signal and wait for the end of the process."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE)
        self.process = None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


class Servers:
    """Servers of one version in a folder of their own.

    Args:
        program: The path of the server's program.
        folder: For configuration and storage.
        number: 1, or 3 for a cluster.
        users: Whether they know the users `SHIPPER`, with the least rights, and `ADMIN`, and an NKey.
        tls: The certificates that they have; None for no TLS.
        more: More configuration of each server.
        jetstream: Whether they have JetStream.
        advertise: Whether a server tells its clients the addresses of the others.
        storage: More configuration of JetStream.
    """

    def __init__(
        self,
        program,
        folder,
        number=1,
        *,
        users=False,
        tls=None,
        more="",
        advertise=True,
        jetstream=True,
        storage="",
    ):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seed_file = None
        self._is_jetstream_cluster = jetstream and number > 1
        ports = [(free_port(), free_port()) for _ in range(number)]
        common = more + (self._users() if users else "") + (_tls(tls) if tls else "")
        self.servers = []
        for index, (port, cluster_port) in enumerate(ports):
            name = f"n{index + 1}"
            text = f'server_name: {name}\nlisten: "127.0.0.1:{port}"\n{common}'
            if jetstream:
                text += f'jetstream {{ store_dir: "{self.folder / name}"\n{storage} }}\n'
            if number > 1:
                routes = ", ".join(f'"nats://127.0.0.1:{other}"' for _, other in ports)
                alone = str(not advertise).lower()
                listen = f'listen: "127.0.0.1:{cluster_port}"'
                text += f"cluster {{ name: C, {listen}, routes: [{routes}], no_advertise: {alone} }}\n"
            self.servers.append(Server(program, self.folder, name, text, port))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.end()

    @property
    def address(self):
        """The address of the stream."""
        return f"nats://{','.join(f'127.0.0.1:{server.port}' for server in self.servers)}/{STREAM}"

    def start(self):
        # Servers of 2.10 that begin at the same moment do not always learn of each other.
        for server in self.servers:
            server.start()
            wait_for(server.listens, f"server {server.name}")
        if self._is_jetstream_cluster:
            for server in self.servers:
                self._start_until_it_has_a_leader(server)

    def _start_until_it_has_a_leader(self, server):
        """Start it again if it learns of no leader; on a busy machine one of 2.10 now and then does not."""
        for _ in range(5):
            with contextlib.suppress(AssertionError):
                return wait_for(lambda: server.says("metadata leader"), "a leader", PATIENCE / 4)
            server.end()
            server.start()
        raise AssertionError(f"{server.name} learns of no leader")

    def end(self, number=signal.SIGKILL):
        for server in self.servers:
            server.end(number)

    def leader(self, info):
        """The server that leads the stream, by the answer of `STREAM.INFO`; None if there is none now."""
        name = info.get("cluster", {}).get("leader", "n1")
        return next((server for server in self.servers if server.name == name), None)

    def _users(self):
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        self.seed_file = self.folder / "user.nk"
        self.seed_file.write_bytes(seed)
        public = nkeys.from_seed(bytearray(seed)).public_key.decode()
        self.password_file = self.folder / "password"
        self.password_file.write_text(f"{PASSWORD}\n")
        rights = (
            f'publish: ["clog.>", "$JS.API.STREAM.INFO.{STREAM}", "$JS.API.STREAM.MSG.GET.{STREAM}"], '
            f'subscribe: ["_INBOX.>"]'
        )
        return (
            "authorization { users: [\n"
            f'  {{ user: {ADMIN}, password: "{PASSWORD}" }}\n'
            f'  {{ user: {SHIPPER}, password: "{PASSWORD}", permissions: {{ {rights} }} }}\n'
            f"  {{ nkey: {public} }}\n"
            "] }\n"
        )


def _tls(certificates):
    verify = f', ca_file: "{certificates.ca}", verify: true' if certificates.verify else ""
    return f'tls {{ cert_file: "{certificates.cert}", key_file: "{certificates.key}"{verify}, timeout: 5 }}\n'


class Certificates:
    """An authority, and a certificate for 127.0.0.1 that it has signed, for servers and clients.

    Args:
        folder: Where the files are made.
        verify: Whether servers ask clients for a certificate.
    """

    def __init__(self, folder, verify=False):
        self.verify = verify
        self.ca, self.ca_key = folder / "ca.pem", folder / "ca.key"
        self.cert, self.key = folder / "server.pem", folder / "server.key"
        request, names = folder / "server.csr", folder / "names"
        # Python 3.13 and later want both extensions.
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nauthorityKeyIdentifier=keyid\n")
        signs = ["-addext", "keyUsage=critical,keyCertSign"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        subject = ["-subj", "/CN=tests", "-days", "2", *signs]
        _openssl("req", "-x509", *kind, "-keyout", self.ca_key, "-out", self.ca, *subject)
        _openssl("req", *kind, "-keyout", self.key, "-out", request, "-subj", "/CN=localhost")
        signed = ["-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial", "-days", "2", "-extfile", names]
        _openssl("x509", "-req", "-in", request, *signed, "-out", self.cert)


def _openssl(*arguments):
    subprocess.run([shutil.which("openssl"), *map(str, arguments)], check=True, capture_output=True)


@contextlib.contextmanager
def connected(address, **options):
    """A connection to *address*, as an administrator would have it, and its stream."""
    options.setdefault("credentials", Credentials())
    with Connection(Address.parse(str(address)), **options) as connection:
        yield Stream(connection)


def done(stream, work):
    """Return the result of a coroutine of *stream*, waited for in this thread."""
    return stream.connection.submit(work).result(PATIENCE)


def create(stream, **config):
    """Create the stream, again and again until the servers can; return the answer."""
    wanted = {
        "name": stream.name,
        "subjects": ["clog.>"],
        "retention": "limits",
        "storage": "file",
        "num_replicas": 1,
        "duplicate_window": 120_000_000_000,
        **config,
    }

    def created():
        with contextlib.suppress(ServerError):
            return done(stream, stream.api(f"STREAM.CREATE.{stream.name}", wanted))

    return wait_for(created, "the stream")
