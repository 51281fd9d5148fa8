"""A sidecar on a machine whose names and disks are the test's: in a mount namespace of its own.

It needs root, and nothing of the machine is changed.
"""

from .netns import find, require
from .sidecar import Sidecar

NAME = "collector.test"
"""A name that nobody has unless the test says so."""
_NOBODY = "nameserver 127.66.66.66\noptions timeout:1 attempts:1\n"


class Names:
    """The names that a sidecar knows: its own `hosts`, and no server of names."""

    def __init__(self, folder):
        self._hosts, self._servers = folder / "hosts", folder / "resolv.conf"
        self._servers.write_text(_NOBODY)
        self.forget()

    def know(self, *addresses):
        """The name leads to these addresses."""
        lines = ["127.0.0.1 localhost", *(f"{address} {NAME}" for address in addresses)]
        self._hosts.write_text("\n".join(lines) + "\n")

    def forget(self):
        """The name leads nowhere."""
        self.know()

    def mounts(self):
        """The commands that put them in place."""
        return [
            f"mount --bind {self._hosts} /etc/hosts",
            f"mount --bind {self._servers} /etc/resolv.conf",
        ]


def small_disk(folder, kibibytes):
    """The command that makes a folder a disk of so many KiB."""
    return f"mount -t tmpfs -o size={kibibytes}k tmpfs {folder}"


def read_only_disk(folder):
    """The command that makes a folder a disk that takes nothing."""
    return f"mount -t tmpfs -o ro tmpfs {folder}"


class HostSidecar(Sidecar):
    """One running `spandrel run` behind such commands; a context manager."""

    def __init__(self, mounts, *how):
        require()
        self._mounts = mounts
        super().__init__(*how)

    def _begin(self, command, *how):
        script = " && ".join([*self._mounts, 'exec "$@"'])
        unshare = [find("unshare", "util-linux"), "--mount", "--propagation", "private"]
        super()._begin([*unshare, "sh", "-c", script, "sh", *command], *how)
