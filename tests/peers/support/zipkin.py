"""Zipkin's server as a process, with its spans in memory."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request

from .jaeger import END, PROJECT
from .ports import HOST, free_port
from .waiting import eventually

_FETCH = (
    "mvn org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
    " -Dartifact=io.zipkin:zipkin-server:3.6.1:jar:exec -DoutputDirectory=target/zipkin"
)
_JAR = "target/zipkin/zipkin-server-3.6.1-exec.jar"
_START = 90.0
"""Seconds that it has to start, on a machine that does something else."""


class Zipkin:
    """A running Zipkin."""

    def __init__(self, folder):
        self._port = free_port()
        self._log = folder / "zipkin.log"
        jar = PROJECT / os.environ.get("ZIPKIN_JAR", _JAR)
        assert jar.is_file(), f"there is no {jar}: fetch it ({_FETCH})"
        java = shutil.which("java")
        assert java, "there is no java: install it (apt-get install default-jre-headless)"
        environment = {"PATH": os.environ["PATH"], "QUERY_PORT": str(self._port)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [java, "-Xmx256m", "-jar", jar],
                cwd=folder,
                env=environment | {"SERVER_ADDRESS": HOST, "STORAGE_TYPE": "mem"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            eventually(self._is_ready, lambda: f"Zipkin; it said:\n{self._said()}", _START)
        except BaseException:
            self.close()
            raise

    @property
    def spans_url(self):
        """Where spans are posted to."""
        return f"http://{HOST}:{self._port}/api/v2/spans"

    def trace(self, trace_id):
        """The spans of a trace, as its query API gives them."""
        try:
            return self._get(f"/api/v2/trace/{trace_id}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise

    def close(self):
        """Ends it."""
        self._process.kill()
        self._process.wait(END)

    def _is_ready(self):
        assert self._process.poll() is None, f"Zipkin has ended:\n{self._said()}"
        try:
            return self._get("/health")["status"] == "UP"
        except OSError:
            return False

    def _get(self, path):
        no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with no_proxy.open(f"http://{HOST}:{self._port}{path}", timeout=5) as response:
            return json.load(response)

    def _said(self):
        return self._log.read_text(errors="replace")
