//! From the values of settings to the typed part of each module, and what must hold between them.

use super::effective::Effective;
use super::problem::ConfigError;
use super::values::Values;
use super::{export, listeners, receive, redirect};
use crate::proxy::{Limits, Tracing};
use crate::telemetry::LogFormat;
use crate::trace::health::HealthChecks;
use crate::trace::propagate::{self, carried::MAX_JOIN_KEYS};
use crate::trace::route::Routes;
use crate::trace::sample::Sampler;
use crate::trace::semconv::QueryValues;
use crate::trace::tenant::{self, TenantId};
use crate::trace::zone::TrustZone;

/// The configuration that `values` amount to.
pub(super) fn of(mut values: Values) -> Result<super::Config, ConfigError> {
    let is_enabled = values.flag("export.enabled");
    let receive = receive::of(&mut values, is_enabled);
    let export = export::of(&mut values, &receive);
    let proxy = proxy(&mut values, is_enabled);
    let telemetry = telemetry(&mut values, is_enabled);
    let redirect = redirect::of(&mut values, &proxy);
    let admin = admin(&values);
    match (admin, values.problems.is_empty()) {
        (Some(admin), true) => Ok(super::Config {
            proxy,
            export: is_enabled.then_some(export),
            receive,
            telemetry,
            redirect: Box::new(redirect),
            admin,
            drain_timeout: values.duration("limits.drain_timeout"),
            flush_timeout: values.duration("limits.flush_timeout"),
            effective: Effective::of(&values),
            warnings: values.warnings,
        }),
        _ => Err(values.problems),
    }
}

fn proxy(values: &mut Values, is_enabled: bool) -> crate::proxy::Config {
    let outbound = listeners::outbound(values);
    let inbound = listeners::inbound(values);
    listeners::check(values);
    crate::proxy::Config {
        inbound,
        outbound,
        workers: values.count("workers"),
        limits: limits(values),
        tracing: tracing(values, is_enabled),
    }
}

fn limits(values: &Values) -> Limits {
    Limits {
        connections: values.count("limits.connections"),
        requests: values.count("limits.requests"),
        streams: u32::try_from(values.count("limits.streams")).unwrap_or(u32::MAX),
        pending_resets: values.count("limits.pending_resets"),
        error_resets: values.count("limits.error_resets"),
        continuations: values.count("limits.continuations"),
        header_bytes: values.count("limits.header_bytes"),
        header_count: values.count("limits.header_count"),
        head_timeout: values.duration("limits.head_timeout"),
        connect_timeout: values.duration("limits.connect_timeout"),
        response_timeout: values.duration("limits.response_timeout"),
        idle_timeout: values.duration("limits.idle_timeout"),
    }
}

fn tracing(values: &mut Values, is_enabled: bool) -> Tracing {
    Tracing {
        is_enabled,
        sampler: sampler(values),
        propagation: propagation(values),
        trust_zone: trust_zone(values),
        tenants: tenants(values),
        routes: routes(values),
        health_checks: HealthChecks {
            user_agents: values.list("spans.health_check_user_agents"),
            paths: values.list("spans.health_check_paths"),
        },
        connections: values.flag("spans.connections"),
        progress_interval: Some(values.duration("spans.progress_interval"))
            .filter(|interval| !interval.is_zero()),
        query_values: match values.word("spans.query_values").as_str() {
            "keep" => QueryValues::Keep,
            _ => QueryValues::Redact,
        },
        baggage_keys: values.list("spans.baggage_keys"),
    }
}

fn sampler(values: &mut Values) -> Sampler {
    let name = values.word("sampling.sampler");
    let ratio = values.ratio("sampling.ratio");
    if ratio < 1.0 && !name.ends_with("traceidratio") {
        let origin = values.origin("sampling.ratio").clone();
        values.warn(format!("sampling.ratio ({origin}) is not used, because {name} takes none"));
    }
    Sampler::parse(&name, ratio).unwrap_or_default()
}

fn propagation(values: &mut Values) -> propagate::Config {
    const KEY: &str = "propagation.propagators";
    let names = values.list(KEY);
    let has = |name: &str| names.iter().any(|n| n == name);
    if has("none") && (has("tracecontext") || has("baggage")) {
        values.refuse(KEY, "expected `none` by itself, found it beside others");
    }
    propagate::Config {
        trace_context: has("tracecontext"),
        baggage: has("baggage"),
        random_flag: values.flag("propagation.random_flag"),
        join_keys: join_keys(values),
    }
}

fn trust_zone(values: &mut Values) -> TrustZone {
    const KEY: &str = "propagation.trust_zone";
    TrustZone::new(&values.list(KEY)).unwrap_or_else(|error| {
        values.refuse(KEY, &error.to_string());
        TrustZone::default()
    })
}

fn join_keys(values: &mut Values) -> Vec<String> {
    const KEY: &str = "propagation.join_keys";
    let mut names: Vec<String> = Vec::new();
    for name in values.list(KEY) {
        let name = name.to_ascii_lowercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > MAX_JOIN_KEYS {
        let found = names.len();
        values.refuse(KEY, &format!("expected at most {MAX_JOIN_KEYS} headers, found {found}"));
    }
    names
}

fn tenants(values: &mut Values) -> tenant::Config {
    const DEFAULT: &str = "tenants.default";
    let max_length = values.count("tenants.max_length");
    let name = values.text(DEFAULT);
    let default = name.as_ref().and_then(|name| TenantId::parse(name.as_bytes(), max_length));
    if name.is_some() && default.is_none() {
        let expected = format!("expected at most tenants.max_length bytes, which is {max_length}");
        values.refuse(DEFAULT, &expected);
    }
    tenant::Config { header: values.word("tenants.header"), default, max_length }
}

fn routes(values: &mut Values) -> Routes {
    const KEY: &str = "spans.routes";
    Routes::new(&values.list(KEY)).unwrap_or_else(|error| {
        values.refuse(KEY, &error.to_string());
        Routes::default()
    })
}

fn telemetry(values: &mut Values, is_enabled: bool) -> crate::telemetry::Config {
    let has_otlp = values.flag("export.otlp.enabled");
    let mut to_otlp = |key: &str| {
        let is_wanted = values.flag(key);
        if is_wanted && !is_enabled {
            values.warn(format!("{key} is not used, because exporting is switched off"));
        } else if is_wanted && !has_otlp {
            values.warn(format!("{key} is not used, because export.otlp.enabled is false"));
        }
        is_wanted && is_enabled && has_otlp
    };
    let (logs_to_otlp, metrics_to_otlp) = (to_otlp("logs.otlp"), to_otlp("metrics.otlp"));
    crate::telemetry::Config {
        log_filter: values.word("logs.filter"),
        log_format: match values.word("logs.format").as_str() {
            "json" => LogFormat::Json,
            _ => LogFormat::Text,
        },
        logs_to_otlp,
        metrics_to_otlp,
        metrics_interval: values.duration("metrics.interval"),
    }
}

fn admin(values: &Values) -> Option<crate::admin::Config> {
    let metrics_listen = values.address("metrics.listen");
    Some(crate::admin::Config { listen: values.address("admin.listen")?, metrics_listen })
}
