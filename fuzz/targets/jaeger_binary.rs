//! Datagrams of Jaeger clients in Thrift's binary protocol.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spandrel::receive::fuzzing::binary;
use spandrel_fuzz::jaeger;

fuzz_target!(|bytes: &[u8]| jaeger::check(bytes, binary(bytes)));
