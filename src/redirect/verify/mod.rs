//! Proofs by real connections that redirection works in each direction, and that what spandrel
//! itself does is not redirected to it.
//!
//! Where spandrel does not run, its ports are listened on here, and connections are made as the
//! application would, and as spandrel would. Where it runs, one connection goes through it. Nothing
//! is asked of another machine: the only address beyond this one is of a network that is nowhere
//! (RFC 5737, RFC 3849), and the rules keep what is sent to it here. What comes in by an interface
//! cannot be had from inside; those rules are compared with the plan.

mod addresses;
mod probe;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use self::probe::{Arrival, Call, From, Lost, Place, Role, User};
use super::fault::Fault;
use super::install::{Backend, is_planned};
use super::parts::{Family, Interface};
use super::{Config, Lists, Method};

/// Addresses for documentation, which no machine has.
const NOWHERE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const NOWHERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// How many ports are tried for one that the lists of both sides let through.
const MOST_PORTS: usize = 32;
/// Where spandrel's connections to the application come from.
const SPARED_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));

/// Proves that the rules work; gives a sentence for each proof, and for what could not be looked at.
///
/// # Errors
/// With the first thing that is not as it should be, or that prevents a proof.
pub fn verify(config: &Config, backend: &Backend) -> Result<Vec<String>, Fault> {
    let proof = Proof { config, app: application(config)?, lines: Vec::new() };
    let mut lines = Vec::new();
    for family in &config.families {
        let name = family.name();
        let Some(own) = addresses::own(*family) else {
            lines.push(format!("{name}: not proven, as this machine has no address but loopback"));
            continue;
        };
        let mut proof = Proof { lines: Vec::new(), ..proof };
        proof.of_family(*family, own).map_err(|fault| Fault::new(format!("{name}: {fault}")))?;
        lines.extend(proof.lines.into_iter().map(|line| format!("{name}: {line}")));
    }
    lines.push(compared(config, backend)?);
    Ok(lines)
}

/// The user that stands for the application: whoever asks, or the first that is included.
fn application(config: &Config) -> Result<User, Fault> {
    let none = Lists::default();
    let (include, exclude) =
        config.outbound.as_ref().map_or((&none, &none), |o| (&o.include, &o.exclude));
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let user = User {
        uid: include.uids.first().copied().unwrap_or(uid),
        gid: include.gids.first().copied().unwrap_or(gid),
    };
    let is_excluded = exclude.uids.contains(&user.uid) || exclude.gids.contains(&user.gid);
    if user.uid == config.uid || user.gid == config.gid || is_excluded {
        return Err(Fault::new(format!(
            "calls of user {} and group {} are not redirected, so that they prove nothing: run \
             verify as root or as the application's user",
            user.uid, user.gid
        )));
    }
    Ok(user)
}

struct Proof<'a> {
    config: &'a Config,
    app: User,
    lines: Vec<String>,
}

impl Proof<'_> {
    fn of_family(&mut self, family: Family, own: IpAddr) -> Result<(), Fault> {
        let (port, itself) = self.target(family, own)?;
        let to = SocketAddr::new(own, port);
        match self.places(family, itself)? {
            (places, false) => self.with_free_ports(to, &places),
            (places, true) => self.through_spandrel(to, &places),
        }
    }

    /// A listener of our own, on a port that the lists let through.
    fn target(&self, family: Family, own: IpAddr) -> Result<(u16, Place), Fault> {
        let first = |lists: &Lists| lists.ports.first().map(|ports| ports.first());
        let wanted = [
            self.config.outbound.as_ref().and_then(|o| first(&o.include)),
            self.config.inbound.as_ref().and_then(|i| first(&i.include)),
        ];
        // A port that is included may be the application's own; then any other must do.
        let candidates = wanted.into_iter().flatten().chain(std::iter::repeat_n(0, MOST_PORTS));
        let mut refused = None;
        for candidate in candidates {
            match probe::listen(family, Some(own), candidate) {
                Ok(listener) => {
                    let port = listener.local_addr().map_err(|e| no_listener(&e))?.port();
                    if self.is_proof(own, port) || candidate == 0 && refused.is_none() {
                        let place = Place { listener, is: Role::Itself };
                        if self.is_proof(own, port) {
                            return Ok((port, place));
                        }
                        refused = Some((port, place));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(no_listener(&error)),
            }
        }
        refused.ok_or_else(|| Fault::new("no port of this machine is free to connect to"))
    }

    /// Whether a port is one that is redirected on each side that is.
    fn is_proof(&self, own: IpAddr, port: u16) -> bool {
        let Config { inbound, outbound, .. } = self.config;
        let is_out = outbound.as_ref().is_none_or(|_| self.is_called(own, port));
        is_out && inbound.as_ref().is_none_or(|_| self.is_received(own, port))
    }

    /// Whether a call of the application to this address is to be redirected.
    fn is_called(&self, to: IpAddr, port: u16) -> bool {
        self.config.outbound.as_ref().is_some_and(|outbound| {
            port != 53 && is_chosen(&outbound.include, &outbound.exclude, to, port)
        })
    }

    /// Whether a request of this machine to itself is to be redirected to the inbound listener.
    fn is_received(&self, own: IpAddr, port: u16) -> bool {
        self.config.inbound.as_ref().is_some_and(|inbound| {
            !inbound.own_ports.contains(&port)
                && is_chosen(&inbound.include, &inbound.exclude, own, port)
        })
    }

    /// The listeners that a connection can arrive at, and whether spandrel has those of its own.
    fn places(&self, family: Family, itself: Place) -> Result<(Vec<Place>, bool), Fault> {
        let Config { inbound, outbound, .. } = self.config;
        let mut places = vec![itself];
        let own = [
            (outbound.as_ref().map(|o| o.port), Role::Outbound),
            (inbound.as_ref().map(|i| i.port), Role::Inbound),
        ];
        for (port, is) in own {
            let Some(port) = port else { continue };
            match probe::listen(family, None, port) {
                Ok(listener) => places.push(Place { listener, is }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    places.truncate(1);
                    return Ok((places, true));
                }
                Err(error) => return Err(no_listener(&error)),
            }
        }
        Ok((places, false))
    }

    fn with_free_ports(&mut self, to: SocketAddr, places: &[Place]) -> Result<(), Fault> {
        if self.config.outbound.is_some() {
            self.called(to, places)?;
            self.called_nowhere(to, places)?;
        }
        self.spared(to, places)?;
        for owner in self.owners() {
            self.own_call(to, owner, places)?;
        }
        Ok(())
    }

    /// A call of the application to this machine's address goes out through spandrel.
    fn called(&mut self, to: SocketAddr, places: &[Place]) -> Result<(), Fault> {
        if !self.is_called(to.ip(), to.port()) {
            self.unproven(&format!("calls to {}: the lists of outbound leave it out", to.ip()));
            return Ok(());
        }
        let what = format!("a call of the application to {to}");
        let call = Call { user: self.app, from: None, to };
        let arrival = probe::probe(call, places).map_err(|lost| lost_call(&what, lost))?;
        expect(&what, &arrival, Role::Outbound, to)?;
        self.proven(&format!("{what} arrives at spandrel's outbound port"));
        Ok(())
    }

    /// So does one to another machine, where there is a way to it.
    fn called_nowhere(&mut self, own: SocketAddr, places: &[Place]) -> Result<(), Fault> {
        let ip = if own.is_ipv4() { NOWHERE_V4 } else { NOWHERE_V6 };
        let to = SocketAddr::new(ip, own.port());
        let outbound = self.config.outbound.as_ref();
        // By which interface it would go is not known here.
        let is_any_interface = outbound
            .is_some_and(|o| o.include.interfaces.is_empty() && o.exclude.interfaces.is_empty());
        let what = format!("a call of the application to {to}");
        if !is_any_interface || !self.is_called(ip, own.port()) {
            self.unproven(&format!("{what}: the lists of outbound leave it out"));
            return Ok(());
        }
        let call = Call { user: self.app, from: None, to };
        match probe::probe(call, places) {
            Err(Lost::NoRoute) => self.unproven(&format!("{what}: there is no route to it")),
            Err(lost) => return Err(lost_call(&what, lost)),
            Ok(arrival) => {
                expect(&what, &arrival, Role::Outbound, to)?;
                self.proven(&format!("{what} arrives at spandrel's outbound port"));
            }
        }
        Ok(())
    }

    /// spandrel's own connections to the application get there.
    fn spared(&mut self, to: SocketAddr, places: &[Place]) -> Result<(), Fault> {
        let (from, what) = match self.config.inbound.as_ref().map(|inbound| inbound.method) {
            None => return Ok(()),
            Some(Method::Redirect) => {
                let ip = if to.is_ipv4() { SPARED_V4 } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
                (From::Own(ip), format!("a connection of spandrel from {ip} to the application"))
            }
            Some(Method::Tproxy) => {
                let ip = if to.is_ipv4() { NOWHERE_V4 } else { NOWHERE_V6 };
                let what = format!(
                    "a connection of spandrel from a caller's address ({ip}) to the application"
                );
                // The application's answer goes nowhere, so that no rule can lead it back.
                if !probe::is_routed(ip) {
                    self.unproven(&format!("{what}: there is no route to {ip}"));
                    return Ok(());
                }
                (From::Marked(ip, self.config.mark), what)
            }
        };
        let user = User { uid: self.config.uid, gid: self.config.gid };
        let call = Call { user, from: Some(from), to };
        let arrival = probe::probe(call, places).map_err(|lost| lost_call(&what, lost))?;
        match arrival.at {
            Role::Itself => self.proven(&format!("{what} arrives there")),
            at => return Err(looped(&what, at)),
        }
        Ok(())
    }

    /// What spandrel calls is not redirected to its outbound port again; the application's own
    /// address is answered by the inbound port.
    fn own_call(&mut self, to: SocketAddr, user: User, places: &[Place]) -> Result<(), Fault> {
        let what =
            format!("a call of user {} and group {}, as spandrel's, to {to}", user.uid, user.gid);
        let call = Call { user, from: None, to };
        let arrival = probe::probe(call, places).map_err(|lost| lost_call(&what, lost))?;
        let expected = match self.is_received(to.ip(), to.port()) {
            true => Role::Inbound,
            false => Role::Itself,
        };
        if arrival.at == Role::Outbound {
            return Err(looped(&what, arrival.at));
        }
        expect(&what, &arrival, expected, to)?;
        self.proven(&format!(
            "{what} is not redirected to spandrel's outbound port; it arrives at {}",
            name(expected)
        ));
        Ok(())
    }

    /// Whoever bears spandrel's user or its group alone.
    fn owners(&self) -> [User; 2] {
        let Config { uid, gid, .. } = *self.config;
        [User { uid, gid: self.app.gid }, User { uid: self.app.uid, gid }]
    }

    /// One connection goes through the spandrel that runs, and reaches its end once.
    fn through_spandrel(&mut self, to: SocketAddr, places: &[Place]) -> Result<(), Fault> {
        let method = self.config.inbound.as_ref().map(|inbound| inbound.method);
        let (is_out, is_in) =
            (self.is_called(to.ip(), to.port()), self.is_received(to.ip(), to.port()));
        let user = match (is_out, is_in) {
            (true, _) => self.app,
            // What the application calls is not redirected, but what spandrel calls for it is.
            (false, true) => User { uid: self.config.uid, gid: self.config.gid },
            (false, false) => {
                self.unproven(&format!("redirection: the lists leave {to} out"));
                return Ok(());
            }
        };
        let what = format!("a connection to {to}");
        let call = Call { user, from: None, to };
        let arrival = probe::probe_through(call, places).map_err(|lost| lost_call(&what, lost))?;
        let spared = if to.is_ipv4() { SPARED_V4 } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
        let is_through = match method.filter(|_| is_in) {
            Some(Method::Redirect) => arrival.peer.ip() == spared,
            _ => arrival.peer != arrival.caller,
        };
        if !is_through {
            return Err(Fault::new(format!(
                "{what} arrived from {}, not through spandrel, which is running: run `spandrel \
                 iptables apply` with the same settings",
                arrival.peer
            )));
        }
        self.proven(&format!(
            "{what} goes through the spandrel that is running and arrives from {}",
            arrival.peer.ip()
        ));
        Ok(())
    }

    fn proven(&mut self, text: &str) {
        self.lines.push(text.to_owned());
    }

    fn unproven(&mut self, text: &str) {
        self.lines.push(format!("not proven: {text}"));
    }
}

/// Whether the lists choose a connection of this machine to itself, or from it to elsewhere.
fn is_chosen(include: &Lists, exclude: &Lists, ip: IpAddr, port: u16) -> bool {
    let lo = Interface::loopback();
    let is_named = |lists: &Lists| {
        [
            lists.ports.iter().any(|ports| ports.contains(port)),
            lists.cidrs.iter().any(|cidr| cidr.contains(ip)),
            lists.interfaces.contains(&lo),
        ]
    };
    let is_open =
        [include.ports.is_empty(), include.cidrs.is_empty(), include.interfaces.is_empty()];
    let is_included = is_open.iter().zip(is_named(include)).all(|(open, named)| *open || named);
    is_included && !is_named(exclude).contains(&true)
}

fn expect(what: &str, arrival: &Arrival, role: Role, to: SocketAddr) -> Result<(), Fault> {
    let apply = "run `spandrel iptables apply` with the same settings";
    if arrival.at != role {
        return Err(Fault::new(format!(
            "{what} arrived at {} instead of {}: {apply}",
            name(arrival.at),
            name(role)
        )));
    }
    let original = arrival.original;
    if role != Role::Itself && original != Some(to) {
        let found = original.map_or_else(|| "nothing".to_owned(), |address| address.to_string());
        return Err(Fault::new(format!(
            "{what} arrived with {found} for where it was meant to go (SO_ORIGINAL_DST): look for \
             other rules that rewrite it"
        )));
    }
    Ok(())
}

fn looped(what: &str, at: Role) -> Fault {
    Fault::new(format!(
        "{what} arrived at {}: what spandrel itself does is redirected to it, which would never end; \
         run `spandrel iptables apply`, and run spandrel as redirect.uid",
        name(at)
    ))
}

const fn name(role: Role) -> &'static str {
    match role {
        Role::Outbound => "spandrel's outbound port",
        Role::Inbound => "spandrel's inbound port",
        Role::Itself => "its destination",
    }
}

fn lost_call(what: &str, lost: Lost) -> Fault {
    match lost {
        Lost::NotPermitted(error) => Fault::new(format!(
            "{what} cannot be made ({error}): run verify as root, with CAP_SETUID, CAP_SETGID and, \
             for tproxy, CAP_NET_ADMIN"
        )),
        Lost::NoRoute => Fault::new(format!("{what} has no route: look at `ip route`")),
        Lost::Failed(error) => Fault::new(format!(
            "{what} was not accepted by anybody ({error}): look for other rules, and run `spandrel \
             iptables apply`"
        )),
        Lost::Nowhere => Fault::new(format!(
            "{what} was accepted by another program: look for other rules that redirect"
        )),
    }
}

fn no_listener(error: &io::Error) -> Fault {
    Fault::new(format!("cannot listen to prove anything: {error}"))
}

/// What the tables say, where they may be read: it is all that is known of `PREROUTING` from inside.
fn compared(config: &Config, backend: &Backend) -> Result<String, Fault> {
    match is_planned(config, backend) {
        Ok(Some(true)) => {
            Ok("the rules in place are those of the settings; connections from other \
                              machines were not tried, as there is none here"
                .to_owned())
        }
        Ok(Some(false)) => Err(Fault::new(
            "the rules in place are not those of the settings: run `spandrel iptables apply`",
        )),
        Ok(None) => Err(Fault::new(
            "there are no rules of spandrel in these tables: run `spandrel iptables apply`, or say by \
             --nft or --iptables which keep them",
        )),
        Err(fault) => {
            Ok(format!("not proven: the rules for other machines' connections ({fault})"))
        }
    }
}
