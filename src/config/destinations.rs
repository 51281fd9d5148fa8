//! Where spans are sent: the collector of `export.otlp`, and the destinations that have names.

use std::path::PathBuf;

use super::otlp::{self, Endpoint};
use super::values::Values;
use super::{proxies, value::Value};
use crate::export::{Client, Compression, Destination, Filter, Lines, Otlp, Proxy, Target, Zipkin};

/// The name of the destination that is `export.otlp`.
pub(super) const OTLP: &str = "otlp";
/// How a file says that it is standard output.
const STANDARD_OUTPUT: &str = "-";
/// What stands between the values that pass a filter.
const OR: char = '|';
/// Where a Zipkin server listens that nobody named.
const ZIPKIN: &str = "http://localhost:9411";
/// Where it takes spans.
const ZIPKIN_PATH: &str = "/api/v2/spans";

/// Where in the settings a destination stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    /// What all its keys begin with, up to the last dot.
    prefix: &'p str,
}

impl Place<'_> {
    /// The whole key of the setting that is called `name` here.
    pub(super) fn key(self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// How requests are made of what stands here.
    pub(super) fn client(self, values: &mut Values, proxy: &Proxy) -> Client {
        Client {
            headers: values.map(&self.key("headers")),
            compression: self.compression(values),
            timeout: values.duration(&self.key("timeout")),
            certificate: values.path(&self.key("certificate")),
            client_certificate: self.client_certificate(values),
            proxy: proxy.clone(),
        }
    }

    fn compression(self, values: &Values) -> Compression {
        match values.word(&self.key("compression")).as_str() {
            "gzip" => Compression::Gzip,
            "zstd" => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// A certificate to present is of use only with its key.
    fn client_certificate(self, values: &mut Values) -> Option<(PathBuf, PathBuf)> {
        let (certificate, key) = (self.key("client_certificate"), self.key("client_key"));
        for (one, other) in [(&certificate, &key), (&key, &certificate)] {
            if values.is_set(one) && !values.is_set(other) {
                values.refuse(one, &format!("this needs {other} too, set both or neither"));
            }
        }
        values.path(&certificate).zip(values.path(&key))
    }

    fn filter(self, values: &mut Values) -> Filter {
        let key = self.key("filter.attributes");
        let mut attributes = Vec::new();
        for (name, text) in values.map(&key) {
            let alternatives: Vec<String> = text.split(OR).map(str::to_owned).collect();
            if alternatives.iter().any(String::is_empty) {
                let text = format!("expected values such as a or a|b, found nothing for `{name}`");
                values.refuse(&key, &text);
            }
            attributes.push((name, alternatives));
        }
        Filter { attributes, tenants: values.list(&self.key("filter.tenants")) }
    }
}

/// The destinations, of which there is at least one where nothing is wrong.
pub(super) fn of(values: &mut Values) -> (Destination, Vec<Destination>) {
    let proxy = proxies::of(values);
    let mut all = Vec::new();
    let at = Place { prefix: "export.otlp" };
    let target = Target::Otlp(otlp::resolve(values, at, &proxy));
    let filter = at.filter(values);
    if values.flag("export.otlp.enabled") {
        all.push(Destination { name: OTLP.to_owned(), target, filter });
    }
    for name in values.names().to_vec() {
        all.extend(named(values, name, &proxy));
    }
    if all.is_empty() {
        if values.flag("export.enabled") && values.problems.is_empty() {
            let text = "this leaves nowhere to send spans to: name another place under \
                        export.destinations, or set export.enabled: false";
            values.refuse("export.otlp.enabled", text);
        }
        let target = Target::Otlp(Otlp::default());
        all.push(Destination { name: OTLP.to_owned(), target, filter: Filter::default() });
    }
    let first = all.remove(0);
    (first, all)
}

/// The destination called `name`, unless it cannot be told what it is.
fn named(values: &mut Values, name: String, proxy: &Proxy) -> Option<Destination> {
    let prefix = format!("export.destinations.{name}");
    let at = Place { prefix: &prefix };
    let key = at.key("type");
    if name == OTLP {
        refuse_name(values, at, "expected another name than that of export.otlp");
    }
    let Some(kind) = values.text(&key) else {
        // One that was given and is none has been refused already.
        if !values.is_set(&key) {
            refuse_name(values, at, &format!("this needs {key} too: otlp, zipkin or file"));
        }
        return None;
    };
    forget_other_types(values, at, &kind);
    let target = match kind.as_str() {
        "otlp" => Target::Otlp(otlp::resolve(values, at, proxy)),
        "zipkin" => Target::Zipkin(zipkin(values, at, proxy)),
        _ => Target::Lines(lines(values, at)?),
    };
    Some(Destination { target, filter: at.filter(values), name })
}

/// Refuses a destination where it was first named.
fn refuse_name(values: &mut Values, at: Place<'_>, text: &str) {
    let all: Vec<String> = values.under(&at.key("")).map(|chosen| chosen.key.clone()).collect();
    if let Some(key) = all.iter().find(|key| values.is_set(key)) {
        values.refuse(key, text);
    }
}

/// Refuses what only destinations of other types have, and takes those settings away.
fn forget_other_types(values: &mut Values, at: Place<'_>, kind: &str) {
    let prefix = at.key("");
    let others = values.under(&prefix).filter(|chosen| {
        let types = chosen.setting.types;
        !types.is_empty() && !types.contains(&kind)
    });
    let others: Vec<_> = others.map(|c| (c.key.clone(), c.setting.types.join(" or "))).collect();
    for (key, types) in others {
        if values.is_set(&key) {
            let text = format!("this is for {}: {types} only, found {kind}", at.key("type"));
            values.refuse(&key, &text);
        }
        values.forget(&key);
    }
}

fn zipkin(values: &mut Values, at: Place<'_>, proxy: &Proxy) -> Zipkin {
    if values.word(&at.key("compression")) == "zstd" {
        let text = "expected none or gzip, because Zipkin takes no other compression";
        values.refuse(&at.key("compression"), text);
    }
    Zipkin { url: zipkin_url(values, at), client: at.client(values, proxy) }
}

/// The URL that spans are posted to: as it was given, or with the usual path where it has none.
fn zipkin_url(values: &mut Values, at: Place<'_>) -> String {
    let key = at.key("endpoint");
    let Some(text) = values.text(&key) else {
        let url = format!("{ZIPKIN}{ZIPKIN_PATH}");
        values.derive(&key, Value::Text(url.clone()));
        return url;
    };
    let endpoint = Endpoint::parse(&text);
    if !endpoint.as_ref().is_some_and(Endpoint::has_scheme) {
        let expected = "expected http:// or https:// before the host";
        values.refuse(&key, &format!("{expected}, found `{text}`"));
    }
    match endpoint {
        Some(endpoint) if !endpoint.has_path() => {
            format!("{}{ZIPKIN_PATH}", text.trim_end_matches('/'))
        }
        _ => text,
    }
}

fn lines(values: &mut Values, at: Place<'_>) -> Option<Lines> {
    let key = at.key("path");
    let Some(path) = values.text(&key) else {
        let text =
            format!("this needs {key} too: a file, or {STANDARD_OUTPUT} for standard output");
        values.refuse(&at.key("type"), &text);
        return None;
    };
    let (max_bytes, max_files) = (at.key("max_bytes"), at.key("max_files"));
    if path == STANDARD_OUTPUT {
        for bound in [max_bytes, max_files] {
            if values.is_set(&bound) {
                let text = format!("this is for a file, and {key} names standard output");
                values.refuse(&bound, &text);
            }
            values.forget(&bound);
        }
        return Some(Lines::default());
    }
    Some(Lines {
        path: Some(path.into()),
        max_bytes: values.number(&max_bytes),
        max_files: values.count(&max_files),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::testing::{LEAST, effective, load, parts, with, wrong_file, wrong_variables};
    use super::*;

    const THREE: &str = "export:
  otlp:
    filter: {attributes: {url.path: /a|/b}, tenants: [acme]}
  destinations:
    gateway: {type: otlp, endpoint: \"http://gateway:4317\", compression: zstd}
    zipkin: {type: zipkin, endpoint: \"http://zipkin:9411\"}
    archive:
      type: file
      path: /var/log/spans.jsonl
      max_bytes: 1MiB
      filter.tenants: [acme, other]
";

    fn destinations(config: &Config) -> Vec<Destination> {
        let export = config.export.as_ref().expect("spans are exported");
        [&export.first].into_iter().chain(&export.further).cloned().collect()
    }

    #[test]
    fn each_destination_has_settings_of_its_own() {
        let config = load(&format!("{LEAST}{THREE}"), &[], &[]).unwrap();
        let all = destinations(&config);
        let names: Vec<&str> = all.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["otlp", "gateway", "zipkin", "archive"]);
        let [first, gateway, zipkin, archive] = &all[..] else { unreachable!("there are four") };
        let paths = ("url.path".to_owned(), vec!["/a".to_owned(), "/b".to_owned()]);
        assert_eq!(
            first.filter,
            Filter { attributes: vec![paths], tenants: vec!["acme".to_owned()] }
        );
        let otlp = Otlp {
            traces_url: "http://gateway:4317".to_owned(),
            base_url: "http://gateway:4317".to_owned(),
            protocol: crate::export::Protocol::Grpc,
            client: Client { compression: Compression::Zstd, ..Client::default() },
        };
        assert_eq!(gateway.target, Target::Otlp(otlp));
        let url = "http://zipkin:9411/api/v2/spans".to_owned();
        assert_eq!(zipkin.target, Target::Zipkin(Zipkin { url, ..Zipkin::default() }));
        let path = Some("/var/log/spans.jsonl".into());
        assert_eq!(archive.target, Target::Lines(Lines { path, max_bytes: 1 << 20, max_files: 5 }));
        assert_eq!(archive.filter.tenants, ["acme", "other"]);
    }

    #[test]
    fn what_is_printed_of_destinations_is_read_as_the_same() {
        let config = load(&format!("{LEAST}{THREE}"), &[], &[]).unwrap();
        let printed = config.effective.to_string();
        assert!(!printed.contains("gateway:\n      path"), "only what the type has is shown");
        assert_eq!(
            config.effective.find("export.destinations.archive.endpoint").map(|e| &e.key),
            None
        );
        let again = load(&printed, &[], &[]).unwrap_or_else(|e| panic!("{e}\n{printed}"));
        assert_eq!(parts(&config), parts(&again));
    }

    #[test]
    fn the_defaults_are_those_of_the_modules() {
        let config = with(&[
            ("SPANDREL_EXPORT_DESTINATIONS_A_TYPE", "otlp"),
            ("SPANDREL_EXPORT_DESTINATIONS_B_TYPE", "zipkin"),
            ("SPANDREL_EXPORT_DESTINATIONS_C_TYPE", "file"),
            ("SPANDREL_EXPORT_DESTINATIONS_C_PATH", "-"),
        ]);
        let targets: Vec<Target> = destinations(&config).into_iter().map(|d| d.target).collect();
        let expected = [
            Target::Otlp(Otlp::default()),
            Target::Otlp(Otlp::default()),
            Target::Zipkin(Zipkin::default()),
            Target::Lines(Lines::default()),
        ];
        assert_eq!(targets, expected);
        let found = effective(&config, "export.destinations.b.endpoint");
        assert_eq!(found, (format!("{ZIPKIN}{ZIPKIN_PATH}"), "default".to_owned()));
    }

    #[test]
    fn exporters_by_their_standard_names_are_destinations() {
        const VARIABLE: &str = "OTEL_TRACES_EXPORTER";
        for (text, expected) in [
            ("otlp", &["otlp"][..]),
            ("zipkin", &["zipkin"]),
            ("console", &["console"]),
            ("otlp,zipkin", &["otlp", "zipkin"]),
            ("console, otlp", &["otlp", "console"]),
        ] {
            let all = destinations(&with(&[(VARIABLE, text)]));
            let names: Vec<&str> = all.iter().map(|d| d.name.as_str()).collect();
            assert_eq!(names, expected, "{text}");
        }
        let all = destinations(&with(&[
            (VARIABLE, "zipkin,console"),
            ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "http://z:9411/api/v2/spans"),
            ("OTEL_EXPORTER_ZIPKIN_TIMEOUT", "1500"),
        ]));
        let url = "http://z:9411/api/v2/spans".to_owned();
        let timeout = std::time::Duration::from_millis(1_500);
        let client = Client { timeout, ..Client::default() };
        let zipkin = Target::Zipkin(Zipkin { url, client });
        let targets: Vec<Target> = all.into_iter().map(|d| d.target).collect();
        assert_eq!(targets, [zipkin, Target::Lines(Lines::default())]);
        // Without the exporter its variables are for other programs.
        let config = with(&[("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "zipkin")]);
        assert_eq!(destinations(&config).len(), 1);
    }

    #[test]
    fn a_variable_reaches_a_destination_whose_name_cannot_be_misread() {
        let yaml = format!("{LEAST}export.destinations: {{x: {{type: otlp, client_key: k}}}}\n");
        let variables = [("SPANDREL_EXPORT_DESTINATIONS_X_CLIENT_CERTIFICATE", "c")];
        let config = load(&yaml, &variables, &[]).unwrap();
        let found = effective(&config, "export.destinations.x.client_certificate");
        assert_eq!(found, ("c".to_owned(), variables[0].0.to_owned()));
        for name in ["X_Y_TYPE", "X_TYP", "_TYPE", "x_TYPE", "TYPE"] {
            let variable = format!("SPANDREL_EXPORT_DESTINATIONS_{name}");
            let error = wrong_variables(&[(&variable, "otlp")]);
            assert!(error.contains("unknown variable"), "{error}");
        }
        let error = wrong_variables(&[("SPANDREL_EXPORT_DESTINATIONS_ARCHIVE_PATHS", "-")]);
        let meant = "did you mean `SPANDREL_EXPORT_DESTINATIONS_ARCHIVE_PATH`?";
        assert!(error.ends_with(meant), "{error}");
    }

    #[test]
    fn what_makes_no_destination_is_refused_with_what_to_do() {
        let long = "x".repeat(33);
        let nine: String = (0..9).map(|n| format!("n{n}: {{type: otlp}}, ")).collect();
        let a_name = "expected a name of at most 32 of a-z, 0-9, _ and -, of which the first is a \
                      letter or a digit, found";
        for (yaml, expected) in [
            (
                "x: {path: /a}",
                "x.path: this needs export.destinations.x.type too: otlp, zipkin or file",
            ),
            ("x: {type: kafka}", "x.type: expected one of otlp, zipkin, file, found `kafka`"),
            (
                "x: {type: otlp, path: /a}",
                "x.path: this is for export.destinations.x.type: file only, found otlp",
            ),
            (
                "x: {type: file, path: /a, timeout: 1s}",
                "x.timeout: this is for export.destinations.x.type: otlp or zipkin only, found file",
            ),
            (
                "x: {type: zipkin, insecure: true}",
                "x.insecure: this is for export.destinations.x.type: otlp only, found zipkin",
            ),
            (
                "x: {type: file}",
                "x.type: this needs export.destinations.x.path too: a file, or - for standard output",
            ),
            (
                "x: {type: file, path: \"-\", max_files: 3}",
                "x.max_files: this is for a file, and export.destinations.x.path names standard \
                 output",
            ),
            (
                "x: {type: zipkin, compression: zstd}",
                "x.compression: expected none or gzip, because Zipkin takes no other compression",
            ),
            (
                "x: {type: zipkin, endpoint: \"z:9411\"}",
                "x.endpoint: expected http:// or https:// before the host, found `z:9411`",
            ),
            (
                "x: {type: otlp, client_key: k}",
                "x.client_key: this needs export.destinations.x.client_certificate too, set both or neither",
            ),
            (
                "x: {type: otlp, filter.attributes: {a: \"b|\"}}",
                "x.filter.attributes: expected values such as a or a|b, found nothing for `a`",
            ),
            (
                "x: {type: otlp, endpont: \"http://a\"}",
                "x.endpont: unknown key, did you mean `export.destinations.x.endpoint`?",
            ),
            ("x: otlp", "x: expected settings under this key, found a value"),
            ("otlp: {type: otlp}", "otlp.type: expected another name than that of export.otlp"),
            ("X: {type: otlp}", &format!("X.type: {a_name} `X`")),
            ("-x: {type: otlp}", &format!("-x.type: {a_name} `-x`")),
            (&format!("{long}: {{type: otlp}}"), &format!("{long}.type: {a_name} `{long}`")),
            (&nine, "n8.type: expected at most 8 destinations"),
        ] {
            let error = wrong_file(&format!("{LEAST}export.destinations: {{{yaml}}}\n"));
            assert_eq!(error, format!("spandrel.yaml:2: export.destinations.{expected}"));
        }
        let error = wrong_file(&format!("{LEAST}export.otlp.enabled: false\n"));
        assert_eq!(
            error,
            "spandrel.yaml:2: export.otlp.enabled: this leaves nowhere to send spans to: name \
             another place under export.destinations, or set export.enabled: false"
        );
    }

    #[test]
    fn a_name_of_any_length_makes_a_short_problem() {
        let long = "X".repeat(100_000);
        let file = format!("{LEAST}? export.destinations.{long}.type\n: otlp\n");
        let variable = format!("SPANDREL_EXPORT_DESTINATIONS_{long}_TYPE");
        for error in [wrong_file(&file), wrong_variables(&[(&variable, "otlp")])] {
            assert!(error.len() < 1_000, "{}", error.len());
        }
    }

    #[test]
    fn spans_may_go_to_a_file_alone() {
        let yaml = format!(
            "{LEAST}export: {{otlp.enabled: false, destinations.x: {{type: file, path: \"-\"}}}}\n"
        );
        let config = load(&yaml, &[("SPANDREL_METRICS_OTLP", "true")], &[]).unwrap();
        assert_eq!(destinations(&config).len(), 1);
        assert!(!config.telemetry.metrics_to_otlp);
        assert_eq!(
            config.warnings,
            ["metrics.otlp is not used, because export.otlp.enabled is false"]
        );
    }
}
