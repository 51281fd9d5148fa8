"""CONNECT of HTTP/2 by Node: `js/h2connect.mjs`."""

import json
import os
import shutil
import subprocess

from .clients import TIMEOUT
from .js import FOLDER


def _command(*arguments):
    node = shutil.which("node")
    assert node, "there is no node: install it (apt-get install nodejs)"
    return [node, "h2connect.mjs", *map(str, arguments)]


def connect(*arguments):
    """Runs Node as a client; gives what it was told."""
    done = subprocess.run(
        _command(*arguments), cwd=FOLDER, capture_output=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


class NodeApp:
    """Node as a server that takes extended CONNECT."""

    def __init__(self):
        self._process = subprocess.Popen(
            _command("serve"),
            cwd=FOLDER,
            env=os.environ | {"no_proxy": "*"},
            stdout=subprocess.PIPE,
        )
        self.port = int(self._process.stdout.readline())

    def close(self):
        """Ends it."""
        self._process.kill()
        self._process.wait(TIMEOUT)
        self._process.stdout.close()
