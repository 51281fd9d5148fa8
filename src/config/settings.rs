//! Every setting there is, in one table: its key, its kind, its default and who else can set it.
//!
//! Files, variables, flags, errors and the printed configuration are all driven by this table.
//! A `*` in a key stands for a name that its author chooses: such settings are a family, of which
//! each name has a whole set.

use super::value::Kind;
use crate::trace::sample;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key, dotted: `inbound.listen` is `listen` under `inbound` in the file.
    pub key: &'static str,
    /// What kind of value it takes.
    pub kind: Kind,
    /// Its default as a variable would write it; `None` if it has none or it depends on others.
    pub default: Option<&'static str>,
    /// The variables that other programs know too and that set it; the first that is set wins.
    pub shared: &'static [&'static str],
    /// The flag of the command line that sets it.
    pub flag: Option<&'static str>,
    /// For a setting of a destination, the types that have it; empty for all.
    pub types: &'static [&'static str],
}

const DAY: u64 = 24 * 3_600_000;
const MILLION: u64 = 1_000_000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Long enough to be a duration at all.
const TIME: Kind = Kind::Duration(1, DAY);
/// A time that may be none: then it is not waited at all, or never comes.
const GRACE: Kind = Kind::Duration(0, DAY);
const PORT_RANGES: Kind = Kind::List(&Kind::Ports);
const NETWORKS: Kind = Kind::List(&Kind::Network);
const INTERFACES: Kind = Kind::List(&Kind::Interface);
const IDS: Kind = Kind::List(&Kind::Id);
/// Long enough for a weekend, and for the holidays.
const AGE: Kind = Kind::Duration(1_000, 30 * DAY);
const WHEN_FULL: Kind = Kind::Choice(&["drop_oldest", "drop_newest"]);
const PROTOCOL: Kind = Kind::Choice(&["grpc", "http/protobuf", "http/json"]);
const COMPRESSION: Kind = Kind::Choice(&["none", "gzip", "zstd"]);
const TENANTS: Kind = Kind::List(&Kind::Tenant);
const FAMILIES: Kind = Kind::List(&Kind::Choice(&["ipv4", "ipv6"]));
/// A number of 32 bits that is not zero.
const NUMBER: Kind = Kind::Count(1, 0xffff_ffff);
const TEXTS: Kind = Kind::List(&Kind::Text);
const PORTS: Kind = Kind::List(&Kind::Count(1, 65_535));
const HEADER_NAMES: Kind = Kind::List(&Kind::HeaderName);
const PATHS: Kind = Kind::List(&Kind::Path);
const PROPAGATORS: Kind = Kind::List(&Kind::Choice(&["tracecontext", "baggage", "none"]));

/// What `trace::zone::DEFAULT` holds.
const TRUST_ZONE: &str = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,127.0.0.0/8,\
                          169.254.0.0/16,fc00::/7,fe80::/10,::1/128,.svc,.local,.internal,localhost";

/// The settings, in the order of `config/spandrel.yaml`.
pub static SETTINGS: &[Setting] = &[
    setting("service.name", Kind::Text).shared(&["OTEL_SERVICE_NAME"]).flag("--service"),
    setting("service.resource", Kind::Attributes).or("").shared(&["OTEL_RESOURCE_ATTRIBUTES"]),
    setting("workers", Kind::Count(1, 64)).or("1").flag("--workers"),
    setting("inbound.listen", Kind::Address).or("0.0.0.0:16006").flag("--inbound"),
    setting("inbound.app", Kind::Application).flag("--app"),
    setting("inbound.mode", Kind::Choice(&["explicit", "redirect", "tproxy"])).or("explicit"),
    setting("inbound.http_ports", PORTS).or(""),
    setting("inbound.opaque_ports", PORTS).or(""),
    setting("inbound.include_ports", PORT_RANGES).or("*"),
    setting("inbound.include_cidrs", NETWORKS).or("*"),
    setting("inbound.include_interfaces", INTERFACES).or("*"),
    setting("inbound.exclude_ports", PORT_RANGES).or(""),
    setting("inbound.exclude_cidrs", NETWORKS).or(""),
    setting("inbound.exclude_interfaces", INTERFACES).or(""),
    setting("outbound.listen", Kind::Address).flag("--outbound"),
    setting("outbound.mode", Kind::Choice(&["explicit", "redirect"])).or("explicit"),
    setting("outbound.http_ports", PORTS).or(""),
    setting("outbound.opaque_ports", PORTS).or(""),
    setting("outbound.include_ports", PORT_RANGES).or("*"),
    setting("outbound.include_cidrs", NETWORKS).or("*"),
    setting("outbound.include_interfaces", INTERFACES).or("*"),
    setting("outbound.include_uids", IDS).or("*"),
    setting("outbound.include_gids", IDS).or("*"),
    setting("outbound.exclude_ports", PORT_RANGES).or(""),
    setting("outbound.exclude_cidrs", NETWORKS).or(""),
    setting("outbound.exclude_interfaces", INTERFACES).or(""),
    setting("outbound.exclude_uids", IDS).or("1337,2102"),
    setting("outbound.exclude_gids", IDS).or(""),
    setting("redirect.uid", NUMBER).or("1773"),
    setting("redirect.gid", NUMBER).or("1773"),
    setting("redirect.mark", NUMBER).or("1773"),
    setting("redirect.route_table", NUMBER).or("1773"),
    setting("redirect.families", FAMILIES).or("ipv4,ipv6"),
    setting("spans.routes", PATHS).or(""),
    setting("spans.query_values", Kind::Choice(&["redact", "keep"])).or("redact"),
    setting("spans.baggage_keys", TEXTS).or(""),
    setting("spans.health_check_paths", PATHS).or(""),
    setting("spans.health_check_user_agents", TEXTS).or("kube-probe/,GoogleHC/,ELB-HealthChecker/"),
    setting("spans.connections", Kind::Bool).or("true"),
    setting("spans.progress_interval", GRACE).or("60s"),
    setting("propagation.propagators", PROPAGATORS)
        .or("tracecontext,baggage")
        .shared(&["OTEL_PROPAGATORS"]),
    setting("propagation.random_flag", Kind::Bool).or("false"),
    setting("propagation.trust_zone", TEXTS).or(TRUST_ZONE),
    setting("propagation.join_keys", HEADER_NAMES).or("x-request-id,x-correlation-id"),
    setting("tenants.header", Kind::HeaderName).or("x-tenant-id"),
    setting("tenants.default", Kind::Tenant),
    setting("tenants.max_length", Kind::Count(1, 256)).or("64"),
    setting("sampling.sampler", Kind::Choice(&sample::NAMES))
        .or("parentbased_always_on")
        .shared(&["OTEL_TRACES_SAMPLER"]),
    setting("sampling.ratio", Kind::Ratio).or("1").shared(&["OTEL_TRACES_SAMPLER_ARG"]),
    setting("export.enabled", Kind::Bool)
        .or("true")
        .shared(&["OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"]),
    setting("export.otlp.enabled", Kind::Bool).or("true").shared(&["OTEL_TRACES_EXPORTER"]),
    setting("export.otlp.endpoint", Kind::Url)
        .or("http://localhost:4318")
        .shared(&["OTEL_EXPORTER_OTLP_ENDPOINT"])
        .flag("--otlp"),
    setting("export.otlp.traces_endpoint", Kind::Url)
        .shared(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]),
    setting("export.otlp.protocol", PROTOCOL)
        .or("http/protobuf")
        .shared(&["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]),
    setting("export.otlp.insecure", Kind::Bool)
        .or("false")
        .shared(&["OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"]),
    setting("export.otlp.headers", Kind::Headers)
        .or("")
        .shared(&["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]),
    setting("export.otlp.compression", COMPRESSION)
        .or("none")
        .shared(&["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"]),
    setting("export.otlp.timeout", TIME)
        .or("10s")
        .shared(&["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]),
    setting("export.otlp.certificate", Kind::File)
        .shared(&["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"]),
    setting("export.otlp.client_certificate", Kind::File).shared(&[
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    ]),
    setting("export.otlp.client_key", Kind::File)
        .shared(&["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"]),
    setting("export.otlp.filter.attributes", Kind::Attributes).or(""),
    setting("export.otlp.filter.tenants", TENANTS).or(""),
    setting("export.destinations.*.type", Kind::Choice(&["otlp", "zipkin", "file"]))
        .shared(&["OTEL_TRACES_EXPORTER"]),
    setting("export.destinations.*.endpoint", Kind::Url)
        .shared(&["OTEL_EXPORTER_ZIPKIN_ENDPOINT"])
        .only(&["otlp", "zipkin"]),
    setting("export.destinations.*.traces_endpoint", Kind::Url).only(&["otlp"]),
    setting("export.destinations.*.protocol", PROTOCOL).or("http/protobuf").only(&["otlp"]),
    setting("export.destinations.*.insecure", Kind::Bool).or("false").only(&["otlp"]),
    setting("export.destinations.*.headers", Kind::Headers).or("").only(&["otlp", "zipkin"]),
    setting("export.destinations.*.compression", COMPRESSION).or("none").only(&["otlp", "zipkin"]),
    setting("export.destinations.*.timeout", TIME)
        .or("10s")
        .shared(&["OTEL_EXPORTER_ZIPKIN_TIMEOUT"])
        .only(&["otlp", "zipkin"]),
    setting("export.destinations.*.certificate", Kind::File).only(&["otlp", "zipkin"]),
    setting("export.destinations.*.client_certificate", Kind::File).only(&["otlp", "zipkin"]),
    setting("export.destinations.*.client_key", Kind::File).only(&["otlp", "zipkin"]),
    setting("export.destinations.*.path", Kind::File)
        .shared(&["OTEL_TRACES_EXPORTER"])
        .only(&["file"]),
    setting("export.destinations.*.max_bytes", Kind::Bytes(4 << 10, 1_024 * GIB))
        .or("100MiB")
        .only(&["file"]),
    setting("export.destinations.*.max_files", Kind::Count(1, 1_000)).or("5").only(&["file"]),
    setting("export.destinations.*.filter.attributes", Kind::Attributes).or(""),
    setting("export.destinations.*.filter.tenants", TENANTS).or(""),
    setting("export.proxy.http", Kind::Proxy).shared(&["http_proxy", "HTTP_PROXY"]),
    setting("export.proxy.https", Kind::Proxy).shared(&["https_proxy", "HTTPS_PROXY"]),
    setting("export.proxy.all", Kind::Proxy).shared(&["all_proxy", "ALL_PROXY"]),
    setting("export.proxy.bypass", TEXTS).or("").shared(&["no_proxy", "NO_PROXY"]),
    setting("export.batch.schedule_delay", TIME).or("5s").shared(&["OTEL_BSP_SCHEDULE_DELAY"]),
    setting("export.batch.export_timeout", TIME).or("30s").shared(&["OTEL_BSP_EXPORT_TIMEOUT"]),
    setting("export.batch.max_queue_size", Kind::Count(1, MILLION))
        .or("131072")
        .shared(&["OTEL_BSP_MAX_QUEUE_SIZE"]),
    setting("export.batch.max_export_batch_size", Kind::Count(1, MILLION))
        .or("512")
        .shared(&["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"]),
    setting("export.queue.max_bytes", Kind::Bytes(MIB, 4 * GIB)).or("32MiB"),
    setting("export.queue.when_full", WHEN_FULL).or("drop_oldest"),
    setting("export.spool.directory", Kind::Directory),
    setting("export.spool.max_bytes", Kind::Bytes(MIB, 1_024 * GIB)).or("256MiB"),
    setting("export.spool.max_age", AGE).or("24h"),
    setting("export.spool.sync", Kind::Duration(0, 60_000)).or("1s"),
    setting("export.spool.replay_rate", Kind::Bytes(16 << 10, 4 * GIB)).or("4MiB"),
    setting("export.canary", Kind::Bool).or("false"),
    setting("receive.otlp_grpc", Kind::Address),
    setting("receive.otlp_http", Kind::Address),
    setting("receive.jaeger_compact", Kind::Address),
    setting("receive.jaeger_binary", Kind::Address),
    setting("receive.jaeger_sampling", Kind::Address),
    setting("limits.connections", Kind::Count(1, MILLION)).or("16384"),
    setting("limits.requests", Kind::Count(1, MILLION)).or("16384"),
    setting("limits.streams", Kind::Count(1, 65_536)).or("256"),
    setting("limits.pending_resets", Kind::Count(1, 65_536)).or("20"),
    setting("limits.error_resets", Kind::Count(1, MILLION)).or("1024"),
    setting("limits.continuations", Kind::Count(1, 1_024)).or("64"),
    setting("limits.header_bytes", Kind::Bytes(8 << 10, 1 << 20)).or("64KiB"),
    setting("limits.header_count", Kind::Count(8, 1_024)).or("128"),
    setting("limits.head_timeout", TIME).or("15s"),
    setting("limits.connect_timeout", TIME).or("5s"),
    setting("limits.response_timeout", TIME).or("1h"),
    setting("limits.idle_timeout", TIME).or("1h"),
    setting("limits.drain_timeout", GRACE).or("25s"),
    setting("limits.flush_timeout", GRACE).or("5s"),
    setting("logs.filter", Kind::Filter).or("info"),
    setting("logs.format", Kind::Choice(&["text", "json"])).or("text"),
    setting("logs.otlp", Kind::Bool).or("false"),
    setting("metrics.listen", Kind::Address),
    setting("metrics.otlp", Kind::Bool).or("false"),
    setting("metrics.interval", TIME).or("60s").shared(&["OTEL_METRIC_EXPORT_INTERVAL"]),
    setting("admin.listen", Kind::Address).or("127.0.0.1:16000").flag("--admin"),
];

const fn setting(key: &'static str, kind: Kind) -> Setting {
    Setting { key, kind, default: None, shared: &[], flag: None, types: &[] }
}

impl Setting {
    /// The setting of this key, if there is one.
    #[must_use]
    pub fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| is_alike(setting.key, key))
    }

    /// The variable of our own that sets it: `SPANDREL_INBOUND_LISTEN` for `inbound.listen`. In
    /// that of a family a `*` stands for the name.
    #[must_use]
    pub fn variable(&self) -> String {
        variable_of(self.key)
    }

    /// Whether its author chooses a part of its key.
    #[must_use]
    pub fn is_family(&self) -> bool {
        self.key.contains(NAME)
    }

    /// Its key for this name.
    pub(super) fn key_of(&self, name: &str) -> String {
        self.key.replacen(NAME, name, 1)
    }

    /// The name that its author chose in `key`, which is one of this family.
    pub(super) fn name_in<'k>(&self, key: &'k str) -> Option<&'k str> {
        let (before, after) = self.key.split_once(NAME)?;
        key.strip_prefix(before)?.strip_suffix(after)
    }

    /// The key that a variable of our own sets, if it is one of this setting. Names that have
    /// anything but letters and digits are not reached: where they end could not be told.
    fn key_by(&self, variable: &str) -> Option<String> {
        let Some((before, after)) = self.key.split_once(NAME) else {
            return (self.variable() == variable).then(|| self.key.to_owned());
        };
        let rest = variable.strip_prefix(&variable_of(before))?;
        let name = rest.strip_suffix(&in_capitals(after))?;
        let is_plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        (!name.is_empty() && name.len() <= MAX_NAME_LENGTH && name.bytes().all(is_plain))
            .then(|| self.key_of(&name.to_ascii_lowercase()))
    }

    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn shared(mut self, variables: &'static [&'static str]) -> Self {
        self.shared = variables;
        self
    }

    const fn only(mut self, types: &'static [&'static str]) -> Self {
        self.types = types;
        self
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }
}

/// How the variables of our own begin.
pub(super) const VARIABLE_PREFIX: &str = "SPANDREL_";

/// What stands in a key for a name that its author chooses.
const NAME: char = '*';
/// The most names that a family may have.
pub(super) const MAX_NAMES: usize = 8;
/// The longest such name, in bytes.
const MAX_NAME_LENGTH: usize = 32;

/// What a name looks like, in words that complete "expected ...".
pub(super) const A_NAME: &str =
    "a name of at most 32 of a-z, 0-9, _ and -, of which the first is a letter or a digit";

/// Whether a member of a family may be called so.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= MAX_NAME_LENGTH
        && text.bytes().next().is_some_and(is_plain)
        && text.bytes().all(|b| is_plain(b) || matches!(b, b'_' | b'-'))
}

/// Every key, in the order of the table; those of the family for each of `names` in turn.
pub(super) fn keys(names: &[String]) -> Vec<(String, &'static Setting)> {
    let alone = [String::new()];
    let runs = SETTINGS.chunk_by(|one, next| one.is_family() == next.is_family());
    runs.flat_map(|run| {
        let is_family = run.first().is_some_and(Setting::is_family);
        let names = if is_family { names } else { &alone };
        names.iter().flat_map(|name| run.iter().map(|setting| (setting.key_of(name), setting)))
    })
    .collect()
}

/// The key that a variable of our own sets, and its setting.
pub(super) fn by_variable(variable: &str) -> Option<(String, &'static Setting)> {
    SETTINGS.iter().find_map(|setting| Some((setting.key_by(variable)?, setting)))
}

/// Every variable of our own; those of the family for the name that `found` seems to have.
pub(super) fn variables(found: &str) -> impl Iterator<Item = String> {
    SETTINGS.iter().map(Setting::variable).filter_map(move |variable| {
        let Some((before, after)) = variable.split_once(NAME) else { return Some(variable) };
        let name = found.strip_prefix(before)?.split('_').next()?;
        Some(format!("{before}{name}{after}"))
    })
}

fn variable_of(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", in_capitals(key))
}

fn in_capitals(key: &str) -> String {
    key.replace(['.', '-'], "_").to_ascii_uppercase()
}

/// Whether `path` is the key `pattern`, with any name in the place of a `*`.
fn is_alike(pattern: &str, path: &str) -> bool {
    let same = |(part, found): (&str, &str)| part == found || (part == "*" && !found.is_empty());
    pattern.split('.').count() == path.split('.').count()
        && pattern.split('.').zip(path.split('.')).all(same)
}

/// Whether there are settings under `path`.
pub(super) fn is_group(path: &str) -> bool {
    SETTINGS.iter().any(|setting| groups(setting.key).any(|group| is_alike(group, path)))
}

fn groups(key: &'static str) -> impl Iterator<Item = &'static str> {
    key.match_indices('.').filter_map(move |(at, _)| key.get(..at))
}

/// Every key, and every group that keys stand under; those of the family for the name that `found`
/// has.
pub(super) fn keys_and_groups(found: &str) -> impl Iterator<Item = String> {
    let all = SETTINGS.iter().flat_map(|setting| groups(setting.key).chain([setting.key]));
    all.filter_map(move |path| {
        let Some((before, after)) = path.split_once(NAME) else { return Some(path.to_owned()) };
        let name = found.strip_prefix(before)?.split('.').next()?;
        Some(format!("{before}{name}{after}"))
    })
}

/// How alike two names must be, from 0 to 1, for one to be offered in place of the other.
const LIKENESS: f64 = 0.6;
/// How alike two names count at least whose last parts are the same: the right key, misplaced.
const LIKENESS_MISPLACED: f64 = 0.7;

/// The longest unknown name that is compared with those there are, in bytes; comparing costs time
/// and memory by the product of the lengths.
const MAX_COMPARED: usize = 128;

/// The end of an error about the unknown name `found`: the one that was probably meant.
pub(super) fn suggestion<N: AsRef<str>>(found: &str, known: impl Iterator<Item = N>) -> String {
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    let likeness = |name: &str| {
        let whole = strsim::normalized_damerau_levenshtein(found, name);
        if last(name) == last(found) { whole.max(LIKENESS_MISPLACED) } else { whole }
    };
    let scored = known.map(|name| (likeness(name.as_ref()), name));
    let nearest = match found.len() {
        0..=MAX_COMPARED => scored.max_by(|(a, _), (b, _)| a.total_cmp(b)),
        _ => None,
    };
    match nearest {
        Some((score, name)) if score >= LIKENESS => format!(", did you mean `{}`?", name.as_ref()),
        _ => ", see config/spandrel.yaml for all there are".to_owned(),
    }
}
