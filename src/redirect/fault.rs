//! Why rules could not be read or changed, and what to do about it.

use std::fmt;
use std::io;
use std::time::Duration;

/// The longest text of a program that is repeated, in characters.
const MOST_TOLD: usize = 300;

/// One sentence of what is wrong and one of what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    text: String,
    is_missing_program: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

/// Extensions of iptables and expressions of nft, and the modules of the kernel that they need.
const MODULES: [(&str, &str); 19] = [
    ("REDIRECT", "xt_REDIRECT and nf_nat"),
    ("TPROXY", "xt_TPROXY"),
    ("CONNMARK", "xt_connmark"),
    ("-m owner", "xt_owner"),
    ("-m addrtype", "xt_addrtype"),
    ("-m socket", "xt_socket"),
    ("-m conntrack", "xt_conntrack"),
    ("-m connmark", "xt_connmark"),
    ("-m mark", "xt_mark"),
    ("-m tcp", "xt_tcpudp"),
    ("redirect to", "nft_redir"),
    ("tproxy to", "nft_tproxy"),
    ("fib daddr", "nft_fib_inet"),
    ("socket wildcard", "nft_socket"),
    ("ct mark", "nft_ct"),
    ("ct direction", "nft_ct"),
    ("type nat", "nft_chain_nat"),
    ("*nat", "iptable_nat (ip6table_nat for IPv6)"),
    ("*mangle", "iptable_mangle (ip6table_mangle for IPv6)"),
];

/// What programs say where the kernel or the program lacks a part.
const LACKS: [&str; 8] = [
    "No such file or directory",
    "No chain/target/match by that name",
    "missing kernel module",
    "Table does not exist",
    "do you need to insmod",
    "unable to initialize table",
    "not supported",
    "Protocol not available",
];

/// What programs say where the process may not.
const DENIES: [&str; 3] = ["Permission denied", "Operation not permitted", "must be root"];

impl Fault {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_missing_program: false }
    }

    /// A program could not be started.
    pub(super) fn of_start(program: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::missing(program),
            _ => Self::new(format!("{program} cannot be run: {error}")),
        }
    }

    /// A program failed with this on its standard error, given this input.
    pub(super) fn of_end(program: &str, err: &str, input: &str) -> Self {
        let told = shortened(err);
        if DENIES.iter().any(|words| err.contains(words)) && !err.contains("No such file") {
            return Self::new(format!("{}; {program} said: {told}", Self::not_permitted()));
        }
        let rule = refused_line(err, input);
        let about = rule.map_or_else(String::new, |rule| format!(" at the rule `{rule}`"));
        let lacking = LACKS.iter().any(|words| err.contains(words));
        match lacking.then(|| module(rule.unwrap_or_default(), err)).flatten() {
            Some(module) => Self::new(format!(
                "{program} failed{about}: the kernel seems to lack {module}: load it (`modprobe`) on \
                 the machine or node, or use another backend (--nft, --iptables iptables-legacy); \
                 it said: {told}"
            )),
            None => Self::new(format!("{program} failed{about}: {told}")),
        }
    }

    /// A program did not end in time.
    pub(super) fn too_slow(program: &str, limit: Duration) -> Self {
        Self::new(format!(
            "{program} did not end within {} s: look at what holds the lock of iptables \
             (/run/xtables.lock), then try again",
            limit.as_secs()
        ))
    }

    /// The process lacks the capability to change rules.
    pub(super) fn not_permitted() -> Self {
        Self::new(
            "changing rules takes the capability CAP_NET_ADMIN (and CAP_NET_RAW for \
             iptables-legacy): run as root, or give the container `capabilities: {add: [NET_ADMIN, \
             NET_RAW]}` and `runAsUser: 0`",
        )
    }

    /// There is no IPv6 here.
    pub(super) fn no_ipv6() -> Self {
        Self::new("the kernel has no IPv6 here: set redirect.families: [ipv4], or switch IPv6 on")
    }

    /// Followed by what came of putting things back.
    pub(super) fn and(self, text: &str) -> Self {
        Self { text: format!("{self}; {text}"), ..self }
    }

    /// Whether a program is not there, so that nobody can have used it.
    pub(super) const fn is_missing_program(&self) -> bool {
        self.is_missing_program
    }

    fn missing(program: &str) -> Self {
        let package = match program {
            "nft" => "install the package nftables, or leave out --nft",
            "ip" => "install the package iproute2",
            _ => "install the package iptables, name another by --iptables, or use --nft",
        };
        let text = format!("there is no program {program}: {package}");
        Self { text, is_missing_program: true }
    }
}

/// The line of the input that a program complains of, as it says by number.
fn refused_line<'a>(err: &str, input: &'a str) -> Option<&'a str> {
    let number = |before: &str| {
        let (_, rest) = err.split_once(before)?;
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    };
    // "line 7: RULE_APPEND failed", "line 7 failed", "Error occurred at line: 7", "/dev/stdin:7:3-9".
    let at = number("line: ").or_else(|| number("line ")).or_else(|| number("stdin:"))?;
    input.lines().nth(at.checked_sub(1)?).map(str::trim).filter(|line| *line != "COMMIT")
}

/// The module that the rule needs, or that the program names.
fn module(rule: &str, err: &str) -> Option<&'static str> {
    let in_rule = MODULES.iter().find(|(word, _)| rule.contains(word));
    // "Couldn't load match `owner'", "Extension owner revision 0", "table `nat'".
    let named = |word: &str| {
        let name = word.trim_start_matches("-m ").trim_start_matches('*');
        [format!("`{name}'"), format!("Extension {name} "), format!("'{name}'")]
            .iter()
            .any(|text| err.contains(text))
    };
    MODULES.iter().find(|(word, _)| named(word)).or(in_rule).map(|(_, module)| *module)
}

/// On one line, and not too long.
fn shortened(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("Try `"))
        .collect();
    let line = lines.join(" ");
    let mut short: String = line.chars().filter(|c| !c.is_control()).take(MOST_TOLD).collect();
    if short.len() < line.len() {
        short.push_str("...");
    }
    if short.is_empty() { "nothing".to_owned() } else { short }
}
