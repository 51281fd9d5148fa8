"""nginx, serving files over HTTP/1.1 on one port and HTTP/2 with prior knowledge on another."""

import shutil
import signal
import subprocess

from ..ports import HOST, accepts, free_port
from ..waiting import DEADLINE, eventually

_CONFIGURATION = """\
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        listen {host}:{port_h2} http2;
        root {folder}/files;
        location = /teapot {{ return 418 "short and stout\\n"; }}
    }}
}}
"""


class Nginx:
    """A running nginx; files put into `files` are served."""

    def __init__(self, folder):
        program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        assert program, "there is no nginx: install it (apt-get install nginx-light)"
        self.files = folder / "files"
        self.files.mkdir()
        self.port, self.port_h2 = free_port(), free_port()
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(folder=folder, host=HOST, port=self.port, port_h2=self.port_h2)
        )
        self._log = folder / "error.log"
        self._process = subprocess.Popen(
            [program, "-p", folder, "-c", configuration, "-g", "daemon off; master_process off;"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(self._is_listening, "nginx to listen")
        except BaseException:
            self._process.kill()
            raise

    def close(self):
        """Ends nginx."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(DEADLINE) == 0, self._log.read_text()

    def _is_listening(self):
        assert self._process.poll() is None, self._log.read_text()
        return accepts(self.port)
