use super::super::names::{LOOK_UP_EVERY, Names, tests::Table};
use super::super::testing::{Authority, Collector, Script};
use super::super::{Protocol, Proxy};
use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[test]
fn only_http_and_https_urls_with_a_host_are_taken() {
    for good in ["http://localhost:4318/v1/traces", "https://c", "http://[::1]:4317"] {
        assert!(uri(good).is_ok(), "{good}");
    }
    for bad in ["", "localhost:4317", "ftp://c/", "/v1/traces", "http://", "http://a b"] {
        assert!(uri(bad).is_err(), "{bad}");
    }
}

#[test]
fn https_works_with_the_certificates_of_the_system() {
    let (own, uri) = (OwnSockets::default(), Uri::from_static("https://collector:4317"));
    for version in [Version::HTTP_2, Version::HTTP_11] {
        assert!(Transport::new(&Client::default(), version, &uri, &own).is_ok());
    }
    assert!(!roots(None).expect("there are always roots").is_empty());
}

#[test]
fn a_certificate_that_cannot_be_read_is_named() {
    let missing = PathBuf::from("/nonexistent/ca.pem");
    let client = Client { certificate: Some(missing), ..Client::default() };
    let own = OwnSockets::default();
    let new = |url| Transport::new(&client, Version::HTTP_11, &Uri::from_static(url), &own);
    let error = new("https://c").expect_err("no file");
    assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
    assert!(new("http://c").is_ok(), "not needed here");

    let empty = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(matches!(roots(Some(&empty)), Err(ExportError::File { .. })));
}

#[test]
fn a_proxy_that_is_none_is_told_at_the_start() {
    let proxy = Proxy { http: Some("socks5://me:secret@p".to_owned()), ..Proxy::default() };
    let client = Client { proxy, ..Client::default() };
    let (own, uri) = (OwnSockets::default(), Uri::from_static("http://c"));
    let error = Transport::new(&client, Version::HTTP_11, &uri, &own).expect_err("no such proxy");
    let text = error.to_string();
    assert!(text.contains("HTTP_PROXY") && !text.contains("secret"), "{text}");
}

const HTTP: Protocol = Protocol::HttpProtobuf;
const GRPC: Protocol = Protocol::Grpc;

/// Why a request to this URL has no answer.
async fn told(protocol: Protocol, url: &str) -> String {
    told_by(&patient(), protocol, url).await
}

/// The same with other settings.
async fn told_by(client: &Client, protocol: Protocol, url: &str) -> String {
    let uri: Uri = url.parse().expect("a URL");
    let transport = Transport::new(client, protocol.http(), &uri, &OwnSockets::default());
    match transport.expect("a transport").send(request(protocol, &uri)).await {
        Err(SendError::Failed(reason)) => reason,
        other => panic!("{other:?} from {url}"),
    }
}

fn request(protocol: Protocol, uri: &Uri) -> Request<Bytes> {
    let mut request = Request::new(Bytes::from_static(b"spans"));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri.clone();
    *request.version_mut() = protocol.http();
    request
}

fn patient() -> Client {
    Client { timeout: Duration::from_secs(5), ..Client::default() }
}

/// A server that says this to each who connects, after they have spoken, and closes.
async fn saying(words: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback socket");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = [0; 1_024];
            let _heard = stream.read(&mut heard).await;
            let _said = stream.write_all(words).await;
        }
    });
    address
}

#[tokio::test]
async fn the_port_of_another_protocol_is_told() {
    let grpc = Collector::start(GRPC, vec![]).await.address;
    let http = Collector::start(HTTP, vec![]).await.address;
    let reason = told(HTTP, &format!("http://{grpc}/v1/traces")).await;
    assert!(reason.contains("does not speak HTTP/1 there") && reason.contains("4318"), "{reason}");
    let reason = told(GRPC, &format!("http://{http}")).await;
    assert!(reason.contains("4317"), "{reason}");
    // What servers say that answer before they close.
    let answering = saying(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
    let reason = told(GRPC, &format!("http://{answering}")).await;
    assert!(reason.contains("does not speak HTTP/2 there"), "{reason}");
}

#[tokio::test]
async fn tls_to_a_port_without_and_none_to_a_port_with_it_are_told() {
    let http = Collector::start(HTTP, vec![]).await.address;
    for protocol in [HTTP, GRPC] {
        let reason = told(protocol, &format!("https://{http}/v1/traces")).await;
        assert!(reason.contains("does not speak TLS there"), "{reason}");
    }
    let authority = Authority::new("mistakes");
    let tls = Collector::start_tls(HTTP, &authority).await.address;
    let reason = told(HTTP, &format!("http://{tls}/v1/traces")).await;
    assert!(reason.contains("https://"), "{reason}");
    let tls = Collector::start_tls(GRPC, &authority).await.address;
    let reason = told(GRPC, &format!("http://{tls}")).await;
    assert!(reason.contains("https://"), "{reason}");
}

#[tokio::test]
async fn certificates_that_are_not_accepted_are_told() {
    let authority = Authority::new("certificates");
    let collector = Collector::start_tls(HTTP, &authority).await;
    let port = collector.address.port();
    let unknown = told(HTTP, &format!("https://localhost:{port}")).await;
    assert!(unknown.contains("authority that is not trusted, set `certificate`"), "{unknown}");
    let trusting = Client { certificate: Some(authority.certificate()), ..patient() };
    let other = told_by(&trusting, HTTP, &format!("https://127.0.0.1:{port}")).await;
    assert!(other.contains("for another name"), "{other}");
    let nobody = told_by(&trusting, HTTP, &format!("https://localhost:{port}")).await;
    assert!(nobody.contains("set `client_certificate`"), "{nobody}");

    let (expired, file) = expired().await;
    let trusting = Client { certificate: Some(file.clone()), ..patient() };
    let url = format!("https://localhost:{}", expired.port());
    let reason = told_by(&trusting, HTTP, &url).await;
    std::fs::remove_file(file).expect("it is ours");
    assert!(reason.contains("has expired, renew it"), "{reason}");
}

/// A server whose certificate has expired, and the file of its authority.
async fn expired() -> (SocketAddr, PathBuf) {
    let mut params = CertificateParams::new(vec![]).expect("no names are fine");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("randomness"));
    let issuer = issuer.expect("a certificate");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 2, 1);
    let key = KeyPair::generate().expect("randomness");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports them")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .expect("a certificate and its key");
    let name = format!("spandrel-expired-{}.pem", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, issuer.pem()).expect("a temporary file");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback socket");
    let address = listener.local_addr().expect("it is bound");
    let tls = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _refused = tls.accept(stream).await;
        }
    });
    (address, file)
}

#[tokio::test]
async fn where_nobody_is_and_who_breaks_off_and_who_is_silent_is_told() {
    // Bound, so that nobody else gets the port, and not listening.
    let closed = tokio::net::TcpSocket::new_v4().expect("a socket");
    closed.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let url = format!("http://{}", closed.local_addr().expect("it is bound"));
    let gone = saying(b"").await;
    let silent = Collector::start(HTTP, vec![Script::Hang]).await;
    for protocol in [HTTP, GRPC] {
        let reason = told(protocol, &url).await;
        assert!(reason.contains("nobody listens there"), "{reason}");
        let reason = told(protocol, &format!("http://{gone}")).await;
        assert!(reason.contains("broke before the answer"), "{reason}");
    }
    let hurried = Client { timeout: Duration::from_millis(50), ..Client::default() };
    let reason = told_by(&hurried, HTTP, &format!("http://{}", silent.address)).await;
    assert!(reason.contains("no answer in time"), "{reason}");
}

/// A transport for `http://collector` whose name has what `table` says.
fn named(table: &Arc<Table>, protocol: Protocol) -> (Transport, Uri, Connector) {
    let uri = Uri::from_static("http://collector:4318/v1/traces");
    let mut tcp = Connector::new(OwnSockets::default(), None);
    tcp.names = Names::by(Arc::clone(table) as _);
    let version = protocol.http();
    let transport = Transport::by(&patient(), version, &uri, Bounds::default(), tcp.clone());
    (transport.expect("a transport"), uri, tcp)
}

#[tokio::test]
async fn a_name_without_an_address_is_told() {
    let (transport, uri, _) = named(&Table::of(&[]), HTTP);
    let error = transport.send(request(HTTP, &uri)).await.expect_err("no address");
    let text = error.to_string();
    assert!(text.contains("the name `collector` cannot be looked up"), "{text}");
}

#[tokio::test]
async fn connections_follow_a_name_that_leads_elsewhere() {
    for protocol in [HTTP, GRPC] {
        let mut before = Collector::start(protocol, vec![]).await;
        let mut after = Collector::start(protocol, vec![]).await;
        let table = Table::of(&[before.address]);
        let (transport, uri, tcp) = named(&table, protocol);
        transport.send(request(protocol, &uri)).await.expect("an answer");
        before.next().await;
        table.set(&[after.address]);
        transport.send(request(protocol, &uri)).await.expect("an answer");
        before.next().await;

        tokio::time::pause();
        tokio::time::advance(LOOK_UP_EVERY).await;
        tokio::time::resume();
        // This one finds out, and need not wait for it.
        transport.send(request(protocol, &uri)).await.expect("an answer");
        before.next().await;
        let name = ("collector".to_owned(), 4318);
        while tcp.names.has_moved(&name).await {
            tokio::task::yield_now().await;
        }
        transport.send(request(protocol, &uri)).await.expect("an answer");
        after.next().await;
        assert_eq!(before.waiting(), 0);
    }
}

#[tokio::test]
async fn a_proxy_that_forwards_gets_whole_urls_and_who_we_are() {
    let mut proxy = Collector::start(HTTP, vec![]).await;
    let url = Some(format!("http://me:secret@{}", proxy.address));
    let client = Client { proxy: Proxy { all: url, ..Proxy::default() }, ..patient() };
    let uri = Uri::from_static("http://collector.example:4318/v1/traces");
    let transport = Transport::new(&client, HTTP.http(), &uri, &OwnSockets::default());
    transport.expect("a transport").send(request(HTTP, &uri)).await.expect("an answer");
    let seen = proxy.next().await;
    assert_eq!(seen.uri(), &uri);
    assert_eq!(seen.headers()["proxy-authorization"], "Basic bWU6c2VjcmV0");
    assert_eq!(seen.headers()["host"], "collector.example:4318");
}

#[tokio::test]
async fn through_a_tunnel_http2_is_spoken_to_the_collector_itself() {
    let mut collector = Collector::start(GRPC, vec![]).await;
    let to = collector.address;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback socket");
    let proxy = listener.local_addr().expect("it is bound");
    let proxying = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.expect("a connection");
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(near.read_u8().await.expect("a byte"));
        }
        near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.expect("it is open");
        let mut far = tokio::net::TcpStream::connect(to).await.expect("it listens");
        let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        asked
    });
    let url = Some(format!("http://{proxy}"));
    let client = Client { proxy: Proxy { all: url, ..Proxy::default() }, ..patient() };
    let uri = Uri::from_static("http://collector.example:4317/v1/traces");
    let transport = Transport::new(&client, GRPC.http(), &uri, &OwnSockets::default());
    let transport = transport.expect("a transport");
    transport.send(request(GRPC, &uri)).await.expect("an answer");
    let seen = collector.next().await;
    assert_eq!(seen.uri().path(), "/v1/traces");
    assert!(seen.headers().get("proxy-authorization").is_none());
    drop(transport);
    let asked = proxying.await.expect("it ends when the connection does");
    assert!(asked.starts_with(b"CONNECT collector.example:4317 HTTP/1.1\r\n"));
}
