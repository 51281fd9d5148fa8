//! Which tenant a request belongs to: the first form, one configured header.
//!
//! A value that does not validate is no tenant; it never fails the request.

use std::fmt;
use std::sync::Arc;

use super::Headers;

/// The longest tenant id that can be configured, in bytes.
pub const MAX_LENGTH: usize = 256;

/// A tenant's name: 1 to [`MAX_LENGTH`] bytes of letters, digits and `-_.:/@`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TenantId(Arc<str>);

/// Where a tenant comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of the header, in lower case.
    pub header: String,
    /// The tenant of a request that names none.
    pub default: Option<TenantId>,
    /// The longest id that is accepted, in bytes; at most [`MAX_LENGTH`].
    pub max_length: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { header: "x-tenant-id".to_owned(), default: None, max_length: 64 }
    }
}

/// A request's tenant, and whether the header that goes on must be set for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The tenant, if there is one.
    pub tenant: Option<TenantId>,
    /// Whether the tenant did not come in the request's own header, so that it must be written.
    pub is_written: bool,
}

impl TenantId {
    /// The tenant of this name, if it is one: 1 to `max_length` allowed bytes.
    #[must_use]
    pub fn parse(value: &[u8], max_length: usize) -> Option<Self> {
        let is_allowed = |b: &u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'@')
        };
        if value.is_empty() || value.len() > max_length.min(MAX_LENGTH) {
            return None;
        }
        if !value.iter().all(is_allowed) {
            return None;
        }
        std::str::from_utf8(value).ok().map(|id| Self(id.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Config {
    /// The tenant of a request: its header if that is one valid value, else what `joined` says
    /// (the tenant of the inbound request that caused an outbound one), else the default.
    /// Several lines that disagree name nobody.
    pub fn resolve(
        &self,
        headers: &impl Headers,
        joined: impl FnOnce() -> Option<TenantId>,
    ) -> Resolved {
        let mut lines = headers.values(&self.header);
        let claim = lines.next().filter(|first| lines.all(|other| other == *first));
        if let Some(tenant) = claim.and_then(|value| TenantId::parse(value, self.max_length)) {
            return Resolved { tenant: Some(tenant), is_written: false };
        }
        let tenant = joined().or_else(|| self.default.clone());
        Resolved { is_written: tenant.is_some(), tenant }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Lines;
    use super::*;

    fn tenant(name: &str) -> Option<TenantId> {
        TenantId::parse(name.as_bytes(), MAX_LENGTH)
    }

    #[test]
    fn length_and_characters_are_checked() {
        for good in ["a", "acme-1.eu_west:x/y@z", &"x".repeat(64)] {
            assert!(TenantId::parse(good.as_bytes(), 64).is_some(), "{good}");
        }
        for bad in ["", " a", "a b", "a,b", "t\u{e9}", "a\0", &"x".repeat(65)] {
            assert!(TenantId::parse(bad.as_bytes(), 64).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_header_wins_over_the_join_and_the_join_over_the_default() {
        let config = Config { default: tenant("fallback"), ..Config::default() };
        let claimed = Lines(&[("X-Tenant-Id", b"acme")]);
        let found = config.resolve(&claimed, || tenant("joined"));
        assert_eq!(found, Resolved { tenant: tenant("acme"), is_written: false });
        let found = config.resolve(&Lines(&[]), || tenant("joined"));
        assert_eq!(found, Resolved { tenant: tenant("joined"), is_written: true });
        let found = config.resolve(&Lines(&[]), || None);
        assert_eq!(found, Resolved { tenant: tenant("fallback"), is_written: true });
        let found = Config::default().resolve(&Lines(&[]), || None);
        assert_eq!(found, Resolved::default());
    }

    #[test]
    fn an_invalid_or_contradictory_claim_names_nobody() {
        let config = Config::default();
        let invalid = Lines(&[("x-tenant-id", b"a b")]);
        assert_eq!(config.resolve(&invalid, || None), Resolved::default());
        let contradictory = Lines(&[("x-tenant-id", b"a"), ("x-tenant-id", b"b")]);
        assert_eq!(config.resolve(&contradictory, || None), Resolved::default());
        let repeated = Lines(&[("x-tenant-id", b"a"), ("x-tenant-id", b"a")]);
        assert_eq!(config.resolve(&repeated, || None).tenant, tenant("a"));
    }
}
