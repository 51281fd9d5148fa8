"""The programs of the makes as processes that speak in lines of JSON, and the two gateways."""

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from ..ports import HOST, free_port
from ..waiting import DEADLINE, eventually

PEERS = Path(__file__).resolve().parents[2]
PROJECT = PEERS.parents[1]
_ANSWER = 120
"""Seconds that a batch of scenarios may take."""


def python(module):
    """The command of a program in this folder."""
    return [sys.executable, "-m", f"support.makes.{module}"]


def node(script):
    """The command of a program of Node."""
    program = shutil.which("node")
    assert program, "there is no node: install it (apt-get install nodejs)"
    return [program, str(PEERS / "js" / script)]


def go(part):
    """The command of a part of the program in Go."""
    program = PROJECT / "target/go-makes"
    command = "go -C tests/peers/go build -o ../../../target/go-makes ."
    assert program.is_file(), f"there is no {program}: build it ({command})"
    return [str(program), part]


class Program:
    """A process that takes and gives lines of JSON; a context manager that ends it."""

    def __init__(self, command):
        inherited = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        self._process = subprocess.Popen(
            command,
            cwd=PEERS,
            env=inherited,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """The end of its input is the end of it."""
        try:
            self._process.stdin.close()
            self._process.wait(DEADLINE)
        finally:
            self._process.kill()
            self._process.wait(DEADLINE)
            self._reader.join(DEADLINE)
            self._process.stdout.close()

    def say(self, what):
        """Tells it something."""
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self, deadline=_ANSWER):
        """The next that it tells."""
        told = self._lines.get(timeout=deadline)
        assert told is not None, f"it has ended: {self._process.args}"
        return told

    def heard(self):
        """Whatever it has told by now."""
        told = []
        while not self._lines.empty():
            told.append(self.hear())
        return told

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)


class OriginProgram(Program):
    """A program with origins; `ports` tells where they are, `heard()` what they saw."""

    def __init__(self, command, answers):
        super().__init__(command)
        try:
            self.say(answers)
            self.ports = self.hear()
        except BaseException:
            self.__exit__()
            raise


_NGINX = """\
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    large_client_header_buffers 8 16k;
    client_max_body_size 4m;
    underscores_in_headers on;
    gzip_types text/plain;
    server {{
        listen {host}:{http1};
        listen {host}:{http2} http2;
        location /files/ {{ root {folder}; gzip on; }}
        location / {{
            proxy_pass http://{host}:{behind};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_buffer_size 32k;
            proxy_buffers 8 32k;
        }}
    }}
}}
"""

_HAPROXY = """\
global
    tune.bufsize 65536
defaults
    mode http
    option abortonclose
    option http-no-delay
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend shop
    bind {host}:{http1}
    bind {host}:{http2} proto h2
    http-request return status 200 content-type text/plain string "mine\\n" if {{ path /own }}
    http-request deny deny_status 403 if {{ path /denied }}
    default_backend behind
backend behind
    server origin {host}:{behind}
"""


class Gateway:
    """nginx or HAProxy in front of an origin, over HTTP/1.1 and, on another port, HTTP/2."""

    def __init__(self, program, package, configuration, arguments, folder, behind):
        path = shutil.which(program, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        assert path, f"there is no {program}: install it (apt-get install {package})"
        folder.mkdir()
        self.ports = {"http1": free_port(), "http2": free_port()}
        file = folder / f"{program}.conf"
        file.write_text(configuration.format(folder=folder, host=HOST, behind=behind, **self.ports))
        self._said = folder / "said"
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [path, *arguments(folder, file)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def __enter__(self):
        try:
            eventually(self._is_listening, "the gateway to listen")
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(DEADLINE)
        finally:
            self._process.kill()
            self._process.wait(DEADLINE)

    def _is_listening(self):
        assert self._process.poll() is None, self._said.read_text()
        try:
            for port in self.ports.values():
                socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            return False
        return True


def nginx(folder, behind):
    """nginx, which also serves a file of its own."""

    def arguments(prefix, file):
        files = prefix / "files"
        files.mkdir()
        page = files / "page.txt"
        page.write_text("a page of text\n" * 400)
        os.utime(page, (1_700_000_000, 1_700_000_000))
        return ["-p", prefix, "-c", file, "-g", "daemon off; master_process off;"]

    return Gateway("nginx", "nginx-light", _NGINX, arguments, folder, behind)


def haproxy(folder, behind):
    """HAProxy."""
    return Gateway("haproxy", "haproxy", _HAPROXY, lambda _, file: ["-f", file], folder, behind)
