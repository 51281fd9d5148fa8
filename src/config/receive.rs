//! The settings of the receivers: where the application hands its own telemetry over.

use std::net::SocketAddr;

use super::destinations::OTLP;
use super::listeners;
use super::otlp::Endpoint;
use super::values::Values;
use crate::export::{Destination, Target};
use crate::receive::Config;

const OTLP_GRPC: &str = "receive.otlp_grpc";
const OTLP_HTTP: &str = "receive.otlp_http";
const JAEGER_COMPACT: &str = "receive.jaeger_compact";
const JAEGER_BINARY: &str = "receive.jaeger_binary";
const JAEGER_SAMPLING: &str = "receive.jaeger_sampling";

/// The receivers that are connected to.
pub(super) const OVER_TCP: [&str; 3] = [OTLP_GRPC, OTLP_HTTP, JAEGER_SAMPLING];
/// The receivers that packets are sent to.
pub(super) const OVER_UDP: [&str; 2] = [JAEGER_COMPACT, JAEGER_BINARY];

/// The receivers that the settings ask for; none where nothing is exported, since there is nowhere
/// to pass anything on to.
pub(super) fn of(values: &mut Values, is_enabled: bool) -> Config {
    for key in OVER_TCP.into_iter().chain(OVER_UDP) {
        if !is_enabled && values.is_set(key) {
            let origin = values.origin(key).clone();
            let text = format!("{key} ({origin}) is not used, because exporting is switched off");
            values.warn(text);
            values.unset(key);
        }
    }
    Config {
        otlp_grpc: values.address(OTLP_GRPC),
        otlp_http: values.address(OTLP_HTTP),
        jaeger_compact: values.address(JAEGER_COMPACT),
        jaeger_binary: values.address(JAEGER_BINARY),
        jaeger_sampling: values.address(JAEGER_SAMPLING),
    }
}

/// Refuses a receiver that is where spandrel itself sends to: everything would come back for ever.
pub(super) fn check_loop(values: &mut Values, receive: &Config, to: &Destination) {
    let Target::Otlp(otlp) = &to.target else { return };
    let endpoint = match to.name.as_str() {
        OTLP => format!("export.{OTLP}.endpoint"),
        name => format!("export.destinations.{name}.endpoint"),
    };
    let receivers: [(&str, Option<SocketAddr>); 2] =
        [(OTLP_GRPC, receive.otlp_grpc), (OTLP_HTTP, receive.otlp_http)];
    for (key, address) in receivers {
        let urls = [&otlp.traces_url, &otlp.base_url];
        let is_own = |url: &&String| {
            let collector = Endpoint::parse(url).and_then(|endpoint| endpoint.place());
            address.zip(collector).is_some_and(|(a, c)| listeners::is_same_place(a, &c))
        };
        if let Some(url) = urls.into_iter().find(is_own) {
            let text = format!(
                "expected another address than that of the collector, {url}: set \
                 {endpoint} to where telemetry is to go on to"
            );
            values.refuse(key, &text);
        }
    }
}

/// Warns of metrics and logs that are received while nothing takes them.
pub(super) fn check_takers<'d>(values: &mut Values, to: impl IntoIterator<Item = &'d Destination>) {
    let takes_spans_alone = |to: &Destination| matches!(to.target, Target::Zipkin(_));
    if !to.into_iter().all(takes_spans_alone) {
        return;
    }
    for key in [OTLP_GRPC, OTLP_HTTP] {
        if values.is_set(key) {
            let origin = values.origin(key).clone();
            let text = format!(
                "metrics and logs that come to {key} ({origin}) are thrown away, because Zipkin \
                 takes none: name a destination under export.destinations that does"
            );
            values.warn(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{LEAST, load, with, wrong_file};
    use super::*;

    #[test]
    fn nothing_is_received_unless_it_is_set() {
        assert_eq!(with(&[]).receive, Config::default());
        let yaml = format!("{LEAST}receive.jaeger_compact: 127.0.0.1:6831\n");
        let receive = load(&yaml, &[], &[]).unwrap().receive;
        let jaeger_compact = Some("127.0.0.1:6831".parse().unwrap());
        assert_eq!(receive, Config { jaeger_compact, ..Config::default() });
    }

    #[test]
    fn what_is_received_while_nothing_is_exported_is_warned_of() {
        let yaml = format!("{LEAST}export.enabled: false\nreceive.otlp_http: 127.0.0.1:4318\n");
        let config = load(&yaml, &[], &[]).unwrap();
        assert_eq!(config.receive, Config::default());
        assert_eq!(
            config.warnings,
            ["receive.otlp_http (spandrel.yaml:3) is not used, because exporting is switched off"]
        );
    }

    #[test]
    fn each_receiver_has_an_address_of_its_own() {
        for (taken, key, other) in [
            ("127.0.0.1:16006", "otlp_grpc", "inbound.listen"),
            ("127.0.0.1:16000", "jaeger_sampling", "admin.listen"),
            ("0.0.0.0:7", "otlp_http", "receive.otlp_grpc"),
            ("0.0.0.0:8", "jaeger_binary", "receive.jaeger_compact"),
        ] {
            let mut addresses =
                vec![("otlp_grpc", "127.0.0.1:7"), ("jaeger_compact", "127.0.0.1:8")];
            addresses.retain(|(name, _)| *name != key);
            addresses.push((key, taken));
            let lines: String = addresses.iter().map(|(k, a)| format!("  {k}: {a}\n")).collect();
            let line = 2 + addresses.len();
            assert_eq!(
                wrong_file(&format!("{LEAST}receive:\n{lines}")),
                format!(
                    "spandrel.yaml:{line}: receive.{key}: expected an address of its own, found \
                     that of {other}"
                )
            );
        }
        // Packets and connections do not meet.
        let yaml =
            format!("{LEAST}receive: {{otlp_grpc: 127.0.0.1:7, jaeger_compact: 127.0.0.1:7}}\n");
        assert!(load(&yaml, &[], &[]).is_ok());
    }

    #[test]
    fn what_is_received_never_goes_to_the_receiver_itself() {
        for (yaml, key, url) in [
            ("receive.otlp_http: 127.0.0.1:4318", OTLP_HTTP, "http://localhost:4318/v1/traces"),
            ("receive.otlp_grpc: 0.0.0.0:4318", OTLP_GRPC, "http://localhost:4318/v1/traces"),
            (
                "export.otlp.traces_endpoint: http://127.0.0.1:4317\nreceive.otlp_grpc: 127.0.0.1:4317",
                OTLP_GRPC,
                "http://127.0.0.1:4317",
            ),
        ] {
            let error = wrong_file(&format!("{LEAST}{yaml}\n"));
            let expected = format!(
                "{key}: expected another address than that of the collector, {url}: set \
                 export.otlp.endpoint to where telemetry is to go on to"
            );
            assert!(error.ends_with(&expected), "{error}");
        }
        let elsewhere =
            "export.otlp.endpoint: http://collector:4318\nreceive.otlp_http: 127.0.0.1:4318\n";
        assert!(load(&format!("{LEAST}{elsewhere}"), &[], &[]).is_ok());
    }

    #[test]
    fn what_no_destination_takes_is_warned_of() {
        let of = |rest: &str| {
            let yaml = format!(
                "{LEAST}receive.otlp_http: 127.0.0.1:7\nexport:\n  otlp.enabled: false\n  \
                 destinations:\n    zipkin: {{type: zipkin}}\n{rest}"
            );
            load(&yaml, &[], &[]).unwrap().warnings
        };
        assert_eq!(
            of(""),
            ["metrics and logs that come to receive.otlp_http (spandrel.yaml:2) are thrown away, \
              because Zipkin takes none: name a destination under export.destinations that does"]
        );
        assert_eq!(of("    lines: {type: file, path: '-'}\n"), [""; 0]);
    }

    #[test]
    fn rules_spare_what_the_application_sends_to_a_receiver() {
        let yaml = "inbound.mode: redirect\nreceive: {otlp_grpc: 127.0.0.1:4317, jaeger_binary: 127.0.0.1:6832}\n";
        let ports = load(yaml, &[], &[]).unwrap().redirect.inbound.unwrap().own_ports;
        assert_eq!(ports, [4317, 16_000, 16_006]);
    }
}
