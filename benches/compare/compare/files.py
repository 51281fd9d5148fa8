"""How many files, and so connections, this machine allows a process."""

import resource

MOST = 131_072
"""Descriptors that are asked for where there is no bound."""
SPARE = 200
"""Descriptors of a proxy that are no connections."""


def allow():
    """Allows this process, and those it starts, as many as may be; gives how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def pairs():
    """How many connections a proxy can have, each with one of its own to the backend."""
    return (allow() - SPARE) // 2
