"""Servers and clients of Debian, between pods whose traffic is redirected; nothing is configured.

Each is tried directly too: what it is then, it is through the proxies.
"""

import smtplib
import socket
import time

import pytest

from support.apps.servers import Exim, MariaDb, Redis, TlsServer, Vsftpd
from support.apps.tcp import TcpApp
from support.spans import assert_includes
from support.talk import hear_line, say
from support.waiting import DEADLINE, eventually


@pytest.fixture(params=["directly", "redirect", "tproxy"])
def way(request):
    """How the pods are connected."""
    return request.param


@pytest.fixture
def far(mesh, way):
    """The pod of the server."""
    if way == "directly":
        return mesh.pod("far")
    return mesh.service("far", {"inbound.mode": way})


@pytest.fixture
def near(mesh, way):
    """The pod of the client."""
    return mesh.pod("near") if way == "directly" else mesh.service("near")


def assert_connections(mesh, way, pods, server, count, protocol=None):
    """Every connection made a CLIENT span and a SERVER span, if any proxies were there."""
    if way == "directly":
        assert mesh.spans(0) == []
        return []
    near, far = pods
    spans = mesh.spans(2 * count)
    ends = {"CLIENT": (near, far), "SERVER": (far, near)}
    for kind, (own, peer) in ends.items():
        of_kind = [span for span in spans if span.kind == kind]
        assert len(of_kind) == count
        assert {span.service for span in of_kind} == {own.name}
        assert {span["network.peer.address"] for span in of_kind} == {peer.ip4, peer.ip6}
        for span in of_kind:
            assert_includes(span, {"network.transport": "tcp", "server.port": server.PORT})
            assert (span.name, span.status) == ("TLS" if protocol == "tls" else "TCP", "UNSET")
            assert (span["network.protocol.name"], span["error.type"]) == (protocol, None)
    return spans


def test_mariadb_works(mesh, near, far, way):
    server = MariaDb(far)
    made = "CREATE TABLE goods (name TEXT); INSERT INTO goods VALUES ('ham'); "
    assert server.ask(near, far.ip4, made + "SELECT * FROM goods") == "ham\n"
    assert server.ask(near, far.ip6, "SELECT COUNT(*) FROM goods") == "1\n"
    assert_connections(mesh, way, (near, far), server, 2)


def test_redis_works(mesh, near, far, way):
    server = Redis(far)
    assert server.ask(near, far.ip4, "SET", "goods", "ham") == "OK\n"
    assert server.ask(near, far.ip6, "GET", "goods") == "ham\n"
    big = b"x" * 1_000_000
    assert server.ask(near, far.ip6, "-x", "SET", "big", input=big) == "OK\n"
    assert server.ask(near, far.ip4, "STRLEN", "big") == "1000000\n"
    assert_connections(mesh, way, (near, far), server, 4)


def test_mail_is_delivered_by_smtp(mesh, near, far, way):
    server = Exim(far)
    for host, body in ((far.ip4, "by IPv4"), (far.ip6, "by IPv6")):
        with near.inside(), smtplib.SMTP(host, server.PORT, "near.test", 20) as client:
            letter = f"Subject: goods\r\n\r\nsent {body}\r\n"
            assert client.sendmail("a@near.test", ["b@far.test"], letter) == {}
    wanted = ("sent by IPv4", "sent by IPv6")
    eventually(lambda: all(body in server.mail() for body in wanted), "the mail to be delivered")
    assert_connections(mesh, way, (near, far), server, 2)


def test_a_file_comes_by_ftp(mesh, near, far, way):
    server = Vsftpd(far)
    for family in (4, 6):
        got = near.run(["curl", "-q", "-sS", f"ftp://{far.host(family)}/goods.txt"])
        assert got.stdout == b"a list of goods\n" * 1000
    if way == "directly":
        assert mesh.spans(0) == []
        return
    # One connection of commands and one of data for each file.
    ports = [span["server.port"] for span in mesh.spans(8)]
    assert ports.count(server.PORT) == 4


def test_tls_of_the_application_passes_and_its_name_is_on_the_spans(mesh, near, far, way):
    server = TlsServer(far)
    for family in (4, 6):
        there = f"{server.NAME}:{server.PORT}:{far.host(family)}"
        trusted = ["--cacert", server.certificate, "--resolve", there]
        answer = near.curl(f"https://{server.NAME}:{server.PORT}/", *trusted)
        assert answer.status == 200
    for span in assert_connections(mesh, way, (near, far), server, 2, "tls"):
        assert span["server.address"] == server.NAME


def test_the_server_speaks_first_though_the_client_never_says_anything(mesh, near, far, way):
    server = Exim(far)
    for host in (far.ip4, far.ip6):
        assert hear_line(near, host, server.PORT).startswith(b"220 mail.test ESMTP")
    assert_connections(mesh, way, (near, far), server, 2)


def test_no_greeting_waits_for_a_timer(mesh, near, far, way):
    server = Exim(far)
    # A wait of 50 ms at each of them would be too much: that is the shortest that proxies take.
    hosts = [far.ip4, far.ip6] * 100
    until = time.monotonic() + DEADLINE
    heard = [hear_line(near, host, server.PORT) for host in hosts if time.monotonic() < until]
    assert [line[:4] for line in heard] == [b"220 "] * len(hosts)
    assert_connections(mesh, way, (near, far), server, len(hosts))


def test_a_protocol_that_begins_as_http_does_is_not_taken_for_it(mesh, near, far, way):
    server = Redis(far)
    for host in (far.ip4, far.ip6):
        assert say(near, host, server.PORT, b"SET goods ham\r\n") == b"+OK\r\n"
        assert say(near, host, server.PORT, b"GET goods\r\n") == b"$3\r\n"
    assert_connections(mesh, way, (near, far), server, 4)


def test_each_end_of_a_connection_ends_by_itself(mesh, near, far, way):
    app = TcpApp(far.loop, None, 7000)
    for host in (far.ip4, far.ip6):
        with near.inside(), socket.create_connection((host, 7000), 20) as client:
            client.sendall(b"end\n")
            with client.makefile("rb") as answers:
                assert answers.readline() == b"end\n"
                assert answers.read() == b""
                client.sendall(b"after the end\n")
            client.shutdown(socket.SHUT_WR)
            eventually(lambda: app.endings, "the end of the connection")
            assert app.endings.pop() == ("end", b"end\nafter the end\n")
    app.close()
    if way != "directly":
        mesh.spans(4)
