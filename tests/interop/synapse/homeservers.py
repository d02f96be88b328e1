"""Synapse and Matryx as child processes, each reached by the other through a link that can be cut."""

import base64
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

from wire import User, Wire

FIXTURES = pathlib.Path(__file__).resolve().parents[3] / "packages/client/tests/fixtures"
AUTHORITY = FIXTURES / "ca.crt"
CERTIFICATE = FIXTURES / "server.crt"
KEY = FIXTURES / "server.key"

START_LIMIT = 60
STOP_LIMIT = 20


def free_port():
    """A port of this machine that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def die_with_parent():
    """Lets a child end with this process, however that ends (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Link:
    """Forwards connections to a server, until it is cut."""

    def __init__(self, target):
        self.target = target
        self.port = free_port()
        self.listener = None
        self.open = set()
        self.lock = threading.Lock()
        self.heal()

    def heal(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self.listener = listener
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def cut(self):
        """Refuses connections from now on, and ends those that there are."""
        listener, self.listener = self.listener, None
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        with self.lock:
            for end in self.open:
                end.close_both()
            self.open.clear()

    def accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            pipe = Pipe(near, far)
            with self.lock:
                self.open.add(pipe)
            pipe.start(lambda pipe: self.forget(pipe))

    def forget(self, pipe):
        with self.lock:
            self.open.discard(pipe)


class Pipe:
    """One connection through a link."""

    def __init__(self, near, far):
        self.ends = (near, far)

    def start(self, ended):
        for source, sink in (self.ends, self.ends[::-1]):
            threading.Thread(target=self.pump, args=(source, sink, ended), daemon=True).start()

    def pump(self, source, sink, ended):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        self.close_both()
        ended(self)

    def close_both(self):
        for end in self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


class Homeserver:
    """A server that keeps its data and its log under a folder."""

    def __init__(self, folder, host):
        self.folder = folder
        self.folder.mkdir()
        self.port = free_port()
        self.link = Link(self.port)
        self.name = f"{host}:{self.link.port}"
        self.wire = Wire(f"https://127.0.0.1:{self.port}", AUTHORITY)
        self.users = {}
        self.process = None

    def command(self):
        """How it is started."""
        raise NotImplementedError

    def start(self):
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "RUST_LIB_BACKTRACE": "0"},
            preexec_fn=die_with_parent,
        )
        deadline = time.monotonic() + START_LIMIT
        while True:
            try:
                self.wire.call("GET", "/_matrix/client/versions")
                return
            except Exception as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.kind} does not serve ({error}):\n{self.tail()}") from None
            time.sleep(0.05)

    def stop(self):
        """Asks it to end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def kill(self):
        """Ends it at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def user(self, name):
        """The user of this name, who is registered when first asked for."""
        if name not in self.users:
            self.users[name] = User(self, name)
        return self.users[name]

    def tail(self, lines=40):
        """The end of its log."""
        text = (self.folder / "log").read_text(errors="replace").splitlines()
        return "\n".join(f"  {self.kind}: {line}" for line in text[-lines:])

    def complaints(self):
        """What it has logged that an operator would look into."""
        text = (self.folder / "log").read_text(errors="replace").splitlines()
        return [line for line in text if any(word in line for word in self.complains)]


class Matryx(Homeserver):
    """The binary under test."""

    kind = "matryx"
    complains = (" ERROR ", "panicked at")

    def __init__(self, folder, host, binary):
        super().__init__(folder, host)
        self.binary = binary

    def command(self):
        listen = f"client+federation+metrics=127.0.0.1:{self.port},tls={CERTIFICATE}:{KEY}"
        command = [self.binary, "serve", "--server-name", self.name]
        command += ["--data-dir", str(self.folder / "data"), "--listen", listen]
        for setting in (
            "registration.enabled=true",
            "registration.flows=m.login.dummy",
            "rate_limit.enabled=false",
            f"tls.extra_ca_files={AUTHORITY}",
            "federation.deny_ip_ranges=[]",
            "federation.trusted_key_servers=[]",
        ):
            command += ["--set", setting]
        return command


class Synapse(Homeserver):
    """Synapse, with SQLite."""

    kind = "synapse"
    complains = (" - ERROR - ", " - CRITICAL - ")

    def command(self):
        folder = self.folder
        (folder / "homeserver.yaml").write_text(json.dumps(self.config()))
        (folder / "log.yaml").write_text(json.dumps(LOGGING))
        key = folder / "signing.key"
        if not key.exists():
            seed = base64.b64encode(os.urandom(32)).decode().rstrip("=")
            key.write_text(f"ed25519 a_key {seed}\n")
        return [sys.executable, "-m", "synapse.app.homeserver", "-c", "homeserver.yaml"]

    def config(self):
        generous = {"per_second": 10_000, "burst_count": 10_000}
        resources = [{"names": ["client", "federation"], "compress": False}]
        return {
            "server_name": self.name,
            "report_stats": False,
            "pid_file": str(self.folder / "pid"),
            "listeners": [
                {
                    "port": self.port,
                    "tls": True,
                    "type": "http",
                    "bind_addresses": ["127.0.0.1"],
                    "resources": resources,
                }
            ],
            "tls_certificate_path": str(CERTIFICATE),
            "tls_private_key_path": str(KEY),
            "federation_custom_ca_list": [str(AUTHORITY)],
            "federation_ip_range_blacklist": [],
            "ip_range_blacklist": [],
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "database": {
                "name": "sqlite3",
                "args": {"database": str(self.folder / "database")},
            },
            "log_config": str(self.folder / "log.yaml"),
            "media_store_path": str(self.folder / "media"),
            "signing_key_path": str(self.folder / "signing.key"),
            "macaroon_secret_key": "nothing is kept here",
            "form_secret": "nothing is kept here",
            "enable_registration": True,
            "enable_registration_without_verification": True,
            "bcrypt_rounds": 4,
            "allow_public_rooms_over_federation": True,
            "room_list_publication_rules": [{"action": "allow"}],
            "federation": {
                "client_timeout": "20s",
                "max_short_retries": 1,
                "max_short_retry_delay": "1s",
                "max_long_retries": 2,
                "max_long_retry_delay": "2s",
                "destination_min_retry_interval": "1s",
                "destination_max_retry_interval": "5s",
            },
            "experimental_features": {"msc3814_enabled": True},
            "caches": {"sync_response_cache_duration": "0s"},
            "rc_message": generous,
            "rc_registration": generous,
            "rc_login": {"address": generous, "account": generous, "failed_attempts": generous},
            "rc_joins": {"local": generous, "remote": generous},
            "rc_joins_per_room": generous,
            "rc_invites": {"per_room": generous, "per_user": generous, "per_issuer": generous},
            "rc_room_creation": generous,
            "rc_federation": {
                "window_size": 1000,
                "sleep_limit": 100_000,
                "sleep_delay": 1,
                "reject_limit": 100_000,
                "concurrent": 50,
            },
        }


LOGGING = {
    "version": 1,
    "formatters": {
        "precise": {"format": "%(asctime)s - %(name)s - %(levelname)s - %(request)s - %(message)s"}
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "precise"}},
    "root": {"level": "INFO", "handlers": ["console"]},
    "disable_existing_loggers": False,
}
