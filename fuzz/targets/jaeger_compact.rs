//! Datagrams of Jaeger clients in Thrift's compact protocol.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::receive::fuzzing::compact;
use spandrel_fuzz::jaeger;

fuzz_target!(|bytes: &[u8]| jaeger::check(bytes, compact(bytes)));
