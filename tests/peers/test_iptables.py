"""`spandrel iptables`: rules that come whole or not at all, go without a trace, and are proven."""

import os
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from support.netns import Namespace
from support.redirect import foreign
from support.waiting import eventually

HERE = Path(__file__).parent / "support/redirect"
BACKENDS = {
    "iptables": ["--iptables", "iptables-nft"],
    "legacy": ["--iptables", "iptables-legacy"],
    "nft": ["--nft"],
}
REDIRECT = {"inbound": {"mode": "redirect"}, "outbound": {"mode": "redirect"}}
TPROXY = {"inbound": {"mode": "tproxy"}, "outbound": {"mode": "redirect"}}
LISTS = {
    "inbound": {
        "mode": "tproxy",
        "include_ports": ["80", "8000-8100"],
        "exclude_ports": [8080],
        "include_cidrs": ["10.0.0.0/8", "fd00::/8"],
        "exclude_cidrs": ["10.9.9.0/24", "fd09:9::1"],
        "include_interfaces": ["eth0"],
        "exclude_interfaces": ["eth1"],
    },
    "outbound": {
        "mode": "redirect",
        "include_ports": ["1-9000"],
        "exclude_ports": ["25", "3306-3307"],
        "include_cidrs": ["0.0.0.0/0", "fd00::/8"],
        "exclude_cidrs": ["10.1.2.3", "10.4.0.0/16"],
        "include_interfaces": ["out0", "lo"],
        "exclude_interfaces": ["eth1"],
        "include_uids": [0, 1000],
        "exclude_uids": [1337, 2102, 7],
        "include_gids": [0],
        "exclude_gids": [8],
    },
}
CONFIGS = {"redirect": REDIRECT, "tproxy": TPROXY, "lists": LISTS}
IN_PLACE = "the rules are in place\n"
UNCHANGED = "the rules are in place already: nothing was changed\n"
GONE = "the rules of spandrel are gone\n"


class Rules:
    """`spandrel iptables` in a namespace."""

    def __init__(self, binary, namespace, folder):
        self.binary, self.namespace, self._folder = binary, namespace, folder
        self.path = os.environ["PATH"]

    def __call__(self, what, config, *flags, before=()):
        """Runs it; `before` are programs that start it, and then the settings are variables."""
        command, variables = self.command(what, config, *flags), {}
        if before:
            # Who is not root cannot read a test's files.
            command, variables = [self.binary, "iptables", what, *flags], _variables(config)
        environment = self.environment | variables
        return self.namespace.run(*before, *command, check=False, env=environment)

    def command(self, what, config, *flags):
        """The command with a file of these settings."""
        file = self._folder / "rules.yaml"
        file.write_text(yaml.safe_dump(config))
        return [self.binary, "iptables", what, "-c", file, *flags]

    @property
    def environment(self):
        """The environment, with the programs of the test first."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "SPANDREL_"))}
        return kept | {"PATH": self.path}

    def done(self, what, config, *flags):
        """What it says it did, which must be a success."""
        ended = self(what, config, *flags)
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
        return ended.stdout

    def fault(self, what, config, *flags, code=1, **how):
        """What it says is wrong, in one line."""
        ended = self(what, config, *flags, **how)
        assert (ended.returncode, ended.stdout) == (code, ""), ended
        assert ended.stderr.startswith("spandrel: ") and ended.stderr.count("\n") == 1, ended.stderr
        return ended.stderr

    def fake(self, program, script):
        """Puts a program of this name before the real one; `$REAL` is that."""
        folder = self._folder / "bin"
        folder.mkdir(exist_ok=True)
        file = folder / program
        real = f'REAL="$(PATH={os.environ["PATH"]} command -v {program})"'
        file.write_text(f"#!/bin/sh\n{real}\n{script}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        self.path = f"{folder}:{os.environ['PATH']}"

    def no_fakes(self):
        """Only the real programs from now on."""
        self.path = os.environ["PATH"]


def _variables(config):
    """The settings as variables."""
    pairs = ((f"{side}_{key}", v) for side, group in config.items() for key, v in group.items())
    return {
        f"SPANDREL_{name.upper()}": ",".join(map(str, v)) if isinstance(v, list) else str(v)
        for name, v in pairs
    }


@pytest.fixture
def namespace():
    """A namespace without rules."""
    with Namespace() as namespace:
        yield namespace


@pytest.fixture
def rules(binary, namespace, tmp_path):
    """`spandrel iptables` in the namespace."""
    return Rules(binary, namespace, tmp_path)


@pytest.fixture
def connected(namespace):
    """Addresses in the namespace, and ways out of it."""
    namespace.connect()


@pytest.fixture(params=BACKENDS.values(), ids=BACKENDS)
def backend(request):
    """The flags that choose each backend."""
    return request.param


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def config(request):
    """Settings that make rules of each kind."""
    return request.param


def test_a_second_apply_changes_nothing(rules, namespace, backend, config):
    assert rules.done("apply", config, *backend) == IN_PLACE
    handles = namespace.run("nft", "-a", "list", "ruleset").stdout
    tables = namespace.tables()
    assert "SPANDREL_OUTPUT" in str(tables) or "inet spandrel" in str(tables)
    assert rules.done("apply", config, *backend) == UNCHANGED
    assert namespace.tables() == tables
    assert namespace.run("nft", "-a", "list", "ruleset").stdout == handles


def test_remove_leaves_every_rule_of_others_as_it_was(rules, namespace, backend, config):
    foreign.install(namespace)
    before = namespace.tables()
    assert "ISTIO_OUTPUT" in before["ip6tables-legacy-save"], before
    assert rules.done("apply", config, *backend) == IN_PLACE
    assert namespace.tables() != before
    assert rules.done("remove", config) == GONE
    assert namespace.tables() == before
    assert rules.done("remove", config).startswith("there were no rules")


def test_what_was_redirected_once_is_removed_whatever_the_settings_say(rules, namespace, backend):
    foreign.install(namespace)
    before = namespace.tables()
    rules.done("apply", TPROXY | {"redirect": {"mark": 77, "route_table": 78}}, *backend)
    assert "fwmark 0x4d lookup 78" in namespace.tables()["rule -6"]
    assert rules.done("remove", {"inbound": {"app": 80}}) == GONE
    assert namespace.tables() == before
    rules.done("apply", REDIRECT, *backend)
    assert rules.done("remove", {}) == GONE
    assert namespace.tables() == before


def test_other_settings_replace_the_rules_of_former_ones(rules, namespace, backend):
    foreign.install(namespace)
    fresh = {}
    for name, config in CONFIGS.items():
        rules.done("apply", config, *backend)
        fresh[name] = namespace.tables()
        rules.done("remove", config)
    for name, config in [*CONFIGS.items(), *reversed(CONFIGS.items())]:
        rules.done("apply", config, *backend)
        assert _in_any_order(namespace.tables()) == _in_any_order(fresh[name]), name


def _in_any_order(tables):
    """Chains stand in the order in which they were made."""
    return {program: sorted(text.splitlines()) for program, text in tables.items()}


def test_a_family_that_is_left_out_loses_its_rules(rules, namespace, backend):
    only_v4 = TPROXY | {"redirect": {"families": ["ipv4"]}}
    rules.done("apply", TPROXY, *backend)
    rules.done("apply", only_v4, *backend)
    tables = namespace.tables()
    assert "SPANDREL" not in tables["ip6tables-nft-save"] + tables["ip6tables-legacy-save"]
    assert "1773" in tables["rule -4"] and "1773" not in tables["rule -6"] + tables["route -6"]
    assert rules.done("apply", only_v4, *backend) == UNCHANGED


FAILURES = {
    "the second family": ("ip6tables-nft-restore", "exit 4", ["--iptables", "iptables-nft"]),
    "the second legacy family": (
        "ip6tables-legacy-restore",
        "exit 4",
        ["--iptables", "iptables-legacy"],
    ),
    "nft": ("nft", '[ "$1" = -f ] && exit 1; exec "$REAL" "$@"', ["--nft"]),
    "a route": (
        "ip",
        'case "$*" in "-6 rule add"*) exit 2; esac; exec "$REAL" "$@"',
        ["--iptables", "iptables-nft"],
    ),
}


@pytest.mark.parametrize(("program", "script", "flags"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("former", [None, REDIRECT], ids=["no rules", "former rules"])
def test_a_failure_half_way_leaves_what_was_there(rules, namespace, program, script, flags, former):
    foreign.install(namespace)
    if former:
        rules.done("apply", former, *flags)
        # Rules that came later stand behind ours, and stay there.
        for family in ("iptables-nft", "ip6tables-legacy"):
            namespace.run(family, "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-j", "RETURN")
    before = namespace.tables()
    rules.fake(program, script)
    fault = rules.fault("apply", TPROXY, *flags)
    assert program in fault and "what was there before is in place" in fault, fault
    assert namespace.tables() == before
    rules.no_fakes()
    assert rules.done("apply", TPROXY, *flags) == IN_PLACE


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_what_a_killed_apply_left_is_completed_or_removed(rules, namespace, kind, tmp_path):
    foreign.install(namespace)
    flags = ["--iptables", f"iptables-{kind}"]
    before = namespace.tables()
    rules.done("apply", TPROXY, *flags)
    complete = namespace.tables()
    rules.done("remove", TPROXY)
    pid = tmp_path / "pid"
    pause = f'exec "{sys.executable}" -c "import signal; signal.pause()"'
    hanging = f"echo $$ > {pid}.new; mv {pid}.new {pid}; {pause}"
    for what, after in (("apply", complete), ("remove", before)):
        rules.fake(f"ip6tables-{kind}-restore", hanging)
        process = namespace.start(
            *rules.command("apply", TPROXY, *flags), env=rules.environment
        )
        try:
            # The parent's command execs us, so that the process is spandrel itself.
            hung = int(eventually(lambda: pid.exists() and pid.read_text(), "the second family"))
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            os.kill(hung, signal.SIGKILL)
        finally:
            process.kill()
            process.wait(10)
        pid.unlink()
        left = namespace.tables()
        assert left not in (before, complete), "it was killed between the families"
        rules.no_fakes()
        rules.done(what, TPROXY, *flags)
        assert namespace.tables() == after, what
        rules.done("remove", TPROXY)


def test_two_backends_are_not_used_at_once(rules, namespace):
    for name, flags in BACKENDS.items():
        rules.done("apply", REDIRECT, *flags)
        before = namespace.tables()
        for other in (flags for key, flags in BACKENDS.items() if key != name):
            assert "run `spandrel iptables remove` first" in rules.fault("apply", REDIRECT, *other)
        assert namespace.tables() == before
        rules.done("remove", REDIRECT)


def test_a_missing_capability_is_named_with_what_to_do(rules, namespace, backend):
    before = namespace.tables()
    for who in (
        ["setpriv", "--bounding-set", "-all"],
        ["setpriv", "--reuid", "1773", "--regid", "1773", "--clear-groups"],
    ):
        for what in ("apply", "remove"):
            fault = rules.fault(what, REDIRECT, *backend, before=who)
            assert "CAP_NET_ADMIN" in fault and "capabilities: {add: [NET_ADMIN" in fault, fault
    assert namespace.tables() == before


def test_a_missing_program_is_named_with_what_to_do(rules, tmp_path):
    rules.path = str(tmp_path)
    for flags, program, package in (
        ([], "iptables-save", "iptables"),
        (["--iptables", "iptables-legacy"], "iptables-legacy-save", "iptables"),
        (["--nft"], "nft", "nftables"),
    ):
        fault = rules.fault("apply", REDIRECT, *flags)
        assert f"no program {program}: install the package {package}" in fault, fault
    assert "no program iptables-save" in rules.fault("remove", REDIRECT)


def test_a_module_that_the_kernel_lacks_is_named(rules, namespace):
    before = namespace.tables()
    refusal = "iptables-restore: line {}: RULE_APPEND failed (No such file or directory)"
    rules.fake(
        "iptables-restore",
        'input=$(cat); n=$(echo "$input" | grep -n -- "-m owner" | head -1 | cut -d: -f1); '
        f'echo "{refusal.format("$n")}" >&2; exit 4',
    )
    fault = rules.fault("apply", REDIRECT)
    assert "the kernel seems to lack xt_owner: load it (`modprobe`)" in fault, fault
    assert namespace.tables() == before


def test_a_plan_takes_no_privilege_and_is_what_apply_installs(rules, namespace, config):
    who = ["setpriv", "--reuid", "1773", "--regid", "1773", "--clear-groups"]
    planned = rules("plan", config, before=who)
    assert planned.returncode == 0, planned.stderr
    _, v4, v6 = planned.stdout.split("# ipv")
    namespace.run("iptables-restore", "--noflush", input=v4.partition("\n")[2])
    namespace.run("ip6tables-restore", "--noflush", input=v6.partition("\n")[2])
    by_hand = namespace.tables()
    rules.done("remove", config)
    rules.done("apply", config)
    applied = namespace.tables()
    for program in ("iptables-nft-save", "ip6tables-nft-save"):
        assert applied[program] == by_hand[program]
    rules.done("remove", config)
    planned = rules("plan", config, "--nft", before=who)
    namespace.run("nft", "-f", "-", input=planned.stdout)
    assert planned.stdout.endswith(namespace.run("nft", "list", "table", "inet", "spandrel").stdout)


def test_a_plan_without_redirection_says_what_to_set(rules):
    fault = rules.fault("plan", {"inbound": {"app": 8080}}, code=2)
    assert "set inbound.mode to redirect or tproxy, or outbound.mode to redirect" in fault


# What verify proves.


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("name", ["redirect", "tproxy"])
def test_verify_proves_rules_that_work(rules, backend, name):
    rules.done("apply", CONFIGS[name], *backend)
    proven = rules.done("verify", CONFIGS[name], *backend)
    for family, own, nowhere in (
        ("ipv4", Namespace.V4, "192.0.2.1:"),
        ("ipv6", f"[{Namespace.V6}]", "[2001:db8::1]:"),
    ):
        lines = [line for line in proven.splitlines() if line.startswith(f"{family}: ")]
        out = "arrives at spandrel's outbound port"
        called = f"a call of the application to {own}:"
        assert any(called in line and line.endswith(out) for line in lines), proven
        called = f"application to {nowhere}"
        assert any(called in line and line.endswith(out) for line in lines), proven
        assert any("a connection of spandrel from" in line for line in lines), proven
        assert sum("arrives at spandrel's inbound port" in line for line in lines) == 2, proven
    assert "not proven" not in proven
    assert "the rules in place are those of the settings" in proven


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("side", ["inbound", "outbound"])
def test_verify_proves_one_side_alone(rules, backend, side):
    rules.done("apply", {side: {"mode": "redirect"}}, *backend)
    assert "not proven" not in rules.done("verify", {side: {"mode": "redirect"}}, *backend)


@pytest.mark.usefixtures("connected")
def test_verify_without_rules_says_so(rules, backend):
    fault = rules.fault("verify", REDIRECT, *backend)
    assert "instead of spandrel's outbound port: run `spandrel iptables apply`" in fault, fault
    fault = rules.fault("verify", {"inbound": {"mode": "redirect"}}, *backend)
    assert "instead of spandrel's inbound port: run `spandrel iptables apply`" in fault, fault


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("owner", ["uid", "gid"])
@pytest.mark.parametrize("family", ["iptables", "ip6tables"])
def test_verify_finds_that_spandrel_would_be_looped(rules, namespace, owner, family):
    config = {"outbound": {"mode": "redirect"}}
    rules.done("apply", config)
    rule = f"-m owner --{owner}-owner 1773 -j RETURN"
    namespace.run(family, "-t", "nat", "-D", "SPANDREL_OUTPUT", *rule.split())
    fault = rules.fault("verify", config)
    assert "redirected to it, which would never end" in fault, fault
    assert fault.startswith(f"spandrel: ipv{6 if '6' in family else 4}: "), fault


@pytest.mark.usefixtures("connected")
def test_verify_finds_that_the_applications_connections_would_be_looped(rules, namespace):
    rules.done("apply", REDIRECT)
    rule = "-s 127.0.0.6/32 -o lo -j RETURN"
    namespace.run("iptables", "-t", "nat", "-D", "SPANDREL_OUTPUT", *rule.split())
    fault = rules.fault("verify", REDIRECT)
    assert "a connection of spandrel from 127.0.0.6" in fault and "never end" in fault, fault


@pytest.mark.usefixtures("connected")
def test_verify_finds_a_rule_that_is_missing_for_other_machines(rules, namespace):
    rules.done("apply", REDIRECT)
    rule = "! -i lo -p tcp -j SPANDREL_INBOUND"
    namespace.run("iptables", "-t", "nat", "-D", "PREROUTING", *rule.split())
    fault = rules.fault("verify", REDIRECT)
    assert "the rules in place are not those of the settings" in fault, fault


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("table", ["mark rule", "route", "restore"])
def test_verify_finds_that_answers_would_not_come_back(rules, namespace, table):
    rules.done("apply", TPROXY)
    broken = {
        "mark rule": "ip -4 rule del fwmark 1773 lookup 1773",
        "route": "ip -4 route del local default dev lo table 1773",
        "restore": "iptables -t mangle -D SPANDREL_OUTPUT 2",
    }
    namespace.run(*broken[table].split())
    fault = rules.fault("verify", TPROXY)
    assert "from a caller's address (192.0.2.1)" in fault, fault


@pytest.mark.usefixtures("connected")
def test_verify_finds_rules_of_others_that_take_the_traffic(rules, namespace):
    foreign.install(namespace)
    rules.done("apply", REDIRECT)
    fault = rules.fault("verify", REDIRECT)
    assert "look for other rules" in fault or "instead of" in fault, fault


# A proxy that is not spandrel, led by the rules; and then spandrel.


PAIRS = (("10.8.0.1", "10.8.0.2", "127.0.0.6"), ("fd08::1", "fd08::2", "::1"))
"""An address here, one there, and where spandrel's connections to the application come from."""


@contextmanager
def running(namespace, *command):
    """A program that says when it is ready."""
    process = namespace.start(
        sys.executable, *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize("name", ["redirect", "tproxy"])
def test_traffic_goes_through_the_proxy_once_in_each_direction(rules, namespace, backend, name):
    is_tproxy = name == "tproxy"
    with (
        Namespace() as other,
        running(namespace, HERE / "application.py", 8080),
        running(other, HERE / "application.py", 9090),
        running(namespace, HERE / "proxy.py", 16001, 16006, name) as proxy,
    ):
        namespace.tie(other)
        rules.done("apply", CONFIGS[name], *backend)
        for here, there, spared in PAIRS:
            seen = other.run(sys.executable, HERE / "caller.py", here, 8080).stdout.strip()
            assert seen == (there if is_tproxy else spared), "the caller of the application"
            assert proxy.stdout.readline() == f"inbound {here} 8080\n"
            seen = namespace.run(sys.executable, HERE / "caller.py", there, 9090).stdout.strip()
            assert seen == here, "the application calls"
            assert proxy.stdout.readline() == f"outbound {there} 9090\n"
            seen = namespace.run(sys.executable, HERE / "caller.py", here, 8080).stdout.strip()
            assert seen == (here if is_tproxy else spared), "the application calls itself"
            said = {proxy.stdout.readline(), proxy.stdout.readline()}
            assert said == {f"outbound {here} 8080\n", f"inbound {here} 8080\n"}
        seen = namespace.run(sys.executable, HERE / "caller.py", "127.0.0.1", 8080).stdout.strip()
        assert seen == "127.0.0.1", "loopback is the application's own"
        proven = rules.done("verify", CONFIGS[name], *backend)
        assert proven.count("goes through the spandrel that is running") == 2, proven
        rules.done("remove", CONFIGS[name])
        direct = other.run(sys.executable, HERE / "caller.py", "10.8.0.1", 8080).stdout
        assert direct == "10.8.0.2\n", "without rules"


@pytest.mark.parametrize("name", ["redirect", "tproxy"])
def test_spandrel_carries_what_the_rules_lead_to_it(rules, namespace, backend, name):
    is_tproxy = name == "tproxy"
    keep = ["--inh-caps", "+net_admin", "--ambient-caps", "+net_admin"] if is_tproxy else []
    user = ["setpriv", "--reuid", "1773", "--regid", "1773", "--clear-groups", *keep]
    variables = _variables(CONFIGS[name] | {"export": {"enabled": "false"}})
    with (
        Namespace() as other,
        running(namespace, HERE / "application.py", 8080),
        running(other, HERE / "application.py", 9090),
    ):
        namespace.tie(other)
        rules.done("apply", CONFIGS[name], *backend)
        spandrel = namespace.start(
            *user, rules.binary, "run", env=rules.environment | variables, stdin=subprocess.DEVNULL
        )
        try:
            ready = [sys.executable, "-c", READY]
            eventually(lambda: namespace.run(*ready, check=False).returncode == 0, "readiness")
            for here, there, spared in PAIRS:
                seen = other.run(sys.executable, HERE / "caller.py", here, 8080).stdout.strip()
                assert seen == (there if is_tproxy else spared), "the caller of the application"
                seen = namespace.run(sys.executable, HERE / "caller.py", there, 9090).stdout.strip()
                assert seen == here, "the application calls"
            proven = rules.done("verify", CONFIGS[name], *backend)
            assert proven.count("goes through the spandrel that is running") == 2, proven
        finally:
            spandrel.terminate()
            assert spandrel.wait(40) == 0


READY = "import urllib.request as u; u.urlopen('http://127.0.0.1:16000/ready', timeout=1)"
"""Asks spandrel whether it is ready, as somebody on its machine."""
