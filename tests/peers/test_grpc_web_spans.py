"""The status of gRPC-Web, which is in the body, is on the span; the body passes untouched."""

from contextlib import closing

import pytest

from support.apps.grpc_web import BINARY, TEXT, GrpcWebApp, body
from support.clients import httpx_client
from support.ports import HOST

PATH = "/peers.v1.Web/Unary"
CODES = [
    ("OK", 0, "UNSET", "UNSET"),
    ("NOT_FOUND", 5, "UNSET", "ERROR"),
    ("INTERNAL", 13, "ERROR", "ERROR"),
]
"""The name of a code, its number, and the status of the span of the server's and client's side."""


@pytest.fixture(scope="module")
def app(loop):
    """The application."""
    with closing(GrpcWebApp(loop)) as app:
        yield app


def ask(port, app, form, code, http2):
    """A call; gives the body of the answer."""
    headers = {"content-type": form, "host": f"{HOST}:{app.port}", "x-grpc-web": "1"}
    with httpx_client(http2=http2) as client:
        url = f"http://{HOST}:{port}{PATH}"
        response = client.post(url, content=b"%d" % code, headers=headers)
        assert (response.status_code, response.headers["content-type"]) == (200, form)
        return response.content


@pytest.mark.parametrize("form", [BINARY, TEXT], ids=["binary", "text"])
@pytest.mark.parametrize("http2", [False, True], ids=["http/1.1", "http/2"])
@pytest.mark.parametrize("code", CODES, ids=lambda code: code[0])
def test_the_status_in_the_body_is_on_both_spans(sidecar, app, form, http2, code):
    name, number, of_server, of_client = code
    proxy = sidecar(app.port)
    for port in (proxy.inbound, proxy.outbound):
        assert ask(port, app, form, number, http2) == body(form, number)
    spans = {span.kind: span for span in proxy.spans(2)}
    assert spans["SERVER"].status == of_server
    assert spans["CLIENT"].status == of_client
    for span in spans.values():
        assert span.name == PATH[1:]
        assert span["rpc.system.name"] == "grpc"
        assert span["rpc.method"] == PATH[1:]
        assert span["rpc.response.status_code"] == name
        assert span["error.type"] == (name if span.status == "ERROR" else None)
