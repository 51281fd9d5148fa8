//! One exchange on its way: a request and its response, each with a body and trailers, both at once.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Response};

use super::guard::Watched;
use super::pump::{Broken, Ended, Pump, is_too_large};
use super::refusal::grpc_status;
use super::{message, upstreams};
use crate::net::idle::{Deadline, IdleWatch};
use crate::proxy::Limits;
use crate::proxy::exchange::Exchange;
use crate::proxy::fault::{Fault, Kind};
use crate::trace::messages::Packing;
use crate::trace::semconv::rpc;

/// A stream whose request has been sent on its way.
pub(super) struct Transfer<'a> {
    pub(super) exchange: &'a mut Exchange,
    /// The request's body, until all of it has gone.
    pub(super) up: Option<Pump>,
    pub(super) to_upstream: SendStream<Bytes>,
    /// What was seen of the frames that come from the upstream.
    pub(super) watched_up: Watched,
    /// The response's head, until it has come.
    pub(super) response: Option<ResponseFuture>,
    pub(super) respond: SendResponse<Bytes>,
    /// The response's body, once its head has come.
    pub(super) down: Option<(Pump, SendStream<Bytes>)>,
    pub(super) limits: Limits,
    pub(super) idle: IdleWatch,
    pub(super) deadline: Deadline,
}

/// Why a stream ended before its response did.
struct Failure {
    fault: Fault,
    /// The code that both sides are reset with; none where the caller is to be answered.
    reason: Option<Reason>,
}

/// What is left of a stream that failed.
pub(super) enum Unfinished {
    /// Both sides were reset.
    Reset(Fault),
    /// The caller waits for an answer that will not come.
    Unanswered(Fault, SendResponse<Bytes>),
}

impl Failure {
    const fn reset(fault: Fault, reason: Reason) -> Self {
        Self { fault, reason: Some(reason) }
    }

    /// There will be no response: a reset stream is passed on as such, one that the upstream says
    /// it never looked at may be tried again, and a lost connection is answered for.
    fn unanswered(error: &h2::Error) -> Self {
        let reason = match error.reason() {
            Some(reason) if error.is_reset() && error.is_remote() => Some(reason),
            Some(_) if error.is_go_away() && error.is_remote() => Some(Reason::REFUSED_STREAM),
            _ => None,
        };
        Self { fault: upstreams::fault(error), reason }
    }

    fn too_large(of: fn(Kind) -> Fault) -> Self {
        Self { fault: of(Kind::TooLarge), reason: None }
    }

    const fn cancelled(reason: Reason) -> Self {
        Self::reset(Fault::downstream(Kind::Cancelled), reason)
    }
}

impl Transfer<'_> {
    /// Moves both messages until the response has ended, and then what is left of the request.
    pub(super) async fn run(mut self) -> Result<(), Unfinished> {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        let Err(Failure { fault, reason }) = ended else {
            self.exchange.response_ended();
            poll_fn(|cx| self.poll_rest_of_request(cx)).await;
            return Ok(());
        };
        // What has been passed on must be written before a reset, which would overtake it.
        tokio::task::yield_now().await;
        let reason_up = reason.unwrap_or(Reason::CANCEL);
        self.to_upstream.send_reset(reason_up);
        match (self.down, reason) {
            (Some((_, mut to_downstream)), None) if self.exchange.is_grpc() && is_lost(fault) => {
                self.exchange.grpc_status(fault.reply().grpc);
                // A caller that is gone needs no answer.
                to_downstream.send_trailers(grpc_status(fault)).ok();
            }
            (None, None) => return Err(Unfinished::Unanswered(fault, self.respond)),
            (None, Some(reason)) => self.respond.send_reset(reason),
            (Some((_, mut to_downstream)), reason) => {
                to_downstream.send_reset(reason.unwrap_or_else(|| fault.reset_reason()));
            }
        }
        Err(Unfinished::Reset(fault))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let before = (self.exchange.request.bytes, self.exchange.response.bytes);
        self.poll_caller(cx)?;
        self.poll_request(cx)?;
        if self.poll_response(cx)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if before != (self.exchange.request.bytes, self.exchange.response.bytes) {
            self.idle.touch();
        }
        self.poll_timers(cx).map(Err)
    }

    /// After an early response the request goes on for as long as the upstream takes it.
    fn poll_rest_of_request(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.exchange.request.bytes;
        let has_failed = self.poll_caller(cx).is_err() || self.poll_request(cx).is_err();
        if before != self.exchange.request.bytes {
            self.idle.touch();
        }
        self.exchange.poll_patience(cx);
        let is_over = has_failed
            || self.up.is_none()
            || self.to_upstream.poll_reset(cx).is_ready()
            || self.idle.poll_expired(cx).is_ready();
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether the caller has reset the stream.
    fn poll_caller(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let reset = match &mut self.down {
            Some((_, to_downstream)) => to_downstream.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        match reset {
            Poll::Ready(Ok(reason)) => Err(Failure::cancelled(reason)),
            Poll::Ready(Err(_gone)) => Err(Failure::cancelled(Reason::CANCEL)),
            Poll::Pending => Ok(()),
        }
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(pump) = &mut self.up else { return Ok(()) };
        if !pump.is_empty() {
            match pump.poll(cx, &mut self.to_upstream, &mut self.exchange.request) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(_)) => self.exchange.request_sent(),
                Poll::Ready(Err(Broken::Source(error))) => {
                    return Err(Failure::cancelled(error.reason().unwrap_or(Reason::CANCEL)));
                }
                Poll::Ready(Err(Broken::TooLarge)) => {
                    return Err(Failure::too_large(Fault::downstream));
                }
                // It may have answered before it stopped reading; the answer decides.
                Poll::Ready(Err(Broken::Destination(_))) => {}
            }
        }
        self.up = None;
        if self.limits.response_timeout < self.limits.idle_timeout && self.response.is_some() {
            self.deadline.set(self.limits.response_timeout);
        }
        Ok(())
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        if let Some(response) = &mut self.response {
            while let Poll::Ready(Some(Ok(mut interim))) = response.poll_informational(cx) {
                self.watched_up.mark(response.stream_id(), interim.headers_mut());
                self.exchange.first_byte();
                // A caller that is gone is noticed elsewhere.
                self.respond.send_informational(interim).ok();
            }
            match Pin::new(response).poll(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(response)) => {
                    self.response = None;
                    self.deadline.clear();
                    if self.pass_head(response)? {
                        return Ok(Poll::Ready(()));
                    }
                }
                Poll::Ready(Err(error)) => return Err(Failure::unanswered(&error)),
            }
        }
        let Some((pump, to_downstream)) = &mut self.down else { return Ok(Poll::Ready(())) };
        match pump.poll(cx, to_downstream, &mut self.exchange.response) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(Ended::Data)) => Ok(Poll::Ready(())),
            Poll::Ready(Ok(Ended::Trailers(trailers))) => {
                note_grpc_status(&trailers, self.exchange);
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Err(Broken::TooLarge)) => Err(Failure::too_large(Fault::upstream)),
            Poll::Ready(Err(Broken::Source(error))) => {
                let fault = upstreams::fault(&error);
                if self.exchange.is_grpc() && !error.is_reset() && is_lost(fault) {
                    return Err(Failure { fault, reason: None });
                }
                Err(Failure::reset(fault, error.reason().unwrap_or(Reason::INTERNAL_ERROR)))
            }
            Poll::Ready(Err(Broken::Destination(error))) => {
                Err(Failure::cancelled(error.reason().unwrap_or(Reason::CANCEL)))
            }
        }
    }

    /// Sends the response's head on; whether it was all there is.
    fn pass_head(&mut self, response: Response<RecvStream>) -> Result<bool, Failure> {
        let (mut parts, body) = response.into_parts();
        self.watched_up.mark(body.stream_id(), &mut parts.headers);
        self.exchange.first_byte();
        if is_too_large(&parts.headers, &self.limits) {
            return Err(Failure::too_large(Fault::upstream));
        }
        if message::has_empty_length(&parts.headers) {
            let fault = Fault::upstream(Kind::ProtocolError);
            return Err(Failure { fault, reason: None });
        }
        self.exchange.answered(parts.status.as_u16(), packing(&parts.headers));
        note_grpc_status(&parts.headers, self.exchange);
        let is_all = body.is_end_stream();
        match self.respond.send_response(Response::from_parts(parts, ()), is_all) {
            Ok(to_downstream) => {
                let pump = Pump::new(body, self.limits, self.watched_up.clone());
                self.down = Some((pump, to_downstream));
                Ok(is_all)
            }
            Err(_gone) => Err(Failure::cancelled(Reason::CANCEL)),
        }
    }

    /// Whether somebody has kept us waiting for too long, and who.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let is_late = self.deadline.poll_expired(cx).is_ready();
        let is_idle = self.idle.poll_expired(cx).is_ready();
        if self.idle.has_ticked() {
            self.exchange.tell_progress();
        }
        if !is_late && !is_idle {
            return Poll::Pending;
        }
        let fault = match (&self.response, &self.up, &self.down) {
            (Some(_), Some(pump), _) if pump.is_starved() => Fault::downstream(Kind::IdleTimeout),
            (Some(_), ..) => Fault::upstream(Kind::ResponseTimeout),
            (None, _, Some((pump, _))) if !pump.is_starved() => {
                Fault::downstream(Kind::IdleTimeout)
            }
            _ => Fault::upstream(Kind::IdleTimeout),
        };
        Poll::Ready(Failure { fault, reason: None })
    }
}

/// Whether the connection to the upstream is gone. To clients of gRPC that is `UNAVAILABLE`, which
/// no code of a reset means to them once there has been a head: they are told by trailers.
const fn is_lost(fault: Fault) -> bool {
    matches!(fault.kind, Kind::ConnectionClosed | Kind::ConnectionReset)
}

/// How the messages of a response are packed, as far as we can look into it.
fn packing(headers: &HeaderMap) -> Option<Packing> {
    let is_plain = headers.get(CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
    let content_type = headers.get(CONTENT_TYPE).filter(|_| is_plain)?;
    Packing::of(content_type.as_bytes())
}

/// Notes how a gRPC call ended, if these lines tell.
fn note_grpc_status(headers: &HeaderMap, exchange: &mut Exchange) {
    if let Some(status) = headers.get("grpc-status") {
        exchange.grpc_status(rpc::parse_status(status.as_bytes()));
    }
}
