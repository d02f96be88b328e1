"""People encrypt: on one Matryx, across two, and with either of them on Synapse."""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from homeservers import AUTHORITY, Matryx, Synapse, die_with_parent

SCRIPTS = pathlib.Path(__file__).resolve().parents[1]
CASTS = {
    "one Matryx": (Matryx,),
    "two Matryx": (Matryx, Matryx),
    "Bob on Synapse": (Matryx, Synapse),
    "Alice on Synapse": (Synapse, Matryx),
}
HOSTS = ("localhost", "127.0.0.1")


def stopped(*_):
    raise SystemExit("told to stop")


def main():
    signal.signal(signal.SIGTERM, stopped)
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True, help="the matryx binary")
    parser.add_argument("--program", help="who they are, if not matrix-js-sdk")
    parser.add_argument("--only", default="", help="run the casts whose name contains this")
    parser.add_argument("--keep", action="store_true", help="keep data and logs")
    options = parser.parse_args()
    failed = False
    for name, kinds in CASTS.items():
        if options.only in name:
            failed |= not play(name, kinds, options)
    sys.exit(1 if failed else 0)


def play(name, kinds, options):
    """Starts the servers of a cast and runs the script against them; did all go well?"""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="matryx-encryption-"))
    servers = []
    for number, (kind, host) in enumerate(zip(kinds, HOSTS)):
        extra = (options.binary,) if kind is Matryx else ()
        servers.append(kind(folder / str(number), host, *extra))
    passed = False
    try:
        for server in servers:
            server.start()
        passed = run(name, servers, options.program)
        for server in servers:
            server.stop()
    finally:
        for server in servers:
            server.kill()
            if not passed:
                for line in server.complaints()[-20:]:
                    print(f"  {server.kind}: {line}")
        if options.keep:
            print(f"data and logs of {name} are in {folder}")
        else:
            shutil.rmtree(folder)
    return passed


def run(name, servers, program):
    environment = {
        **os.environ,
        "ALICE_URL": servers[0].wire.url,
        "BOB_URL": servers[-1].wire.url,
        "NODE_EXTRA_CA_CERTS": str(AUTHORITY),
        "AUTHORITY": str(AUTHORITY),
    }
    script = subprocess.Popen(
        [program] if program else ["node", "encryption.mjs"],
        cwd=SCRIPTS,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )
    for line in script.stdout:
        # The name of a check ends at the first colon, if it failed.
        outcome, colon, reason = line.rstrip("\n").partition(": ")
        print(f"{outcome} ({name}){colon}{reason}", flush=True)
    return script.wait() == 0


if __name__ == "__main__":
    main()
