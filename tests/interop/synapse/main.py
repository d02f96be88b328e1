"""Matryx and Synapse share rooms, each as the one that has the room and the one that comes to it.

Starts both on this machine, over TLS, with certificates of the test authority.
"""

import argparse
import pathlib
import shutil
import signal
import sys
import tempfile

import scenarios
from homeservers import Matryx, Synapse
from wire import Checks


def stopped(*_):
    raise SystemExit("told to stop")


def main():
    signal.signal(signal.SIGTERM, stopped)
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True, help="the matryx binary")
    parser.add_argument("--only", default="", help="run the checks whose name contains this")
    parser.add_argument("--versions", default="6,10,11,12", help="room versions")
    parser.add_argument("--keep", action="store_true", help="keep data and logs")
    options = parser.parse_args()
    checks = Checks()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="matryx-synapse-"))
    servers = [
        Matryx(folder / "matryx", "localhost", options.binary),
        Synapse(folder / "synapse", "127.0.0.1"),
    ]
    try:
        for server in servers:
            server.start()
        run(checks, servers, options)
        for server in servers:
            checks.check(f"{server.kind} ends when it is told to", server.stop)
    finally:
        for server in servers:
            server.kill()
            if checks.failed:
                for line in server.complaints()[-20:]:
                    print(f"  {server.kind}: {line}")
        if options.keep:
            print(f"data and logs are in {folder}")
        else:
            shutil.rmtree(folder)
    checks.end()


def run(checks, servers, options):
    matryx, synapse = servers
    for version in options.versions.split(","):
        for host, guest in ((matryx, synapse), (synapse, matryx)):
            for scenario in scenarios.of(version, host, guest):
                name = f"{scenario.__name__.replace('_', ' ')} ({host.kind} has the room, v{version})"
                if options.only in name:
                    checks.check(name, scenario, host, guest, version)


if __name__ == "__main__":
    sys.exit(main())
