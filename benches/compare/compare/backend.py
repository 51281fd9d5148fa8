"""What all ways lead to, and the collector of their spans: two nginx of one worker each."""

from . import files
from .process import Program
from .ways.nginx import find_nginx
from support.ports import HOST, free_port

KIB = 1024
FILES = {"/100": 100, "/1k": KIB, "/64k": 64 * KIB, "/10m": 10 * KIB * KIB}
"""The files that are served, and their lengths."""
MESSAGE = 64
"""Length of a message of gRPC that is asked and answered with."""
STREAMED = (64, KIB)
"""Messages of an answer that is a stream, and the length of each."""
TRACES = "/v1/traces"

_COMMON = """\
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {connections}; }}
"""
_BACKEND = """\
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    http2_max_concurrent_streams 1024;
    open_file_cache max=16;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {folder}/body;
    server {{
        listen {http1} backlog=16384;
        listen {host}:{http2} http2 backlog=16384;
        root {folder}/files;
        location /grpc/ {{
            default_type application/grpc;
            error_page 405 =200 $uri;
            add_trailer grpc-status 0 always;
        }}
    }}
}}
"""
_COLLECTOR = """\
http {{
    access_log off;
    keepalive_requests 100000000;
    client_max_body_size 64m;
    client_body_temp_path {folder}/body;
    default_type application/x-protobuf;
    server {{
        listen {host}:{http1};
        location = {traces} {{ return 200; }}
    }}
}}
"""


class Backend(Program):
    """Serves files, and answers calls of gRPC with them."""

    name = "direct"

    def __init__(self, folder):
        self.http1, self.http2 = free_port(), free_port()
        calls = folder / "files/grpc"
        calls.mkdir(parents=True)
        for path, length in FILES.items():
            (folder / f"files{path}").write_bytes(b"x" * length)
        (calls / "unary").write_bytes(message(MESSAGE))
        (calls / "stream").write_bytes(message(STREAMED[1]) * STREAMED[0])
        _start(self, _BACKEND, folder, http1=self.http1, http2=self.http2)
        self.wait_for(self.http1, self.http2)


class Collector(Program):
    """Takes what is posted to it, and says that all is well."""

    def __init__(self, folder):
        self.port = free_port()
        _start(self, _COLLECTOR, folder, http1=self.port, traces=TRACES)
        self.wait_for(self.port)


def message(length):
    """A message of gRPC of this length, framed and not compressed."""
    return b"\0" + length.to_bytes(4, "big") + b"m" * length


def _start(program, text, folder, **values):
    folder.chmod(0o755)
    configuration = folder / "nginx.conf"
    configuration.write_text((_COMMON + text).format(
            folder=folder, host=HOST, connections=2 * files.pairs(), **values
        ))
    command = [find_nginx(), "-p", folder, "-c", configuration]
    Program.__init__(program, [*command, "-g", "daemon off; master_process off;"], folder)
