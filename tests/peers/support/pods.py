"""Pods: network namespaces on a bridge of their own, with programs, servers and rules inside.

A pod has one interface with an IPv4 and an IPv6 address, and routes to nothing but the other pods:
there is no default route, and no way out of the bridge. All is gone when the network is closed.
"""

import ipaddress
import itertools
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from .loop import Loop
from .netns import Namespace, find, remove_orphans
from .waiting import DEADLINE

ROOT = 0
APP = 1000
"""The uid and gid of programs in a pod, unless they need another."""
PROXY = 1773
"""The uid and gid of spandrel in a pod."""
FAMILIES = (4, 6)
_TIMEOUT = 30
_WIDTH = {4: 16, 6: 64}


class Network:
    """A bridge, and the pods on it; a context manager that removes them."""

    def __init__(self):
        self._stack = ExitStack()
        self._pods = itertools.count(1)

    def __enter__(self):
        remove_orphans()
        with self._stack:
            self.bridge = self._stack.enter_context(Namespace("bridge"))
            self._folder = self._stack.enter_context(open_folder("network"))
            self.bridge.ip("link add br0 type bridge", "link set br0 up")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def program(self, path):
        """A copy of a program that every user of the pods may run."""
        copy = self._folder / path.name
        if not copy.exists():
            shutil.copy(path, copy)
        return copy

    def pod(self, name):
        """A new pod, which is there until it is closed."""
        return Pod(self.bridge, name, next(self._pods))


class Pod:
    """A network namespace that takes part; a context manager that ends all in it."""

    def __init__(self, bridge, name, number):
        self.name = name
        self.ip4, self.ip6 = f"10.77.{number >> 8}.{number & 255}", f"fd77::{number:x}"
        self._stack = ExitStack()
        self._loop = None
        with self._stack:
            self.namespace = self._stack.enter_context(Namespace(name))
            self._connect(bridge, number)
            self.folder = self._stack.enter_context(open_folder(name))
            self._stack = self._stack.pop_all()

    def _connect(self, bridge, number):
        end = f"pod{number}"
        bridge.ip(
            f"link add {end} type veth peer name eth0 netns {self.namespace.name}",
            f"link set {end} master br0 up",
        )
        # A namespace goes some time after it is removed; until then nobody is to hear of it, as
        # the next pod may have the same address.
        self._stack.callback(bridge.ip, f"link delete {end}")
        # Namespaces are taken apart by and by, and another pod may have the same addresses by then.
        self._stack.callback(bridge.ip, f"link set {end} down")
        self.namespace.ip(
            f"addr add {self.ip4}/{_WIDTH[4]} dev eth0",
            f"addr add {self.ip6}/{_WIDTH[6]} dev eth0 nodad",
            "link set eth0 up",
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends what was started inside, the last first, and removes the pod."""
        self._stack.close()

    def ip(self, family):
        """The address of a family."""
        return {4: self.ip4, 6: self.ip6}[family]

    def host(self, family):
        """The address of a family as it stands in URLs."""
        return {4: self.ip4, 6: f"[{self.ip6}]"}[family]

    def add_address(self, address, width):
        """Gives the pod another address, and the way to its neighbours."""
        nodad = " nodad" if ":" in address else ""
        self.namespace.ip(f"addr add {address}/{width} dev eth0{nodad}")

    def add_route(self, network):
        """Lets the pod call a network that other pods have addresses in."""
        self.namespace.ip(f"route add {network} dev eth0")

    def inside(self):
        """Whatever this thread does meanwhile, it does inside."""
        return self.namespace.inside()

    @property
    def loop(self):
        """A loop whose servers and clients are inside."""
        if self._loop is None:
            with self.inside():
                self._loop = self.keep(closing(Loop()))
        return self._loop

    def keep(self, context):
        """Enters a context, which ends before the pod does."""
        return self._stack.enter_context(context)

    def popen(self, command, user=APP, **how):
        """Starts a program inside, and leaves it to the caller."""
        with self.inside():
            return subprocess.Popen([*as_user(user), *map(str, command)], **how)

    def start(self, command, user=APP, **how):
        """Starts a server, which is ended with the pod."""
        with (self.folder / "said").open("ab") as said:
            streams = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
            process = self.popen(command, user, **streams | how)
        self._stack.enter_context(_ended(process))
        return process

    def said(self):
        """What the servers have said."""
        return (self.folder / "said").read_text(errors="replace")

    def run(self, command, user=APP, check=True, **how):
        """Runs a program to its end; what it was and said is returned."""
        if "input" not in how:
            how["stdin"] = subprocess.DEVNULL
        with self.inside():
            done = subprocess.run(
                [*as_user(user), *map(str, command)],
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
                **how,
            )
        assert not check or done.returncode == 0, (command, done.returncode, done.stderr.decode())
        return done

    def call(self, function, *arguments, **more):
        """Calls a function inside."""
        with self.inside():
            return function(*arguments, **more)

    def curl(self, url, *arguments, user=APP, check=True):
        """A request by curl from inside."""
        from .clients import Answer, curl_command

        written = ("--write-out", "\n%{http_code}")
        done = self.run(curl_command(*arguments, *written, url), user, check, env={})
        if done.returncode:
            return None
        body, _, status = done.stdout.rpartition(b"\n")
        return Answer(int(status), body)


def bare(address):
    """An address as it is written in its own family, which sockets of both families do not do."""
    ip = ipaddress.ip_address(address)
    return str(getattr(ip, "ipv4_mapped", None) or ip)


@contextmanager
def open_folder(name):
    """A folder for a while, in which every user may read."""
    with tempfile.TemporaryDirectory(prefix=f"spandrel-{name}-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


def as_user(user, *more):
    """The command that becomes a user, without any more processes: its pid is the program's."""
    ids = ["--reuid", str(user), "--regid", str(user), "--clear-groups"]
    return [find("setpriv", "util-linux"), *ids, *more]


@contextmanager
def _ended(process):
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(DEADLINE)
