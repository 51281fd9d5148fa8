use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::*;
use crate::drain::Phase;
use crate::metrics::{FAULTS, OPAQUE_CONNECTIONS};
use crate::proxy::fault::Kind;
use crate::proxy::inflight;
use crate::proxy::testing::{PATIENCE, Stage, bulk, expect_end, expect_reset, locally, pair, pass};
use crate::proxy::{Limits, Tracing};
use crate::trace::sample::Sampler;
use crate::trace::span;
use crate::trace::{Flags, IdGenerator, TraceContext};

/// A connection through a worker: its two ends, and the task that moves its bytes.
struct Line {
    client: TcpStream,
    server: TcpStream,
    task: JoinHandle<()>,
}

impl Stage {
    /// A connection that has just turned out to be opaque.
    async fn line(&self, direction: Direction, opening: Opening) -> Line {
        let (client, accepted) = pair().await;
        let (dialled, server) = pair().await;
        let conn = self.conn(direction, &accepted, None);
        let peer = dialled.peer_addr().unwrap();
        let pool = &self.worker.pool;
        let wire = Wire::new(dialled, Rc::clone(pool));
        let downstream = Wire::new(accepted, Rc::clone(pool));
        let upstream = Upstream { wire, peer, took: Duration::from_millis(2) };
        let opening = Opening { began: self.worker.clock.now(), ..opening };
        let task = spawn_local(run(conn, downstream, upstream, opening));
        Line { client, server, task }
    }
}

impl Line {
    async fn up(&mut self, bytes: &[u8]) {
        pass(&mut self.client, &mut self.server, bytes).await;
    }

    async fn down(&mut self, bytes: &[u8]) {
        pass(&mut self.server, &mut self.client, bytes).await;
    }

    /// Waits until the connection has been passed to its end.
    async fn over(self) {
        timeout(PATIENCE, self.task).await.expect("it ends").expect("it does not panic");
    }
}

const OUTBOUND: Direction = Direction::Outbound;
const INBOUND: Direction = Direction::Inbound;

fn tls(sni: Option<&str>) -> Opening {
    Opening { is_tls: true, sni: sni.map(Into::into), ..Opening::default() }
}

const ENDED_BY: &str = "spandrel.connection.ended_by";
const ENDING: [&str; 4] = [ENDED_BY, "error.type", "spandrel.fault.side", "spandrel.fault.kind"];

#[tokio::test]
async fn an_outbound_connection_tells_where_it_went_and_what_passed() {
    locally(async {
        let stage = Stage::usual();
        let mut line = stage.line(OUTBOUND, Opening::default()).await;
        let port = line.server.local_addr().unwrap().port().to_string();
        line.up(b"12345").await;
        line.down(b"123").await;
        line.client.shutdown().await.unwrap();
        expect_end(&mut line.server).await;
        line.server.shutdown().await.unwrap();
        line.over().await;
        let labels = [("direction", "outbound"), ("protocol", "tcp")];
        assert_eq!(stage.number(OPAQUE_CONNECTIONS, &labels), 1);
        let told = stage.only().await;
        assert_eq!((told.name.as_str(), told.span.kind), ("TCP", span::Kind::Client));
        assert_eq!((told.span.parent, told.span.link), (None, None));
        let peer = ["server.address", "server.port", "network.peer.address", "network.peer.port"];
        assert_eq!(told.attributes(peer), ["127.0.0.1", &port, "127.0.0.1", &port]);
        let sizes = ["spandrel.tunnel.request.size", "spandrel.tunnel.response.size"];
        assert_eq!(told.attributes(sizes), ["5", "3"]);
        let protocol = ["network.transport", "network.protocol.name"];
        assert_eq!(told.attributes(protocol), ["tcp", ""]);
        assert_eq!(told.attributes(ENDING), ["client", "", "", ""]);
        let rest = ["spandrel.connect.duration", "spandrel.tcp.retransmits", "spandrel.join"];
        assert_eq!(told.attributes(rest), ["0.002", "0", ""]);
        let rtt: f64 = told.attribute("spandrel.tcp.rtt").parse().unwrap();
        assert!(rtt > 0.0 && rtt < 1.0, "{rtt}");
        assert_eq!(told.span.status, span::Status::Unset);
        assert!(told.span.end > told.span.start);
    })
    .await;
}

#[tokio::test]
async fn an_inbound_tls_connection_tells_who_called_and_which_name_was_asked_for() {
    locally(async {
        for sni in [Some("db.example"), None] {
            let stage = Stage::usual();
            let mut line = stage.line(INBOUND, tls(sni)).await;
            line.up(b"hello").await;
            let caller = line.client.local_addr().unwrap().port().to_string();
            let port = line.server.local_addr().unwrap().port().to_string();
            drop((line.client, line.server));
            timeout(PATIENCE, line.task).await.unwrap().unwrap();
            let labels = [("direction", "inbound"), ("protocol", "tls")];
            assert_eq!(stage.number(OPAQUE_CONNECTIONS, &labels), 1);
            let told = stage.only().await;
            assert_eq!((told.name.as_str(), told.span.kind), ("TLS", span::Kind::Server));
            let server = ["server.address", "server.port", "network.protocol.name"];
            assert_eq!(told.attributes(server), [sni.unwrap_or_default(), &port, "tls"]);
            let peer = ["network.peer.address", "network.peer.port"];
            assert_eq!(told.attributes(peer), ["127.0.0.1", &caller]);
            assert_ne!(told.attribute("spandrel.tcp.rtt"), "");
        }
    })
    .await;
}

#[tokio::test]
async fn an_outbound_tls_connection_is_to_the_name_that_it_asks_for() {
    locally(async {
        let stage = Stage::usual();
        let mut line = stage.line(OUTBOUND, tls(Some("pay.example"))).await;
        line.up(b"hello").await;
        drop((line.client, line.server));
        timeout(PATIENCE, line.task).await.unwrap().unwrap();
        let told = stage.only().await;
        let names = ["server.address", "network.peer.address"];
        assert_eq!(told.attributes(names), ["pay.example", "127.0.0.1"]);
    })
    .await;
}

#[tokio::test]
async fn what_was_read_before_is_delivered_first_and_what_was_forwarded_counts() {
    locally(async {
        let stage = Stage::usual();
        let (mut client, accepted) = pair().await;
        let (dialled, mut server) = pair().await;
        let conn = stage.conn(OUTBOUND, &accepted, None);
        let peer = dialled.peer_addr().unwrap();
        let mut wires =
            [accepted, dialled].map(|stream| Wire::new(stream, Rc::clone(&stage.worker.pool)));
        client.write_all(b"hello").await.unwrap();
        server.write_all(b"220 ready").await.unwrap();
        for (wire, count) in wires.iter_mut().zip([5, 9]) {
            let read = std::future::poll_fn(|cx| wire.poll_fill(cx, 64 * 1024)).await;
            assert_eq!(read.unwrap(), count);
        }
        let [downstream, wire] = wires;
        let upstream = Upstream { wire, peer, took: Duration::ZERO };
        let opening = Opening { already_up: 100, ..Opening::default() };
        let task = spawn_local(run(conn, downstream, upstream, opening));
        let mut line = Line { client, server, task };
        let (mut up, mut down) = ([0; 5], [0; 9]);
        line.server.read_exact(&mut up).await.unwrap();
        line.client.read_exact(&mut down).await.unwrap();
        assert_eq!((&up, &down), (b"hello", b"220 ready"));
        line.up(b"+").await;
        line.server.shutdown().await.unwrap();
        expect_end(&mut line.client).await;
        line.client.shutdown().await.unwrap();
        line.over().await;
        let told = stage.only().await;
        let sizes = ["spandrel.tunnel.request.size", "spandrel.tunnel.response.size", ENDED_BY];
        assert_eq!(told.attributes(sizes), ["106", "9", "server"]);
    })
    .await;
}

#[tokio::test]
async fn a_reset_is_passed_on_either_way_and_tells_whose_it_was() {
    locally(async {
        let stage = Stage::usual();
        let mut line = stage.line(OUTBOUND, Opening::default()).await;
        line.up(b"x").await;
        line.client.set_zero_linger().unwrap();
        drop(line.client);
        expect_reset(&mut line.server).await;
        timeout(PATIENCE, line.task).await.unwrap().unwrap();
        let labels = [("side", "downstream"), ("kind", "connection_reset")];
        assert_eq!(stage.number(FAULTS, &labels), 1);
        let told = stage.only().await;
        let ending = ["client_reset", "connection_reset", "downstream", "connection_reset"];
        assert_eq!(told.attributes(ENDING), ending);
        assert_eq!(told.span.status, span::Status::Error);

        let stage = Stage::usual();
        let mut line = stage.line(OUTBOUND, Opening::default()).await;
        line.up(b"x").await;
        line.server.set_zero_linger().unwrap();
        drop(line.server);
        expect_reset(&mut line.client).await;
        timeout(PATIENCE, line.task).await.unwrap().unwrap();
        let ending = ["server_reset", "connection_reset", "upstream", "connection_reset"];
        assert_eq!(stage.only().await.attributes(ENDING), ending);
    })
    .await;
}

#[tokio::test]
async fn who_has_ended_and_then_resets_has_not_failed_but_is_passed_on_as_it_is() {
    locally(async {
        let stage = Stage::usual();
        let mut line = stage.line(OUTBOUND, Opening::default()).await;
        line.client.shutdown().await.unwrap();
        expect_end(&mut line.server).await;
        // What nobody reads makes the client's system send a reset when the client closes.
        line.server.write_all(b"an answer that comes too late").await.unwrap();
        line.client.readable().await.unwrap();
        drop(line.client);
        let gone = async {
            while line.server.write_all(b"more").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("the server learns that nobody listens");
        timeout(PATIENCE, line.task).await.unwrap().unwrap();
        let told = stage.only().await;
        assert_eq!(told.attributes(ENDING), ["client", "", "", ""]);
        assert_eq!(told.span.status, span::Status::Unset);
    })
    .await;
}

#[tokio::test]
async fn a_connection_without_a_byte_makes_no_span_for_so_ports_are_probed() {
    locally(async {
        let stage = Stage::usual();
        let mut line = stage.line(INBOUND, Opening::default()).await;
        line.server.shutdown().await.unwrap();
        expect_end(&mut line.client).await;
        line.client.shutdown().await.unwrap();
        line.over().await;
        assert!(stage.told().await.is_empty());

        let stage = Stage::usual();
        let line = stage.line(INBOUND, Opening::default()).await;
        line.server.set_zero_linger().unwrap();
        drop(line.server);
        timeout(PATIENCE, line.task).await.unwrap().unwrap();
        let ending = ["server_reset", "connection_reset", "upstream", "connection_reset"];
        assert_eq!(stage.only().await.attributes(ENDING), ending, "a failure is told of");
    })
    .await;
}

#[tokio::test]
async fn without_spans_the_bytes_still_pass() {
    let off = [
        Tracing { connections: false, ..Tracing::default() },
        Tracing { is_enabled: false, ..Tracing::default() },
        Tracing { sampler: Sampler::parse("always_off", 1.0).unwrap(), ..Tracing::default() },
    ];
    locally(Box::pin(async {
        for tracing in off {
            let stage = Stage::set(tracing, Limits::default());
            let mut line = stage.line(OUTBOUND, Opening::default()).await;
            line.up(b"x").await;
            line.down(b"y").await;
            drop((line.client, line.server));
            timeout(PATIENCE, line.task).await.unwrap().unwrap();
            let labels = [("direction", "outbound"), ("protocol", "tcp")];
            assert_eq!(stage.number(OPAQUE_CONNECTIONS, &labels), 1);
            assert!(stage.told().await.is_empty());
        }
    }))
    .await;
}

#[tokio::test]
async fn an_upstream_that_could_not_be_reached_is_told_of() {
    locally(async {
        let stage = Stage::usual();
        let (_client, accepted) = pair().await;
        let conn = stage.conn(OUTBOUND, &accepted, None);
        let destination = "192.0.2.7:3306".parse().unwrap();
        refused(&conn, destination, 7, Fault::upstream(Kind::ConnectTimeout));
        drop(conn);
        let labels = [("side", "upstream"), ("kind", "connect_timeout")];
        assert_eq!(stage.number(FAULTS, &labels), 1);
        let told = stage.only().await;
        assert_eq!((told.name.as_str(), told.span.start), ("TCP", 7));
        let ending = ["", "connect_timeout", "upstream", "connect_timeout"];
        assert_eq!(told.attributes(ENDING), ending);
        let server = ["server.address", "server.port", "network.peer.address"];
        assert_eq!(told.attributes(server), ["192.0.2.7", "3306", ""]);
    })
    .await;
}

#[tokio::test]
async fn silence_ends_a_connection_by_a_reset_of_both_sides() {
    locally(async {
        let limits = Limits { idle_timeout: Duration::from_millis(40), ..Limits::default() };
        let stage = Stage::set(Tracing::default(), limits);
        let mut line = stage.line(OUTBOUND, Opening::default()).await;
        expect_reset(&mut line.server).await;
        expect_reset(&mut line.client).await;
        line.over().await;
        let ending = ["idle_timeout", "idle_timeout", "proxy", "idle_timeout"];
        assert_eq!(stage.only().await.attributes(ENDING), ending);
    })
    .await;
}

#[tokio::test]
async fn a_reset_behind_a_half_close_is_noticed_without_another_byte() {
    locally(async {
        let limits = Limits { idle_timeout: Duration::from_millis(400), ..Limits::default() };
        let stage = Stage::set(Tracing::default(), limits);
        let mut line = stage.line(OUTBOUND, Opening::default()).await;
        line.up(b"x").await;
        line.client.shutdown().await.unwrap();
        expect_end(&mut line.server).await;
        line.client.set_zero_linger().unwrap();
        drop(line.client);
        timeout(PATIENCE, line.task).await.unwrap().unwrap();
        // Who has read an end reads no reset, but writes into one.
        assert!(line.server.try_write(b"x").is_err());
        assert_eq!(stage.only().await.attributes(ENDING), ["client", "", "", ""]);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_goes_on_tells_so_by_parts_of_its_span() {
    locally(async {
        let interval = Some(Duration::from_millis(40));
        let tracing = Tracing { progress_interval: interval, ..Tracing::default() };
        let stage = Stage::set(tracing, Limits::default());
        let created = crate::metrics::SPANS_CREATED;
        let mut line = stage.line(OUTBOUND, tls(Some("db.example"))).await;
        line.up(b"12345").await;
        let parts = async {
            while stage.number(created, &[]) < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, parts).await.expect("parts are told");
        line.down(b"123").await;
        drop((line.client, line.server));
        timeout(PATIENCE, line.task).await.unwrap().unwrap();
        let mut told = stage.told().await;
        let whole = told.pop().unwrap();
        assert!(told.len() >= 2 && !whole.span.is_part);
        let mut end = whole.span.start;
        for part in &told {
            assert_eq!(part.name, "TLS in progress");
            assert!(part.span.is_part);
            assert_eq!(part.span.parent, Some(whole.span.span_id));
            assert_eq!(part.span.trace_id, whole.span.trace_id);
            assert_eq!(part.attribute("server.address"), "db.example");
            assert_eq!((part.span.start, part.attribute(ENDED_BY)), (end, ""));
            end = part.span.end;
        }
        assert_eq!(told[0].attribute("spandrel.progress.request.size"), "5");
        assert_eq!(told[1].attribute("spandrel.progress.request.size"), "0");
        assert_eq!(whole.attribute("spandrel.tunnel.request.size"), "5");
    })
    .await;
}

#[tokio::test]
async fn what_is_cut_off_by_the_end_of_spandrel_says_so() {
    locally(async {
        let stage = Stage::usual();
        let mut line = stage.line(OUTBOUND, Opening::default()).await;
        line.up(b"x").await;
        stage.worker.enter(Phase::Draining);
        line.down(b"y").await;
        stage.worker.enter(Phase::Forced);
        line.task.abort();
        assert!(line.task.await.unwrap_err().is_cancelled());
        expect_reset(&mut line.client).await;
        expect_reset(&mut line.server).await;
        let told = stage.only().await;
        assert_eq!(told.attributes(ENDING), ["shutdown", "", "", ""]);
        assert_eq!(told.attribute("spandrel.truncated"), "shutdown");
        assert_eq!(told.attribute("spandrel.tunnel.response.size"), "1");
        assert_ne!(told.attribute("spandrel.tcp.rtt"), "");
    })
    .await;
}

#[tokio::test]
async fn an_outbound_connection_links_to_the_only_request_in_flight() {
    let mut ids = IdGenerator::from_seed([6; 32]);
    let mut context =
        |flags| TraceContext { trace_id: ids.trace_id(), span_id: ids.span_id(), flags };
    let (one, two) = (context(Flags::SAMPLED), context(Flags::SAMPLED));
    let unseen = context(Flags::default());
    let cases = [
        (OUTBOUND, vec![one], Some(one)),
        (OUTBOUND, vec![one, two], None),
        (OUTBOUND, vec![], None),
        (OUTBOUND, vec![unseen], None),
        (INBOUND, vec![one], None),
    ];
    locally(Box::pin(async {
        for (direction, in_flight, link) in cases {
            let stage = Stage::usual();
            let enter = |context: &TraceContext| {
                let request = inflight::Inbound { context: Some(*context), ..Default::default() };
                stage.worker.in_flight.enter(&request)
            };
            let entered: Vec<_> = in_flight.iter().map(enter).collect();
            let mut line = stage.line(direction, Opening::default()).await;
            line.up(b"x").await;
            drop((line.client, line.server, entered));
            timeout(PATIENCE, line.task).await.unwrap().unwrap();
            let told = stage.only().await;
            assert_eq!((told.span.link, told.span.parent), (link, None));
            assert_eq!(told.attribute("spandrel.join"), if link.is_some() { "sole" } else { "" });
        }
    }))
    .await;
}

#[tokio::test]
async fn the_last_words_of_who_resets_are_heard_though_writing_to_it_is_what_fails() {
    locally(async {
        let stage = Stage::usual();
        let mut line = stage.line(OUTBOUND, Opening::default()).await;
        line.client.write_all(b"never read").await.unwrap();
        line.server.readable().await.unwrap();
        // The task does not run before all of this has happened.
        assert_eq!(line.client.try_write(b"more").unwrap(), 4);
        assert_eq!(line.server.try_write(b"421 too busy").unwrap(), 12);
        drop(line.server);
        let mut words = [0; 12];
        timeout(PATIENCE, line.client.read_exact(&mut words)).await.unwrap().unwrap();
        assert_eq!(&words, b"421 too busy");
        expect_reset(&mut line.client).await;
        timeout(PATIENCE, line.task).await.unwrap().unwrap();
        let told = stage.only().await;
        assert_eq!(told.attribute(ENDED_BY), "server_reset");
        assert_eq!(told.attribute("spandrel.tunnel.response.size"), "12");
    })
    .await;
}

#[tokio::test]
async fn bulk_goes_through_pipes_which_are_given_back_when_it_pauses() {
    const SIZE: usize = 4 << 20;
    locally(async {
        let stage = Stage::usual();
        let mut line = stage.line(OUTBOUND, Opening::default()).await;
        bulk(&mut line.client, &mut line.server, SIZE).await;
        bulk(&mut line.server, &mut line.client, SIZE).await;
        // The answer may begin before the way up has seen that it pauses: then each had its own.
        let (lent, spare) = stage.worker.pool.pipes();
        assert!(lent == 0 && (1..=2).contains(&spare), "{lent} lent, {spare} to spare");
        line.client.shutdown().await.unwrap();
        expect_end(&mut line.server).await;
        line.server.shutdown().await.unwrap();
        line.over().await;
        let told = stage.only().await;
        let sizes = ["spandrel.tunnel.request.size", "spandrel.tunnel.response.size"];
        assert_eq!(told.attributes(sizes), ["4194304", "4194304"]);
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    locally(async {
        let stage = Stage::usual();
        let mut line = stage.line(OUTBOUND, Opening::default()).await;
        for _ in 0..3 {
            line.up(b"x").await;
            line.down(b"y").await;
            // Both flows have taken turns with one and the same.
            assert_eq!(stage.worker.pool.buffers(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn urgent_data_passes_as_a_part_of_the_rest_amid_bulk_too() {
    locally(async {
        let stage = Stage::usual();
        let mut line = stage.line(OUTBOUND, Opening::default()).await;
        bulk(&mut line.client, &mut line.server, 1 << 20).await;
        assert_eq!(SockRef::from(&line.client).send_out_of_band(b"!").unwrap(), 1);
        line.client.write_all(b"abort").await.unwrap();
        let mut read = [0; 6];
        timeout(PATIENCE, line.server.read_exact(&mut read)).await.expect("it comes").unwrap();
        assert_eq!(&read, b"!abort");
        bulk(&mut line.client, &mut line.server, 1 << 20).await;
    })
    .await;
}
