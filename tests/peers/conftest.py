"""Fixtures: the collector, the proxy, and the applications behind it.

Everything is on loopback, started for one test (or one file) and ended with it. A program or
package that is missing makes the tests fail; nothing is skipped and nothing is tried again.
"""

import os
from contextlib import ExitStack, closing, contextmanager

import pytest

from support.apps.echo import EchoApp
from support.apps.nginx import Nginx
from support.apps.rpc import RpcApp
from support.apps.scripted import ScriptedApp
from support.apps.web import WebApp
from support.apps.websocket import WebSocketApp
from support.browser import NARROW, WIDE, Browser
from support.collector import PROTOCOLS, Collector
from support.load import Load
from support.loop import Loop
from support.mesh import Mesh
from support.pods import FAMILIES, Network
from support.ports import FullPort, ReservedPort
from support.sidecar import Plan, Sidecar, find_binary
from support.transparency.stage import Server, Way, authority
from support.view import View

IN_NAMESPACES = ("test_redirect_", "test_iptables", "test_export_host")
"""How the names of the files begin whose tests make namespaces."""

os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def pytest_collection_modifyitems(config, items):
    """Leaves out what needs namespaces, where somebody says so."""
    if os.environ.get("SPANDREL_NO_NETNS") == "1":
        left_out = [item for item in items if item.path.name.startswith(IN_NAMESPACES)]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_report_header():
    """Says what is left out."""
    if os.environ.get("SPANDREL_NO_NETNS") == "1":
        return f"SPANDREL_NO_NETNS=1: the tests of {' and '.join(IN_NAMESPACES)}* are left out"
    return None


@pytest.fixture(scope="session")
def binary():
    """The spandrel that is tested."""
    return find_binary()


@pytest.fixture(scope="session")
def loop():
    """The loop that servers and clients run on."""
    with closing(Loop()) as loop:
        yield loop


@pytest.fixture
def collector():
    """A collector over gRPC and HTTP."""
    with closing(Collector()) as collector:
        yield collector


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    """The protocols that spans are exported by."""
    return request.param


@pytest.fixture
def sidecar(binary, collector, tmp_path):
    """Starts sidecars: `sidecar(app_port, service="shop", protocol=..., settings={...})`."""
    yield from sidecars(binary, collector, tmp_path)


@pytest.fixture
def view(binary, tmp_path):
    """A `spandrel view`."""
    with View(binary, tmp_path) as view:
        yield view


@pytest.fixture(scope="module")
def module_collector():
    """A collector for all the tests of a file."""
    with closing(Collector()) as collector:
        yield collector


@pytest.fixture(scope="module")
def module_sidecar(binary, module_collector, tmp_path_factory):
    """Like `sidecar`, for all the tests of a file."""
    yield from sidecars(binary, module_collector, tmp_path_factory.mktemp("sidecar"))


def sidecars(binary, collector, folder):
    """Gives the function that starts a sidecar, and ends all that were started."""
    with ExitStack() as stack:

        def start(app, service="shop", **plan):
            plan = Plan(service=service, app=app, **plan)
            return stack.enter_context(Sidecar(binary, plan, collector, folder))

        yield start


@pytest.fixture
def sidecars_of(binary, tmp_path):
    """Starts sidecars that send to another collector: `with sidecars_of(jaeger) as sidecar`."""
    return contextmanager(lambda collector: sidecars(binary, collector, tmp_path))


@pytest.fixture
def web(loop):
    """A web application on aiohttp."""
    with closing(WebApp(loop)) as app:
        yield app


@pytest.fixture
def another_web(loop):
    """A second web application on aiohttp."""
    with closing(WebApp(loop)) as app:
        yield app


@pytest.fixture
def nginx(tmp_path):
    """nginx."""
    with closing(Nginx(tmp_path)) as app:
        yield app


@pytest.fixture(scope="module")
def echo(loop):
    """An application on hypercorn that keeps the headers of each request."""
    with closing(EchoApp(loop)) as app:
        yield app


@pytest.fixture
def rpc():
    """A gRPC application on grpcio."""
    with closing(RpcApp()) as app:
        yield app


@pytest.fixture
def websocket(loop):
    """A WebSocket application."""
    with closing(WebSocketApp(loop)) as app:
        yield app


@pytest.fixture
def load(loop):
    """Starts clients that ask again and again: `load(url, clients=4, most=1_000)`."""
    with ExitStack() as stack:
        yield lambda *how, **more: stack.enter_context(closing(Load(loop, *how, **more)))


@pytest.fixture
def scripted(loop):
    """Starts servers that follow a script: `scripted(close_unanswered)`."""
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(closing(ScriptedApp(loop, script)))


@pytest.fixture(scope="module")
def scripted_server():
    """The server that the scripts are about."""
    with closing(Server()) as server:
        yield server


@pytest.fixture(scope="module")
def ways(module_sidecar, scripted_server):
    """The ways through spandrel by name."""
    port = scripted_server.port
    near, far = module_sidecar(port, "near"), module_sidecar(port, "far")
    return {
        "inbound": Way("inbound", far.inbound, authority(port)),
        "outbound": Way("outbound", near.outbound, authority(port)),
        "both": Way("both", near.outbound, authority(far.inbound)),
    }


@pytest.fixture
def closed_port():
    """A port that refuses connections."""
    with closing(ReservedPort()) as port:
        yield port.number


@pytest.fixture
def full_port():
    """A port on which connecting hangs."""
    with closing(FullPort()) as port:
        yield port.number


@pytest.fixture(scope="module")
def browser():
    """Chromium; not for longer, as no other loop runs in this thread while it does."""
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def network():
    """A bridge that pods are on, away from every other network."""
    with Network() as network:
        yield network


@pytest.fixture
def mesh(network, binary):
    """Pods, with spandrel in them or not, and a collector."""
    with Mesh(network, binary) as mesh:
        yield mesh


@pytest.fixture(params=FAMILIES, ids=["IPv4", "IPv6"])
def family(request):
    """The families of addresses."""
    return request.param


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"])
def size(request):
    """The sizes of screens that the page is made for."""
    return request.param
