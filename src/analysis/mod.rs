//! What a finished trace tells: who called whom, where the time went, and which hop to look at.
//!
//! Everything here is pure, like `trace`, and works on spans as anybody's tracing made them, not
//! only spandrel's. `otlp` reads them; [`Tree`](tree::Tree) puts them together however they
//! arrived; `path` finds self times and the critical path; `calls` finds who called whom, which
//! `graph` counts and `draw` draws; `verdict` says what it all means, and `summary` what a list
//! tells. `words` says numbers and names as people read them.

pub mod calls;
pub mod curl;
pub mod draw;
pub mod graph;
pub mod message;
pub mod otlp;
pub mod path;
pub mod report;
pub mod slowest;
pub mod summary;
#[cfg(test)]
pub(crate) mod testing;
pub mod tree;
pub mod verdict;
pub mod words;

use std::fmt;
use std::sync::Arc;

use crate::trace::{SpanId, TraceId};

/// What the structure of a trace is made of: the part of a span that every look at it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The trace that the span belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The span that caused it; `None` at the root of a trace.
    pub parent: Option<SpanId>,
    /// Its part in a call.
    pub kind: Kind,
    /// Whether its status is an error.
    pub is_error: bool,
    /// The start, in nanoseconds since the Unix epoch, by the clock of its host.
    pub start: u64,
    /// The end, in nanoseconds since the Unix epoch; never before the start.
    pub end: u64,
    /// The service it is of (`service.name`), or [`NO_SERVICE`].
    pub service: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The template of the path (`http.route`), or the method of a remote procedure call.
    pub route: Option<Arc<str>>,
    /// The tenant (`spandrel.tenant.id`, else `tenant.id`, on the span or its resource).
    pub tenant: Option<Arc<str>>,
    /// How long the first byte of the response took, in nanoseconds, where the span tells
    /// (`spandrel.first_byte.duration`).
    pub first_byte: Option<u64>,
    /// Whether it tells only of a stretch of its parent's time, as a long request does while it
    /// goes on (`spandrel.progress.number`).
    pub is_part: bool,
    /// Whether it tells of a connection that spandrel could not look into, and so of no request:
    /// how long it was open says nothing of how long anybody waited.
    pub is_connection: bool,
    /// For a call that goes out: whom it calls, by `peer.service`, or `server.address` and
    /// `server.port`, or what a database or a queue is called.
    pub peer: Option<Arc<str>>,
}

/// The service of spans that do not name theirs.
pub const NO_SERVICE: &str = "unknown_service";

/// The part of a span in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Not said.
    #[default]
    Unspecified,
    /// Work within a service.
    Internal,
    /// A request that came in.
    Server,
    /// A call that went out.
    Client,
    /// A message that was sent.
    Producer,
    /// A message that was taken.
    Consumer,
}

/// A span, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its place in the trace.
    pub facts: Facts,
    /// Whether its status says that it went well.
    pub is_ok: bool,
    /// What the status says, where it is an error.
    pub status_message: String,
    /// The attributes, in the order they came.
    pub attributes: Vec<Attribute>,
    /// What happened meanwhile, in the order it came.
    pub events: Vec<Event>,
    /// Other spans it has to do with.
    pub links: Vec<Link>,
    /// What is known of the process.
    pub resource: Vec<Attribute>,
    /// The name of what made the span.
    pub scope: String,
}

/// A name and its value.
pub type Attribute = (String, Value);

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Empty,
    /// Text.
    Text(String),
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Bytes that are no text.
    Bytes(Vec<u8>),
    /// Several values.
    List(Vec<Self>),
    /// Names and their values.
    Map(Vec<Attribute>),
}

/// Something that happened during a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, in nanoseconds since the Unix epoch.
    pub time: u64,
    /// What.
    pub name: String,
    /// More of it.
    pub attributes: Vec<Attribute>,
}

/// Another span that a span has to do with, without being its child.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The trace of the other span.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// In what way.
    pub attributes: Vec<Attribute>,
}

impl Facts {
    /// How long the span took, in nanoseconds.
    #[must_use]
    pub const fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

impl Kind {
    /// The name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// Whether the span is a side of a call that leaves its service.
    #[must_use]
    pub const fn goes_out(self) -> bool {
        matches!(self, Self::Client | Self::Producer)
    }

    /// Whether the span is a side of a call that enters its service.
    #[must_use]
    pub const fn comes_in(self) -> bool {
        matches!(self, Self::Server | Self::Consumer)
    }
}

impl fmt::Display for Value {
    /// The value as people write it; bytes in hexadecimal, lists and maps as in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => Ok(()),
            Self::Text(text) => f.write_str(text),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::List(values) => {
                f.write_str("[")?;
                for (at, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Map(entries) => {
                f.write_str("{")?;
                for (at, (name, value)) in entries.iter().enumerate() {
                    write!(f, "{}{name}: {value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

/// The value at `index`, or the type's own where there is none.
fn at<T: Copy + Default>(values: &[T], index: usize) -> T {
    values.get(index).copied().unwrap_or_default()
}

/// Puts `value` at `index`, where there is such a place.
fn set<T>(values: &mut [T], index: usize, value: T) {
    if let Some(place) = values.get_mut(index) {
        *place = value;
    }
}
