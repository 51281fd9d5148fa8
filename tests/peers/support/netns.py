"""Network namespaces of a test's own: made and removed by it, and reached by nobody else.

They need root. Where that is not to be had the tests fail, unless they are left out on purpose.
Only the thread that enters one is in it, with the threads and processes that it starts meanwhile.
"""

import contextlib
import ctypes
import functools
import itertools
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from .waiting import eventually

_PREFIX = "spandrel"
_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x4000_0000
_TIMEOUT = 20
_numbers = itertools.count()
_LIBC = ctypes.CDLL(None, use_errno=True)

SBIN = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin:/usr/local/bin"
"""Where programs of the system are."""

NONE = (
    "these tests make network namespaces, which needs root and the capability SYS_ADMIN here"
    " ({}): run them as root, or leave them out with SPANDREL_NO_NETNS=1"
)


def find(program, package):
    """The path of a program of the system."""
    path = shutil.which(program, path=SBIN)
    assert path, f"there is no {program}: install it (apt-get install {package})"
    return path


def ip(*words, lines=None):
    """Runs `ip`, with `lines` as a batch if there are any; gives what it says."""
    command = [find("ip", "iproute2"), *words, *(["-batch", "-"] if lines else [])]
    done = subprocess.run(
        command,
        input="\n".join(lines or ()),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


class Namespace:
    """A machine with loopback alone; a context manager that removes it.

    Nothing is sent in it that nobody asked for, so that counters stand still, until `connect` gives
    it an interface that leads nowhere, or `tie` one that leads to another namespace.
    """

    V4, V6 = "10.9.0.1", "fd09::1"

    def __init__(self, name=""):
        self.name = f"{_PREFIX}-{os.getpid()}-{next(_numbers)}{name and '-'}{name}"

    def __enter__(self):
        require()
        ip("netns", "add", self.name)
        try:
            self._file = os.open(_FOLDER / self.name, os.O_RDONLY | os.O_CLOEXEC)
            self.ip("link set lo up")
        except BaseException:
            remove(self.name)
            raise
        return self

    def __exit__(self, *_):
        os.close(self._file)
        remove(self.name)

    def ip(self, *lines):
        """Runs lines of `ip` here."""
        ip("-n", self.name, lines=lines)

    @contextlib.contextmanager
    def inside(self):
        """Whatever this thread does meanwhile, it does here."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self._file)
            try:
                yield self
            finally:
                _enter(home)
        finally:
            os.close(home)

    def connect(self):
        """Gives it an address of each family, and a way to every other that ends in nothing."""
        self.ip("link add out0 type veth peer name far0", "link set far0 up")
        self.address("out0", self.V4, self.V6)
        self.ip("route add default dev out0", "route add ::/0 dev out0")

    def address(self, interface, v4, v6):
        """Gives an interface an address of each family, and switches it on."""
        self.ip(
            f"addr add {v4}/24 dev {interface}",
            f"addr add {v6}/64 dev {interface} nodad",
            f"link set {interface} up",
        )

    def tie(self, other):
        """Ties both together by interfaces called `eth0`: this is .1, the other .2."""
        self.ip(f"link add eth0 type veth peer name eth0 netns {other.name}")
        self.address("eth0", "10.8.0.1", "fd08::1")
        other.address("eth0", "10.8.0.2", "fd08::2")

    def command(self, *command):
        """The command as it is run here."""
        return [find("ip", "iproute2"), "netns", "exec", self.name, *map(str, command)]

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


def remove(name):
    """Ends every process in a namespace, and removes it."""
    for pid in _pids(name):
        with contextlib.suppress(ProcessLookupError):  # it may be faster
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not _pids(name), f"the end of every process in {name}")
    ip("netns", "del", name)


def remove_orphans():
    """Removes the namespaces of processes that were killed before they could."""
    for path in _FOLDER.glob(f"{_PREFIX}-*") if _FOLDER.is_dir() else ():
        found = re.match(rf"{_PREFIX}-(\d+)-", path.name)
        if found and not Path("/proc", found[1]).exists():
            remove(path.name)


@functools.cache
def require():
    """Fails with a sentence where namespaces cannot be made."""
    child = subprocess.run(
        [find("unshare", "util-linux"), "--net", "--mount", "true"],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    reason = child.stderr.strip() or f"uid {os.getuid()}"
    assert child.returncode == 0 and os.getuid() == 0, NONE.format(reason)


def _pids(name):
    return [int(pid) for pid in ip("netns", "pids", name).split()]


def _enter(file):
    if _LIBC.setns(file, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _still(saved):
    return "\n".join(line for line in saved.splitlines() if not line.startswith("#"))
