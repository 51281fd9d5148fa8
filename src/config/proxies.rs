//! The proxies on the way out, which the usual variables of the environment name.

use super::listeners;
use super::values::Values;
use crate::export::Proxy;
use crate::proxy::Authority;

const HTTP: &str = "export.proxy.http";
const HTTPS: &str = "export.proxy.https";
const ALL: &str = "export.proxy.all";

/// The port of a proxy whose URL names none.
const PORT: u16 = 80;

/// The parts of a proxy's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProxyUrl<'t> {
    /// What stands before the name and the place: `http://` or nothing.
    scheme: &'t str,
    /// A name, and mostly a password.
    user: Option<&'t str>,
    /// The host, and mostly a port.
    place: &'t str,
}

impl<'t> ProxyUrl<'t> {
    /// The parts of `text`, if it is the URL of a proxy that speaks HTTP.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        const HTTP: &str = "http://";
        let is_visible = |b: u8| b.is_ascii_graphic();
        let (scheme, rest) = match text.strip_prefix(HTTP) {
            Some(rest) => (HTTP, rest),
            None => ("", text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let uri: http::Uri = format!("{HTTP}{rest}").parse().ok()?;
        let is_whole = uri.path() == "/" && uri.query().is_none() && authority(place).is_some();
        let is_user = user.is_none_or(|user| !user.is_empty() && user.bytes().all(is_visible));
        (is_whole && is_user).then_some(Self { scheme, user, place })
    }

    /// The URL as it may be shown.
    pub(super) fn without_password(&self) -> String {
        let user = if self.user.is_some() { "REDACTED@" } else { "" };
        format!("{}{user}{}", self.scheme, self.place)
    }
}

/// The proxies that the settings name. One that is spandrel's own listener for the application's
/// calls is left out: it is meant for the application.
pub(super) fn of(values: &mut Values) -> Proxy {
    for key in [HTTP, HTTPS, ALL] {
        let Some(url) = values.text(key) else { continue };
        let place = ProxyUrl::parse(&url).and_then(|url| authority(url.place));
        let own = values.address("outbound.listen").zip(place);
        if own.is_some_and(|(listen, place)| listeners::is_same_place(listen, &place)) {
            let origin = values.origin(key).clone();
            values.warn(format!(
                "{key} ({origin}) is not used, because it is spandrel's own outbound listener"
            ));
            values.unset(key);
        }
    }
    Proxy {
        http: values.text(HTTP),
        https: values.text(HTTPS),
        all: values.text(ALL),
        no: values.list("export.proxy.bypass").join(","),
    }
}

fn authority(place: &str) -> Option<Authority> {
    let parsed: http::uri::Authority = place.parse().ok()?;
    let host = parsed.host();
    let port = parsed.port().map_or(Some(PORT), |port| port.as_str().parse().ok())?;
    let is_whole = !host.is_empty() && !place.contains('@') && !place.ends_with(':');
    is_whole.then(|| Authority { host: host.trim_matches(['[', ']']).into(), port })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{LEAST, effective, load, with, wrong_file};
    use super::*;

    #[test]
    fn the_usual_variables_name_the_proxies() {
        let config = with(&[
            ("HTTP_PROXY", "http://proxy:3128"),
            ("http_proxy", "http://nearer:3128"),
            ("HTTPS_PROXY", "me:s3cret@proxy:3129"),
            ("no_proxy", "localhost, .svc,10.0.0.0/8"),
        ]);
        let expected = Proxy {
            http: Some("http://nearer:3128".to_owned()),
            https: Some("me:s3cret@proxy:3129".to_owned()),
            all: None,
            no: "localhost,.svc,10.0.0.0/8".to_owned(),
        };
        assert_eq!(config.export.as_ref().unwrap().otlp().unwrap().client.proxy, expected);
        let (value, origin) = effective(&config, HTTPS);
        assert_eq!((value.as_str(), origin.as_str()), ("\"REDACTED@proxy:3129\"", "HTTPS_PROXY"));
        assert!(!config.effective.to_string().contains("s3cret"));
    }

    #[test]
    fn a_proxy_of_the_environment_that_cannot_be_used_is_warned_of_and_not_repeated() {
        let config = with(&[("ALL_PROXY", "socks5://me:s3cret@proxy:1080")]);
        assert_eq!(config.export.unwrap().otlp().unwrap().client.proxy, Proxy::default());
        assert_eq!(
            config.warnings,
            [
                "ALL_PROXY is not used: expected the URL of a proxy such as http://proxy:3128, found \
              something else"
            ]
        );
        let error = wrong_file(&format!("{LEAST}export.proxy.all: socks5://me:s3cret@proxy:1\n"));
        let expected =
            "expected the URL of a proxy such as http://proxy:3128, found something else";
        assert_eq!(error, format!("spandrel.yaml:2: export.proxy.all: {expected}"));
    }

    #[test]
    fn the_proxy_that_the_application_is_told_to_use_is_not_ours() {
        let yaml = format!("{LEAST}outbound.listen: 127.0.0.1:16001\n");
        let config = load(&yaml, &[("http_proxy", "http://localhost:16001")], &[]).unwrap();
        assert_eq!(config.export.unwrap().otlp().unwrap().client.proxy, Proxy::default());
        assert_eq!(
            config.warnings,
            ["export.proxy.http (http_proxy) is not used, because it is spandrel's own outbound \
              listener"]
        );
    }
}
