//! One connection that proves something: who makes it, from where and to where, and where it
//! arrives.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{Gid, Uid, set_thread_res_gid, set_thread_res_uid};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::redirect::Family;

/// How long a connection may take to be made, and then to arrive.
const MOST_TIME: Duration = Duration::from_secs(2);
/// How many connections of others are passed over.
const MOST_STRANGERS: usize = 64;
/// A port that nothing is sent to.
const DISCARD: u16 = 9;

/// Who makes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A connection to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) user: User,
    pub(super) from: Option<From>,
    pub(super) to: SocketAddr,
}

/// Where a connection comes from, if that is not left to the system.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    /// This address of the machine.
    Own(IpAddr),
    /// Any address, as TPROXY keeps it, with this mark.
    Marked(IpAddr, u32),
}

/// A listener and what it is called.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) listener: TcpListener,
    pub(super) is: Role,
}

/// Where a connection can arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// spandrel's listener for calls of the application.
    Outbound,
    /// spandrel's listener for requests to the application.
    Inbound,
    /// Where it was addressed to.
    Itself,
}

/// Where a connection arrived, with what is known of it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: Role,
    /// The other end, as the listener sees it.
    pub(super) peer: SocketAddr,
    /// The other end, as whoever made the connection sees it.
    pub(super) caller: SocketAddr,
    /// Where it was meant to go, if it was redirected.
    pub(super) original: Option<SocketAddr>,
}

/// Why a connection proves nothing.
#[derive(Debug)]
pub(super) enum Lost {
    /// The process may not act as this user.
    NotPermitted(io::Error),
    /// There is no way to the address.
    NoRoute,
    /// It was not made in time, or refused.
    Failed(io::Error),
    /// It was made, but arrived at none of the places.
    Nowhere,
}

/// A listener on all addresses of one family that takes TPROXY's connections where it may.
pub(super) fn listen(family: Family, ip: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    let any = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let address = SocketAddr::new(ip.unwrap_or(any), port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if family == Family::V6 {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(16)?;
    Ok(socket.into())
}

/// Whether there is a way to an address. Nothing is sent for that.
pub(super) fn is_routed(ip: IpAddr) -> bool {
    let any = match Family::of(ip) {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0));
    socket.and_then(|socket| socket.connect((ip, DISCARD))).is_ok()
}

/// Makes the connection, and looks for where it arrives.
pub(super) fn probe(call: Call, places: &[Place]) -> Result<Arrival, Lost> {
    let stream = connect(call)?;
    let caller = stream.local_addr().map_err(Lost::Failed)?;
    arrival(places, caller, |peer| peer == caller).ok_or(Lost::Nowhere)
}

/// Makes the connection, and waits for one from another end that it causes at the place.
pub(super) fn probe_through(call: Call, places: &[Place]) -> Result<Arrival, Lost> {
    let stream = connect(call)?;
    let caller = stream.local_addr().map_err(Lost::Failed)?;
    arrival(places, caller, |_| true).ok_or(Lost::Nowhere)
}

/// Connects as the user: in a thread of its own, which ends with it, as users are of threads.
fn connect(call: Call) -> Result<TcpStream, Lost> {
    let joined = thread::spawn(move || {
        let socket = socket(call)?;
        become_user(call.user).map_err(Lost::NotPermitted)?;
        match call.from {
            Some(From::Marked(..)) => connect_socket(socket, call),
            _ => connect_socket(self::socket(call)?, call),
        }
    })
    .join();
    joined.unwrap_or_else(|_| Err(Lost::Failed(io::Error::other("the thread ended"))))
}

/// A socket belongs to the user that makes it; marks and foreign addresses take a capability.
fn socket(call: Call) -> Result<Socket, Lost> {
    let domain = Domain::for_address(call.to);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).map_err(Lost::Failed)?;
    let ip = match call.from {
        None => return Ok(socket),
        Some(From::Own(ip)) => ip,
        Some(From::Marked(ip, mark)) => {
            // The option of IPv4 is that of the socket, whatever its family.
            socket
                .set_ip_transparent_v4(true)
                .and_then(|()| socket.set_mark(mark))
                .map_err(Lost::NotPermitted)?;
            ip
        }
    };
    socket.bind(&SocketAddr::new(ip, 0).into()).map_err(Lost::Failed)?;
    Ok(socket)
}

fn connect_socket(socket: Socket, call: Call) -> Result<TcpStream, Lost> {
    const NO_ROUTE: [i32; 2] = [101, 113]; // ENETUNREACH, EHOSTUNREACH
    match socket.connect_timeout(&call.to.into(), MOST_TIME) {
        Ok(()) => Ok(socket.into()),
        Err(e) if e.raw_os_error().is_some_and(|code| NO_ROUTE.contains(&code)) => {
            Err(Lost::NoRoute)
        }
        Err(error) => Err(Lost::Failed(error)),
    }
}

fn become_user(user: User) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if rustix::process::getgid() != gid || rustix::process::getegid() != gid {
        set_thread_res_gid(gid, gid, gid)?;
    }
    if rustix::process::getuid() != uid || rustix::process::geteuid() != uid {
        set_thread_res_uid(uid, uid, uid)?;
    }
    Ok(())
}

/// Takes connections at all places until one is from the caller.
fn arrival(
    places: &[Place],
    caller: SocketAddr,
    is_it: impl Fn(SocketAddr) -> bool,
) -> Option<Arrival> {
    let deadline = Instant::now() + MOST_TIME;
    for _ in 0..MOST_STRANGERS {
        let place = ready(places, deadline)?;
        let Ok((stream, peer)) = place.listener.accept() else { continue };
        if is_it(peer) {
            return Some(Arrival { at: place.is, peer, caller, original: original(&stream) });
        }
    }
    None
}

fn ready(places: &[Place], deadline: Instant) -> Option<&Place> {
    let mut fds: Vec<PollFd<'_>> = places
        .iter()
        .map(|place| PollFd::from_borrowed_fd(place.listener.as_fd(), PollFlags::IN))
        .collect();
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).ok()?;
    poll(&mut fds, Some(&left)).ok().filter(|count| *count > 0)?;
    let at = fds.iter().position(|fd| !fd.revents().is_empty())?;
    places.get(at)
}

/// Where the system says that a redirected connection was meant to go.
fn original(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let address = match stream.local_addr().ok()? {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    address.ok().and_then(|address| address.as_socket())
}
