//! What the ledgers say, in words and for machines.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Join;
use super::calls::{Call, Calls};
use crate::metrics::{
    CONTEXT_CONFLICTS, CONTEXT_MALFORMED, CONTEXT_SEEN, JOINS, Label, Metric, Sample,
};

/// How many calls the verdict names.
const NAMED: usize = 5;

/// What is known of the context of one service's calls.
#[derive(Debug)]
pub struct Report {
    joins: [u64; Join::ALL.len()],
    foreign: u64,
    seen: Vec<(Vec<Label>, u64)>,
    malformed: Vec<(Vec<Label>, u64)>,
    conflicts: Vec<(Vec<Label>, u64)>,
    calls: Vec<(Box<str>, Call)>,
    join_keys: Vec<String>,
}

impl Report {
    pub(super) fn new(
        samples: &[Sample],
        calls: Calls,
        foreign: u64,
        join_keys: &[String],
    ) -> Self {
        let of = |metric: Metric| {
            let found = samples.iter().filter(move |s| s.metric == metric && s.value > 0);
            found.map(|s| (s.labels.clone(), s.value)).collect::<Vec<_>>()
        };
        let joined = of(JOINS);
        let count = |join: Join| {
            let label = ("result", join.as_str());
            let wanted = joined.iter().filter(|(labels, _)| labels.contains(&label));
            wanted.map(|(_, count)| count).sum()
        };
        Self {
            joins: Join::ALL.map(count),
            foreign,
            seen: of(CONTEXT_SEEN),
            malformed: of(CONTEXT_MALFORMED),
            conflicts: of(CONTEXT_CONFLICTS),
            calls: calls.into_sorted(),
            join_keys: join_keys.to_vec(),
        }
    }

    fn joins(&self, join: Join) -> u64 {
        self.joins.get(join as usize).copied().unwrap_or_default()
    }

    /// Calls that were made while there were requests in flight.
    fn made(&self) -> u64 {
        Join::ALL.map(|join| self.joins(join)).iter().sum::<u64>() - self.joins(Join::Background)
    }

    /// Of these, the calls that carried nothing by which they could be joined.
    fn lost(&self) -> u64 {
        let unjoined =
            [Join::Unknown, Join::Ambiguous, Join::Conflict].map(|join| self.joins(join));
        unjoined.iter().sum::<u64>().saturating_sub(self.foreign)
    }

    /// What it all means, in a sentence or two.
    #[must_use]
    pub fn verdict(&self) -> String {
        let (lost, made) = (self.lost(), self.made());
        let [context, key] = [Join::Context, Join::Key].map(|join| self.joins(join));
        if made == 0 {
            return "nothing can be said yet: no call was made while a request was in flight"
                .to_owned();
        }
        if lost > 0 {
            return format!(
                "this service does not forward trace context: {lost} of {made} outbound calls ({}) \
                 while requests were in flight carried none; they are: {}; {}",
                percent(lost, made),
                self.names(),
                self.advice()
            );
        }
        let by_key = match key {
            0 => String::new(),
            _ => format!("; {key} of {made} calls were joined by a key alone"),
        };
        let foreign = match self.foreign {
            0 => String::new(),
            foreign => format!("; {foreign} of {made} calls carried traces of their own"),
        };
        match context + key {
            0 => format!("this service begins traces of its own{foreign}"),
            _ => format!("this service forwards its context{by_key}{foreign}"),
        }
    }

    /// The calls that are lost most often.
    fn names(&self) -> String {
        let lost = || self.calls.iter().filter(|(_, call)| call.lost() > 0);
        let mut names: Vec<String> =
            lost().take(NAMED).map(|(name, call)| format!("{name} ({})", call.lost())).collect();
        let more = lost().count().saturating_sub(NAMED);
        if more > 0 {
            names.push(format!("and {more} more"));
        }
        names.join(", ")
    }

    fn advice(&self) -> String {
        let mut advice = match self.join_keys.as_slice() {
            [] => "forward traceparent".to_owned(),
            keys => format!("forward traceparent, or at least one of: {}", keys.join(", ")),
        };
        let unclear = self.joins(Join::Ambiguous) + self.joins(Join::Conflict);
        if unclear > 0 {
            advice.push_str(&format!(
                "; {unclear} of them carried what several requests in flight had in common, which \
                 only traceparent can tell apart"
            ));
        }
        advice
    }

    /// The report for machines.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let labelled = |rows: &[(Vec<Label>, u64)]| -> Vec<Value> {
            let row = |(labels, count): &(Vec<Label>, u64)| {
                let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
                labels.chain([("count".to_owned(), json!(count))]).collect::<Value>()
            };
            rows.iter().map(row).collect()
        };
        let calls = self.calls.iter().map(|(name, call)| {
            json!({
                "call": name,
                "joined": call.joined,
                "ambiguous": call.ambiguous,
                "unjoined": call.unjoined,
                "last_seen": time(call.last_seen),
                "last_in_flight": call.in_flight,
                "last_trace_id": call.trace_id.map(|id| id.to_string()),
                "last_inbound_trace_id": call.candidate.map(|id| id.to_string()),
            })
        });
        let joins = Join::ALL.map(|join| (join.as_str().to_owned(), json!(self.joins(join))));
        json!({
            "verdict": self.verdict(),
            "calls_while_in_flight": self.made(),
            "calls_without_context": self.lost(),
            "calls_of_other_traces": self.foreign,
            "join_keys": self.join_keys,
            "joins": joins.into_iter().collect::<Value>(),
            "calls": calls.collect::<Vec<_>>(),
            "seen": labelled(&self.seen),
            "malformed": labelled(&self.malformed),
            "conflicts": labelled(&self.conflicts),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\noutbound calls, by how they were joined:", self.verdict())?;
        for join in Join::ALL {
            writeln!(f, "  {:<11}{:>10}", join.as_str(), self.joins(join))?;
        }
        if !self.calls.is_empty() {
            writeln!(f, "\ncalls that carried no context while requests were in flight:")?;
            writeln!(f, "  joined by key  ambiguous  not joined  last seen             call")?;
        }
        for (name, call) in &self.calls {
            let Call { joined, ambiguous, unjoined, .. } = call;
            let last_seen = time(call.last_seen);
            writeln!(f, "  {joined:>13}  {ambiguous:>9}  {unjoined:>10}  {last_seen}  {name}")?;
            if let Some(trace_id) = call.trace_id {
                let in_flight = call.in_flight;
                write!(f, "{:>43}its last trace is {trace_id}, with {in_flight} in flight", "")?;
                match call.candidate {
                    Some(inbound) => writeln!(f, ": {inbound}")?,
                    None => writeln!(f)?,
                }
            }
        }
        for (title, rows) in [
            ("contexts that were carried", &self.seen),
            ("contexts that could not be used", &self.malformed),
            ("requests with contexts of different traces", &self.conflicts),
        ] {
            if !rows.is_empty() {
                writeln!(f, "\n{title}:")?;
            }
            for (labels, count) in rows {
                let values: Vec<_> = labels.iter().map(|(_, value)| *value).collect();
                writeln!(f, "  {count:>10}  {}", values.join("  "))?;
            }
        }
        Ok(())
    }
}

fn percent(part: u64, whole: u64) -> String {
    // Rounded so that all is said only of all, and none only of none.
    match part.saturating_mul(100) / whole.max(1) {
        0 if part > 0 => "less than 1 %".to_owned(),
        percent => format!("{percent} %"),
    }
}

fn time(nanoseconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{Doctor, Ledger, Missed};
    use super::*;
    use crate::direction::Direction;
    use crate::metrics::Registry;
    use crate::trace::TraceId;
    use crate::trace::propagate::known::{Format, Malformed};
    use std::sync::Arc;

    const KEYS: [&str; 2] = ["x-request-id", "x-correlation-id"];

    fn doctor() -> (Doctor, Ledger) {
        let registry = Arc::<Registry>::default();
        let (doctor, mut ledgers) = Doctor::with_ledgers(1, &registry, &KEYS.map(str::to_owned));
        (doctor, ledgers.remove(0))
    }

    fn miss(ledger: &Ledger, authority: &str, join: Join) {
        ledger.joined(join);
        ledger.missed(&Missed {
            method: "GET",
            authority: authority.as_bytes(),
            join,
            trace_id: TraceId::from_bytes([1; 16]),
            candidate: TraceId::from_bytes([2; 16]),
            in_flight: 1,
            time: 1_700_000_000_000_000_000,
        });
    }

    #[test]
    fn a_service_that_forwards_nothing_is_told_what_to_do() {
        let (doctor, ledger) = doctor();
        for _ in 0..3 {
            miss(&ledger, "inventory:8080", Join::Unknown);
        }
        miss(&ledger, "stock", Join::Ambiguous);
        ledger.joined(Join::Context);
        ledger.joined(Join::Background);
        assert_eq!(
            doctor.report().verdict(),
            "this service does not forward trace context: 4 of 5 outbound calls (80 %) while \
             requests were in flight carried none; they are: GET inventory:8080 (3), GET stock (1); \
             forward traceparent, or at least one of: x-request-id, x-correlation-id; 1 of them \
             carried what several requests in flight had in common, which only traceparent can \
             tell apart"
        );
    }

    #[test]
    fn a_service_in_order_is_told_so() {
        let (doctor, ledger) = doctor();
        assert!(doctor.report().verdict().starts_with("nothing can be said yet"));
        ledger.joined(Join::Context);
        assert_eq!(doctor.report().verdict(), "this service forwards its context");
        miss(&ledger, "h", Join::Key);
        let by_key = "this service forwards its context; 1 of 2 calls were joined by a key alone";
        assert_eq!(doctor.report().verdict(), by_key);
    }

    #[test]
    fn traces_of_its_own_are_not_taken_for_lost_ones() {
        let (doctor, ledger) = doctor();
        ledger.joined(Join::Unknown);
        ledger.was_foreign();
        let verdict = doctor.report().verdict();
        assert!(verdict.starts_with("this service begins traces of its own"), "{verdict}");
        assert_eq!(doctor.report().lost(), 0);
    }

    #[test]
    fn the_verdict_names_a_few_calls_only() {
        let (doctor, ledger) = doctor();
        for n in 0..9 {
            miss(&ledger, &format!("h{n}"), Join::Unknown);
        }
        assert!(doctor.report().verdict().contains("GET h4 (1), and 4 more;"));
    }

    #[test]
    fn text_and_json_tell_the_same() {
        let (doctor, ledger) = doctor();
        miss(&ledger, "h:1", Join::Unknown);
        ledger.saw(Direction::Outbound, Format::B3);
        ledger.saw_malformed(Direction::Outbound, Format::B3, Malformed::ZeroId);
        ledger.saw_conflict(Direction::Inbound);
        let report = doctor.report();
        let (text, json) = (report.to_string(), report.to_json());
        assert!(text.starts_with(&report.verdict()));
        for part in [
            "  unknown             1\n",
            "              0          0           1  2023-11-14T22:13:20Z  GET h:1\n",
            "its last trace is 01010101010101010101010101010101, with 1 in flight: \
             02020202020202020202020202020202\n",
            "           1  outbound  b3\n",
            "           1  outbound  b3  zero_id\n",
            "           1  inbound\n",
        ] {
            assert!(text.contains(part), "{part:?} is missing from\n{text}");
        }
        assert_eq!(json["calls"][0]["call"], "GET h:1");
        assert_eq!(json["calls"][0]["last_inbound_trace_id"], "02".repeat(16));
        assert_eq!(json["malformed"][0]["reason"], "zero_id");
        assert_eq!(
            (&json["joins"]["unknown"], &json["calls_without_context"]),
            (&json!(1), &json!(1))
        );
    }
}
