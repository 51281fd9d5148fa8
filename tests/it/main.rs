//! spandrel from the outside: sidecars on real sockets between peers that a test plays by hand.
//!
//! A test writes the literal bytes that go in and compares those that come out. Time is waited
//! for only where time is what is tested.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod context;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod explore;
#[cfg(test)]
mod export;
#[cfg(test)]
mod floors;
#[cfg(test)]
mod house;
#[cfg(test)]
mod http1;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod join;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod receive;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod smuggling;
#[cfg(test)]
mod spans;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tunnels;
#[cfg(test)]
mod view;
#[cfg(test)]
mod zone;
