"""The attributes that the conventions ask for, as the tests expect them."""

from .clients import AGENT
from .ports import HOST

OWN = {"spandrel.join": str, "spandrel.sampling.reason": str}
"""Attributes of spandrel's own that may be on any span."""

NO_BODY = {"http.request.body.size": 0}
"""What may be said of a request that has no body."""


def server_attributes(sidecar, path, *others):
    """The attributes of the span of `GET path` at the inbound side, with `others` added."""
    attributes = {
        "http.request.method": "GET",
        "url.path": path,
        "url.scheme": "http",
        "server.address": HOST,
        "server.port": sidecar.inbound,
        "client.address": HOST,
        "network.peer.address": HOST,
        "network.peer.port": int,
        "network.protocol.version": "1.1",
        "user_agent.original": AGENT,
    }
    return _merged(attributes, others)


def client_attributes(port, path, *others):
    """The attributes of the span of `GET path` at the outbound side, with `others` added."""
    attributes = {
        "http.request.method": "GET",
        "url.full": f"http://{HOST}:{port}{path}",
        "server.address": HOST,
        "server.port": port,
        "network.peer.address": HOST,
        "network.peer.port": port,
        "network.protocol.version": "1.1",
        "user_agent.original": AGENT,
    }
    return _merged(attributes, others)


def answered(status, size):
    """What an answer adds."""
    return {"http.response.status_code": status, "http.response.body.size": size}


def fault(error_type, side):
    """What a failure adds."""
    return {
        "error.type": error_type,
        "spandrel.fault.side": side,
        "spandrel.fault.kind": error_type,
    }


def _merged(attributes, others):
    for more in others:
        attributes |= more
    return attributes
