"""Rules of others, as they stand beside ours in pods and on nodes."""

_ISTIO = """\
*nat
:ISTIO_INBOUND - [0:0]
:ISTIO_IN_REDIRECT - [0:0]
:ISTIO_OUTPUT - [0:0]
:ISTIO_REDIRECT - [0:0]
[3:180] -A PREROUTING -p tcp -j ISTIO_INBOUND
[7:420] -A OUTPUT -p tcp -j ISTIO_OUTPUT
[0:0] -A ISTIO_INBOUND -p tcp -m tcp --dport 15008 -j RETURN
[0:0] -A ISTIO_INBOUND -p tcp -m tcp --dport 15090 -j RETURN
[0:0] -A ISTIO_INBOUND -p tcp -m tcp --dport 15021 -j RETURN
[0:0] -A ISTIO_INBOUND -p tcp -m tcp --dport 15020 -j RETURN
[3:180] -A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
[3:180] -A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
[0:0] -A ISTIO_OUTPUT -s {spared} -o lo -j RETURN
[0:0] -A ISTIO_OUTPUT ! -d {loopback} -o lo -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
[0:0] -A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
[1:60] -A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
[0:0] -A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
[0:0] -A ISTIO_OUTPUT -d {loopback} -j RETURN
[6:360] -A ISTIO_OUTPUT -j ISTIO_REDIRECT
[6:360] -A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
COMMIT
"""

_LINKERD = """\
*nat
:PROXY_INIT_REDIRECT - [0:0]
:PROXY_INIT_OUTPUT - [0:0]
[2:120] -A PREROUTING -m comment --comment "proxy-init/install-proxy-init-prerouting" \
-j PROXY_INIT_REDIRECT
[2:120] -A OUTPUT -m comment --comment "proxy-init/install-proxy-init-output" -j PROXY_INIT_OUTPUT
[0:0] -A PROXY_INIT_REDIRECT -p tcp -m multiport --dports 4190,4191 -m comment \
--comment "proxy-init/ignore-port-4190,4191" -j RETURN
[2:120] -A PROXY_INIT_REDIRECT -p tcp -m comment --comment "proxy-init/redirect-all-incoming" \
-j REDIRECT --to-ports 4143
[0:0] -A PROXY_INIT_OUTPUT -m owner --uid-owner 2102 -j RETURN
[0:0] -A PROXY_INIT_OUTPUT -o lo -j RETURN
[2:120] -A PROXY_INIT_OUTPUT -p tcp -j REDIRECT --to-ports 4140
COMMIT
"""

_NODE = """\
*mangle
:KUBE-PROXY-CANARY - [0:0]
[4:200] -A PREROUTING -p tcp -m tcp --dport 9999 -j MARK --set-xmark 0x4000/0x4000
[4:200] -A OUTPUT -p udp -j KUBE-PROXY-CANARY
COMMIT
*filter
:INPUT ACCEPT [11:660]
[5:300] -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""

NFT = """\
table inet istio-proxy-nat {
	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		meta l4proto tcp counter packets 3 bytes 180 jump istio-inbound
	}
	chain istio-inbound {
		tcp dport 15008 return
		meta l4proto tcp redirect to :15006
	}
}
"""
"""The beginning of the table that Istio makes where it uses nft."""


def rules(family):
    """The rules as input of `iptables-restore --counters --noflush`, of `ip` or `ip6`."""
    own = {"ip": ("127.0.0.6/32", "127.0.0.1/32"), "ip6": ("::6/128", "::1/128")}
    spared, loopback = own[family]
    return _ISTIO.format(spared=spared, loopback=loopback) + _LINKERD + _NODE


def install(namespace):
    """Puts them everywhere: over nft, in the legacy tables, and in a table of nft's own."""
    for kind in ("-nft", "-legacy"):
        for family in ("ip", "ip6"):
            program = f"{family}tables{kind}-restore"
            namespace.run(program, "--counters", "--noflush", input=rules(family))
    namespace.run("nft", "-f", "-", input=NFT)
