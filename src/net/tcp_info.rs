//! What the kernel has measured of a TCP connection: its round-trip time, and what was lost.
//!
//! The kernel only ever appends to its record; what an old one does not have is not read.

use std::os::fd::AsFd;
use std::time::Duration;

use super::sockopt;

/// What the kernel has measured of a connection since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// The smoothed round-trip time, to the microsecond; zero before anything was acknowledged.
    pub rtt: Duration,
    /// How many segments were sent again.
    pub retransmits: u32,
}

/// Bytes of `struct tcp_info` up to what we read, as every kernel since 2.6 has them.
const LENGTH: usize = 104;
/// Where `tcpi_rtt` lies in it, microseconds.
const RTT: usize = 68;
/// Where `tcpi_total_retrans` lies in it.
const TOTAL_RETRANS: usize = 100;

/// Asks the kernel for what it has measured of `stream`; `None` where that is no TCP connection,
/// or the kernel does not tell.
#[must_use]
pub fn of(stream: &impl AsFd) -> Option<TcpInfo> {
    let mut record = [0; LENGTH];
    parse(sockopt::tcp_info(stream, &mut record).ok()?)
}

/// Reads the start of a record, which may be shorter than what we know of it.
fn parse(record: &[u8]) -> Option<TcpInfo> {
    let number = |at: usize| {
        let (bytes, _) = record.get(at..)?.split_first_chunk()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let rtt = Duration::from_micros(u64::from(number(RTT)?));
    Some(TcpInfo { rtt, retransmits: number(TOTAL_RETRANS)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    /// Both ends of a connection over loopback.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (one, listener.accept().unwrap().0)
    }

    #[test]
    fn a_connection_that_carried_bytes_has_a_round_trip_time() {
        let (mut one, mut other) = pair();
        one.write_all(b"question").unwrap();
        other.read_exact(&mut [0; 8]).unwrap();
        other.write_all(b"answer").unwrap();
        one.read_exact(&mut [0; 6]).unwrap();
        for end in [&one, &other] {
            let info = of(end).expect("it is a TCP connection");
            assert!(info.rtt > Duration::ZERO && info.rtt < Duration::from_secs(1), "{info:?}");
            assert_eq!(info.retransmits, 0);
        }
    }

    #[test]
    fn a_connection_that_ended_still_tells() {
        let (one, other) = pair();
        drop(other);
        assert_eq!((&one).read(&mut [0; 1]).unwrap(), 0);
        assert!(of(&one).is_some());
    }

    #[test]
    fn what_is_no_tcp_connection_tells_nothing() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(of(&one), None);
        assert_eq!(of(&std::fs::File::open("/dev/null").unwrap()), None);
    }

    #[test]
    fn the_fields_lie_where_the_kernel_puts_them() {
        use std::mem::{offset_of, size_of};
        assert_eq!(offset_of!(libc::tcp_info, tcpi_rtt), RTT);
        assert_eq!(offset_of!(libc::tcp_info, tcpi_total_retrans), TOTAL_RETRANS);
        assert!(size_of::<libc::tcp_info>() >= LENGTH);
    }

    #[test]
    fn a_record_that_is_too_short_is_not_read() {
        let mut record = [0; LENGTH];
        record[RTT..RTT + 4].copy_from_slice(&250_u32.to_ne_bytes());
        record[TOTAL_RETRANS..].copy_from_slice(&3_u32.to_ne_bytes());
        let whole = TcpInfo { rtt: Duration::from_micros(250), retransmits: 3 };
        assert_eq!(parse(&record), Some(whole));
        for length in 0..LENGTH {
            assert_eq!(parse(&record[..length]), None, "{length}");
        }
    }
}
