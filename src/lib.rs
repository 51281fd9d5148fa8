//! spandrel: a sidecar proxy that gives a service distributed tracing without a line of code in it.
//!
//! The folder listing is the request. It comes in by `proxy`, which accepts it, tells its
//! protocol, relays or serves it, and notes what happens in an `Exchange`. What a span is, and
//! which headers carry its context, is said by `trace`, which is pure. `export` takes finished
//! spans to a collector. Everything else stands around that path:
//!
//! ```text
//!               main
//!               demo                 6  a shop, its sidecars and its customers
//!            app    cli              5  bind, run, drain; the commands
//!              config                4  what was typed, and what it means
//!     proxy   admin   telemetry      3  the data path; probes and numbers; our own logs;
//!         view    explore               the embedded backend; traces on the terminal;
//!        redirect    receive            the rules that lead traffic to us; what the application
//!                                       tells of itself
//!   export   analysis   doctor       2  from spans to a collector; what traces tell; what is wrong
//!            intake                     with their context; OTLP that comes
//!  trace  net  metrics  reach        1  contexts and spans; sockets; counters; what arrives
//!     direction    drain    cidr     0  which way a request goes; how everything stops; networks;
//!    otlp    protobuf    footprint      the words of OTLP, and how they are written; memory
//! ```
//!
//! A module knows only those on lower floors, and none beside it. `ARCHITECTURE.md` tells a
//! request's way through them.

pub mod admin;
pub mod analysis;
pub mod app;
pub mod cidr;
pub mod cli;
pub mod config;
pub mod demo;
pub mod direction;
pub mod doctor;
pub mod drain;
pub mod explore;
pub mod export;
mod footprint;
pub mod intake;
pub mod metrics;
pub mod net;
pub mod otlp;
mod protobuf;
pub mod proxy;
pub mod reach;
pub mod receive;
pub mod redirect;
pub mod telemetry;
pub mod trace;
pub mod view;
