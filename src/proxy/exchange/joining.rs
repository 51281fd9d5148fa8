//! Which inbound request a call belongs to, by what both carry.
//!
//! A valid `traceparent` is the application's own word, and is never overruled. Without one, the
//! request that caused the call is the only one in flight that brought the same value of another
//! context header, or of a header that is configured as a key; then the call goes on as a child
//! of that request's span. In doubt a call is joined to nothing: a trace that is missing a part
//! misleads nobody, one with a part of another's does.

use super::{Exchange, Verdict};
use crate::direction::Direction;
use crate::doctor::{Join, Missed};
use crate::proxy::Tracing;
use crate::proxy::connection::Conn;
use crate::proxy::inflight::{Cause, Holder, Inbound, Joined, Key, MAX_KEYS};
use crate::trace::propagate::carried::{self, Carried, MAX_JOIN_KEYS};
use crate::trace::propagate::known::{Format, Malformed, TraceKey, trace_key};
use crate::trace::propagate::{Extracted, State, TRACEPARENT, TRACESTATE, traceparent, tracestate};
use crate::trace::semconv::{Request, http};
use crate::trace::tenant::TenantId;
use crate::trace::{Headers, TraceContext};

const _: () = assert!(2 * Format::ALL.len() + MAX_JOIN_KEYS <= MAX_KEYS, "every key has its place");

/// The kinds of keys: ids of 128 and of 64 bits, then texts by their format, then headers by
/// their number.
const ID: u8 = 0;
const LOW: u8 = 1;
const TEXT: u8 = 2;
const HEADER: u8 = 128;

/// What a request may be known by.
#[derive(Debug)]
pub(super) struct Keys {
    keys: [Key; MAX_KEYS],
    /// For each key the header that it comes from; `None` for a context.
    sources: [Option<u8>; MAX_KEYS],
    count: usize,
    /// All of them, where a request has more because headers came more than once.
    all: Vec<Key>,
}

/// What an outbound call is joined to, and how.
#[derive(Debug)]
pub(super) struct Found {
    join: Join,
    /// The header whose value decided, where that is a key.
    pub(super) key: Option<String>,
    /// The inbound request, where it became the call's parent.
    pub(super) cause: Option<Box<Cause>>,
    /// The inbound request, where the call carries its context.
    joined: Option<Joined>,
}

impl Exchange {
    /// Finds the inbound request that caused an outbound one, which becomes its parent unless it
    /// has one.
    pub(super) fn join(&self, extracted: &mut Extracted, keys: &Keys) -> Option<Found> {
        if self.conn.direction == Direction::Inbound {
            return None;
        }
        let tracing = &self.conn.worker.config.tracing;
        let found = find(&self.conn, tracing, extracted.parent.as_ref(), keys);
        if let Some(cause) = &found.cause {
            extracted.parent = Some(cause.context);
        }
        Some(found)
    }

    /// Makes a request findable for the outbound calls that it causes. Where nothing is recorded
    /// and no context came, they are to be left out too, and continue one that is never sent.
    pub(super) fn be_found<H: Headers>(
        &mut self,
        request: &Request<'_, H>,
        verdict: &Verdict,
        keys: &Keys,
    ) {
        let tracing = &self.conn.worker.config.tracing;
        let travelling = verdict.recorded.or(verdict.extracted.parent);
        let mut trace_state = Vec::new();
        if verdict.extracted.state == State::Valid && !keys.as_slice().is_empty() {
            tracestate::join_members(request.headers.values(TRACESTATE), &mut trace_state);
        }
        let inbound = Inbound {
            context: travelling.or(verdict.dropped),
            is_carried: travelling.is_some() && tracing.propagation.trace_context,
            trace_state: &trace_state,
            keys: keys.as_slice(),
            tenant: None,
        };
        self.enter(&inbound);
    }

    /// Makes a request findable, if outbound calls can come.
    pub(super) fn enter(&mut self, inbound: &Inbound<'_>) {
        let worker = &self.conn.worker;
        if self.conn.direction == Direction::Inbound && worker.has_outbound() {
            let inbound = Inbound { tenant: self.tenant.as_ref(), ..*inbound };
            self.entered = Some(worker.in_flight.enter(&inbound));
        }
    }

    /// Lets go of the request that outbound calls could find.
    pub(super) fn leave(&mut self) {
        if let Some(mut entered) = self.entered.take()
            && self.fault.is_some()
            && self.is_sent
        {
            entered.abandon();
        }
    }
}

impl Found {
    /// The value of `spandrel.join`.
    pub(super) const fn word(&self) -> Option<&'static str> {
        match self.join {
            Join::Context | Join::Key => Some(self.join.as_str()),
            _ => None,
        }
    }

    /// The tenant of the inbound request.
    pub(super) fn tenant(&self) -> Option<TenantId> {
        match (&self.cause, &self.joined) {
            (Some(cause), _) => cause.tenant.clone(),
            (None, joined) => joined.as_ref()?.tenant.clone(),
        }
    }
}

impl Keys {
    const NONE: Self =
        Self { keys: [Key::NONE; MAX_KEYS], sources: [None; MAX_KEYS], count: 0, all: Vec::new() };

    pub(super) fn as_slice(&self) -> &[Key] {
        let few = self.keys.get(..self.count).unwrap_or_default();
        if self.all.is_empty() { few } else { &self.all }
    }

    /// Adds what a request brought in headers that came more than once. The application may go on
    /// with any of the values: if they were not held, its calls could pass for those of another
    /// request that holds one.
    fn add_repeated<H: Headers>(&mut self, conn: &Conn, headers: &H, carried: &Carried<'_>) {
        let in_flight = &conn.worker.in_flight;
        let names = &conn.worker.config.tracing.propagation.join_keys;
        let mut all = self.as_slice().to_vec();
        for (format, _) in carried.contexts().filter(|c| c.1 == Err(Malformed::Repeated)) {
            let values = headers.values(format.header());
            let read = values.filter_map(|value| trace_key(format, value).ok().flatten());
            for key in read {
                all.extend([Some(key), key.cut()].into_iter().flatten().map(|k| hashed(conn, k)));
            }
        }
        for at in carried.repeated_keys() {
            let (Some(name), Ok(kind)) = (names.get(at), u8::try_from(at)) else { continue };
            let values = headers.values(name).filter_map(carried::key);
            all.extend(values.map(|value| in_flight.key(HEADER + kind, value)));
        }
        all.truncate(2 * conn.worker.config.limits.header_count);
        self.all = all;
    }

    fn push(&mut self, key: Key, source: Option<u8>) {
        if let (Some(place), Some(from)) =
            (self.keys.get_mut(self.count), self.sources.get_mut(self.count))
        {
            (*place, *from) = (key, source);
            self.count += 1;
        }
    }
}

/// Reads what a request carries beside its W3C context, tells the doctor of all of it, and gives
/// the keys.
pub(super) fn keys<H: Headers>(
    conn: &Conn,
    tracing: &Tracing,
    headers: &H,
    extracted: &Extracted,
) -> Keys {
    let mut keys = Keys::NONE;
    if !is_asked_for(tracing) {
        return keys;
    }
    let own = extracted.parent.map(|parent| u128::from_be_bytes(parent.trace_id.to_bytes()));
    let mut first = own.map(TraceKey::Id);
    tell_of_traceparent(conn, headers, extracted);
    let carried = Carried::read(headers, &tracing.propagation.join_keys);
    if !carried.is_any() {
        return keys;
    }
    let (worker, doctor) = (&conn.worker, &conn.worker.doctor);
    let is_joined_by = worker.has_outbound();
    let (mut is_conflict, mut is_repeated) = (false, carried.repeated_keys().next().is_some());
    for (format, read) in carried.contexts() {
        doctor.saw(conn.direction, format);
        match read {
            Ok(Some(key)) => {
                let first = *first.get_or_insert(key);
                is_conflict |= first.contradicts(key);
                // A call may carry the lower half of what its request brought.
                let cut = key.cut().filter(|_| conn.direction == Direction::Inbound);
                for key in [Some(key), cut].into_iter().flatten().filter(|_| is_joined_by) {
                    keys.push(hashed(conn, key), None);
                }
            }
            Ok(None) => {}
            Err(reason) => {
                is_repeated |= reason == Malformed::Repeated;
                doctor.saw_malformed(conn.direction, format, reason);
            }
        }
    }
    if is_conflict {
        doctor.saw_conflict(conn.direction);
    }
    for (at, value) in carried.keys().filter(|_| is_joined_by) {
        if let Ok(at) = u8::try_from(at) {
            keys.push(worker.in_flight.key(HEADER + at, value), Some(at));
        }
    }
    if is_repeated && is_joined_by && conn.direction == Direction::Inbound {
        keys.add_repeated(conn, headers, &carried);
    }
    keys
}

/// What is never joined need not be read: where no spans are made or no context is.
const fn is_asked_for(tracing: &Tracing) -> bool {
    tracing.is_enabled && tracing.propagation.trace_context
}

fn hashed(conn: &Conn, key: TraceKey<'_>) -> Key {
    let in_flight = &conn.worker.in_flight;
    match key {
        TraceKey::Id(id) => match u64::try_from(id) {
            Ok(low) => in_flight.key(LOW, &low.to_be_bytes()),
            Err(_) => in_flight.key(ID, &id.to_be_bytes()),
        },
        TraceKey::Low(low) => in_flight.key(LOW, &low.to_be_bytes()),
        TraceKey::Text(format, text) => in_flight.key(TEXT + format as u8, text),
    }
}

/// Tells the doctor of `traceparent` and `tracestate`.
fn tell_of_traceparent<H: Headers>(conn: &Conn, headers: &H, extracted: &Extracted) {
    let doctor = &conn.worker.doctor;
    let is_malformed = |reason| {
        doctor.saw_malformed(conn.direction, Format::TraceContext, reason);
    };
    match (extracted.parent, headers.first(TRACEPARENT)) {
        (Some(_), _) => {
            doctor.saw(conn.direction, Format::TraceContext);
            if extracted.state == State::Discard {
                is_malformed(Malformed::State);
            }
        }
        (None, Some(value)) => {
            doctor.saw(conn.direction, Format::TraceContext);
            let is_repeated = headers.values(TRACEPARENT).nth(1).is_some();
            let reason = traceparent::malformed(value).filter(|_| !is_repeated);
            is_malformed(reason.unwrap_or(Malformed::Repeated));
        }
        (None, None) if headers.first(TRACESTATE).is_some() => is_malformed(Malformed::LoneState),
        (None, None) => {}
    }
}

/// Finds the inbound request that an outbound call belongs to.
pub(super) fn find(
    conn: &Conn,
    tracing: &Tracing,
    parent: Option<&TraceContext>,
    keys: &Keys,
) -> Found {
    let in_flight = &conn.worker.in_flight;
    let nothing = |join| Found { join, key: None, cause: None, joined: None };
    let unjoined = || nothing(if in_flight.count() > 0 { Join::Unknown } else { Join::Background });
    if let Some(parent) = parent {
        let joined = in_flight.find(parent.trace_id);
        return match joined {
            Some(_) => Found { joined, ..nothing(Join::Context) },
            None => unjoined(),
        };
    }
    if !is_asked_for(tracing) || keys.as_slice().is_empty() {
        return unjoined();
    }
    match in_flight.holder(keys.as_slice()) {
        Holder::One(at, cause) => {
            let source = keys.sources.get(at).copied().flatten();
            let names = &tracing.propagation.join_keys;
            let key = source.and_then(|at| names.get(usize::from(at)).cloned());
            let join = if key.is_some() { Join::Key } else { Join::Context };
            Found { join, key, cause: Some(cause), joined: None }
        }
        Holder::Several => nothing(Join::Ambiguous),
        Holder::Different => nothing(Join::Conflict),
        Holder::Nobody => unjoined(),
    }
}

/// Counts what became of a call, and writes down one that lost its context.
pub(super) fn tell<H: Headers>(
    conn: &Conn,
    request: &Request<'_, H>,
    found: &Found,
    is_own_context: bool,
    recorded: Option<TraceContext>,
) {
    let (worker, doctor) = (&conn.worker, &conn.worker.doctor);
    debug_assert_eq!(conn.direction, Direction::Outbound, "only calls are joined");
    if !worker.config.tracing.is_enabled {
        return;
    }
    doctor.joined(found.join);
    match found.join {
        Join::Context | Join::Background => {}
        Join::Unknown if is_own_context => doctor.was_foreign(),
        join => doctor.missed(&Missed {
            method: http::Method::parse(request.method).span_name(),
            authority: request.authority.unwrap_or_default(),
            join,
            trace_id: recorded.map(|context| context.trace_id),
            candidate: worker.in_flight.sole().map(|context| context.trace_id),
            in_flight: worker.in_flight.count(),
            time: worker.clock.now(),
        }),
    }
}
