use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::*;
use crate::proxy::testing::{PATIENCE, Stage, expect_end, expect_reset, locally, pair, pass};
use crate::proxy::{Config, Inbound, InboundMode, Outbound, OutboundMode};
use crate::trace::span;

const INBOUND: Direction = Direction::Inbound;
const OUTBOUND: Direction = Direction::Outbound;

/// A client that was redirected on its way to a server.
struct Line {
    client: TcpStream,
    server: TcpStream,
    task: JoinHandle<()>,
}

fn redirecting(known: Protocols) -> Config {
    let listen = SocketAddr::from(([127, 0, 0, 1], 1));
    let (mode, protocols) = (InboundMode::Redirect, known.clone());
    let inbound = Inbound { listen, mode, protocols };
    let outbound = Outbound { listen, mode: OutboundMode::Redirect, protocols: known };
    Config { inbound: Some(inbound), outbound: Some(outbound), ..Config::default() }
}

impl Stage {
    fn redirecting() -> Self {
        Self::with(redirecting(Protocols::default()))
    }

    /// A client that connects on its way to `meant`.
    async fn client(&self, way: Direction, meant: SocketAddr) -> (TcpStream, JoinHandle<()>) {
        let (client, accepted) = pair().await;
        let conn = self.conn(way, &accepted, Some(meant));
        let wire = Wire::new(accepted, Rc::clone(&self.worker.pool));
        (client, spawn_local(serve(conn, wire, OriginalDst(meant))))
    }

    async fn redirected_line(&self, way: Direction) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, task) = self.client(way, listener.local_addr().unwrap()).await;
        let (server, _) = timeout(PATIENCE, listener.accept()).await.expect("dialled").unwrap();
        Line { client, server, task }
    }
}

impl Line {
    /// Ends both sides, and waits until that has passed.
    async fn end(mut self) {
        self.client.shutdown().await.unwrap();
        expect_end(&mut self.server).await;
        self.server.shutdown().await.unwrap();
        timeout(PATIENCE, self.task).await.expect("it ends").expect("it does not panic");
    }
}

/// Reads a message's head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.expect("it comes").unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_though_the_client_says_nothing() {
    locally(async {
        for way in [INBOUND, OUTBOUND] {
            let stage = Stage::redirecting();
            let mut line = stage.redirected_line(way).await;
            pass(&mut line.server, &mut line.client, b"220 ready\r\n").await;
            pass(&mut line.client, &mut line.server, b"GET / HTTP/1.1\r\n").await;
            line.end().await;
            assert_eq!(stage.only().await.name, "TCP");
        }
    })
    .await;
}

#[tokio::test]
async fn what_does_not_say_enough_goes_on_at_once() {
    locally(async {
        let stage = Stage::redirecting();
        let mut line = stage.redirected_line(OUTBOUND).await;
        // Each could still become a request line.
        for piece in [&b"P"[..], b"ING", b" now", b" please"] {
            pass(&mut line.client, &mut line.server, piece).await;
        }
        pass(&mut line.server, &mut line.client, b"PONG").await;
        line.end().await;
        let told = stage.only().await;
        assert_eq!(told.name, "TCP");
        assert_eq!(told.attribute("spandrel.tunnel.request.size"), "15");
    })
    .await;
}

#[tokio::test]
async fn a_request_that_comes_in_pieces_is_not_sent_twice() {
    const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    locally(async {
        for cut in 1..REQUEST.len() {
            let stage = Stage::redirecting();
            let mut line = stage.redirected_line(INBOUND).await;
            let (first, rest) = REQUEST.split_at(cut);
            let ahead = first.split_once('\n').map_or(first, |_| "");
            pass(&mut line.client, &mut line.server, ahead.as_bytes()).await;
            line.client.write_all(&first.as_bytes()[ahead.len()..]).await.unwrap();
            line.client.write_all(rest.as_bytes()).await.unwrap();
            let came = format!("{ahead}{}", head(&mut line.server).await);
            let (start, lines) = came.split_once("\r\n").unwrap();
            assert_eq!(start, "GET /a HTTP/1.1", "{cut}");
            assert_eq!(lines.matches("traceparent: 00-").count(), 1, "{cut}: {came}");
            assert!(lines.contains("Host: x\r\n"), "{cut}: {came}");
            line.server.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
            assert_eq!(head(&mut line.client).await, "HTTP/1.1 204 No\r\n\r\n");
            line.end().await;
            let told = stage.only().await;
            assert_eq!((told.name.as_str(), told.span.kind), ("GET", span::Kind::Server));
        }
    })
    .await;
}

#[tokio::test]
async fn a_preface_that_comes_in_pieces_is_not_sent_twice() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    locally(async {
        let stage = Stage::redirecting();
        let mut line = stage.redirected_line(OUTBOUND).await;
        // A server may say this before it has heard anything; it is no greeting.
        line.server.write_all(SETTINGS).await.unwrap();
        for piece in PREFACE.chunks(7) {
            line.client.write_all(piece).await.unwrap();
        }
        line.client.write_all(SETTINGS).await.unwrap();
        let mut came = vec![0; PREFACE.len() + 4];
        timeout(PATIENCE, line.server.read_exact(&mut came)).await.expect("it comes").unwrap();
        assert!(came.starts_with(PREFACE), "{came:?}");
        assert_eq!(came[PREFACE.len() + 3], 4, "settings follow at once: {came:?}");
        let mut settings = [0; 4];
        timeout(PATIENCE, line.client.read_exact(&mut settings)).await.expect("it comes").unwrap();
        assert_eq!(settings[3], 4, "the client has them from us");
        line.task.abort();
    })
    .await;
}

#[tokio::test]
async fn the_name_that_tls_asks_for_is_read_while_its_bytes_pass() {
    locally(Box::pin(async {
        let stage = Stage::redirecting();
        let mut line = stage.redirected_line(OUTBOUND).await;
        let roots = rustls::RootCertStore::empty();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "bank.example".try_into().unwrap();
        let mut tls = rustls::ClientConnection::new(config.into(), name).unwrap();
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).unwrap();
        for piece in hello.chunks(hello.len() / 3) {
            pass(&mut line.client, &mut line.server, piece).await;
        }
        line.end().await;
        let told = stage.only().await;
        assert_eq!((told.name.as_str(), told.attribute("server.address")), ("TLS", "bank.example"));
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_reached_is_told_of_in_words_or_by_a_reset() {
    locally(async {
        let stage = Stage::redirecting();
        let (mut client, task) = stage.client(INBOUND, nobody().await).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(head(&mut client).await.starts_with("HTTP/1.1 502 "));
        drop(client);
        task.await.unwrap();
        let told = stage.only().await;
        assert_eq!(
            (told.name.as_str(), told.attribute("http.response.status_code")),
            ("GET", "502")
        );

        for said in [&b"\0\x01"[..], b""] {
            let stage = Stage::redirecting();
            let (mut client, task) = stage.client(OUTBOUND, nobody().await).await;
            client.write_all(said).await.unwrap();
            expect_reset(&mut client).await;
            task.await.unwrap();
            let told = stage.only().await;
            assert_eq!(told.name, "TCP");
            assert_eq!(told.attribute("spandrel.fault.kind"), "connection_refused");
        }
    })
    .await;
}

#[tokio::test]
async fn a_port_whose_protocol_is_known_is_not_looked_at() {
    locally(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let meant = listener.local_addr().unwrap();
        let opaque = Protocols { opaque: vec![meant.port()], ..Protocols::default() };
        let stage = Stage::with(redirecting(opaque));
        let (mut client, task) = stage.client(OUTBOUND, meant).await;
        let (mut server, _) = listener.accept().await.unwrap();
        pass(&mut client, &mut server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        drop((client, server));
        task.await.unwrap();
        assert_eq!(stage.only().await.name, "TCP");

        let http = Protocols { http: vec![meant.port()], ..Protocols::default() };
        let stage = Stage::with(redirecting(http));
        let (mut client, task) = stage.client(OUTBOUND, meant).await;
        client.write_all(b"EHLO\r\n\r\n").await.unwrap();
        assert!(head(&mut client).await.starts_with("HTTP/1.1 400 "));
        drop(client);
        task.await.unwrap();
        assert_eq!(stage.only().await.name, "HTTP");
    })
    .await;
}

#[tokio::test]
async fn an_absolute_target_goes_on_as_it_is_to_the_proxy_it_was_meant_for() {
    locally(async {
        let stage = Stage::redirecting();
        let mut line = stage.redirected_line(OUTBOUND).await;
        line.client.write_all(b"GET http://a.example/b HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(head(&mut line.server).await.starts_with("GET http://a.example/b HTTP/1.1\r\n"));
        line.server.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
        head(&mut line.client).await;
        line.end().await;

        let stage = Stage::redirecting();
        let mut line = stage.redirected_line(OUTBOUND).await;
        line.client
            .write_all(b"CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n")
            .await
            .unwrap();
        assert!(head(&mut line.server).await.starts_with("CONNECT a.example:1 HTTP/1.1\r\n"));
        line.server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        head(&mut line.client).await;
        pass(&mut line.client, &mut line.server, b"through").await;
        line.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_reset_is_passed_on_either_way_before_it_is_known_what_is_spoken() {
    locally(async {
        for (way, said) in [(INBOUND, ""), (OUTBOUND, ""), (INBOUND, "PIN"), (OUTBOUND, "PIN")] {
            let stage = Stage::redirecting();
            let mut line = stage.redirected_line(way).await;
            pass(&mut line.client, &mut line.server, said.as_bytes()).await;
            line.server.set_zero_linger().unwrap();
            drop(line.server);
            expect_reset(&mut line.client).await;
            timeout(PATIENCE, line.task).await.expect("it ends").unwrap();
            let told = stage.only().await;
            // Where it was quick, connecting to it has failed.
            let fault = ["spandrel.fault.side", "spandrel.fault.kind"];
            assert_eq!(told.attributes(fault), ["upstream", "connection_reset"]);

            let stage = Stage::redirecting();
            let mut line = stage.redirected_line(way).await;
            pass(&mut line.client, &mut line.server, said.as_bytes()).await;
            line.client.set_zero_linger().unwrap();
            drop(line.client);
            expect_reset(&mut line.server).await;
            timeout(PATIENCE, line.task).await.expect("it ends").unwrap();
            let told = stage.told().await;
            let ends: Vec<_> =
                told.iter().map(|it| it.attribute("spandrel.connection.ended_by")).collect();
            // Who says nothing only looked whether the port is open.
            assert_eq!(ends, if said.is_empty() { vec![] } else { vec!["client_reset"] });
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_only_begins_like_settings_is_kept_back_for_a_moment_alone() {
    locally(async {
        for greeting in [&b"\0"[..], b"\0\0\0\x04\0\0\0\0"] {
            let stage = Stage::redirecting();
            let mut line = stage.redirected_line(OUTBOUND).await;
            pass(&mut line.server, &mut line.client, greeting).await;
            line.end().await;
            assert_eq!(stage.only().await.name, "TCP");

            // Whose client has said what HTTP/2 does not begin with is passed on at once.
            let stage = Stage::redirecting();
            let mut line = stage.redirected_line(OUTBOUND).await;
            pass(&mut line.client, &mut line.server, b"PING").await;
            let began = Instant::now();
            pass(&mut line.server, &mut line.client, greeting).await;
            assert!(began.elapsed() < SETTINGS_PATIENCE);
            line.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn tls_is_known_though_its_server_answers_before_the_hello_is_whole() {
    locally(async {
        let stage = Stage::redirecting();
        let mut line = stage.redirected_line(OUTBOUND).await;
        pass(&mut line.client, &mut line.server, b"\x16\x03\x01\x02\0\x01\0\x01\xfc").await;
        pass(&mut line.server, &mut line.client, b"\x15\x03\x03\0\x02\x02\x28").await;
        line.end().await;
        assert_eq!(stage.only().await.name, "TLS");
    })
    .await;
}

#[tokio::test]
async fn a_connection_takes_little_room_before_and_unless_it_is_http() {
    locally(async {
        let stage = Stage::redirecting();
        let (client, accepted) = pair().await;
        let conn = stage.conn(OUTBOUND, &accepted, None);
        let wire = Wire::new(client, Rc::clone(&stage.worker.pool));
        let found_out = serve(Rc::clone(&conn), wire, OriginalDst(nobody().await));
        assert!(size_of_val(&found_out) < 2_560, "{}", size_of_val(&found_out));
        let served = super::super::connection::serve(conn, accepted);
        assert!(size_of_val(&served) < 512, "{}", size_of_val(&served));
    })
    .await;
}

/// A listener whose queue is full, so that connecting to it takes longer than anybody waits.
async fn busy() -> (socket2::Socket, SocketAddr, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    (socket, address, queued)
}

#[tokio::test]
async fn who_is_reset_before_its_server_is_reached_is_not_waited_for() {
    locally(async {
        let (_listener, meant, _queued) = busy().await;
        for said in [&b"\0\x01"[..], b"PING\r\n", b"\x16\x03\x01\x02\0\x01"] {
            let stage = Stage::redirecting();
            let (mut client, task) = stage.client(OUTBOUND, meant).await;
            client.write_all(said).await.unwrap();
            tokio::task::yield_now().await;
            client.set_zero_linger().unwrap();
            drop(client);
            timeout(Duration::from_secs(2), task).await.expect("it is given up").unwrap();
            for told in stage.told().await {
                let fault = ["spandrel.fault.side", "spandrel.fault.kind"];
                assert_eq!(told.attributes(fault), ["downstream", "connection_reset"]);
            }
        }
    })
    .await;
}
