use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::ours::Ours;
use super::*;

fn redirected() -> Config {
    let ids = Lists { uids: vec![1337], ..Lists::default() };
    Config {
        inbound: Some(Inbound {
            port: 16006,
            method: Method::Redirect,
            own_ports: vec![16000, 16001, 16006],
            include: Lists::default(),
            exclude: Lists::default(),
        }),
        outbound: Some(Outbound { port: 16001, include: Lists::default(), exclude: ids }),
        uid: 1773,
        gid: 1774,
        mark: 1773,
        route_table: 1775,
        families: Family::ALL.to_vec(),
    }
}

fn tproxied() -> Config {
    let mut config = redirected();
    config.outbound = None;
    config.families = vec![Family::V4];
    if let Some(inbound) = &mut config.inbound {
        inbound.method = Method::Tproxy;
        inbound.own_ports = vec![16006];
        inbound.include = lists(&["80", "8000-8100"], &["10.0.0.0/8", "0.0.0.0/0"], &["eth0"]);
        inbound.exclude = lists(&[], &["10.1.2.3"], &["eth1"]);
    }
    config
}

fn lists(ports: &[&str], cidrs: &[&str], interfaces: &[&str]) -> Lists {
    Lists {
        ports: ports.iter().filter_map(|text| PortRange::parse(text)).collect(),
        cidrs: cidrs.iter().filter_map(|text| Cidr::parse(text)).collect(),
        interfaces: interfaces.iter().filter_map(|text| Interface::parse(text)).collect(),
        ..Lists::default()
    }
}

fn by_iptables(config: &Config) -> String {
    plan(config, &Backend::Iptables(Prefix::default()))
}

#[test]
fn redirection_of_both_sides_in_iptables() {
    let family = |spared: &str, loopback: &str, link_local: [&str; 2]| {
        let [link_local_in, link_local_out] = link_local;
        format!(
            "\
*nat
:SPANDREL_INBOUND - [0:0]
:SPANDREL_IN_REDIRECT - [0:0]
:SPANDREL_OUTPUT - [0:0]
:SPANDREL_REDIRECT - [0:0]
-A PREROUTING ! -i lo -p tcp -j SPANDREL_INBOUND
-A OUTPUT -p tcp -j SPANDREL_OUTPUT
-A SPANDREL_INBOUND -m addrtype ! --dst-type LOCAL -j RETURN
{link_local_in}-A SPANDREL_INBOUND -p tcp -m tcp --dport 16000 -j RETURN
-A SPANDREL_INBOUND -p tcp -m tcp --dport 16001 -j RETURN
-A SPANDREL_INBOUND -p tcp -m tcp --dport 16006 -j RETURN
-A SPANDREL_INBOUND -j SPANDREL_IN_REDIRECT
-A SPANDREL_IN_REDIRECT -p tcp -j REDIRECT --to-ports 16006
-A SPANDREL_OUTPUT -p tcp -m tcp --dport 53 -j RETURN
-A SPANDREL_OUTPUT -s {spared} -o lo -j RETURN
-A SPANDREL_OUTPUT ! -d {loopback} -o lo -m owner --uid-owner 1773 -j SPANDREL_INBOUND
-A SPANDREL_OUTPUT ! -d {loopback} -o lo -m owner --gid-owner 1774 -j SPANDREL_INBOUND
-A SPANDREL_OUTPUT -m owner --uid-owner 1773 -j RETURN
-A SPANDREL_OUTPUT -m owner --gid-owner 1774 -j RETURN
-A SPANDREL_OUTPUT -d {loopback} -j RETURN
{link_local_out}-A SPANDREL_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A SPANDREL_OUTPUT -j SPANDREL_REDIRECT
-A SPANDREL_REDIRECT -p tcp -j REDIRECT --to-ports 16001
COMMIT
"
        )
    };
    let expected = format!(
        "# ipv4: iptables-restore --noflush\n{}# ipv6: ip6tables-restore --noflush\n{}",
        family("127.0.0.6/32", "127.0.0.0/8", ["", ""]),
        family(
            "::1/128",
            "::1/128",
            [
                "-A SPANDREL_INBOUND -d fe80::/10 -j RETURN\n",
                "-A SPANDREL_OUTPUT -d fe80::/10 -j RETURN\n",
            ],
        ),
    );
    assert_eq!(by_iptables(&redirected()), expected);
}

#[test]
fn redirection_of_both_sides_in_nft() {
    let expected = "\
# nft -f
table inet spandrel
delete table inet spandrel
table inet spandrel {
\tchain inbound {
\t\tfib daddr type != local return
\t\tip6 daddr fe80::/10 return
\t\ttcp dport 16000 return
\t\ttcp dport 16001 return
\t\ttcp dport 16006 return
\t\tjump in_redirect
\t}

\tchain in_redirect {
\t\tmeta l4proto tcp redirect to :16006
\t}

\tchain output {
\t\ttcp dport 53 return
\t\tip saddr 127.0.0.6 oifname \"lo\" return
\t\tip6 saddr ::1 oifname \"lo\" return
\t\tip daddr != 127.0.0.0/8 oifname \"lo\" meta skuid 1773 jump inbound
\t\tip6 daddr != ::1 oifname \"lo\" meta skuid 1773 jump inbound
\t\tip daddr != 127.0.0.0/8 oifname \"lo\" meta skgid 1774 jump inbound
\t\tip6 daddr != ::1 oifname \"lo\" meta skgid 1774 jump inbound
\t\tmeta skuid 1773 return
\t\tmeta skgid 1774 return
\t\tip daddr 127.0.0.0/8 return
\t\tip6 daddr ::1 return
\t\tip6 daddr fe80::/10 return
\t\tmeta skuid 1337 return
\t\tjump out_redirect
\t}

\tchain out_redirect {
\t\tmeta l4proto tcp redirect to :16001
\t}

\tchain nat_prerouting {
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t\tiifname != \"lo\" meta l4proto tcp jump inbound
\t}

\tchain nat_output {
\t\ttype nat hook output priority -100; policy accept;
\t\tmeta l4proto tcp jump output
\t}
}
";
    assert_eq!(plan(&redirected(), &Backend::Nft), expected);
}

#[test]
fn the_callers_address_is_kept_by_tproxy_in_iptables() {
    let expected = "\
# ipv4: iptables-restore --noflush
# ip -4 rule add fwmark 0x6ed lookup 1775
# ip -4 route add local default dev lo table 1775
*mangle
:SPANDREL_INBOUND - [0:0]
:SPANDREL_INBOUND_2 - [0:0]
:SPANDREL_INBOUND_3 - [0:0]
:SPANDREL_TPROXY - [0:0]
:SPANDREL_OUTPUT - [0:0]
-A PREROUTING ! -i lo -p tcp -j SPANDREL_INBOUND
-A OUTPUT -p tcp -j SPANDREL_OUTPUT
-A SPANDREL_INBOUND -m conntrack --ctdir REPLY -j RETURN
-A SPANDREL_INBOUND -m conntrack --ctstate ESTABLISHED -m socket -j RETURN
-A SPANDREL_INBOUND -m addrtype ! --dst-type LOCAL -j RETURN
-A SPANDREL_INBOUND -p tcp -m tcp --dport 16006 -j RETURN
-A SPANDREL_INBOUND -s 10.1.2.3/32 -j RETURN
-A SPANDREL_INBOUND -i eth1 -j RETURN
-A SPANDREL_INBOUND -p tcp -m tcp --dport 80 -j SPANDREL_INBOUND_2
-A SPANDREL_INBOUND -p tcp -m tcp --dport 8000:8100 -j SPANDREL_INBOUND_2
-A SPANDREL_INBOUND_2 -s 10.0.0.0/8 -j SPANDREL_INBOUND_3
-A SPANDREL_INBOUND_2 -j SPANDREL_INBOUND_3
-A SPANDREL_INBOUND_3 -i eth0 -j SPANDREL_TPROXY
-A SPANDREL_TPROXY -p tcp -j TPROXY --on-port 16006 --on-ip 0.0.0.0 --tproxy-mark 0x0/0x0
-A SPANDREL_TPROXY -p tcp -j DROP
-A SPANDREL_OUTPUT -m conntrack --ctdir ORIGINAL -m mark --mark 0x6ed -j CONNMARK --save-mark \
--nfmask 0xffffffff --ctmask 0xffffffff
-A SPANDREL_OUTPUT -m conntrack --ctdir REPLY -m connmark --mark 0x6ed -j CONNMARK --restore-mark \
--nfmask 0xffffffff --ctmask 0xffffffff
COMMIT
*nat
:SPANDREL_INBOUND - [0:0]
:SPANDREL_INBOUND_2 - [0:0]
:SPANDREL_INBOUND_3 - [0:0]
:SPANDREL_IN_REDIRECT - [0:0]
:SPANDREL_OUTPUT - [0:0]
-A OUTPUT -p tcp -j SPANDREL_OUTPUT
-A SPANDREL_INBOUND -m addrtype ! --dst-type LOCAL -j RETURN
-A SPANDREL_INBOUND -p tcp -m tcp --dport 16006 -j RETURN
-A SPANDREL_INBOUND -s 10.1.2.3/32 -j RETURN
-A SPANDREL_INBOUND -i eth1 -j RETURN
-A SPANDREL_INBOUND -p tcp -m tcp --dport 80 -j SPANDREL_INBOUND_2
-A SPANDREL_INBOUND -p tcp -m tcp --dport 8000:8100 -j SPANDREL_INBOUND_2
-A SPANDREL_INBOUND_2 -s 10.0.0.0/8 -j SPANDREL_INBOUND_3
-A SPANDREL_INBOUND_2 -j SPANDREL_INBOUND_3
-A SPANDREL_INBOUND_3 -i eth0 -j SPANDREL_IN_REDIRECT
-A SPANDREL_IN_REDIRECT -p tcp -j REDIRECT --to-ports 16006
-A SPANDREL_OUTPUT -p tcp -m tcp --dport 53 -j RETURN
-A SPANDREL_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN
-A SPANDREL_OUTPUT -m mark --mark 0x6ed -j RETURN
-A SPANDREL_OUTPUT ! -d 127.0.0.0/8 -o lo -m owner --uid-owner 1773 -j SPANDREL_INBOUND
-A SPANDREL_OUTPUT ! -d 127.0.0.0/8 -o lo -m owner --gid-owner 1774 -j SPANDREL_INBOUND
-A SPANDREL_OUTPUT -m owner --uid-owner 1773 -j RETURN
-A SPANDREL_OUTPUT -m owner --gid-owner 1774 -j RETURN
-A SPANDREL_OUTPUT -d 127.0.0.0/8 -j RETURN
COMMIT
";
    assert_eq!(by_iptables(&tproxied()), expected);
}

#[test]
fn the_callers_address_is_kept_by_tproxy_in_nft() {
    let text = plan(&tproxied(), &Backend::Nft);
    for line in [
        "# ip -4 rule add fwmark 0x6ed lookup 1775",
        "\t\tct direction reply return",
        "\t\tct state established socket wildcard 0 return",
        "\t\ttcp dport 8000-8100 jump tproxy_inbound_2",
        "\t\tmeta nfproto ipv4 jump tproxy_inbound_3",
        "\t\tiifname \"eth0\" jump in_tproxy",
        "\t\tmeta l4proto tcp tproxy to :16006 accept",
        "\t\tmeta l4proto tcp reject with tcp reset",
        "\t\tct direction original meta mark 0x000006ed ct mark set meta mark",
        "\t\tct direction reply ct mark 0x000006ed meta mark set ct mark",
        "\t\tmeta mark 0x000006ed return",
        "\t\ttype route hook output priority mangle; policy accept;",
        "\t\tmeta nfproto ipv4 iifname != \"lo\" meta l4proto tcp jump tproxy_inbound",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing from\n{text}");
    }
    assert!(!text.contains("ip6"), "one family only:\n{text}");
}

#[test]
fn rules_that_are_there_need_no_input() {
    let text = by_iptables(&redirected());
    let here = Ours::read(&text);
    assert!(!here.is_empty());
    assert_eq!(here.input_to(&Ours::planned(&text)), None);
    assert_eq!(
        Ours::read("*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j KUBE\nCOMMIT\n"),
        Ours::default()
    );
}

#[test]
fn rules_of_others_are_never_named() {
    let saved = "*nat\n:OUTPUT ACCEPT [0:0]\n:ISTIO_OUTPUT - [0:0]\n:SPANDREL_OLD - [0:0]\n\
                 -A OUTPUT -j ISTIO_OUTPUT\n-A OUTPUT -p tcp -j SPANDREL_OLD\n\
                 -A ISTIO_OUTPUT -m comment --comment SPANDREL_OLD -j RETURN\n\
                 -A SPANDREL_OLD -j RETURN\nCOMMIT\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
    let ours = Ours::read(saved);
    let gone =
        "*nat\n:SPANDREL_OLD - [0:0]\n-D OUTPUT -p tcp -j SPANDREL_OLD\n-X SPANDREL_OLD\nCOMMIT\n";
    assert_eq!(ours.input_to(&Ours::default()).as_deref(), Some(gone));
    // Put back, the jump is where it was.
    let back = "*nat\n:SPANDREL_OLD - [0:0]\n-A SPANDREL_OLD -j RETURN\n\
                -I OUTPUT 2 -p tcp -j SPANDREL_OLD\nCOMMIT\n";
    assert_eq!(Ours::default().input_to(&ours).as_deref(), Some(back));
}

#[test]
fn a_jump_that_is_there_twice_loses_one() {
    let once = "*nat\n:SPANDREL_A - [0:0]\n-A OUTPUT -j SPANDREL_A\n";
    let twice = Ours::read(&format!("{once}-A OUTPUT -j SPANDREL_A\n"));
    let input = twice.input_to(&Ours::planned(once)).unwrap();
    assert_eq!(input.matches("-D OUTPUT -j SPANDREL_A").count(), 1, "{input}");
    assert_eq!(input.matches("-A OUTPUT").count(), 0, "{input}");
}

#[test]
fn marks_are_found_in_both_languages() {
    let saved = by_iptables(&tproxied());
    assert!(Ours::read(&saved).marks().iter().all(|mark| *mark == 1773));
    assert_eq!(ours::marks_in("ct mark 0x000006ed meta mark 0x4d return"), [1773, 77]);
    assert_eq!(ours::marks_in("mark 0x mark 0x0 mark 0xfffffffff é"), Vec::<u32>::new());
}

#[test]
fn programs_are_called_by_their_family() {
    for (text, v4, v6) in [
        ("iptables", "iptables-restore", "ip6tables-restore"),
        ("iptables-legacy", "iptables-legacy-restore", "ip6tables-legacy-restore"),
        (
            "/opt/iptables/iptables-nft",
            "/opt/iptables/iptables-nft-restore",
            "/opt/iptables/ip6tables-nft-restore",
        ),
    ] {
        let prefix = Prefix::parse(text).unwrap();
        assert_eq!(
            (prefix.restore(Family::V4), prefix.restore(Family::V6)),
            (v4.into(), v6.into())
        );
    }
    for text in ["", "nft", "/usr/sbin/", "sh -c iptables"] {
        assert!(Prefix::parse(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let input = "*nat\n:SPANDREL_OUTPUT - [0:0]\n-A SPANDREL_OUTPUT -m owner --uid-owner 1 -j RETURN\nCOMMIT\n";
    let lacks_owner = "the kernel seems to lack xt_owner: load it";
    for (err, expected) in [
        (
            "iptables-restore v1.8.9 (nf_tables): line 3: RULE_APPEND failed (No such file or directory): rule in chain X",
            lacks_owner,
        ),
        ("iptables-restore: line 3 failed: No chain/target/match by that name.", lacks_owner),
        (
            "Couldn't load match `owner':No such file or directory\n\nError occurred at line: 3\nTry `iptables-restore -h'",
            lacks_owner,
        ),
        ("Warning: Extension owner revision 0 not supported, missing kernel module?", lacks_owner),
        (
            "iptables-restore: unable to initialize table 'nat'\nError occurred at line: 1",
            "lack iptable_nat (ip6table_nat for IPv6)",
        ),
        (
            "ip6tables v1.8.9 (legacy): can't initialize ip6tables table `nat': Table does not exist (do you need to insmod?)",
            "lack iptable_nat",
        ),
        (
            "Could not fetch rule set generation id: Permission denied (you must be root)",
            "CAP_NET_ADMIN",
        ),
        ("netlink: Error: cache initialization failed: Operation not permitted", "CAP_NET_ADMIN"),
        ("something else\nentirely", "failed: something else entirely"),
        ("", "failed: nothing"),
    ] {
        let fault = Fault::of_end("iptables-restore", err, input).to_string();
        assert!(fault.contains(expected), "{err}\n{fault}");
        assert!(!fault.contains('\n'));
    }
    let fault = Fault::of_end(
        "nft",
        "/dev/stdin:2:3-9: Error: Could not process rule: No such file or directory\n",
        "table inet spandrel {\n\t\tfib daddr type != local return\n",
    );
    assert!(fault.to_string().contains("lack nft_fib_inet"), "{fault}");
}

fn any_cidr() -> impl Strategy<Value = Cidr> {
    (any::<IpAddr>(), 0..=128_u8).prop_filter_map("too long, or mapped", |(address, prefix)| {
        Cidr::around(address, if address.is_ipv4() { prefix % 33 } else { prefix })
    })
}

fn any_lists() -> impl Strategy<Value = Lists> {
    let port = (1..=u16::MAX, 1..=u16::MAX)
        .prop_filter_map("backwards", |(a, b)| PortRange::parse(&format!("{a}-{b}")));
    let interface = "[a-z][a-z0-9._@-]{0,14}".prop_filter_map("a word", |t| Interface::parse(&t));
    (
        prop::collection::vec(port, 0..4),
        prop::collection::vec(any_cidr(), 0..4),
        prop::collection::vec(interface, 0..3),
        prop::collection::vec(any::<u32>(), 0..3),
        prop::collection::vec(any::<u32>(), 0..3),
    )
        .prop_map(|(ports, cidrs, interfaces, uids, gids)| Lists {
            ports,
            cidrs,
            interfaces,
            uids,
            gids,
        })
}

fn any_config() -> impl Strategy<Value = Config> {
    let inbound = (1..=u16::MAX, any::<bool>(), any_lists(), any_lists()).prop_map(
        |(port, is_tproxy, include, exclude)| {
            let method = if is_tproxy { Method::Tproxy } else { Method::Redirect };
            Inbound { port, method, own_ports: vec![port], include, exclude }
        },
    );
    let outbound = (1..=u16::MAX, any_lists(), any_lists())
        .prop_map(|(port, include, exclude)| Outbound { port, include, exclude });
    (prop::option::of(inbound), prop::option::of(outbound), 1..u32::MAX).prop_map(
        |(inbound, outbound, n)| Config {
            inbound,
            outbound,
            uid: n,
            gid: n,
            mark: n,
            route_table: n,
            families: Family::ALL.to_vec(),
        },
    )
}

proptest! {
    #[test]
    fn every_plan_reads_back_as_what_was_planned(config in any_config()) {
        let rules = rules::of(&config);
        for family in Family::ALL {
            let text = iptables::text(&rules, family);
            let ours = Ours::planned(&text);
            let input = Ours::default().input_to(&ours).unwrap_or_default();
            // The same lines, table by table: rules keep their order in each chain.
            let lines = |text: &str| {
                let mut chains: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
                let mut table = String::new();
                for line in text.lines() {
                    let mut words = line.split(' ');
                    match (words.next(), words.next()) {
                        (Some("-A"), Some(chain)) => chains
                            .entry((table.clone(), chain.to_owned()))
                            .or_default()
                            .push(line.to_owned()),
                        (Some(first), _) if first.starts_with('*') => table = first.to_owned(),
                        _ => {}
                    }
                }
                chains
            };
            prop_assert_eq!(lines(&text), lines(&input));
            prop_assert_eq!(ours.input_to(&Ours::planned(&input)), None);
            // Nothing but ours and the two hooks is named.
            for line in text.lines().filter(|line| line.starts_with("-A ")) {
                let chain = line.split(' ').nth(1).unwrap_or_default();
                prop_assert!(["PREROUTING", "OUTPUT"].contains(&chain) || chain.starts_with("SPANDREL_"));
            }
        }
        let table = nft::text(&rules, &config.families);
        prop_assert_eq!(table.matches('{').count(), table.matches('}').count());
        prop_assert_eq!(table.matches('"').count() % 2, 0);
    }

    #[test]
    fn no_text_whatsoever_makes_reading_rules_panic(
        text in "([*:]|-A |SPANDREL_A|OUTPUT|-j|-g| |\n|mark 0x|é|[0-9a-f]|\\PC){0,60}",
    ) {
        let ours = Ours::read(&text);
        let gone = ours.input_to(&Ours::default());
        prop_assert_eq!(gone.is_none(), ours.is_empty());
        prop_assert!(!Fault::of_end("iptables-restore", &text, &text).to_string().contains('\n'));
        Ours::default().input_to(&ours);
        ours.marks();
    }
}
