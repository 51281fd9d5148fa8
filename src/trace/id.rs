//! Trace and span ids, the flags beside them, and the generator that makes new ones.
//!
//! Ids are fixed arrays that are `Copy` and, by construction, never all zero
//! (W3C Trace Context Level 2, sections 3.2.2.3 and 3.2.2.4).

use std::fmt;

/// The id of a whole trace: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

/// The id of one span: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

/// The trace flags of W3C Trace Context Level 2, section 3.2.2.5; unknown bits are never kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl TraceId {
    /// The id made of these bytes, unless they are all zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The id that 32 hexadecimal digits of either case write, as people type it.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let is_id = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let id = is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
        Self::from_bytes(id.to_be_bytes())
    }

    /// The bytes in wire order.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The last eight bytes as a number, on which ratio samplers decide.
    #[must_use]
    pub fn low_u64(self) -> u64 {
        self.0.iter().skip(8).fold(0, |low, byte| low << 8 | u64::from(*byte))
    }
}

impl SpanId {
    /// The id made of these bytes, unless they are all zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// The bytes in wire order.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

impl Flags {
    /// The caller recorded this trace.
    pub const SAMPLED: Self = Self(0x01);
    /// The low seven bytes of the trace id are uniformly random (Level 2).
    pub const RANDOM: Self = Self(0x02);

    /// Keeps the bits this implementation knows and clears the others.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte & 0x03)
    }

    /// The byte as it goes on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// Whether the caller recorded this trace.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// The same flags with the sampled bit set.
    #[must_use]
    pub const fn sampled(self) -> Self {
        Self(self.0 | Self::SAMPLED.0)
    }

    /// Both sets of flags together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// A source of random ids: xoshiro256++ with 256 bits of state, so that a whole fleet of
/// generators seeded by the operating system does not collide. One per worker, never shared.
#[derive(Debug)]
pub struct IdGenerator {
    state: [u64; 4],
}

impl IdGenerator {
    /// A generator that starts at `seed`, which should come from the operating system.
    /// The one seed that the algorithm cannot leave, all zero, is replaced.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(seed.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |acc, b| acc << 8 | u64::from(*b));
        }
        if state == [0; 4] {
            state = [0x9e37_79b9_7f4a_7c15, 1, 2, 3];
        }
        Self { state }
    }

    /// A new trace id: 16 random bytes, never zero.
    pub fn trace_id(&mut self) -> TraceId {
        loop {
            let id = u128::from(self.next_u64()) << 64 | u128::from(self.next_u64());
            if let Some(id) = TraceId::from_bytes(id.to_be_bytes()) {
                return id;
            }
        }
    }

    /// A new span id: 8 random bytes, never zero.
    pub fn span_id(&mut self) -> SpanId {
        loop {
            if let Some(id) = SpanId::from_bytes(self.next_u64().to_be_bytes()) {
                return id;
            }
        }
    }

    fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = TraceId::from_hex("0AF7651916cd43dd8448eb211c80319c").unwrap();
        assert_eq!(id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        for wrong in [
            "",
            "0",
            &"0".repeat(32),
            &"g".repeat(32),
            &"1".repeat(33),
            "+1f7651916cd43dd8448eb211c80319",
        ] {
            assert_eq!(TraceId::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn all_zero_ids_do_not_exist() {
        assert_eq!(TraceId::from_bytes([0; 16]), None);
        assert_eq!(SpanId::from_bytes([0; 8]), None);
    }

    #[test]
    fn the_generator_follows_the_published_algorithm() {
        // First outputs of xoshiro256++ for the state 1, 2, 3, 4.
        let mut seed = [0; 32];
        for (i, byte) in [1, 2, 3, 4].into_iter().enumerate() {
            seed[i * 8 + 7] = byte;
        }
        let mut ids = IdGenerator::from_seed(seed);
        let outputs: Vec<u64> = (0..4).map(|_| ids.next_u64()).collect();
        assert_eq!(outputs, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn ids_are_distinct_and_survive_a_zero_seed() {
        let mut ids = IdGenerator::from_seed([0; 32]);
        let distinct: HashSet<SpanId> = (0..10_000).map(|_| ids.span_id()).collect();
        assert_eq!(distinct.len(), 10_000);
    }

    #[test]
    fn unknown_flags_are_cleared() {
        assert_eq!(Flags::from_byte(0xff).to_byte(), 0x03);
    }
}
