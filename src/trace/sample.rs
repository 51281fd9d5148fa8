//! The samplers of the OpenTelemetry specification ("Built-in samplers"), by their own names.

use super::{TraceContext, TraceId};

/// What becomes of a request's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No span, and the trace headers pass byte for byte.
    Drop,
    /// A span is recorded and exported, and the context that goes on says so.
    RecordAndSample,
}

/// Decides which requests are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether the decision of a caller that brought context is followed.
    parent_based: bool,
    root: Root,
}

/// The decision where no caller has decided.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Root {
    AlwaysOn,
    AlwaysOff,
    /// Keeps trace ids whose low 63 bits, less the lowest, lie under this number: the rule that
    /// the SDKs share, so that services with one ratio keep the same traces.
    Below(u64),
}

/// The sampler names that [`Sampler::parse`] knows, in the order of the specification.
pub const NAMES: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Ids are compared by 63 of their bits.
const RATIO_SPAN: f64 = (1u64 << 63) as f64;

impl Default for Sampler {
    fn default() -> Self {
        Self { parent_based: true, root: Root::AlwaysOn }
    }
}

impl Sampler {
    /// The sampler of this name, with the ratio in 0 to 1 that the ratio samplers take.
    /// `None` if there is no sampler of that name.
    #[must_use]
    pub fn parse(name: &str, ratio: f64) -> Option<Self> {
        let (parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let root = match root {
            "always_on" => Root::AlwaysOn,
            "always_off" => Root::AlwaysOff,
            "traceidratio" => Root::ratio(ratio),
            _ => return None,
        };
        Some(Self { parent_based, root })
    }

    /// The share of traces that it keeps where no caller has decided, within 0 and 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the bound was made of such a number")]
    pub fn root_ratio(&self) -> f64 {
        match self.root {
            Root::AlwaysOn => 1.0,
            Root::AlwaysOff => 0.0,
            Root::Below(bound) => bound as f64 / RATIO_SPAN,
        }
    }

    /// Decides on a request of the trace `trace_id` that came with `parent`.
    #[must_use]
    pub fn decide(&self, parent: Option<&TraceContext>, trace_id: TraceId) -> Decision {
        let keep = match (self.parent_based, parent) {
            (true, Some(parent)) => parent.flags.is_sampled(),
            _ => match self.root {
                Root::AlwaysOn => true,
                Root::AlwaysOff => false,
                Root::Below(bound) => trace_id.low_u64() >> 1 < bound,
            },
        };
        if keep { Decision::RecordAndSample } else { Decision::Drop }
    }
}

impl Root {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product lies within 0 and 2^63"
    )]
    fn ratio(ratio: f64) -> Self {
        if ratio >= 1.0 {
            Self::AlwaysOn
        } else {
            Self::Below((ratio.max(0.0) * RATIO_SPAN) as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, IdGenerator};
    use super::*;

    fn parent(ids: &mut IdGenerator, flags: Flags) -> TraceContext {
        TraceContext { trace_id: ids.trace_id(), span_id: ids.span_id(), flags }
    }

    fn kept(sampler: Sampler, parent: Option<TraceContext>, ids: &mut IdGenerator) -> bool {
        sampler.decide(parent.as_ref(), ids.trace_id()) == Decision::RecordAndSample
    }

    #[test]
    fn a_parent_based_sampler_follows_the_caller() {
        let mut ids = IdGenerator::from_seed([7; 32]);
        for name in ["parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"]
        {
            let sampler = Sampler::parse(name, 0.5).unwrap();
            let sampled = parent(&mut ids, Flags::SAMPLED);
            let unsampled = parent(&mut ids, Flags::default());
            assert!(kept(sampler, Some(sampled), &mut ids), "{name}");
            assert!(!kept(sampler, Some(unsampled), &mut ids), "{name}");
        }
    }

    #[test]
    fn the_plain_samplers_ignore_the_caller() {
        let mut ids = IdGenerator::from_seed([7; 32]);
        let sampled = parent(&mut ids, Flags::SAMPLED);
        let unsampled = parent(&mut ids, Flags::default());
        assert!(kept(Sampler::parse("always_on", 1.0).unwrap(), Some(unsampled), &mut ids));
        assert!(!kept(Sampler::parse("always_off", 1.0).unwrap(), Some(sampled), &mut ids));
        assert!(!kept(Sampler::parse("traceidratio", 0.0).unwrap(), Some(sampled), &mut ids));
    }

    #[test]
    fn a_ratio_keeps_its_share_and_the_bounds_are_exact() {
        let mut ids = IdGenerator::from_seed([1; 32]);
        let mut share = |ratio: f64| {
            let sampler = Sampler::parse("traceidratio", ratio).unwrap();
            (0..20_000).filter(|_| kept(sampler, None, &mut ids)).count()
        };
        assert_eq!(share(1.0), 20_000);
        assert_eq!(share(0.0), 0);
        assert!((4_700..5_300).contains(&share(0.25)));
    }

    #[test]
    fn a_sampler_tells_its_ratio() {
        for (name, ratio) in [("always_on", 1.0), ("always_off", 0.0)] {
            assert_eq!(Sampler::parse(name, 0.5).unwrap().root_ratio(), ratio);
        }
        for ratio in [0.0, 0.001, 0.1, 0.25, 1.0] {
            let sampler = Sampler::parse("parentbased_traceidratio", ratio).unwrap();
            assert_eq!(sampler.root_ratio(), ratio);
        }
    }

    #[test]
    fn every_listed_name_parses_and_no_other() {
        assert!(NAMES.iter().all(|name| Sampler::parse(name, 0.1).is_some()));
        for name in ["", "parentbased_", "jaeger_remote", "ALWAYS_ON"] {
            assert_eq!(Sampler::parse(name, 0.1), None);
        }
    }
}
