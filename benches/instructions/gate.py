"""Counts, compares, and says what is more than it may be."""

import json
import re
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import yaml

from exchanges import BODY, PATH, Http1, Http2
from support.apps.nginx import Nginx
from support.collector import Collector
from support.ports import HOST, accepts, free_port
from support.sidecar import find_binary, inherited
from support.waiting import eventually

REFERENCE = Path(__file__).parent / "reference.json"
EXCHANGES = {"HTTP/1.1": Http1(), "HTTP/2": Http2()}
TOLERATED = 0.03
"""The part that a request may take more than the reference."""
PLANTED = [(f"x-plant-{number}", "v" * 64) for number in range(2)]
"""Header lines that cost a little less than SLOWDOWN: with them the gate must close."""
SLOWDOWN = 0.05
"""The part by which a request may never become dearer unseen."""
FEW, MANY = 500, 2_500
"""Requests of two runs: their difference is free of the start and the end."""
PATIENCE = 120
"""Seconds that a start or an end may take under valgrind."""


def main():
    """Compares with the reference, or writes it."""
    found = {name: instructions(exchange) for name, exchange in EXCHANGES.items()}
    if sys.argv[1:] == ["--write"]:
        REFERENCE.write_text(json.dumps(found, indent=4) + "\n")
    reference = json.loads(REFERENCE.read_text())
    closed = [name for name in EXCHANGES if not tell(name, found[name], reference[name])]
    planted = instructions(Http1(PLANTED))
    print("planted, to see that the gate closes:")
    # Beside what was just found: a request that has become cheaper must not hide the plant.
    if tell("HTTP/1.1 with more header lines", planted, found["HTTP/1.1"]):
        sys.exit("the gate is open for anything: what was planted passes it")
    if planted > found["HTTP/1.1"] * (1 + SLOWDOWN):
        sys.exit("what was planted costs too much to show that less is found: plant less")
    if closed:
        sys.exit(
            f"{' and '.join(closed)} take more instructions than they may; find out why, or, if it "
            "is worth it, run benches/instructions/run --write and say so in the commit"
        )


def tell(name, found, reference):
    """Prints a comparison; whether the request takes no more than it may."""
    more = found / reference - 1
    print(f"{name}: {found:,} instructions per request, reference {reference:,} ({more:+.1%})")
    if more < -TOLERATED:
        print("    less than that: run benches/instructions/run --write to keep it so")
    return more <= TOLERATED


def instructions(exchange):
    """Instructions that the process takes for one request more."""
    with tempfile.TemporaryDirectory() as name, closing(Collector()) as collector:
        folder = Path(name)
        folder.chmod(0o755)
        with closing(Nginx(folder)) as nginx:
            (nginx.files / PATH.lstrip("/")).write_bytes(b"x" * BODY)
            app = nginx.port if exchange.protocol == "http1" else nginx.port_h2
            few, many = (
                _run(exchange, requests, app, collector, folder) for requests in (FEW, MANY)
            )
    return round((many - few) / (MANY - FEW))


def _run(exchange, requests, app, collector, folder):
    """Instructions of a whole life with so many requests."""
    port, admin = free_port(), free_port()
    counts = folder / f"{requests}.callgrind"
    tree = {
        "service": {"name": "backend"},
        "inbound": {"listen": f"{HOST}:{port}", "app": f"{HOST}:{app}"},
        "export": {"otlp": {"endpoint": collector.endpoint("http/protobuf")}},
        "admin": {"listen": f"{HOST}:{admin}"},
    }
    settings = folder / f"{requests}.yaml"
    settings.write_text(yaml.safe_dump(tree))
    valgrind = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={counts}"]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [*valgrind, find_binary(), "run", "--config", settings],
            env=inherited(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        exchange.ask(_listening(process, port, folder), requests)
        process.terminate()
        assert process.wait(PATIENCE) == 0, (folder / "log").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    total = re.search(r"^(?:totals|summary): (\d+)", counts.read_text(), re.M)
    return int(total[1])


def _listening(process, port, folder):
    """The port, once somebody listens there."""

    def listens():
        assert process.poll() is None, (folder / "log").read_text()
        return accepts(port)

    eventually(listens, lambda: f"spandrel to listen: {(folder / 'log').read_text()}", PATIENCE)
    return port


if __name__ == "__main__":
    main()
