//! The context formats beside W3C Trace Context, as far as it takes to know a trace again.
//!
//! spandrel does not continue these: an application that forwards one of them shows which request
//! a call belongs to, and that is all they are read for. What is taken of a value is the part
//! that names the trace. Nothing here decides anything; a malformed value has a reason and is
//! otherwise as good as none.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::super::is_same_name;
use super::trim_ows;

/// The longest value that is looked at, in bytes.
pub const MAX_VALUE: usize = 1024;
/// The longest part of a value that can name a trace as it stands, in bytes.
pub const MAX_TEXT: usize = 256;

/// A format of trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// `traceparent` and `tracestate`.
    TraceContext,
    /// `b3`: trace, span and decision in one value.
    B3,
    /// `x-b3-traceid` and its siblings.
    B3Multi,
    /// `uber-trace-id`.
    Jaeger,
    /// `x-datadog-trace-id` and its siblings.
    Datadog,
    /// `x-cloud-trace-context`.
    Google,
    /// `x-amzn-trace-id`.
    XRay,
    /// `grpc-trace-bin`, the binary form of `OpenCensus`.
    OpenCensus,
    /// `sw8`.
    SkyWalking,
    /// `x-ot-span-context`.
    Lightstep,
    /// `ot-tracer-traceid` and its siblings.
    OtTrace,
}

/// What names a trace: two values of the same trace are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceKey<'a> {
    /// An id of up to 128 bits.
    Id(u128),
    /// The lower 64 bits of an id.
    Low(u64),
    /// A text without a meaning that we know.
    Text(Format, &'a [u8]),
}

/// Why a value cannot be used: the values of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Malformed {
    /// The header came more than once.
    Repeated,
    /// The value, or one of its parts, is too long, too short, or missing.
    Length,
    /// There are characters in it that do not belong there.
    Characters,
    /// An id is zero.
    ZeroId,
    /// The version is forbidden or unknown.
    Version,
    /// The `tracestate` is no valid list.
    State,
    /// There is a `tracestate` without a `traceparent`.
    LoneState,
}

impl Format {
    /// Every format, that of W3C first.
    pub const ALL: [Self; 11] = [
        Self::TraceContext,
        Self::B3,
        Self::B3Multi,
        Self::Jaeger,
        Self::Datadog,
        Self::Google,
        Self::XRay,
        Self::OpenCensus,
        Self::SkyWalking,
        Self::Lightstep,
        Self::OtTrace,
    ];

    /// The value of the label `format`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TraceContext => "tracecontext",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
            Self::Jaeger => "jaeger",
            Self::Datadog => "datadog",
            Self::Google => "google",
            Self::XRay => "xray",
            Self::OpenCensus => "opencensus",
            Self::SkyWalking => "skywalking",
            Self::Lightstep => "lightstep",
            Self::OtTrace => "ottrace",
        }
    }

    /// The header that names the trace, in lower case.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::TraceContext => super::TRACEPARENT,
            Self::B3 => "b3",
            Self::B3Multi => "x-b3-traceid",
            Self::Jaeger => "uber-trace-id",
            Self::Datadog => "x-datadog-trace-id",
            Self::Google => "x-cloud-trace-context",
            Self::XRay => "x-amzn-trace-id",
            Self::OpenCensus => "grpc-trace-bin",
            Self::SkyWalking => "sw8",
            Self::Lightstep => "x-ot-span-context",
            Self::OtTrace => "ot-tracer-traceid",
        }
    }

    /// The format, other than that of W3C, whose trace the header of this name carries.
    #[must_use]
    pub fn of_header(name: &[u8]) -> Option<Self> {
        let by_length: &[Self] = match name.len() {
            2 => &[Self::B3],
            3 => &[Self::SkyWalking],
            12 => &[Self::B3Multi],
            13 => &[Self::Jaeger],
            14 => &[Self::OpenCensus],
            15 => &[Self::XRay],
            17 => &[Self::Lightstep, Self::OtTrace],
            18 => &[Self::Datadog],
            21 => &[Self::Google],
            _ => return None,
        };
        let is_it = |format: &&Self| is_same_name(name, format.header().as_bytes());
        by_length.iter().find(is_it).copied()
    }
}

impl Malformed {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Repeated,
        Self::Length,
        Self::Characters,
        Self::ZeroId,
        Self::Version,
        Self::State,
        Self::LoneState,
    ];

    /// The value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repeated => "repeated",
            Self::Length => "length",
            Self::Characters => "characters",
            Self::ZeroId => "zero_id",
            Self::Version => "version",
            Self::State => "invalid_tracestate",
            Self::LoneState => "lone_tracestate",
        }
    }
}

impl TraceKey<'_> {
    /// The lower half of an id that has another: what those go on with who know ids of 64 bits.
    #[must_use]
    pub const fn cut(self) -> Option<Self> {
        match self {
            Self::Id(id) if is_wide(id) => match self.low() {
                Some(low) => Some(Self::Low(low)),
                None => None,
            },
            _ => None,
        }
    }

    /// Whether these are certain to name different traces. Where one of them has 64 bits, these
    /// are compared; texts tell nothing about ids.
    #[must_use]
    pub const fn contradicts(self, other: TraceKey<'_>) -> bool {
        match (self, other) {
            (Self::Id(a), TraceKey::Id(b)) if is_wide(a) && is_wide(b) => a != b,
            _ => match (self.low(), other.low()) {
                (Some(a), Some(b)) => a != b,
                _ => false,
            },
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
    const fn low(self) -> Option<u64> {
        match self {
            Self::Id(id) => Some(id as u64),
            Self::Low(low) => Some(low),
            Self::Text(..) => None,
        }
    }
}

const fn is_wide(id: u128) -> bool {
    id >> 64 != 0
}

/// What names the trace in a value of the format's header. `Ok(None)` where the value is in order
/// and names none, as a decision not to record does.
///
/// # Errors
/// Why the value cannot be used.
pub fn trace_key(format: Format, value: &[u8]) -> Result<Option<TraceKey<'_>>, Malformed> {
    let value = trim_ows(value);
    if value.is_empty() || value.len() > MAX_VALUE {
        return Err(Malformed::Length);
    }
    match format {
        Format::TraceContext => match super::traceparent::parse(value) {
            Some(context) => {
                Ok(Some(TraceKey::Id(u128::from_be_bytes(context.trace_id.to_bytes()))))
            }
            None => Err(super::traceparent::malformed(value).unwrap_or(Malformed::Length)),
        },
        Format::B3 => b3(value),
        Format::B3Multi | Format::OtTrace => id(value, &[16, 32]),
        Format::Jaeger => jaeger(value),
        Format::Datadog => datadog(value),
        Format::Google => id(until(value, b"/;"), &[32]),
        Format::XRay => xray(value),
        Format::OpenCensus => open_census(value),
        Format::SkyWalking => sky_walking(value),
        Format::Lightstep => text(Format::Lightstep, value, u8::is_ascii_graphic),
    }
}

/// `{trace}-{span}[-{decision}[-{parent}]]`, or the decision alone.
fn b3(value: &[u8]) -> Result<Option<TraceKey<'static>>, Malformed> {
    if matches!(value, [b'0' | b'1' | b'd']) {
        return Ok(None);
    }
    let mut parts = value.split(|b| *b == b'-');
    let trace = id(parts.next().unwrap_or_default(), &[16, 32])?;
    id(parts.next().unwrap_or_default(), &[16])?;
    if parts.count() > 2 { Err(Malformed::Length) } else { Ok(trace) }
}

/// `{trace}:{span}:{parent}:{flags}`, whose colons some clients write as `%3A`.
fn jaeger(value: &[u8]) -> Result<Option<TraceKey<'static>>, Malformed> {
    let colons = value.iter().filter(|b| **b == b':').count();
    let encoded = value.windows(3).filter(|w| w.eq_ignore_ascii_case(b"%3a")).count();
    if colons + encoded != 3 {
        return Err(Malformed::Length);
    }
    let trace = until(value, b":%");
    if trace.is_empty() || trace.len() > 32 {
        return Err(Malformed::Length);
    }
    number(trace)
}

/// A decimal number of 64 bits.
fn datadog(value: &[u8]) -> Result<Option<TraceKey<'static>>, Malformed> {
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::Characters);
    }
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    match value.iter().try_fold(0, add) {
        Some(0) => Err(Malformed::ZeroId),
        Some(low) => Ok(Some(TraceKey::Low(low))),
        None => Err(Malformed::Length),
    }
}

/// `Root=1-{8 digits}-{24 digits}` among other fields.
fn xray(value: &[u8]) -> Result<Option<TraceKey<'static>>, Malformed> {
    let mut fields = value.split(|b| *b == b';').map(trim_ows);
    let Some(root) = fields.find_map(|field| field.strip_prefix(b"Root=")) else {
        return Ok(None);
    };
    let mut parts = root.split(|b| *b == b'-');
    let [version, time, random] = [(); 3].map(|()| parts.next().unwrap_or_default());
    if version != b"1" {
        return Err(Malformed::Version);
    }
    if (time.len(), random.len()) != (8, 24) || parts.next().is_some() {
        return Err(Malformed::Length);
    }
    let mut digits = [0; 32];
    for (digit, from) in digits.iter_mut().zip(time.iter().chain(random)) {
        *digit = *from;
    }
    number(&digits)
}

/// Base64 of a version and fields, each a number and as many bytes as that field has.
fn open_census(value: &[u8]) -> Result<Option<TraceKey<'static>>, Malformed> {
    /// Room for three times what the fields that are known take.
    const MAX_BYTES: usize = 96;
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
    // gRPC joins the values of several lines by commas.
    if value.contains(&b',') {
        return Err(Malformed::Repeated);
    }
    if value.len() > MAX_BYTES {
        return Err(Malformed::Length);
    }
    let mut room = [0; MAX_BYTES];
    let length = BASE64.decode_slice(value, &mut room).map_err(|_| Malformed::Characters)?;
    let mut rest = room.get(..length).unwrap_or_default();
    match rest.split_off_first() {
        Some(0) => {}
        Some(_) => return Err(Malformed::Version),
        None => return Err(Malformed::Length),
    }
    while let Some(field) = rest.split_off_first() {
        let size = match field {
            0 => {
                let (bytes, _) = rest.split_first_chunk().ok_or(Malformed::Length)?;
                return not_zero(u128::from_be_bytes(*bytes));
            }
            1 => 8,
            2 => 1,
            _ => break,
        };
        rest.split_off(..size).ok_or(Malformed::Length)?;
    }
    Err(Malformed::Length)
}

/// Eight fields with dashes between them, of which the second is the trace in base64.
fn sky_walking(value: &[u8]) -> Result<Option<TraceKey<'_>>, Malformed> {
    let mut fields = value.split(|b| *b == b'-');
    let (_decision, trace) = (fields.next(), fields.next().unwrap_or_default());
    if fields.count() != 6 {
        return Err(Malformed::Length);
    }
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    text(Format::SkyWalking, trace, is_base64)
}

fn text(
    format: Format,
    text: &[u8],
    is_allowed: impl Fn(&u8) -> bool,
) -> Result<Option<TraceKey<'_>>, Malformed> {
    match text.len() {
        1..=MAX_TEXT if text.iter().all(is_allowed) => Ok(Some(TraceKey::Text(format, text))),
        1..=MAX_TEXT => Err(Malformed::Characters),
        _ => Err(Malformed::Length),
    }
}

/// So many hexadecimal digits, not all zero.
fn id(digits: &[u8], lengths: &[usize]) -> Result<Option<TraceKey<'static>>, Malformed> {
    if lengths.contains(&digits.len()) { number(digits) } else { Err(Malformed::Length) }
}

/// At most 32 hexadecimal digits of either case, not all zero.
fn number(digits: &[u8]) -> Result<Option<TraceKey<'static>>, Malformed> {
    let add = |sum: u128, digit: &u8| {
        let value = char::from(*digit).to_digit(16)?;
        Some(sum << 4 | u128::from(value))
    };
    not_zero(digits.iter().try_fold(0, add).ok_or(Malformed::Characters)?)
}

const fn not_zero(id: u128) -> Result<Option<TraceKey<'static>>, Malformed> {
    if id == 0 { Err(Malformed::ZeroId) } else { Ok(Some(TraceKey::Id(id))) }
}

/// What stands before the first of these characters.
fn until<'a>(value: &'a [u8], ends: &[u8]) -> &'a [u8] {
    value.split(|b| ends.contains(b)).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: u128 = 0x463a_c35c_9f64_13ad_4848_5a39_53bb_6124;

    fn read(format: Format, value: &str) -> Result<Option<TraceKey<'_>>, Malformed> {
        trace_key(format, value.as_bytes())
    }

    #[test]
    fn the_trace_is_found_in_every_format() {
        let low = TraceKey::Id(0x4848_5a39_53bb_6124);
        let whole = TraceKey::Id(ID);
        let hex = "463ac35c9f6413ad48485a3953bb6124";
        for (format, value, expected) in [
            (Format::TraceContext, format!("00-{hex}-a2fb464d6b2d9e44-01"), whole),
            (Format::B3, format!("{hex}-a2fb464d6b2d9e44-1-0020000000000001"), whole),
            (Format::B3, format!(" {hex}-a2fb464d6b2d9e44\t"), whole),
            (Format::B3, "48485a3953bb6124-a2fb464d6b2d9e44-d".to_owned(), low),
            (Format::B3Multi, hex.to_ascii_uppercase(), whole),
            (Format::B3Multi, "48485a3953bb6124".to_owned(), low),
            (Format::Jaeger, format!("{hex}:a2fb464d6b2d9e44:0:1"), whole),
            (Format::Jaeger, "48485a3953bb6124%3A1%3a0%3A1".to_owned(), low),
            (
                Format::Datadog,
                "5208512171318403364".to_owned(),
                TraceKey::Low(0x4848_5a39_53bb_6124),
            ),
            (Format::Google, format!("{hex}/74;o=1"), whole),
            (Format::Google, hex.to_owned(), whole),
            (
                Format::XRay,
                "Self=1-x; Root=1-463ac35c-9f6413ad48485a3953bb6124;Sampled=?".to_owned(),
                whole,
            ),
            (Format::OpenCensus, "AABGOsNcn2QTrUhIWjlTu2EkAQAAAAAAAAABAgE".to_owned(), whole),
            (Format::OpenCensus, "AAIBAQAAAAAAAAABAEY6w1yfZBOtSEhaOVO7YSQ=".to_owned(), whole),
            (
                Format::SkyWalking,
                "1-TRACE+/=-SEGMENT-3-c2VydmljZQ==-aQ==-L2U=-cA==".to_owned(),
                TraceKey::Text(Format::SkyWalking, b"TRACE+/="),
            ),
            (
                Format::Lightstep,
                "EhQJQwUbbwmQEc4RPaEuilTou4QYAQ==".to_owned(),
                TraceKey::Text(Format::Lightstep, b"EhQJQwUbbwmQEc4RPaEuilTou4QYAQ=="),
            ),
            (Format::OtTrace, "48485a3953bb6124".to_owned(), low),
        ] {
            assert_eq!(read(format, &value), Ok(Some(expected)), "{format:?} {value}");
        }
    }

    #[test]
    fn a_decision_alone_names_no_trace() {
        for (format, value) in
            [(Format::B3, "0"), (Format::B3, "1"), (Format::B3, "d"), (Format::XRay, "Sampled=0")]
        {
            assert_eq!(read(format, value), Ok(None), "{value}");
        }
    }

    #[test]
    fn a_malformed_value_has_a_reason() {
        use Malformed::{Characters, Length, Repeated, Version, ZeroId};
        let zero = "0".repeat(32);
        for (format, value, reason) in [
            (Format::B3, String::new(), Length),
            (Format::B3, "2".to_owned(), Length),
            (Format::B3, "48485a3953bb6124".to_owned(), Length),
            (Format::B3, "48485a3953bb6124-0000000000000000".to_owned(), ZeroId),
            (Format::B3, "48485a3953bb612g-a2fb464d6b2d9e44".to_owned(), Characters),
            (Format::B3, "48485a3953bb6124-a2fb464d6b2d9e44-1-1-1".to_owned(), Length),
            (Format::B3Multi, "48485a3953bb612".to_owned(), Length),
            (Format::B3Multi, zero.clone(), ZeroId),
            (Format::Jaeger, "48485a3953bb6124:1:0".to_owned(), Length),
            (Format::Jaeger, ":1:0:1".to_owned(), Length),
            (Format::Jaeger, "x:1:0:1".to_owned(), Characters),
            (Format::Jaeger, "0:1:0:1".to_owned(), ZeroId),
            (Format::Datadog, "0".to_owned(), ZeroId),
            (Format::Datadog, "18446744073709551616".to_owned(), Length),
            (Format::Datadog, "-1".to_owned(), Characters),
            (Format::Google, format!("{zero}/1"), ZeroId),
            (Format::Google, "48485a3953bb6124/1".to_owned(), Length),
            (Format::XRay, "Root=2-463ac35c-9f6413ad48485a3953bb6124".to_owned(), Version),
            (Format::XRay, "Root=1-463ac35c9-f6413ad48485a3953bb6124".to_owned(), Length),
            (Format::OpenCensus, "AQ==".to_owned(), Version),
            (Format::OpenCensus, "AAA=".to_owned(), Length),
            (Format::OpenCensus, "AA==,AA==".to_owned(), Repeated),
            (Format::OpenCensus, "!".to_owned(), Characters),
            (Format::OpenCensus, format!("AA{}", "A".repeat(24)), ZeroId),
            (Format::SkyWalking, "1-T-S-3-a-b-c".to_owned(), Length),
            (Format::SkyWalking, "1--S-3-a-b-c-d".to_owned(), Length),
            (Format::SkyWalking, "1-\u{e9}-S-3-a-b-c-d".to_owned(), Characters),
            (Format::Lightstep, "x".repeat(MAX_TEXT + 1), Length),
            (Format::Lightstep, "a b".to_owned(), Characters),
            (Format::OtTrace, "x".repeat(MAX_VALUE + 1), Length),
        ] {
            assert_eq!(read(format, &value), Err(reason), "{format:?} {value}");
        }
    }

    #[test]
    fn ids_of_different_widths_contradict_each_other_by_their_lower_half() {
        let (wide, low) = (TraceKey::Id(ID), TraceKey::Low(0x4848_5a39_53bb_6124));
        let narrow = TraceKey::Id(0x4848_5a39_53bb_6124);
        let text = TraceKey::Text(Format::Lightstep, b"x");
        for (a, b, expected) in [
            (wide, low, false),
            (wide, narrow, false),
            (low, narrow, false),
            (wide, TraceKey::Id(ID + (1 << 100)), true),
            (wide, TraceKey::Low(1), true),
            (narrow, TraceKey::Id(1), true),
            (wide, text, false),
            (text, TraceKey::Text(Format::Lightstep, b"y"), false),
        ] {
            assert_eq!((a.contradicts(b), b.contradicts(a)), (expected, expected), "{a:?} {b:?}");
        }
        assert_eq!([wide, narrow, low, text].map(TraceKey::cut), [Some(low), None, None, None]);
    }

    #[test]
    fn every_header_is_known_by_its_name_in_any_case() {
        for format in Format::ALL {
            let name = format.header().to_ascii_uppercase();
            let expected = (format != Format::TraceContext).then_some(format);
            assert_eq!(Format::of_header(name.as_bytes()), expected);
        }
        for other in ["", "b4", "x-b3-spanid", "x-request-id", "host"] {
            assert_eq!(Format::of_header(other.as_bytes()), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_whatsoever_make_it_panic(
            format in 0..Format::ALL.len(),
            value in proptest::collection::vec(any::<u8>(), 0..1100),
        ) {
            trace_key(Format::ALL[format], &value).ok();
        }

        #[test]
        fn an_id_is_read_as_it_was_written(id in 1..u128::MAX, span in 1..u64::MAX) {
            let hex = format!("{id:032x}");
            let text = [
                (Format::TraceContext, format!("00-{hex}-{span:016x}-00")),
                (Format::B3, format!("{hex}-{span:016x}-0")),
                (Format::B3Multi, hex.clone()),
                (Format::Jaeger, format!("{id:x}:{span:x}:0:0")),
                (Format::Google, format!("{hex}/{span}")),
                (Format::XRay, format!("Root=1-{:08x}-{:024x}", id >> 96, id << 32 >> 32)),
                (Format::OtTrace, hex),
            ];
            for (format, value) in text {
                prop_assert_eq!(read(format, &value), Ok(Some(TraceKey::Id(id))));
            }
            let decimal = span.to_string();
            prop_assert_eq!(read(Format::Datadog, &decimal), Ok(Some(TraceKey::Low(span))));
        }
    }
}
