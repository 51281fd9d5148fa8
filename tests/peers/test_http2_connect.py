"""CONNECT over HTTP/2: extended by a protocol (RFC 8441), and as a tunnel of the outbound side."""

import struct
from contextlib import closing

import pytest
from hyperframe.frame import DataFrame, PingFrame, RstStreamFrame, SettingsFrame
from wsproto import Connection, ConnectionType
from wsproto.events import CloseConnection, TextMessage

from support.apps.tcp import TcpApp
from support.h2raw import (
    DATA,
    END_HEADERS,
    END_STREAM,
    PING,
    RawClient,
    RawOrigin,
    answer_head,
    block,
    frame,
    head,
    name,
    request,
    reset,
    settings,
)
from support.node import NodeApp, connect
from support.ports import HOST
from support.waiting import eventually

ENABLE_CONNECT_PROTOCOL = 8


@pytest.fixture(scope="module")
def node():
    """Node, which takes extended CONNECT."""
    with closing(NodeApp()) as app:
        yield app


@pytest.fixture
def tcp(loop):
    """A server of bare TCP."""
    with closing(TcpApp(loop)) as app:
        yield app


@pytest.fixture
def origin(loop):
    """Starts origins that answer as soon as a head has come."""
    started = []

    def start(first=settings((ENABLE_CONNECT_PROTOCOL, 1)), script=_take):
        started.append(RawOrigin(loop, script, first, eager=True))
        return started[-1]

    yield start
    for app in started:
        app.close()


def _take(stream, fields):
    """Takes a CONNECT, once, and answers all else."""
    if dict(fields)[b":method"] != b"CONNECT":
        return None
    return answer_head(stream, [(":status", "200")])


def _extended(number=1, path="/chat", authority="shop.example"):
    fields = [*head(path, "CONNECT", authority), (":protocol", "websocket")]
    fields.insert(1, fields.pop())
    return request(number, [*fields, ("sec-websocket-version", "13")], END_HEADERS)


def _offers(found):
    return isinstance(found, SettingsFrame) and found.settings.get(ENABLE_CONNECT_PROTOCOL) == 1


def test_extended_connect_is_offered_before_any_request_when_the_application_takes_it(
    sidecar, origin
):
    proxy = sidecar(origin().port)
    with RawClient(proxy.inbound) as client:
        client.until(_offers)
    proxy.stop()
    assert proxy.all_spans() == [], "to look at the application is no request"


def test_extended_connect_is_not_offered_when_the_application_does_not_take_it(sidecar, origin):
    proxy = sidecar(origin(first=settings()).port)
    with RawClient(proxy.inbound) as client:
        client.send(request(1))
        assert client.answer(1) == 200
        client.send(frame(PING, 0, 0, b"12345678"))
        client.until(lambda found: isinstance(found, PingFrame))
        assert ENABLE_CONNECT_PROTOCOL not in client.settings


def test_an_application_that_is_not_there_costs_nothing_until_it_is_asked(sidecar, closed_port):
    proxy = sidecar(closed_port)
    with RawClient(proxy.inbound) as client:
        client.send(frame(PING, 0, 0, b"12345678"))
        client.until(lambda found: isinstance(found, PingFrame))
        assert proxy.metrics().sum("spandrel_fault_total") == 0
        client.send(request(1))
        assert client.answer(1) == 502
    assert proxy.span()["error.type"] == "connection_refused"


def test_one_connection_to_the_application_serves_the_look_and_the_requests(sidecar, origin):
    app = origin()
    proxy = sidecar(app.port)
    with RawClient(proxy.inbound) as client:
        client.until(_offers)
        for number in (1, 3):
            client.send(request(number))
            assert client.answer(number) == 200
    assert app.connections == 1


def test_data_and_the_end_of_either_side_cross(sidecar, origin):
    app = origin()
    proxy = sidecar(app.port)
    with RawClient(proxy.inbound) as client:
        client.until(_offers)
        client.send(_extended() + frame(DATA, 0, 1, b"to you"))
        client.until(lambda found: found.stream_id == 1 and hasattr(found, "fields"))
        app.send(frame(DATA, 0, 1, b"to me"))
        assert client.until(lambda found: isinstance(found, DataFrame))[-1].data == b"to me"
        client.send(frame(DATA, END_STREAM, 1, b"!"))
        eventually(lambda: app.bodies(1) == b"to you!", "all of the data")
        app.send(frame(DATA, END_STREAM, 1, b"bye"))
        last = client.until(lambda found: isinstance(found, DataFrame) and found.data)[-1]
        assert last.data == b"bye"
    (fields,) = app.requests
    assert [pair for pair in fields if pair[0].startswith(b":")] == [
        (b":method", b"CONNECT"),
        (b":scheme", b"http"),
        (b":authority", b"shop.example"),
        (b":path", b"/chat"),
        (b":protocol", b"websocket"),
    ]
    span = proxy.span()
    assert span["url.path"] == "/chat" and span["http.response.status_code"] == 200


def test_resets_of_either_side_cross_with_their_codes(sidecar, origin):
    app = origin()
    proxy = sidecar(app.port)
    with RawClient(proxy.inbound) as client:
        client.until(_offers)
        client.send(_extended(1) + _extended(3))
        client.until(lambda found: found.stream_id == 3 and hasattr(found, "fields"))
        client.send(reset(1, 0xDEAD))
        eventually(lambda: app.resets().get(1) == str(0xDEAD), "the reset to arrive")
        app.send(reset(3, 2))
        gone = client.until(lambda found: isinstance(found, RstStreamFrame))[-1]
        assert (gone.stream_id, name(gone.error_code)) == (3, "INTERNAL_ERROR")


def _talk(port):
    """A WebSocket of one message over HTTP/2; gives what came of it, to the last frame."""
    with RawClient(port) as client:
        client.until(_offers)
        client.send(_extended())
        answered = client.until(lambda found: found.stream_id == 1 and hasattr(found, "fields"))[-1]
        websocket, seen = Connection(ConnectionType.CLIENT), [dict(answered.fields)[b":status"]]
        client.send(frame(DATA, 0, 1, websocket.send(TextMessage(data="hello"))))
        while not seen or not isinstance(seen[-1], CloseConnection):
            found = client.until(lambda found: isinstance(found, DataFrame) and found.data)[-1]
            websocket.receive_data(found.data)
            seen += websocket.events()
            if isinstance(seen[-1], TextMessage):
                client.send(frame(DATA, 0, 1, websocket.send(CloseConnection(code=1000))))
        return seen


def test_a_websocket_over_http_2_reaches_hypercorn(sidecar, echo):
    proxy = sidecar(echo.port)
    direct = _talk(echo.port)
    assert (direct[0], direct[1].data, direct[2].code) == (b"200", "hello", 1000)
    assert _talk(proxy.inbound) == direct


def test_node_finds_no_difference_between_node_and_node_behind_spandrel(sidecar, node):
    proxy = sidecar(node.port)
    direct = connect("extended", f"http://{HOST}:{node.port}", "hello")
    assert direct == {
        "status": 200,
        "data": "hello",
        "code": 0,
        "protocol": "websocket",
        "path": "/chat",
    }
    assert connect("extended", f"http://{HOST}:{proxy.inbound}", "hello") == direct
    proxy.span()


def test_the_outbound_side_offers_it_once_an_upstream_takes_it_and_asks_only_such(
    sidecar, origin, web
):
    takes, does_not = origin(), origin(first=settings())
    proxy = sidecar(web.port)
    with RawClient(proxy.outbound) as client:
        client.send(request(1, head("/", "GET", f"{HOST}:{takes.port}")))
        assert client.answer(1) == 200
        if ENABLE_CONNECT_PROTOCOL not in client.settings:
            client.until(_offers)
        client.send(_extended(3, authority=f"{HOST}:{takes.port}"))
        client.until(lambda found: found.stream_id == 3 and hasattr(found, "fields"))
        client.send(_extended(5, authority=f"{HOST}:{does_not.port}"))
        assert client.answer(5) == 502
    assert does_not.requests == []


# Tunnels of the outbound side.


def _connect(port, number=1, *more):
    fields = [(":method", "CONNECT"), (":authority", f"{HOST}:{port}"), *more]
    return request(number, fields, END_HEADERS)


def _dig(client, port):
    client.send(_connect(port))
    answered = client.until(lambda found: found.stream_id == 1 and hasattr(found, "fields"))[-1]
    assert dict(answered.fields)[b":status"] == b"200" and "END_STREAM" not in answered.flags


def _tunnelled(span):
    return span["spandrel.tunnel.request.size"], span["spandrel.tunnel.response.size"]


def _is_data(found):
    return isinstance(found, DataFrame) and (found.data or "END_STREAM" in found.flags)


def test_a_tunnel_carries_bytes_and_the_end_of_the_client(sidecar, web, tcp):
    proxy = sidecar(web.port)
    with RawClient(proxy.outbound) as client:
        _dig(client, tcp.port)
        client.send(frame(DATA, 0, 1, b"hel") + frame(DATA, 0, 1, b"lo\n"))
        assert client.until(_is_data)[-1].data == b"hello\n"
        client.send(frame(DATA, END_STREAM, 1))
        rest = client.until(lambda found: "END_STREAM" in found.flags)
        assert b"".join(f.data for f in rest if isinstance(f, DataFrame)) == b"goodbye\n"
    assert tcp.endings == [("end", b"hello\n")]
    span = proxy.span()
    assert (span.kind, span["http.response.status_code"], span.status) == ("CLIENT", 200, "UNSET")
    assert _tunnelled(span) == (6, 14)


def test_a_tunnel_carries_the_end_of_the_server_and_then_more_of_the_client(sidecar, web, tcp):
    proxy = sidecar(web.port)
    with RawClient(proxy.outbound) as client:
        _dig(client, tcp.port)
        client.send(frame(DATA, 0, 1, b"end\n"))
        client.until(lambda found: "END_STREAM" in found.flags and found.stream_id == 1)
        client.send(frame(DATA, 0, 1, b"last words\n") + frame(DATA, END_STREAM, 1))
        eventually(lambda: tcp.endings == [("end", b"end\nlast words\n")], "the last words")
    assert proxy.span().status == "UNSET"


def test_a_reset_of_the_server_is_a_connect_error(sidecar, web, tcp):
    proxy = sidecar(web.port)
    with RawClient(proxy.outbound) as client:
        _dig(client, tcp.port)
        client.send(frame(DATA, 0, 1, b"reset\n"))
        assert client.answer(1) == "RST_STREAM CONNECT_ERROR"
        client.send(_connect(tcp.port, 3))
        client.until(lambda found: found.stream_id == 3 and hasattr(found, "fields"))
    failed = [span for span in proxy.spans(2) if span["error.type"] == "connection_reset"]
    assert len(failed) == 1


@pytest.mark.parametrize("code", [5, 8, 0xDEAD])
def test_a_reset_of_the_client_resets_the_connection(sidecar, web, tcp, code):
    proxy = sidecar(web.port)
    with RawClient(proxy.outbound) as client:
        _dig(client, tcp.port)
        client.send(frame(DATA, 0, 1, b"hello\n"))
        client.until(_is_data)
        client.send(reset(1, code))
        eventually(lambda: tcp.endings == [("reset", b"hello\n")], "the reset to arrive")
    assert proxy.span()["spandrel.fault.kind"] == "cancelled"


def test_a_client_that_is_gone_resets_the_connection(sidecar, web, tcp):
    proxy = sidecar(web.port)
    with RawClient(proxy.outbound) as client:
        _dig(client, tcp.port)
        client.send(frame(DATA, 0, 1, b"hello\n"))
        client.until(_is_data)
    eventually(lambda: tcp.endings == [("reset", b"hello\n")], "the reset to arrive")
    assert proxy.span()["spandrel.fault.kind"] == "cancelled"


def test_nothing_but_data_is_taken_in_a_tunnel(sidecar, web, tcp):
    proxy = sidecar(web.port)
    with RawClient(proxy.outbound) as client:
        _dig(client, tcp.port)
        client.send(frame(1, END_STREAM | END_HEADERS, 1, block([("t", "v")])))
        assert client.answer(1) == "RST_STREAM PROTOCOL_ERROR"


def test_a_tunnel_to_nobody_is_a_502(sidecar, web, closed_port):
    proxy = sidecar(web.port)
    with RawClient(proxy.outbound) as client:
        client.send(_connect(closed_port))
        assert client.answer(1) == 502
    assert proxy.span()["error.type"] == "connection_refused"


def test_many_bytes_pass_a_tunnel_in_both_directions(sidecar, web, tcp):
    proxy = sidecar(web.port)
    line = b"x" * 9_999 + b"\n"
    with RawClient(proxy.outbound, None) as client:
        client.send(frame(8, 0, 0, struct.pack(">I", 1 << 24)) + settings((4, 1 << 24)))
        _dig(client, tcp.port)
        got = 0
        for _ in range(100):
            client.send(frame(DATA, 0, 1, line))
            while got % len(line) or not got:
                got += len(client.until(_is_data)[-1].data)
            got = 0
        client.send(frame(DATA, END_STREAM, 1))
        client.until(lambda found: "END_STREAM" in found.flags)
    assert _tunnelled(proxy.span()) == (1_000_000, 1_000_008)


def test_node_tunnels_through_spandrel(sidecar, web, tcp):
    proxy = sidecar(web.port)
    told = connect("tunnel", proxy.proxy, f"{HOST}:{tcp.port}", "hello\n")
    assert (told["status"], told["data"], told["code"]) == (200, "hello\ngoodbye\n", 0)
    assert _tunnelled(proxy.span()) == (6, 14)
