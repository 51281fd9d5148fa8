"""What the redirect costs a connection, against the same servers directly; prints a table.

    target/peers/bin/python tests/peers/measure_redirect.py [ROUNDS]

Needs root, as it makes network namespaces, and SPANDREL_BIN or a release build. All ways are taken
in turn in every round, in a random order, by one client in this process.
"""

import random
import socket
import statistics
import sys
import time

from support.apps.servers import Exim, MariaDb, Redis
from support.mesh import Mesh
from support.pods import Network
from support.sidecar import find_binary

ROUNDS = 500
MEASURES = {
    "connect": (Redis.PORT, lambda _: None),
    "connect to PONG of Redis": (Redis.PORT, lambda c: (c.sendall(b"PING\r\n"), c.recv(64))),
    "connect to greeting of MariaDB": (MariaDb.PORT, lambda client: client.recv(256)),
    "connect to greeting of Exim": (Exim.PORT, lambda client: client.recv(256)),
}


def main():
    """Measures and prints."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with Network() as network, Mesh(network, find_binary()) as mesh:
        plain, near = mesh.pod("plain"), mesh.service("near")
        # The same servers, whose callers in `spared` are not redirected.
        spared = mesh.pod("spared")
        nets = [f"{pod.ip4}/32" for pod in (spared, near)]
        far = mesh.service("far", {"inbound.exclude_cidrs": nets})
        ways = {"direct": spared, "inbound": plain, "outbound": near}
        for server in (MariaDb, Redis, Exim):
            server(far)
        print(f"{rounds} rounds, microseconds: median and 99th percentile, and what is added\n")
        print(f"| | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}")
        for what, (port, use) in MEASURES.items():
            print_row(what, measure(ways, (far.ip4, port), use, rounds))


def measure(ways, address, use, rounds):
    """Microseconds by way."""
    taken = {name: [] for name in ways}
    for number in range(rounds + rounds // 10):
        for name, pod in random.sample(list(ways.items()), len(ways)):
            with pod.inside(), socket.socket() as client:
                begun = time.perf_counter_ns()
                client.connect(address)
                use(client)
                spent = (time.perf_counter_ns() - begun) / 1_000
            if number >= rounds // 10:
                taken[name].append(spent)
    return taken


def print_row(what, taken):
    """Prints a line of the table."""
    cells, direct = [], None
    for times in taken.values():
        median, worst = statistics.median(times), statistics.quantiles(times, n=100)[98]
        direct = direct or (median, worst)
        added = "" if direct == (median, worst) else (
            f" ({median - direct[0]:+.0f}, {worst - direct[1]:+.0f})"
        )
        cells.append(f"{median:.0f}, {worst:.0f}{added}")
    print(f"| {what} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
