"""HAProxy, which does not trace: as a relay of bytes, and as a proxy of HTTP."""

import shutil

from .. import files
from ..process import Program
from support.ports import HOST, free_port

_CONFIGURATION = """\
global
    nbthread 1
    maxconn {connections}
defaults
    mode {mode}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend http1
    bind {host}:{http1} backlog 16384
    default_backend http1
backend http1
    server one {host}:{to_http1}
frontend http2
    bind {host}:{http2}{proto}
    default_backend http2
backend http2
    server one {host}:{to_http2}{proto}
"""


class HaProxy(Program):
    """HAProxy of Debian with one thread, in a mode (`tcp`, `http`)."""

    def __init__(self, mode, folder, backend):
        self.name = f"HAProxy, {mode}"
        self.http1, self.http2 = free_port(), free_port()
        program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        assert program, "there is no HAProxy: install it (apt-get install haproxy)"
        configuration = folder / "haproxy.cfg"
        configuration.write_text(
            _CONFIGURATION.format(
                mode=mode,
                connections=files.pairs(),
                proto=" proto h2" if mode == "http" else "",
                host=HOST,
                http1=self.http1,
                http2=self.http2,
                to_http1=backend.http1,
                to_http2=backend.http2,
            )
        )
        super().__init__([program, "-db", "-f", configuration], folder)
        self.wait_for(self.http1, self.http2)
