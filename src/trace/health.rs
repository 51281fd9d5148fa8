//! Health checks: the requests that make no spans because nobody wants to read them.

use super::Headers;

/// The user agents that are health checkers, by their beginning.
pub const USER_AGENTS: [&str; 3] = ["kube-probe/", "GoogleHC/", "ELB-HealthChecker/"];

/// Which requests are health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChecks {
    /// Beginnings of `user-agent` values.
    pub user_agents: Vec<String>,
    /// Exact paths, without a query.
    pub paths: Vec<String>,
}

impl Default for HealthChecks {
    fn default() -> Self {
        Self { user_agents: USER_AGENTS.map(str::to_owned).to_vec(), paths: Vec::new() }
    }
}

impl HealthChecks {
    /// Whether a request for `path` with these headers is a health check.
    pub fn matches(&self, path: &[u8], headers: &impl Headers) -> bool {
        self.paths.iter().any(|p| p.as_bytes() == path)
            || headers.first("user-agent").is_some_and(|agent| {
                self.user_agents.iter().any(|known| agent.starts_with(known.as_bytes()))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Lines;
    use super::*;

    #[test]
    fn known_checkers_and_declared_paths_match_and_others_do_not() {
        let checks = HealthChecks { paths: vec!["/healthz".to_owned()], ..HealthChecks::default() };
        for agent in ["kube-probe/1.33", "GoogleHC/1.0", "ELB-HealthChecker/2.0"] {
            assert!(checks.matches(b"/", &Lines(&[("User-Agent", agent.as_bytes())])));
        }
        assert!(checks.matches(b"/healthz", &Lines(&[])));
        assert!(!checks.matches(b"/healthz/deep", &Lines(&[])));
        assert!(!checks.matches(b"/", &Lines(&[("User-Agent", b"curl/8 kube-probe/1")])));
    }
}
