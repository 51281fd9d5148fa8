"""Programs that still carry a Jaeger client: `jaeger-clients` in Go, and `js/jaeger.mjs` for Node.

Both record the same trace of the service `shop` and tell the ids of its spans by their names.
"""

import json
import os
import shutil
import subprocess

from .clients import TIMEOUT
from .js import FOLDER
from .sidecar import PROJECT

CLIENTS = ("go", "node")
_BUILD = "go -C tests/peers/jaeger-clients build -o ../../../target/jaeger-clients ."


def run(client, agent, sampling=None):
    """Sends a trace to the agent's port; gives what the client tells of it.

    With the port of a server of sampling strategies, it asks there first.
    """
    ports = [str(port) for port in (agent, sampling) if port]
    done = subprocess.run(
        [*_command(client), *ports],
        cwd=FOLDER,
        env=os.environ | {"no_proxy": "*", "NO_PROXY": "*"},
        capture_output=True,
        timeout=4 * TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


def _command(client):
    if client == "go":
        binary = PROJECT / "target/jaeger-clients"
        assert binary.is_file(), f"there is no {binary}: build it ({_BUILD})"
        return [binary]
    node = shutil.which("node")
    assert node, "there is no node: install it (apt-get install nodejs)"
    modules = FOLDER / "node_modules"
    assert modules.is_dir(), f"there is no {modules}: run `npm ci` in {FOLDER}"
    return [node, "jaeger.mjs"]
