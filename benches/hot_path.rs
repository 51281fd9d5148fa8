//! What tracing costs a request, piece by piece: `cargo bench`.
//!
//! Each piece is what one request with eight headers and a sampled parent goes through.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use spandrel::export::Encoder;
use spandrel::proxy::http1::head::{Answers, HeadLimits, RequestHead, ResponseHead, Scan};
use spandrel::proxy::http1::splice::Edits;
use spandrel::proxy::http1::target::Target;
use spandrel::trace::health::HealthChecks;
use spandrel::trace::propagate::carried::Carried;
use spandrel::trace::propagate::{self, Config};
use spandrel::trace::resource::Resource;
use spandrel::trace::route::Routes;
use spandrel::trace::sample::Sampler;
use spandrel::trace::semconv::{self, Outcome, Peer, QueryValues, Request, Servers, Version, http};
use spandrel::trace::span::{Attributes, Kind, Span, SpanBatch, Status};
use spandrel::trace::zone::TrustZone;
use spandrel::trace::{Flags, IdGenerator, TraceContext, tenant};

const REQUEST: &[u8] = b"GET /orders/7?expand=items HTTP/1.1\r\n\
    Host: orders.shop.svc:8080\r\n\
    User-Agent: python-requests/2.32\r\n\
    Accept-Encoding: gzip, deflate\r\n\
    Accept: */*\r\n\
    Connection: keep-alive\r\n\
    X-Request-Id: 0b8f8f1e-6f1a-4a51-9a4b-1f0e9f1d2c3b\r\n\
    X-Tenant-Id: acme\r\n\
    traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 1024\r\n\
    Date: Mon, 01 Jan 2026 00:00:00 GMT\r\n\
    Server: shop\r\n\r\n";
const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, lines: 128 };

fn head() -> RequestHead {
    RequestHead::parse(REQUEST, &mut Scan::default(), &LIMITS, Vec::new())
        .expect("the request is well formed")
        .expect("the request is whole")
}

fn parsing(c: &mut Criterion) {
    let mut lines = Vec::new();
    c.bench_function("request head", |b| {
        b.iter(|| {
            let head = RequestHead::parse(
                black_box(REQUEST),
                &mut Scan::default(),
                &LIMITS,
                std::mem::take(&mut lines),
            );
            if let Ok(Some(head)) = head {
                lines = head.lines;
            }
        });
    });
    c.bench_function("response head", |b| {
        b.iter(|| ResponseHead::parse(black_box(RESPONSE), Answers::Other, &LIMITS));
    });
}

fn propagation(c: &mut Criterion) {
    let (head, config) = (head(), Config::default());
    let view = head.view(REQUEST);
    let mut ids = IdGenerator::from_seed([1; 32]);
    c.bench_function("extract and inject", |b| {
        b.iter(|| {
            let found = propagate::extract(black_box(&view), &config);
            let parent = found.parent.expect("the parent is valid");
            propagate::inject(
                TraceContext { span_id: ids.span_id(), ..parent },
                found.state,
                &config,
            )
        });
    });
    c.bench_function("what is carried", |b| {
        b.iter(|| Carried::read(black_box(&view), &config.join_keys).keys().count());
    });
    // Names as long as those that come by default.
    c.bench_function("nothing is carried", |b| {
        let none = ["x-request-no".to_owned(), "x-correlation-no".to_owned()];
        b.iter(|| Carried::read(black_box(&view), &none).is_any());
    });
    let parent = propagate::extract(&view, &config).parent.expect("the parent is valid");
    let mut out = Vec::new();
    c.bench_function("splice", |b| {
        b.iter(|| {
            let trace = propagate::inject(parent, propagate::State::Absent, &config);
            out.clear();
            Edits { trace, ..Edits::default() }.write(&head, &view, &mut out);
        });
    });
}

fn describe(attributes: &mut Attributes, head: &RequestHead, peer: &Peer, servers: &Servers) {
    let view = head.view(REQUEST);
    let target = Target::of(&view);
    let request = Request {
        kind: Kind::Server,
        method: view.method(),
        path: target.path,
        query: target.query,
        authority: target.authority,
        version: Version::Http11,
        headers: &view,
        downstream: peer,
        servers,
    };
    http::begin(attributes, &request, Some("/orders/{id}"), QueryValues::Redact);
    attributes.count(semconv::Key::HttpRequestBodySize, 0);
    attributes.count(semconv::Key::HttpResponseBodySize, 1_024);
    http::end(attributes, Kind::Server, &Outcome { status_code: Some(200), ..Outcome::default() });
}

fn spans(c: &mut Criterion) {
    let head = head();
    let mut attributes = Attributes::default();
    let peer = Peer::of(([10, 1, 2, 3], 40_000).into());
    let servers = Servers::default();
    c.bench_function("attributes of a server span", |b| {
        b.iter(|| {
            attributes = Attributes::reuse(std::mem::take(&mut attributes).into_buffer());
            describe(&mut attributes, black_box(&head), &peer, &servers);
        });
    });
    let mut ids = IdGenerator::from_seed([1; 32]);
    let span = Span {
        trace_id: ids.trace_id(),
        span_id: ids.span_id(),
        parent: Some(ids.span_id()),
        link: None,
        flags: Flags::SAMPLED,
        kind: Kind::Server,
        is_part: false,
        status: Status::Unset,
        start: 1,
        end: 2,
    };
    let mut batch = SpanBatch::default();
    c.bench_function("record a span", |b| {
        b.iter(|| {
            if batch.len() == 512 {
                batch = SpanBatch::default();
            }
            batch.push(span, &[b"GET", b" ", b"/orders/{id}"], b"", &attributes);
        });
    });
    let mut full = SpanBatch::default();
    for _ in 0..512 {
        full.push(span, &[b"GET", b" ", b"/orders/{id}"], b"", &attributes);
    }
    let encoder = Encoder::new(&Resource::default());
    c.bench_function("encode 512 spans", |b| b.iter(|| encoder.encode(black_box(&full).iter())));
}

/// What every request asks of the settings.
fn settings(c: &mut Criterion) {
    let head = head();
    let view = head.view(REQUEST);
    let templates = (0..100).map(|n| format!("/things-{n}/{{id}}")).chain(["/orders/{id}".into()]);
    let routes = Routes::new(&templates.collect::<Vec<_>>()).expect("the templates are good");
    c.bench_function("find the route of 101", |b| b.iter(|| routes.find(black_box(b"/orders/7"))));
    let checks = HealthChecks::default();
    c.bench_function("see that it is no health check", |b| {
        b.iter(|| checks.matches(black_box(b"/orders/7"), &view));
    });
    let tenants = tenant::Config::default();
    c.bench_function("find the tenant", |b| b.iter(|| tenants.resolve(black_box(&view), || None)));
    let zone = TrustZone::default();
    let address = [10, 1, 2, 3].into();
    c.bench_function("see that it stays inside", |b| {
        b.iter(|| zone.contains(black_box(address), None));
    });
    let sampler = Sampler::parse("parentbased_traceidratio", 0.01).expect("it is one");
    let found = propagate::extract(&view, &Config::default());
    let trace = IdGenerator::from_seed([1; 32]).trace_id();
    c.bench_function("decide whether it is recorded", |b| {
        b.iter(|| sampler.decide(black_box(found.parent.as_ref()), trace));
    });
}

criterion_group!(benches, parsing, propagation, settings, spans);
criterion_main!(benches);
