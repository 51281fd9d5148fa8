"""Real HTTP clients against real HTTP servers, through both sides of a sidecar."""

import asyncio

import httpx
import pytest

from support.apps.web import PART
from support.clients import (
    Answer,
    aiohttp_get,
    curl,
    curl2_get,
    httpx2_get,
    httpx_client,
    httpx_get,
)
from support.ports import HOST
from support.spans import assert_includes

CLIENTS = [curl, httpx_get, aiohttp_get]


@pytest.mark.parametrize("get", CLIENTS)
def test_aiohttp_answers_any_client_through_the_inbound_side(sidecar, web, get):
    proxy = sidecar(web.port)
    assert get(proxy.inbound_url("/status/200")) == Answer(200, b"status 200\n")
    assert_includes(proxy.span(), {"url.path": "/status/200", "http.response.status_code": 200})


@pytest.mark.parametrize("get", CLIENTS)
def test_nginx_answers_any_client_through_the_inbound_side(sidecar, nginx, get):
    (nginx.files / "page.html").write_bytes(b"<p>hello</p>")
    proxy = sidecar(nginx.port)
    assert get(proxy.inbound_url("/page.html")) == Answer(200, b"<p>hello</p>")
    assert_includes(proxy.span(), {"url.path": "/page.html", "network.protocol.version": "1.1"})


@pytest.mark.parametrize("get", [curl2_get, httpx2_get])
def test_nginx_answers_any_client_over_http_2(sidecar, nginx, get):
    (nginx.files / "page.html").write_bytes(b"<p>hello</p>")
    proxy = sidecar(nginx.port_h2)
    assert get(proxy.inbound_url("/page.html")) == Answer(200, b"<p>hello</p>")
    expected = {
        "url.path": "/page.html",
        "network.protocol.version": "2",
        "http.response.status_code": 200,
        "http.response.body.size": 12,
    }
    assert_includes(proxy.span(), expected)


@pytest.mark.parametrize("get", CLIENTS)
def test_any_client_that_is_told_to_use_a_proxy_reaches_nginx(sidecar, nginx, get):
    proxy = sidecar(nginx.port)
    url = f"http://{HOST}:{nginx.port}/teapot"
    assert get(url, proxy=proxy.proxy) == Answer(418, b"short and stout\n")
    span = proxy.span()
    assert (span.kind, span.name, span.status) == ("CLIENT", "GET", "ERROR")
    assert_includes(span, {"url.full": url, "http.response.status_code": 418, "error.type": "418"})


def test_a_request_that_only_its_host_header_directs_reaches_nginx(sidecar, nginx):
    proxy = sidecar(nginx.port)
    answer = curl(f"{proxy.proxy}/teapot", "--header", f"Host: {HOST}:{nginx.port}")
    assert answer == Answer(418, b"short and stout\n")
    span = proxy.span()
    assert span.kind == "CLIENT"
    assert_includes(span, {"url.full": f"http://{HOST}:{nginx.port}/teapot"})


def test_a_tunnel_made_by_connect_carries_what_it_is_given(sidecar, nginx):
    proxy = sidecar(nginx.port)
    answer = curl(f"http://{HOST}:{nginx.port}/teapot", "--proxytunnel", proxy=proxy.proxy)
    assert answer == Answer(418, b"short and stout\n")
    proxy.stop()
    spans = [s for s in proxy.all_spans() if s["http.request.method"] == "CONNECT"]
    assert [(s.kind, s.name, s.status) for s in spans] == [("CLIENT", "CONNECT", "UNSET")]
    assert_includes(spans[0], {"server.address": HOST, "server.port": nginx.port})


def test_many_requests_on_one_connection_each_make_a_span(sidecar, web):
    proxy = sidecar(web.port)
    paths = [f"/status/200/{number}" for number in range(20)]
    with httpx_client() as client:
        for path in paths:
            assert client.get(proxy.inbound_url(path)).status_code == 200
    assert [span["url.path"] for span in proxy.spans(20)] == paths


def test_many_requests_at_once_on_one_http_2_connection_each_make_a_span(sidecar, nginx, loop):
    (nginx.files / "page.html").write_bytes(b"<p>hello</p>")
    proxy = sidecar(nginx.port_h2)
    url = proxy.inbound_url("/page.html")

    async def get_all():
        # The first request opens the connection that the others share.
        async with httpx.AsyncClient(http1=False, http2=True, trust_env=False) as client:
            first = await client.get(url)
            return [first, *await asyncio.gather(*(client.get(url) for _ in range(49)))]

    assert [answer.content for answer in loop.run(get_all())] == [b"<p>hello</p>"] * 50
    spans = proxy.spans(50)
    assert len({span["network.peer.port"] for span in spans}) == 1


def test_a_span_ends_with_the_body_and_not_with_the_head(sidecar, web):
    proxy = sidecar(web.port)
    with httpx_client() as client, client.stream("GET", proxy.inbound_url("/held")) as response:
        assert response.status_code == 200
        released_at = web.release()
        assert response.read() == 2 * PART
    assert proxy.span().end >= released_at


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PURGE"])
def test_any_method_passes_and_names_the_span_if_it_is_a_known_one(sidecar, web, method):
    proxy = sidecar(web.port)
    with httpx_client() as client:
        response = client.request(method, proxy.inbound_url("/status/204"))
    assert (response.status_code, web.seen[0].method) == (204, method)
    is_known = method != "PURGE"
    span = proxy.span()
    assert span.name == (method if is_known else "HTTP")
    assert span["http.request.method"] == (method if is_known else "_OTHER")
    assert span["http.request.method_original"] == (None if is_known else "PURGE")


def test_the_application_sees_the_headers_of_the_client_and_one_more(sidecar, web):
    proxy = sidecar(web.port)
    curl(web.url("/status/200"), "--header", "X-Odd-Case: 1", "--header", "x-odd-case: 2")
    curl(proxy.inbound_url("/status/200"), "--header", "X-Odd-Case: 1", "--header", "x-odd-case: 2")
    direct, proxied = (seen.headers for seen in web.seen)
    added = [header for header in proxied if header not in direct]
    assert [name.lower() for name, _ in added if name != "Host"] == ["traceparent"]
    kept = [header for header in proxied if header[0].lower() != "traceparent"]
    assert [h for h in kept if h[0] != "Host"] == [h for h in direct if h[0] != "Host"]
    assert ("Host", f"{HOST}:{proxy.inbound}") in proxied


@pytest.mark.parametrize("agent", ["kube-probe/1.33", "GoogleHC/1.0"])
def test_a_probe_makes_no_span_and_its_headers_stay_as_they_are(sidecar, web, agent):
    proxy = sidecar(web.port)
    assert curl(proxy.inbound_url("/status/200"), "--user-agent", agent).status == 200
    assert web.seen[0].values("traceparent") == []
    assert proxy.spans(0) == []


def test_a_declared_health_check_makes_no_span_and_other_paths_do(sidecar, web):
    settings = {"spans.health_check_paths": ["/status/200"]}
    proxy = sidecar(web.port, settings=settings)
    for path in ["/status/200", "/status/200?full=1", "/status/200/deeper"]:
        assert curl(proxy.inbound_url(path)).status == 200
    assert proxy.span()["url.path"] == "/status/200/deeper"


def test_a_configured_route_is_part_of_the_name_and_an_unknown_path_is_not(sidecar, web):
    proxy = sidecar(web.port, settings={"spans.routes": ["/status/{code}"]})
    for path in ["/status/200", "/status/200/deeper"]:
        assert curl(proxy.inbound_url(path)).status == 200
    routed, other = sorted(proxy.spans(2), key=lambda span: span["url.path"])
    assert (routed.name, routed["http.route"]) == ("GET /status/{code}", "/status/{code}")
    assert (other.name, other["http.route"]) == ("GET", None)
