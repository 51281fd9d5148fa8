"""The README's start, typed as it stands, gives a span in a collector."""

import os
import pathlib
import re
import signal
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 600
"""Seconds for a start in which everything may have to be built first."""


def start():
    """The commands of the README's start."""
    text = (ROOT / "README.md").read_text()
    return re.search(r"<!-- start -->\n```sh\n(.*?)```\n<!-- end -->", text, re.DOTALL)[1]


def test_the_start_of_the_readme_gives_a_span_for_a_request():
    with subprocess.Popen(
        ["bash", "-ec", f"{start()}\nwait"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        too_late = threading.Timer(PATIENCE, os.killpg, (shell.pid, signal.SIGKILL))
        too_late.start()
        try:
            span = next((line for line in shell.stdout if "  SERVER  GET  trace " in line), "")
        finally:
            too_late.cancel()
            os.killpg(shell.pid, signal.SIGTERM)
    assert span.startswith("files  SERVER  GET  trace ")
    assert "http.response.status_code=200" in span
    assert "url.path=/" in span
