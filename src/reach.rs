//! Whether what is sent to the destinations arrives, and if not, why: told by those who send, for
//! people to see.
//!
//! Nothing depends on it: a destination that is down makes spandrel neither dead nor unready.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The longest reason that is kept, in characters.
const MAX_REASON: usize = 300;

/// How all destinations are reached. Clones share what is told.
#[derive(Clone, Debug, Default)]
pub struct Reach(Arc<Mutex<Vec<Standing>>>);

/// How one destination is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub destination: String,
    /// Whether what is sent arrives.
    pub state: State,
    /// When this state began.
    pub since: SystemTime,
    /// What was said last about it, in words; often nothing where all is well.
    pub reason: String,
}

/// Whether what is sent arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent yet.
    #[default]
    Unknown,
    /// It arrives.
    Reachable,
    /// It does not arrive at the moment.
    Unreachable,
    /// It arrives, and is refused.
    Refusing,
}

impl State {
    /// The state in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Reachable => "reachable",
            Self::Unreachable => "unreachable",
            Self::Refusing => "refusing",
        }
    }
}

impl Reach {
    /// Takes down how `destination` is reached now. Returns whether that is news, which is what is
    /// worth a line in the log. For those who send, once for each attempt: one may wait here for
    /// somebody who reads.
    pub fn told(&self, destination: &str, state: State, reason: &str) -> bool {
        let reason = one_line(reason);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = all.iter_mut().find(|known| known.destination == destination) else {
            let (destination, since) = (destination.to_owned(), SystemTime::now());
            all.push(Standing { destination, state, since, reason });
            return true;
        };
        let is_news = known.state != state;
        if is_news {
            known.since = SystemTime::now();
            known.state = state;
        }
        known.reason = reason;
        is_news
    }

    /// How each destination is reached, in the order in which they were first told of.
    #[must_use]
    pub fn all(&self) -> Vec<Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.destination, self.state.as_str())?;
        if self.state != State::Unknown {
            write!(f, " since {}", humantime::format_rfc3339_seconds(self.since))?;
        }
        if self.reason.is_empty() { Ok(()) } else { write!(f, ", {}", self.reason) }
    }
}

fn one_line(text: &str) -> String {
    let blank = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(MAX_REASON).map(blank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn only_another_state_is_news_and_the_last_reason_is_kept() {
        let reach = Reach::default();
        assert!(reach.told("otlp", State::Unknown, ""));
        assert!(reach.told("otlp", State::Unreachable, "connection refused"));
        let since = reach.all()[0].since;
        assert!(!reach.told("otlp", State::Unreachable, "no answer\nwithin 10s"));
        assert!(reach.told("zipkin", State::Reachable, ""));
        let [otlp, zipkin] = &reach.all()[..] else { panic!("two were told of") };
        assert_eq!(
            (otlp.state, otlp.reason.as_str()),
            (State::Unreachable, "no answer within 10s")
        );
        assert_eq!(otlp.since, since, "it has been so since the first time");
        assert_eq!(zipkin.state, State::Reachable);
        assert!(reach.told("otlp", State::Reachable, ""));
        assert_eq!(reach.all()[0].reason, "");
    }

    #[test]
    fn a_standing_is_a_line_for_people() {
        let mut standing = Standing {
            destination: "otlp".to_owned(),
            state: State::Refusing,
            since: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            reason: "401".to_owned(),
        };
        assert_eq!(standing.to_string(), "otlp: refusing since 2023-11-14T22:13:20Z, 401");
        (standing.state, standing.reason) = (State::Unknown, String::new());
        assert_eq!(standing.to_string(), "otlp: unknown");
        assert_eq!(one_line(&"x".repeat(1_000)).len(), MAX_REASON);
    }
}
