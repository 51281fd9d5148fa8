"""nginx as a proxy, which does not trace."""

import shutil

from .. import files
from ..process import Program
from support.ports import HOST, free_port

_CONFIGURATION = """\
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    http2_max_concurrent_streams 1024;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    proxy_max_temp_file_size 0;
    upstream http1 {{
        server {host}:{to_http1};
        keepalive 16384;
        keepalive_requests 100000000;
    }}
    upstream http2 {{
        server {host}:{to_http2};
        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen {host}:{http1} backlog=16384;
        location / {{
            proxy_pass http://http1;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
    server {{
        listen {host}:{http2} http2 backlog=16384;
        location /grpc/ {{ grpc_pass grpc://http2; }}
    }}
}}
"""


def find_nginx():
    """nginx, which Debian does not put on every path."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert program, "there is no nginx: install it (apt-get install nginx-light)"
    return program


class Nginx(Program):
    """nginx of Debian with one worker."""

    name = "nginx"

    def __init__(self, folder, backend):
        folder.chmod(0o755)
        self.http1, self.http2 = free_port(), free_port()
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder,
                connections=2 * files.pairs(),
                host=HOST,
                http1=self.http1,
                http2=self.http2,
                to_http1=backend.http1,
                to_http2=backend.http2,
            )
        )
        command = [find_nginx(), "-p", folder, "-c", configuration, "-g", "daemon off;"]
        super().__init__(command, folder)
        self.wait_for(self.http1, self.http2)
