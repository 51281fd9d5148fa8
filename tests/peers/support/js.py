"""The OpenTelemetry SDK of JavaScript: `js/spans.mjs`, run by Node."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from .clients import TIMEOUT
from .collector import GRPC

FOLDER = Path(__file__).resolve().parents[1] / "js"


def send(view, exporter):
    """Sends a trace by one of the exporters; gives its id and what the SDK tells of its spans."""
    node = shutil.which("node")
    assert node, "there is no node: install it (apt-get install nodejs)"
    modules = FOLDER / "node_modules"
    assert modules.is_dir(), f"there is no {modules}: run `npm ci` in {FOLDER}"
    url = view.endpoint(GRPC) if exporter == "grpc" else view.receiver()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    done = subprocess.run(
        [node, "spans.mjs", exporter, url],
        cwd=FOLDER,
        env=inherited | {"no_proxy": "*"},
        capture_output=True,
        timeout=4 * TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout, object_hook=_with_times)
    return told["trace"], told["spans"]


def _with_times(told):
    """Times come as digits, because JavaScript does not hold such numbers."""
    times = {key: int(told[key]) for key in ("start", "end", "time") if key in told}
    return told | times
