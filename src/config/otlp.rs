//! Where spans are sent: what an endpoint, a protocol and their defaults amount to.
//!
//! The rules are those of the OpenTelemetry Protocol Exporter specification: the path of the
//! signal is added to the common endpoint, and the endpoint of traces is used as it is.

use super::destinations::Place;
use super::value::Value;
use super::values::Values;
use crate::export::{Otlp, Protocol, Proxy};
use crate::proxy::Authority;

/// The port that OTLP/gRPC is served on.
const GRPC_PORT: u16 = 4317;
/// The port that OTLP/HTTP is served on.
const HTTP_PORT: u16 = 4318;
/// What the path of the common endpoint is completed with.
const TRACES_PATH: &str = "/v1/traces";

const ENDPOINT: &str = "endpoint";
const TRACES_ENDPOINT: &str = "traces_endpoint";
const PROTOCOL: &str = "protocol";

/// The parts of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `http` or `https`; `None` where the endpoint is a bare `host:port`.
    scheme: Option<String>,
    authority: String,
    port: Option<u16>,
    /// The path and the query; `/` if there is no path.
    path: String,
}

impl Endpoint {
    /// The parts of `text`, if it is the URL of a collector.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let authority = uri.authority()?;
        let port = authority.port_u16();
        let host = authority.host();
        let expected_length = host.len() + authority.port().map_or(0, |p| p.as_str().len() + 1);
        let is_whole = !host.is_empty() && authority.as_str().len() == expected_length;
        let is_known = matches!(uri.scheme_str(), None | Some("http" | "https"));
        (is_whole && is_known && (uri.scheme().is_some() || port.is_some())).then(|| Self {
            scheme: uri.scheme_str().map(str::to_owned),
            authority: authority.as_str().to_owned(),
            port,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    /// The host and the port, known or implied.
    pub(super) fn place(&self) -> Option<Authority> {
        let implied = if self.scheme.as_deref() == Some("http") { 80 } else { 443 };
        let authority: http::uri::Authority = self.authority.parse().ok()?;
        let host = authority.host().trim_matches(['[', ']']);
        Some(Authority { host: host.into(), port: self.port.unwrap_or(implied) })
    }

    pub(super) fn has_path(&self) -> bool {
        self.path != "/"
    }

    /// Whether it says `http://` or `https://`.
    pub(super) const fn has_scheme(&self) -> bool {
        self.scheme.is_some()
    }

    /// The endpoint as a URL without a path.
    fn root(&self, is_insecure: bool) -> String {
        let bare = if is_insecure { "http" } else { "https" };
        format!("{}://{}", self.scheme.as_deref().unwrap_or(bare), self.authority)
    }

    /// The whole endpoint as a URL, without a slash at its end.
    fn whole(&self, is_insecure: bool) -> String {
        format!("{}{}", self.root(is_insecure), self.path.trim_end_matches('/'))
    }
}

/// Decides endpoint and protocol, notes in `values` what was decided, and returns it with the
/// rest of the settings at `at`.
pub(super) fn resolve(values: &mut Values, at: Place<'_>, proxy: &Proxy) -> Otlp {
    drop_outranked_traces_endpoint(values, at);
    let of_traces = values.text(&at.key(TRACES_ENDPOINT)).and_then(|text| Endpoint::parse(&text));
    let common = values.given_text(&at.key(ENDPOINT)).and_then(|text| Endpoint::parse(&text));
    let protocol = protocol(values, at, of_traces.as_ref().or(common.as_ref()));
    let common = common.unwrap_or_else(|| default_endpoint(values, at, protocol));
    let is_insecure = values.flag(&at.key("insecure"));
    check_schemes(values, at, protocol);

    let (traces_url, base_url) = match protocol {
        Protocol::Grpc => {
            let of_traces = of_traces.as_ref().unwrap_or(&common);
            (of_traces.root(is_insecure), common.root(is_insecure))
        }
        Protocol::HttpProtobuf | Protocol::HttpJson => {
            let base = common.whole(false);
            let traces = of_traces.map_or_else(
                || format!("{base}{TRACES_PATH}"),
                |endpoint| format!("{}{}", endpoint.root(false), endpoint.path),
            );
            (traces, base)
        }
    };
    Otlp { traces_url, base_url, protocol, client: at.client(values, proxy) }
}

/// The endpoint of traces has precedence, but not over a common endpoint from a stronger source:
/// who says `--otlp` means it.
fn drop_outranked_traces_endpoint(values: &mut Values, at: Place<'_>) {
    let (traces_key, key) = (at.key(TRACES_ENDPOINT), at.key(ENDPOINT));
    let of_traces = values.origin(&traces_key).clone();
    let common = values.origin(&key).clone();
    if values.is_set(&traces_key) && common.rank() > of_traces.rank() {
        values
            .warn(format!("{traces_key} of {of_traces} is not used, because {common} sets {key}"));
        values.unset(&traces_key);
    }
}

fn protocol(values: &mut Values, at: Place<'_>, endpoint: Option<&Endpoint>) -> Protocol {
    let key = at.key(PROTOCOL);
    if !values.is_set(&key) {
        let is_grpc = endpoint.is_some_and(|endpoint| endpoint.port == Some(GRPC_PORT));
        let name = if is_grpc { "grpc" } else { "http/protobuf" };
        values.derive(&key, Value::Text(name.to_owned()));
    }
    match values.word(&key).as_str() {
        "grpc" => Protocol::Grpc,
        "http/json" => Protocol::HttpJson,
        _ => Protocol::HttpProtobuf,
    }
}

fn default_endpoint(values: &mut Values, at: Place<'_>, protocol: Protocol) -> Endpoint {
    let port = if protocol == Protocol::Grpc { GRPC_PORT } else { HTTP_PORT };
    let url = format!("http://localhost:{port}");
    let key = at.key(ENDPOINT);
    if !values.is_set(&key) {
        values.derive(&key, Value::Text(url.clone()));
    }
    Endpoint::parse(&url).expect("the default endpoint is a URL")
}

/// What an endpoint may look like depends on the protocol, which its kind does not know.
fn check_schemes(values: &mut Values, at: Place<'_>, protocol: Protocol) {
    for name in [ENDPOINT, TRACES_ENDPOINT] {
        let key = at.key(name);
        let text = values.given_text(&key).unwrap_or_default();
        let Some(endpoint) = Endpoint::parse(&text) else { continue };
        if protocol == Protocol::Grpc && endpoint.has_path() {
            let origin = values.origin(&key);
            values.warn(format!(
                "the path of {key} ({origin}) is not used, because OTLP over gRPC has none"
            ));
        }
        if protocol != Protocol::Grpc && endpoint.scheme.is_none() {
            let expected = "expected http:// or https:// before the host for OTLP over HTTP";
            values.refuse(&key, &format!("{expected}, found `{text}`"));
        }
        if name == ENDPOINT && protocol != Protocol::Grpc && endpoint.path.contains('?') {
            let expected = "expected a URL without a query, because /v1/traces is added to it";
            values.refuse(&key, &format!("{expected}, found `{text}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{LEAST, effective, load, with, wrong_file, wrong_variables};
    use super::*;

    #[test]
    fn endpoints_and_protocols_become_urls() {
        const COMMON: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
        const INSECURE: &str = "OTEL_EXPORTER_OTLP_INSECURE";
        const HTTP: Protocol = Protocol::HttpProtobuf;
        const GRPC: Protocol = Protocol::Grpc;
        const LOCAL: &str = "http://localhost:4318";
        const LOCAL_GRPC: &str = "http://localhost:4317";
        type Case<'a> = (&'a [(&'a str, &'a str)], Protocol, &'a str, &'a str);
        let cases: [Case<'_>; 15] = [
            (&[], HTTP, "http://localhost:4318/v1/traces", LOCAL),
            (&[(PROTOCOL, "grpc")], GRPC, LOCAL_GRPC, LOCAL_GRPC),
            (
                &[(PROTOCOL, "http/json")],
                Protocol::HttpJson,
                "http://localhost:4318/v1/traces",
                LOCAL,
            ),
            (&[(COMMON, "http://c:4318")], HTTP, "http://c:4318/v1/traces", "http://c:4318"),
            (&[(COMMON, "https://c/up/")], HTTP, "https://c/up/v1/traces", "https://c/up"),
            (&[(COMMON, "http://c:4317")], GRPC, "http://c:4317", "http://c:4317"),
            (&[(COMMON, "http://c:4317/")], GRPC, "http://c:4317", "http://c:4317"),
            (&[(COMMON, "http://[::1]:4317")], GRPC, "http://[::1]:4317", "http://[::1]:4317"),
            (
                &[(COMMON, "http://c:4317"), (PROTOCOL, "http/protobuf")],
                HTTP,
                "http://c:4317/v1/traces",
                "http://c:4317",
            ),
            (&[(COMMON, "c:4317")], GRPC, "https://c:4317", "https://c:4317"),
            (&[(COMMON, "c:4317"), (INSECURE, "True")], GRPC, "http://c:4317", "http://c:4317"),
            (
                &[(COMMON, "https://c:4317"), (INSECURE, "true")],
                GRPC,
                "https://c:4317",
                "https://c:4317",
            ),
            (&[(TRACES, "http://t:1")], HTTP, "http://t:1/", LOCAL),
            (&[(TRACES, "http://t:1/a/?b")], HTTP, "http://t:1/a/?b", LOCAL),
            (
                &[(TRACES, "http://t:4317"), (COMMON, "http://c:4318")],
                GRPC,
                "http://t:4317",
                "http://c:4318",
            ),
        ];
        for (variables, protocol, traces_url, base_url) in cases {
            let otlp = with(variables).export.unwrap().otlp().unwrap().clone();
            let found = (otlp.protocol, otlp.traces_url.as_str(), otlp.base_url.as_str());
            assert_eq!(found, (protocol, traces_url, base_url), "{variables:?}");
        }
    }

    #[test]
    fn a_stronger_common_endpoint_takes_the_place_of_that_of_traces() {
        let variables = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t")];
        let flags = [("export.otlp.endpoint", "http://c")];
        let config = load(LEAST, &variables, &flags).unwrap();
        assert_eq!(
            config.warnings,
            ["export.otlp.traces_endpoint of OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is not used, \
              because --otlp sets export.otlp.endpoint"]
        );
        assert_eq!(effective(&config, "export.otlp.traces_endpoint").0, "");
        assert_eq!(config.export.unwrap().otlp().unwrap().traces_url, "http://c/v1/traces");
    }

    #[test]
    fn a_path_means_nothing_to_grpc() {
        let config = with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317/v1/traces")]);
        assert_eq!(
            config.warnings,
            [
                "the path of export.otlp.endpoint (OTEL_EXPORTER_OTLP_ENDPOINT) is not used, because \
              OTLP over gRPC has none"
            ]
        );
        assert_eq!(config.export.unwrap().otlp().unwrap().traces_url, "http://c:4317");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for bad in [
            "c",
            "ftp://c",
            "http://",
            "http://:1",
            "http://c:",
            "http://c:99999",
            "http://c:x",
            "/v1/traces",
            "http:/c",
            "http://c c",
            "://c",
        ] {
            let expected = format!(
                "SPANDREL_EXPORT_OTLP_ENDPOINT: expected a URL such as http://collector:4318, \
                 without a password, found `{bad}`"
            );
            assert_eq!(wrong_variables(&[("SPANDREL_EXPORT_OTLP_ENDPOINT", bad)]), expected);
        }
        assert_eq!(
            wrong_variables(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")]),
            "OTEL_EXPORTER_OTLP_ENDPOINT: expected http:// or https:// before the host for OTLP \
             over HTTP, found `collector:4318`"
        );
        assert_eq!(
            wrong_file("inbound.app: 8080\nexport.otlp:\n  endpoint: http://c/?a"),
            "spandrel.yaml:3: export.otlp.endpoint: expected a URL without a query, because \
             /v1/traces is added to it, found `http://c/?a`"
        );
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let error = wrong_variables(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:s3cret@c:4318")]);
        assert_eq!(
            error,
            "OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL such as http://collector:4318, without a \
             password, found one with an @"
        );
    }
}
