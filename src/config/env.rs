//! The environment: which variables give which settings.
//!
//! An empty variable counts as unset. Variables of our own that no setting has are refused, since
//! they are misspelt; those of OpenTelemetry and those for proxies are shared with other programs,
//! and are refused only where ignoring one would surprise its author.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::exporters::{self, Exporter};
use super::problem::{ConfigError, Origin};
use super::settings::{self, SETTINGS, Setting, VARIABLE_PREFIX};
use super::value::{Kind, Raw, quoted, shortened};
use super::values::Given;

/// Variables by their names.
pub type Environment = BTreeMap<String, OsString>;

/// How the variables of OpenTelemetry begin.
const OTEL_PREFIX: &str = "OTEL_";

/// Variables of OpenTelemetry that ask for what spandrel does not do, and what to use instead.
const UNSUPPORTED: [(&str, &str); 2] = [
    ("OTEL_CONFIG_FILE", "this file is not read, use --config with a file of spandrel's own"),
    (
        "OTEL_EXPERIMENTAL_CONFIG_FILE",
        "this file is not read, use --config with a file of spandrel's own",
    ),
];

/// The variables of this process that can be settings: the only place that reads them.
#[must_use]
pub fn from_process() -> Environment {
    let is_shared = |name: &str| SETTINGS.iter().any(|setting| setting.shared.contains(&name));
    let is_ours = |name: &str| {
        name.starts_with(VARIABLE_PREFIX) || name.starts_with(OTEL_PREFIX) || is_shared(name)
    };
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| is_ours(name))
        .collect()
}

/// What the environment gives, and whom it warns.
pub(super) fn read(
    environment: &Environment,
    problems: &mut ConfigError,
    warnings: &mut Vec<String>,
) -> Vec<Given> {
    refuse_unknown(environment, problems);
    for (name, instead) in UNSUPPORTED {
        if environment.get(name).is_some_and(|value| !value.is_empty()) {
            problems.push(format!("{name}: {instead}"));
        }
    }
    let mut given: Vec<Given> =
        environment.keys().filter_map(|variable| from_spandrel(variable, environment)).collect();
    for setting in SETTINGS.iter().filter(|setting| !setting.is_family()) {
        let mut variables = setting.shared.iter();
        let found = variables.find_map(|name| from_shared(setting, name, environment, warnings));
        given.extend(found);
    }
    given.extend(from_exporters(environment, warnings));
    given
}

fn refuse_unknown(environment: &Environment, problems: &mut ConfigError) {
    let ours = environment.iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX));
    for (name, _) in ours.filter(|(name, value)| !value.is_empty() && !is_service_link(name, value))
    {
        if settings::by_variable(name).is_none() {
            let meant = settings::suggestion(name, settings::variables(name));
            let name = shortened(name);
            problems.push(format!("{name}: unknown variable{meant}"));
        }
    }
}

/// Whether Kubernetes sets this variable for a service whose name begins with `spandrel`: it gives
/// every pod of the namespace `SPANDREL_SERVICE_HOST`, `SPANDREL_PORT=tcp://10.0.0.1:80`,
/// `SPANDREL_PORT_80_TCP` and their like, and none of those may keep a sidecar from starting.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let has_number = |rest: &str| {
        rest.strip_prefix('_').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let is_url = value.to_str().is_some_and(|value| value.contains("://"));
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_url)
        || name.split("_PORT").skip(1).any(has_number)
}

/// The text of a variable that is set.
fn text_of(name: &str, environment: &Environment) -> Option<Result<String, String>> {
    let value = environment.get(name).filter(|value| !value.is_empty())?;
    Some(value.to_str().map(str::to_owned).ok_or_else(|| "the value is not UTF-8".to_owned()))
}

fn from_spandrel(variable: &str, environment: &Environment) -> Option<Given> {
    let (key, setting) = settings::by_variable(variable)?;
    let text = text_of(variable, environment)?;
    let raw = text.and_then(|text| setting.kind.split(&text));
    Some(Given { key, setting, raw, origin: Origin::Spandrel(variable.to_owned()) })
}

/// The destinations that stand for exporters, with what their own variables say.
fn from_exporters(environment: &Environment, warnings: &mut Vec<String>) -> Vec<Given> {
    let mut given = Vec::new();
    let text = text_of(exporters::VARIABLE, environment).and_then(Result::ok);
    // What is wrong with the variable is told once, where it switches exporting on or off.
    let chosen = text.and_then(|text| exporters::chosen(text.trim()).ok()).unwrap_or_default();
    let family = |name: &str| settings::keys(&[name.to_owned()]).into_iter();
    for (name, part, text) in chosen.iter().flat_map(|exporter| exporter.as_destination()) {
        let own =
            family(name).find(|(key, _)| *key == format!("export.destinations.{name}.{part}"));
        let origin = Origin::Shared(exporters::VARIABLE);
        let raw = Ok(Raw::One((*text).to_owned()));
        given.extend(own.map(|(key, setting)| Given { key, setting, raw, origin }));
    }
    if chosen.contains(&Exporter::Zipkin) {
        for (key, setting) in family("zipkin").filter(|(_, setting)| setting.is_family()) {
            let mut own = setting.shared.iter().filter(|name| **name != exporters::VARIABLE);
            let found = own.find_map(|name| from_shared(setting, name, environment, warnings));
            given.extend(found.map(|given| Given { key, ..given }));
        }
    }
    given
}

fn from_shared(
    setting: &'static Setting,
    variable: &'static str,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Option<Given> {
    let raw = match text_of(variable, environment)? {
        Ok(text) => shared_value(setting, variable, text.trim(), warnings)?,
        Err(problem) => Err(problem),
    };
    Some(Given { key: setting.key.to_owned(), setting, raw, origin: Origin::Shared(variable) })
}

/// What the text of a shared variable says in the way of the file; `None` for nothing.
fn shared_value(
    setting: &Setting,
    variable: &str,
    text: &str,
    warnings: &mut Vec<String>,
) -> Option<Result<Raw, String>> {
    let one = |text: &str| Some(Ok(Raw::One(text.to_owned())));
    let kind = setting.kind;
    match (variable, kind) {
        ("OTEL_SDK_DISABLED", _) => is_true(variable, text, warnings).then(|| one("false"))?,
        (exporters::VARIABLE, _) => match (setting.key, exporters::chosen(text)) {
            ("export.enabled", chosen) => {
                Some(chosen.map(|chosen| Raw::One((!chosen.is_empty()).to_string())))
            }
            (_, Ok(chosen)) if !chosen.is_empty() => {
                one(&chosen.contains(&Exporter::Otlp).to_string())
            }
            _ => None,
        },
        (_, Kind::Bool) => one(if is_true(variable, text, warnings) { "true" } else { "false" }),
        (_, Kind::Duration(min, max)) => {
            let time: Option<u64> = text.parse().ok().filter(|n| (min..=max).contains(n));
            let expected = format!("expected a whole number of milliseconds from {min} to {max}");
            time.map_or_else(
                || Some(Err(format!("{expected}, found {}", quoted(text)))),
                |time| one(&format!("{time}ms")),
            )
        }
        (_, Kind::Attributes | Kind::Proxy) => {
            let raw = kind.split(text);
            let raw = raw.and_then(|raw| match kind {
                Kind::Proxy => kind.read(&raw).map(|_| raw),
                _ => Ok(raw),
            });
            if let Err(expected) = &raw {
                warnings.push(format!("{variable} is not used: {expected}"));
            }
            raw.ok().map(Ok)
        }
        _ => Some(kind.split(text)),
    }
}

/// Booleans of OpenTelemetry are true or, whatever they say, false.
fn is_true(variable: &str, text: &str, warnings: &mut Vec<String>) -> bool {
    let is_true = text.eq_ignore_ascii_case("true");
    if !is_true && !text.eq_ignore_ascii_case("false") {
        warnings.push(format!(
            "{variable} counts as false: expected true or false, found {}",
            quoted(text)
        ));
    }
    is_true
}

#[cfg(test)]
mod tests {
    use super::super::testing::{effective, with, wrong_variables};
    use super::*;

    #[test]
    fn the_variables_of_opentelemetry_are_honoured() {
        for (variable, text, key, value) in [
            ("OTEL_SERVICE_NAME", "orders", "service.name", "orders"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b%2Cc , d=e", "service.resource", "{a: \"b,c\", d: e}"),
            ("OTEL_PROPAGATORS", "none", "propagation.propagators", "[none]"),
            ("OTEL_PROPAGATORS", "baggage, baggage", "propagation.propagators", "[baggage]"),
            ("OTEL_TRACES_SAMPLER", "always_off", "sampling.sampler", "always_off"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.1", "sampling.ratio", "0.1"),
            ("OTEL_SDK_DISABLED", "True", "export.enabled", "false"),
            ("OTEL_TRACES_EXPORTER", "none", "export.enabled", "false"),
            ("OTEL_TRACES_EXPORTER", "otlp", "export.enabled", "true"),
            ("OTEL_TRACES_EXPORTER", "otlp", "export.otlp.enabled", "true"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c", "export.otlp.endpoint", "http://c"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://c",
                "export.otlp.traces_endpoint",
                "http://c",
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "export.otlp.protocol", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "export.otlp.protocol", "grpc"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "TRUE", "export.otlp.insecure", "true"),
            ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "false", "export.otlp.insecure", "false"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "A=b%20c", "export.otlp.headers", "{a: REDACTED}"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=b", "export.otlp.headers", "{a: REDACTED}"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "export.otlp.compression", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip", "export.otlp.compression", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500", "export.otlp.timeout", "1500ms"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000", "export.otlp.timeout", "2s"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca", "export.otlp.certificate", "/ca"),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/ca", "export.otlp.certificate", "/ca"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100", "export.batch.schedule_delay", "100ms"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "60000", "export.batch.export_timeout", "1m"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "2048", "export.batch.max_queue_size", "2048"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9", "export.batch.max_export_batch_size", "9"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000", "metrics.interval", "1s"),
        ] {
            let found = effective(&with(&[(variable, text)]), key);
            assert_eq!(found, (value.to_owned(), variable.to_owned()));
            let found = effective(&with(&[(variable, "")]), key);
            assert_eq!(found.1, "default", "an empty {variable} is unset");
        }
        let pair = [
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/c"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/k"),
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/t"),
        ];
        let pair = with(&pair).export.unwrap().otlp().unwrap().client.client_certificate.clone();
        assert_eq!(pair, Some(("/c".into(), "/t".into())));
    }

    #[test]
    fn the_variable_of_traces_wins_over_the_common_one() {
        let variables = SETTINGS.iter().filter(|setting| setting.shared.len() == 2);
        for setting in variables.filter(|setting| setting.key.starts_with("export.otlp")) {
            let [traces, common] = setting.shared else { continue };
            assert_eq!(traces.replace("_TRACES_", "_"), *common);
        }
        let both =
            [("OTEL_EXPORTER_OTLP_TIMEOUT", "wrong"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "7")];
        let (value, origin) = effective(&with(&both), "export.otlp.timeout");
        assert_eq!((value.as_str(), origin.as_str()), ("7ms", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"));
    }

    #[test]
    fn switching_off_makes_no_spans_and_leaves_the_rest() {
        for (variable, text) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            let config = with(&[(variable, text)]);
            assert!(config.export.is_none() && !config.proxy.tracing.is_enabled);
            assert!(config.proxy.tracing.propagation.trace_context);
        }
        let config = with(&[("OTEL_SDK_DISABLED", "false"), ("OTEL_TRACES_EXPORTER", "otlp")]);
        assert!(config.export.is_some() && config.proxy.tracing.is_enabled);
        let config = with(&[("OTEL_SDK_DISABLED", "yes")]);
        assert!(config.export.is_some());
        assert_eq!(
            config.warnings,
            ["OTEL_SDK_DISABLED counts as false: expected true or false, found `yes`"]
        );
    }

    #[test]
    fn what_spandrel_cannot_do_is_refused_by_name() {
        for (variable, text, expected) in [
            (
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                "http/xml",
                "expected one of grpc, http/protobuf, http/json, found `http/xml`",
            ),
            (
                "OTEL_TRACES_EXPORTER",
                "otlp,jaeger",
                "expected otlp, zipkin, console, a list of these, or none, found `jaeger`",
            ),
            (
                "OTEL_TRACES_EXPORTER",
                "none,otlp",
                "expected otlp, zipkin, console, a list of these, or none, found `none`",
            ),
            (
                "OTEL_PROPAGATORS",
                "tracecontext,b3",
                "expected a list of which each item is one of tracecontext, baggage, none, found \
                 `b3`",
            ),
            (
                "OTEL_TRACES_SAMPLER",
                "jaeger_remote",
                "expected one of always_on, always_off, traceidratio, parentbased_always_on, \
                 parentbased_always_off, parentbased_traceidratio, found `jaeger_remote`",
            ),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5", "expected a number from 0 to 1, found `1.5`"),
            ("OTEL_TRACES_SAMPLER_ARG", "NaN", "expected a number from 0 to 1, found `NaN`"),
            (
                "OTEL_EXPORTER_OTLP_COMPRESSION",
                "brotli",
                "expected one of none, gzip, zstd, found `brotli`",
            ),
            (
                "OTEL_EXPORTER_OTLP_TIMEOUT",
                "10s",
                "expected a whole number of milliseconds from 1 to 86400000, found `10s`",
            ),
            (
                "OTEL_BSP_MAX_QUEUE_SIZE",
                "-1",
                "expected a whole number from 1 to 1000000, found `-1`",
            ),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "s3cret",
                "expected key=value,key=value in percent-encoding",
            ),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "a b=s3cret",
                "expected a map of header names to values, found a name or value that is none",
            ),
            (
                "OTEL_CONFIG_FILE",
                "otel.yaml",
                "this file is not read, use --config with a file of spandrel's own",
            ),
        ] {
            assert_eq!(wrong_variables(&[(variable, text)]), format!("{variable}: {expected}"));
        }
    }

    #[test]
    fn a_variable_of_our_own_overrides_what_opentelemetry_asks_in_vain() {
        let config = with(&[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/xml"),
            ("SPANDREL_EXPORT_OTLP_PROTOCOL", "grpc"),
        ]);
        assert_eq!(effective(&config, "export.otlp.protocol").0, "grpc");
    }

    #[test]
    fn resource_attributes_that_do_not_decode_are_discarded_as_a_whole() {
        for bad in ["a=b,c", "a=b,c=%2", "a=b,c=%zz", "a=b,=c", "a=%ff"] {
            let config = with(&[("OTEL_RESOURCE_ATTRIBUTES", bad)]);
            let (value, origin) = effective(&config, "service.resource");
            assert_eq!((value.as_str(), origin.as_str()), ("{}", "default"));
            assert_eq!(
                config.warnings,
                ["OTEL_RESOURCE_ATTRIBUTES is not used: expected key=value,key=value in \
                  percent-encoding"]
            );
        }
    }

    #[test]
    fn variables_of_our_own_that_are_misspelt_are_refused() {
        for (variable, meant) in [
            ("SPANDREL_WORKER", ", did you mean `SPANDREL_WORKERS`?"),
            ("SPANDREL_ADMIN_LISTENER", ", did you mean `SPANDREL_ADMIN_LISTEN`?"),
            ("SPANDREL_X", ", see config/spandrel.yaml for all there are"),
        ] {
            let expected = format!("{variable}: unknown variable{meant}");
            assert_eq!(wrong_variables(&[(variable, "1")]), expected);
        }
    }

    #[test]
    fn the_variables_that_kubernetes_sets_for_a_service_are_passed_over() {
        with(&[
            ("SPANDREL_SERVICE_HOST", "10.0.0.1"),
            ("SPANDREL_SERVICE_PORT", "443"),
            ("SPANDREL_INJECTOR_SERVICE_PORT_HTTPS", "443"),
            ("SPANDREL_PORT", "tcp://10.0.0.1:443"),
            ("SPANDREL_INJECTOR_PORT_443_TCP", "tcp://10.0.0.1:443"),
            ("SPANDREL_PORT_443_TCP_ADDR", "10.0.0.1"),
            ("OTEL_GO_X_SELF_OBSERVABILITY", "true"),
        ]);
        for name in ["SPANDREL_PORTS", "SPANDREL_INBOUND_PORT", "SPANDREL_HOST"] {
            assert!(wrong_variables(&[(name, "1")]).contains("unknown variable"), "{name}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn bytes_that_are_no_text_are_refused() {
        use std::os::unix::ffi::OsStringExt as _;
        let value = OsString::from_vec(vec![b'a', 0xff]);
        let environment = Environment::from([("OTEL_SERVICE_NAME".to_owned(), value)]);
        let error = super::super::Config::load(None, &environment, &[("inbound.app", "8080")]);
        let error = error.map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, "OTEL_SERVICE_NAME: the value is not UTF-8");
    }
}
