use std::time::Duration;

use proptest::prelude::*;

use super::settings::{SETTINGS, Setting};
use super::testing::{LEAST, effective, environment, load, parts, with, wrong_file};
use super::*;
use crate::proxy::{InboundMode, OutboundMode};

const EXAMPLE: &str = include_str!("../../config/spandrel.yaml");

#[test]
fn the_defaults_of_the_table_are_those_of_the_modules() {
    let config = with(&[]);
    let inbound = config.proxy.inbound.clone().unwrap();
    assert_eq!(inbound.listen, "0.0.0.0:16006".parse().unwrap());
    let app = crate::proxy::Authority { host: "127.0.0.1".into(), port: 8080 };
    assert_eq!(inbound.mode, InboundMode::Explicit(app));
    assert_eq!(inbound.protocols, crate::proxy::Protocols::default());
    assert_eq!(config.proxy.outbound, None);
    assert_eq!(config.proxy.workers, 1);
    assert_eq!(config.proxy.limits, crate::proxy::Limits::default());
    let tracing = format!("{:?}", crate::proxy::Tracing::default());
    assert_eq!(format!("{:?}", config.proxy.tracing), tracing);
    let export = config.export.clone().unwrap();
    assert_eq!(export.otlp(), Some(&crate::export::Otlp::default()));
    assert_eq!(export.batch, crate::export::Batch::default());
    assert_eq!(export.queue, crate::export::Queue::default());
    assert_eq!((export.spool, export.canary), (None, false));
    assert_eq!(config.receive, crate::receive::Config::default());
    assert_eq!(export.resource, crate::trace::resource::Resource::new(None, &[]));
    assert_eq!(config.telemetry, crate::telemetry::Config::default());
    assert_eq!(config.admin.listen, "127.0.0.1:16000".parse().unwrap());
    assert_eq!(config.admin.metrics_listen, None);
    assert_eq!(config.drain_timeout, Duration::from_secs(25));
    assert_eq!(config.flush_timeout, Duration::from_secs(5));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn every_source_overrides_the_weaker_ones_and_is_named() {
    let file = "service: {name: file}\ninbound: {app: 8080}\n";
    let otel = ("OTEL_SERVICE_NAME", "otel");
    let own = ("SPANDREL_SERVICE_NAME", "own");
    let flag = ("service.name", "flag");
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], [&'a str; 2]);
    let cases: [Case<'_>; 6] = [
        (LEAST, &[], &[], ["", "default"]),
        (file, &[], &[], ["file", "spandrel.yaml:1"]),
        (file, &[otel], &[], ["otel", "OTEL_SERVICE_NAME"]),
        (file, &[otel, own], &[], ["own", "SPANDREL_SERVICE_NAME"]),
        (file, &[otel, own], &[flag], ["flag", "--service"]),
        (LEAST, &[own, otel], &[], ["own", "SPANDREL_SERVICE_NAME"]),
    ];
    for (file, variables, flags, [value, origin]) in cases {
        let config = load(file, variables, flags).unwrap();
        let found = effective(&config, "service.name");
        assert_eq!(found, (value.to_owned(), origin.to_owned()));
        let name = config.export.unwrap().resource.service_name().to_owned();
        assert_eq!(name, if value.is_empty() { "unknown_service" } else { value });
    }
}

#[test]
fn every_setting_can_be_set_by_its_own_variable_and_by_the_file() {
    for setting in SETTINGS {
        let key = setting.key.replace('*', "x");
        let (value, written) = sample_of(&key);
        let variable = setting.variable().replace('*', "X");
        let mut variables = vec![(variable.as_str(), value)];
        let kind = *setting.types.first().unwrap_or(&"otlp");
        let others: &[(&str, &str)] = match key.as_str() {
            "export.otlp.enabled" => &[("SPANDREL_EXPORT_DESTINATIONS_X_TYPE", "otlp")],
            "export.destinations.x.type" => &[],
            "export.destinations.x.client_key" => &[
                ("SPANDREL_EXPORT_DESTINATIONS_X_TYPE", "otlp"),
                ("SPANDREL_EXPORT_DESTINATIONS_X_CLIENT_CERTIFICATE", "c"),
            ],
            "export.destinations.x.client_certificate" => &[
                ("SPANDREL_EXPORT_DESTINATIONS_X_TYPE", "otlp"),
                ("SPANDREL_EXPORT_DESTINATIONS_X_CLIENT_KEY", "k"),
            ],
            "export.destinations.x.path" => &[("SPANDREL_EXPORT_DESTINATIONS_X_TYPE", "file")],
            key if key.starts_with("export.destinations") => &[
                ("SPANDREL_EXPORT_DESTINATIONS_X_TYPE", kind),
                ("SPANDREL_EXPORT_DESTINATIONS_X_PATH", "/spans"),
            ][..if kind == "file" { 2 } else { 1 }],
            "export.otlp.client_key" => &[("SPANDREL_EXPORT_OTLP_CLIENT_CERTIFICATE", "c.pem")],
            "export.otlp.client_certificate" => &[("SPANDREL_EXPORT_OTLP_CLIENT_KEY", "k.pem")],
            key if key.starts_with("inbound") && key != "inbound.app" && key != "inbound.mode" => {
                &[("SPANDREL_INBOUND_APP", "8080")]
            }
            _ => &[],
        };
        variables.extend(others);
        let least = if setting.key.starts_with("inbound") { "" } else { LEAST };
        let config = load(least, &variables, &[]).unwrap();
        assert_eq!(effective(&config, &key), (written.to_owned(), variable.clone()));
        let dotted = format!("{key}: {written}\n").replace("REDACTED", "secret");
        let config = load(&format!("{least}{dotted}"), &variables[1..], &[]).unwrap();
        let (found, origin) = effective(&config, &key);
        assert_eq!(found, written);
        assert!(origin.starts_with("spandrel.yaml:"), "{key} {origin}");
    }
}

/// A value that is not the default, as a variable writes it and as it is printed.
fn sample_of(key: &str) -> (&'static str, &'static str) {
    let here = ["export.otlp.", "export.destinations.x."];
    if let Some(name) = here.into_iter().find_map(|prefix| key.strip_prefix(prefix)) {
        return sample_of_destination(name);
    }
    match key {
        key if key.starts_with("export.") => sample_of_export(key),
        "service.name" => ("null", "\"null\""),
        "service.resource" => ("a.b=c%2Cd,e=", "{a.b: \"c,d\", e: \"\"}"),
        "workers" => ("2", "2"),
        "inbound.listen" => ("[::1]:7", "\"[::1]:7\""),
        "inbound.app" => ("orders.shop:80", "orders.shop:80"),
        "inbound.mode" | "outbound.mode" => ("redirect", "redirect"),
        "inbound.http_ports"
        | "inbound.opaque_ports"
        | "outbound.http_ports"
        | "outbound.opaque_ports" => ("80,8080", "[80, 8080]"),
        "redirect.mark" | "redirect.uid" | "redirect.gid" | "redirect.route_table" => ("7", "7"),
        "redirect.families" => ("ipv4", "[ipv4]"),
        key if key.ends_with("clude_ports") => ("1-2,80", "[1-2, 80]"),
        key if key.ends_with("clude_cidrs") => ("10.0.0.0/8", "[10.0.0.0/8]"),
        key if key.ends_with("clude_interfaces") => ("eth0", "[eth0]"),
        key if key.ends_with("clude_uids") || key.ends_with("clude_gids") => ("7", "[7]"),
        "outbound.listen"
        | "metrics.listen"
        | "admin.listen"
        | "receive.otlp_grpc"
        | "receive.otlp_http"
        | "receive.jaeger_compact"
        | "receive.jaeger_binary"
        | "receive.jaeger_sampling" => ("127.0.0.1:7", "127.0.0.1:7"),
        "spans.routes" => ("/a/{b}, /c", "[\"/a/{b}\", /c]"),
        "spans.query_values" => ("keep", "keep"),
        "spans.baggage_keys" => ("a", "[a]"),
        "spans.health_check_paths" => ("/a", "[/a]"),
        "spans.health_check_user_agents" => ("x y", "[\"x y\"]"),
        "propagation.propagators" => ("none", "[none]"),
        "propagation.random_flag" | "logs.otlp" | "metrics.otlp" => ("true", "true"),
        "propagation.trust_zone" => ("10.0.0.0/8, fe80::/10,.svc", "[10.0.0.0/8, fe80::/10, .svc]"),
        "propagation.join_keys" => ("x-call-id", "[x-call-id]"),
        "tenants.header" => ("X-Org", "x-org"),
        "tenants.default" => ("acme", "acme"),
        "tenants.max_length" => ("7", "7"),
        "sampling.sampler" => ("traceidratio", "traceidratio"),
        "sampling.ratio" => ("0.25", "0.25"),
        "spans.connections" => ("false", "false"),
        "limits.header_bytes" => ("8192", "8KiB"),
        "limits.header_count"
        | "limits.connections"
        | "limits.requests"
        | "limits.streams"
        | "limits.pending_resets"
        | "limits.error_resets"
        | "limits.continuations" => ("9", "9"),
        "logs.filter" => ("spandrel=debug,info", "\"spandrel=debug,info\""),
        "logs.format" => ("json", "json"),
        _ => ("90000ms", "90s"),
    }
}

/// The same for what all destinations share.
fn sample_of_export(key: &str) -> (&'static str, &'static str) {
    match key {
        "export.enabled" => ("false", "false"),
        "export.canary" => ("true", "true"),
        "export.proxy.http" | "export.proxy.https" | "export.proxy.all" => ("proxy:1", "proxy:1"),
        "export.proxy.bypass" => ("a,.b", "[a, .b]"),
        "export.queue.max_bytes" => ("9437184", "9MiB"),
        "export.queue.when_full" => ("drop_newest", "drop_newest"),
        "export.spool.directory" => ("/a b", "\"/a b\""),
        "export.spool.max_bytes" | "export.spool.replay_rate" => ("2MiB", "2MiB"),
        "export.batch.max_queue_size" | "export.batch.max_export_batch_size" => ("99", "99"),
        "export.spool.sync" => ("0s", "0s"),
        _ => ("90000ms", "90s"),
    }
}

/// The same for a setting of a destination.
fn sample_of_destination(name: &str) -> (&'static str, &'static str) {
    match name {
        "enabled" => ("false", "false"),
        "insecure" => ("true", "true"),
        "type" => ("zipkin", "zipkin"),
        "endpoint" => ("https://c", "https://c"),
        "traces_endpoint" => ("http://c/x", "http://c/x"),
        "protocol" => ("grpc", "grpc"),
        "headers" => ("X-Key=a%20b", "{x-key: REDACTED}"),
        "compression" => ("gzip", "gzip"),
        "max_bytes" => ("2MiB", "2MiB"),
        "max_files" => ("9", "9"),
        "filter.attributes" => ("a=b|c", "{a: \"b|c\"}"),
        "filter.tenants" => ("acme", "[acme]"),
        "timeout" => ("90000ms", "90s"),
        _ => ("/a b.pem", "\"/a b.pem\""),
    }
}

#[test]
fn the_effective_configuration_is_itself_a_valid_file() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "TRUE"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "k=REDACTED"),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=a%3Db,quote=%22%5C%0A%C3%A9: #"),
        ("SPANDREL_SPANS_ROUTES", "/a/{b},/c/{*d}"),
        ("SPANDREL_EXPORT_BATCH_MAX_QUEUE_SIZE", "100"),
        ("SPANDREL_LIMITS_DRAIN_TIMEOUT", "0s"),
        ("SPANDREL_LIMITS_HEADER_BYTES", "9000"),
    ];
    let outbound_only = "outbound: {listen: 127.0.0.1:16001}\n";
    for (file, variables, flags) in [
        (LEAST, &[][..], &[][..]),
        (LEAST, &variables, &[("outbound.listen", "127.0.0.1:16001")]),
        (outbound_only, &variables, &[("service.name", "- odd: \"name\"")]),
        (
            LEAST,
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t")],
            &[("export.otlp.endpoint", "http://c")],
        ),
        (LEAST, &[("OTEL_SDK_DISABLED", "true"), ("SPANDREL_METRICS_OTLP", "true")], &[]),
    ] {
        let config = load(file, variables, flags).unwrap();
        let printed = config.effective.to_string();
        let again = load(&printed, &[], &[]).unwrap_or_else(|e| panic!("{e}\n{printed}"));
        assert_eq!(parts(&config), parts(&again), "{printed}");
    }
}

#[test]
fn the_printed_configuration_names_origins_and_hides_secrets() {
    let file = "inbound:\n  app: 8080\nexport:\n  otlp:\n    headers: {authorization: s3cret}\n";
    let printed = load(file, &[("OTEL_SERVICE_NAME", "orders")], &[("workers", "2")]).unwrap();
    let printed = printed.effective.to_string();
    for line in [
        "service:",
        "  name: orders                                           # OTEL_SERVICE_NAME",
        "workers: 2                                               # --workers",
        "  listen: 0.0.0.0:16006                                  # default",
        "  app: 127.0.0.1:8080                                    # spandrel.yaml:2",
        "  # listen: not set",
        "    headers: {authorization: REDACTED}                   # spandrel.yaml:5",
    ] {
        assert!(printed.lines().any(|l| l == line), "{line} is missing from\n{printed}");
    }
    assert!(!printed.contains("s3cret"));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let nothing = "nothing to proxy: give --inbound ADDR --app ADDR for requests to the \
                   application, or --outbound ADDR for those it makes, or inbound.mode and \
                   outbound.mode redirect";
    for (file, expected) in [
        ("", nothing),
        (
            "inbound: {listen: \"0.0.0.0:1\"}",
            "spandrel.yaml:1: inbound.listen: this needs inbound.app too: give --app ADDR, where \
             the application listens, or inbound.mode redirect",
        ),
        (
            "inbound: {app: 16006}",
            "spandrel.yaml:1: inbound.app: expected where the application listens, found \
             spandrel's own inbound listener",
        ),
        (
            "inbound: {app: 8080}\nadmin: {listen: \"127.0.0.1:16006\"}",
            "spandrel.yaml:2: admin.listen: expected an address of its own, found that of \
             inbound.listen",
        ),
        (
            "inbound: {app: 8080}\nexport.batch: {max_queue_size: 9, max_export_batch_size: 10}",
            "spandrel.yaml:2: export.batch.max_export_batch_size: expected at most \
             export.batch.max_queue_size, which is 9, found 10",
        ),
        (
            "inbound: {app: 8080}\ntenants: {default: acme, max_length: 3}",
            "spandrel.yaml:2: tenants.default: expected at most tenants.max_length bytes, which \
             is 3",
        ),
        (
            "inbound: {app: 8080}\npropagation: {join_keys: [a, b, c, d, e, f, g, h, A, i]}",
            "spandrel.yaml:2: propagation.join_keys: expected at most 8 headers, found 9",
        ),
        (
            "inbound: {app: 8080}\npropagation: {join_keys: [x-call, host]}",
            "spandrel.yaml:2: propagation.join_keys: expected a list of which each item is a header \
             name that no protocol relies on, found `host`",
        ),
        (
            "inbound: {app: 8080}\nspans: {routes: [\"/a/{b}\", \"/a/{c}\"]}",
            "spandrel.yaml:2: spans.routes: the route `/a/{c}` cannot be used: Insertion failed \
             due to conflict with previously registered route: /a/{b}",
        ),
        (
            "inbound: {app: 8080}\npropagation: {propagators: [none, baggage]}",
            "spandrel.yaml:2: propagation.propagators: expected `none` by itself, found it beside \
             others",
        ),
        (
            "inbound: {app: 8080}\nexport.otlp:\n  client_key: k.pem",
            "spandrel.yaml:3: export.otlp.client_key: this needs export.otlp.client_certificate \
             too, set both or neither",
        ),
    ] {
        assert_eq!(wrong_file(file), expected);
    }
}

#[test]
fn every_problem_is_told_at_once_up_to_a_bound() {
    let file = "workers: 0\nadmin: {listen: here}\nlimit: {streams: 1}\n";
    let error =
        load(file, &[("SPANDREL_LOGS_FORMAT", "xml")], &[("inbound.app", "x")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "spandrel.yaml:3: limit: unknown key, did you mean `limits`?\n\
         spandrel.yaml:1: workers: expected a whole number from 1 to 64, found `0`\n\
         --app: expected a host and a port such as 127.0.0.1:8080, found `x`\n\
         SPANDREL_LOGS_FORMAT: expected text or json, found `xml`\n\
         spandrel.yaml:2: admin.listen: expected an address such as 127.0.0.1:16006, found `here`"
    );
    let many: String = (0..60).map(|n| format!("unknown{n}: 1\n")).collect();
    let error = load(&many, &[], &[]).unwrap_err();
    assert_eq!(error.problems().len(), 50);
    assert!(error.to_string().ends_with("\nand 10 more problems"));
}

#[test]
fn a_small_queue_makes_small_batches_unless_they_were_asked_for() {
    let config = with(&[("OTEL_BSP_MAX_QUEUE_SIZE", "100")]);
    assert_eq!(config.export.unwrap().batch.max_export_batch_size, 100);
}

#[test]
fn what_has_no_effect_is_warned_of() {
    let config = with(&[("OTEL_TRACES_SAMPLER_ARG", "0.5"), ("SPANDREL_LOGS_OTLP", "true")]);
    assert_eq!(
        config.warnings,
        [
            "sampling.ratio (OTEL_TRACES_SAMPLER_ARG) is not used, because parentbased_always_on takes none"
        ]
    );
    assert!(config.telemetry.logs_to_otlp);
    let config = with(&[("OTEL_TRACES_EXPORTER", "none"), ("SPANDREL_LOGS_OTLP", "true")]);
    assert_eq!(config.warnings, ["logs.otlp is not used, because exporting is switched off"]);
    assert!(!config.telemetry.logs_to_otlp);
}

#[test]
fn an_unknown_flag_is_a_problem_and_no_panic() {
    let error = load(LEAST, &[], &[("worker", "1")]).unwrap_err();
    assert_eq!(error.to_string(), "worker: unknown key, did you mean `workers`?");
}

#[test]
fn the_example_is_valid_and_holds_the_defaults() {
    let config = load(EXAMPLE, &[], &[]).unwrap();
    assert_eq!(parts(&config), parts(&with(&[])));
    assert_eq!(config.warnings, Vec::<String>::new());
}

/// The lines of the example that are settings, or would be without their `#`, with their indent.
/// A comment may hold several lines of settings, of which the inner ones stand further in.
fn example_keys() -> impl Iterator<Item = (usize, &'static str)> {
    EXAMPLE.lines().filter_map(|line| {
        let body = line.trim_start();
        let outer = line.len() - body.len();
        let text = body.strip_prefix("# ").unwrap_or(body);
        let inner = text.trim_start();
        let (name, _) = inner.split_once(':')?;
        let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        (is_name && !name.is_empty()).then_some((outer + text.len() - inner.len(), inner))
    })
}

#[test]
fn the_example_holds_every_key_and_no_other() {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut keys: Vec<&str> = Vec::new();
    for (indent, text) in example_keys() {
        let name = text.split(':').next().unwrap_or_default();
        open.retain(|(outer, _)| *outer < indent);
        open.push((indent, name));
        let key = open.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(".");
        let setting = Setting::find(&key).map(|setting| setting.key);
        assert!(setting.is_some() || settings::is_group(&key), "there is no {key}");
        keys.extend(setting.filter(|key| keys.last() != Some(key)));
    }
    // Of the family each example shows some; the rest has its order.
    for setting in SETTINGS.iter().filter(|setting| setting.is_family()) {
        assert!(keys.contains(&setting.key), "{} is missing", setting.key);
    }
    keys.retain(|key| !key.contains('*'));
    let alone = SETTINGS.iter().filter(|setting| !setting.is_family());
    assert_eq!(keys, alone.map(|setting| setting.key).collect::<Vec<_>>());
}

#[test]
fn the_example_is_valid_with_everything_uncommented() {
    let mut uncommented: Vec<String> = Vec::new();
    let name = |text: &str| text.trim_start().split(':').next().unwrap_or_default().to_owned();
    for (indent, text) in example_keys() {
        let line = format!("{:indent$}{text}", "");
        // The empty default below a commented example gives way to it.
        if uncommented.last().map(|last| name(last)) != Some(name(&line)) {
            uncommented.push(line);
        }
        // Values that go on in the next line.
        if text.ends_with(',') {
            let rest = EXAMPLE.split(text).nth(1).and_then(|rest| rest.lines().nth(1));
            uncommented.extend(rest.map(str::to_owned));
        }
    }
    let config = load(&uncommented.join("\n"), &[], &[]).unwrap();
    for entry in &config.effective.entries {
        let is_shown = !entry.setting.is_family() || entry.origin != Origin::Default;
        assert!(entry.value.is_some() || !is_shown, "{} has no value", entry.key);
        assert!(entry.origin != Origin::Default || !is_shown, "{} is not set", entry.key);
    }
}

#[test]
fn the_example_tells_the_variables_and_the_flag_of_each_key() {
    for setting in SETTINGS {
        // Those of the family are told by a rule.
        let own = Some(setting.variable()).filter(|_| !setting.is_family());
        let all = setting.shared.iter().copied().chain(own.as_deref()).chain(setting.flag);
        for name in all {
            let is_told = EXAMPLE.split([' ', ',', '.', '\n']).any(|word| word == name);
            assert!(is_told, "{name} of {} is missing", setting.key);
        }
    }
    assert!(EXAMPLE.contains("SPANDREL_EXPORT_DESTINATIONS_ARCHIVE_PATH"));
}

fn yaml_text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "inbound", "app", "export", "otlp", "headers", "service", "resource", "spans", "routes",
        "workers", ": ", ":\n", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ", ", "'", "\"",
        "|", ">", "&a ", "*a", "!t ", "? ", "#", "---\n", "...\n", "%", "~", "\t", "\\", "8080",
        "/x", "é", "\u{feff}", "\r\n", "@", "`", "<<: ", "\0",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat()),
        prop::collection::vec(any::<u8>(), 0..200)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_whatsoever_makes_the_file_panic(text in yaml_text()) {
        for file in [format!("{LEAST}{text}"), text] {
            if let Err(error) = load(&file, &[], &[]) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn no_value_whatsoever_makes_a_variable_panic(
        at in 0..1_000_usize,
        text in prop_oneof![any::<String>(), "[-+.:/%=,;0-9a-z@\\[\\]{}*]{0,24}"],
    ) {
        let names = SETTINGS.iter().flat_map(|s| s.shared.iter().map(|n| (*n).to_owned()).chain([s.variable()]));
        let names: Vec<String> = names.collect();
        let name = &names[at % names.len()];
        let name = name.replace('*', "X");
        let of_type = ("SPANDREL_EXPORT_DESTINATIONS_X_TYPE", ["otlp", "zipkin", "file"][at % 3]);
        let path = ("SPANDREL_EXPORT_DESTINATIONS_X_PATH", "-");
        let mut variables = vec![(name.as_str(), text.as_str())];
        if name.contains("_X_") {
            let more = if at % 3 == 2 { &[of_type, path][..] } else { &[of_type] };
            variables.extend(more.iter().filter(|(other, _)| *other != name));
        }
        let Ok(config) = load(LEAST, &variables, &[]) else { return Ok(()) };
        // What was accepted is printed so that it is accepted again and means the same.
        let printed = config.effective.to_string();
        let again = load(&printed, &[], &[]);
        prop_assert!(again.is_ok(), "{printed}\n{:?}", again.err());
        if !printed.contains("REDACTED") {
            prop_assert_eq!(parts(&config), parts(&again.unwrap()));
        }
    }

    #[test]
    fn no_name_whatsoever_makes_the_environment_panic(name in any::<String>(), value in any::<String>()) {
        let variable = format!("SPANDREL_{name}");
        let loaded = Config::load(None, &environment(&[(&variable, &value)]), &[]);
        prop_assert!(loaded.is_err(), "nothing was said of what to proxy");
    }
}

#[test]
fn a_redirected_side_needs_no_address() {
    let config = load("inbound.mode: redirect\noutbound.mode: redirect\n", &[], &[]).unwrap();
    let (inbound, outbound) = (config.proxy.inbound.unwrap(), config.proxy.outbound.unwrap());
    assert_eq!((inbound.mode, outbound.mode), (InboundMode::Redirect, OutboundMode::Redirect));
    assert_eq!(inbound.listen, "[::]:16006".parse().unwrap());
    assert_eq!(outbound.listen, "[::]:16001".parse().unwrap());

    let yaml = "inbound: {mode: tproxy, listen: '0.0.0.0:9', opaque_ports: [3306]}\n\
                redirect: {mark: 5, families: [ipv4]}\n";
    let config = load(yaml, &[], &[]).unwrap();
    let inbound = config.proxy.inbound.unwrap();
    assert_eq!(inbound.mode, InboundMode::Tproxy { mark: 5 });
    assert_eq!(inbound.listen, "0.0.0.0:9".parse().unwrap());
    assert_eq!(inbound.protocols.opaque, [3306]);
    assert_eq!(config.proxy.outbound, None);
}

#[test]
fn an_application_beside_redirection_is_warned_of() {
    let config = load("inbound: {mode: redirect, app: 8080}\n", &[], &[]).unwrap();
    let [warning] = &config.warnings[..] else { panic!("{:?}", config.warnings) };
    assert!(warning.starts_with("inbound.app (spandrel.yaml:1) is not used"), "{warning}");
    assert_eq!(config.proxy.inbound.unwrap().mode, InboundMode::Redirect);
}

#[test]
fn a_port_has_one_protocol() {
    let yaml = "outbound: {mode: redirect, http_ports: [80, 81], opaque_ports: [81]}\n";
    let error = load(yaml, &[], &[]).unwrap_err().to_string();
    assert!(error.contains("outbound.opaque_ports: expected ports that are not in"), "{error}");
}
