"""The README's start, typed as it stands, gives a trace of a request."""

import json
import os
import pathlib
import re
import signal
import subprocess

from support.waiting import eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 600
"""Seconds for a start in which everything may have to be built first."""


def commands(name):
    """The commands of a block of the README."""
    text = (ROOT / "README.md").read_text()
    return re.search(rf"<!-- {name} -->\n```sh\n(.*?)```\n<!-- end -->", text, re.DOTALL)[1]


def typed(text):
    """What a shell prints for these commands."""
    done = subprocess.run(["bash", "-ec", text], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout


def test_the_start_of_the_readme_gives_a_trace_of_a_request():
    typed_in = f"trap 'echo ended' EXIT\n{commands('start')}\necho started\nwait"
    with subprocess.Popen(
        ["timeout", str(PATIENCE), "bash", "-ec", typed_in],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            said = next(line for line in shell.stdout if line in {"started\n", "ended\n"})
            assert said == "started\n"
            look = commands("look")
            eventually(lambda: "files GET" in typed(look), "the trace in the list")
            listed = json.loads(typed(f"{look.strip()} --json"))["traces"]
            shown = typed(f"target/release/spandrel trace show {listed[0]['id']}")
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
    assert {trace["service"] for trace in listed} == {"files"}
    assert "files GET" in shown
