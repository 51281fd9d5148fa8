"""Network namespaces of a test's own: made and removed by it, and reached by nobody else.

They need root. Where that is not to be had the tests fail; nothing is skipped.
"""

import itertools
import os
import shutil
import subprocess

_numbers = itertools.count()


class Namespace:
    """A machine with loopback alone; a context manager that removes it.

    Nothing is sent in it that nobody asked for, so that counters stand still, until `connect` gives
    it an interface that leads nowhere, or `tie` one that leads to another namespace.
    """

    V4, V6 = "10.9.0.1", "fd09::1"

    def __init__(self):
        self.name = f"spandrel-{os.getpid()}-{next(_numbers)}"

    def __enter__(self):
        _run("ip", "netns", "add", self.name)
        try:
            self._ip("link", "set", "lo", "up")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_):
        self._remove()

    def connect(self):
        """Gives it an address of each family, and a way to every other that ends in nothing."""
        self._ip("link", "add", "out0", "type", "veth", "peer", "name", "far0")
        self._ip("link", "set", "far0", "up")
        self.address("out0", self.V4, self.V6)
        self._ip("-4", "route", "add", "default", "dev", "out0")
        self._ip("-6", "route", "add", "default", "dev", "out0")

    def address(self, interface, v4, v6):
        """Gives an interface an address of each family, and switches it on."""
        self._ip("-4", "addr", "add", f"{v4}/24", "dev", interface)
        self._ip("-6", "addr", "add", f"{v6}/64", "dev", interface, "nodad")
        self._ip("link", "set", interface, "up")

    def tie(self, other):
        """Ties both together by interfaces called `eth0`: this is .1, the other .2."""
        self._ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", other.name)
        self.address("eth0", "10.8.0.1", "fd08::1")
        other.address("eth0", "10.8.0.2", "fd08::2")

    def command(self, *command):
        """The command as it is run here."""
        return [shutil.which("ip"), "netns", "exec", self.name, *map(str, command)]

    def run(self, *command, check=True, **how):
        """Runs a program here to its end."""
        done = subprocess.run(
            self.command(*command), capture_output=True, text=True, timeout=60, **how
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def start(self, *command, **how):
        """Starts a program here."""
        return subprocess.Popen(self.command(*command), **how)

    def tables(self):
        """Every rule and route there is, with the counters and without the times of reading."""
        programs = [
            f"{ip}tables{kind}-save" for ip in ("ip", "ip6") for kind in ("-nft", "-legacy")
        ]
        texts = {program: _still(self.run(program, "-c").stdout) for program in programs}
        texts["nft"] = self.run("nft", "list", "ruleset").stdout
        for flag in ("-4", "-6"):
            texts[f"rule {flag}"] = self.run("ip", flag, "rule", "show").stdout
            texts[f"route {flag}"] = self.run("ip", flag, "route", "show", "table", "all").stdout
        return texts

    def _ip(self, *arguments):
        _run("ip", "-n", self.name, *arguments)

    def _remove(self):
        _run("ip", "netns", "del", self.name)


def _still(saved):
    return "\n".join(line for line in saved.splitlines() if not line.startswith("#"))


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"
