"""grpcio as server and client, told what to do by lines of JSON; see `__init__.py`."""

import hashlib
import json
import os
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

SERVICE = "peers.v1.Steps"
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
THREADS = 128
FOREVER = 1e9
"""Seconds beyond which grpcio means that there is no deadline."""

_output = threading.Lock()


def say(**line):
    """Writes one line."""
    with _output:
        print(json.dumps(line), flush=True)


def message(index, size):
    """The bytes of a message."""
    return (index.to_bytes(4) * (size // 4 + 1))[:size]


def from_json(pairs):
    """Metadata as grpcio takes it."""
    return [(k, bytes.fromhex(v) if k.endswith("-bin") else v) for k, v in pairs]


def to_json(metadata):
    """Metadata as every stack reports it."""
    pairs = metadata or ()
    return [[k, v.hex() if isinstance(v, bytes) else v] for k, v in pairs]


class Digest:
    """What was received."""

    def __init__(self):
        self.count = self.bytes = 0
        self._hash = hashlib.sha256()

    def add(self, data):
        """Takes a message in."""
        self.count += 1
        self.bytes += len(data)
        self._hash.update(len(data).to_bytes(4))
        self._hash.update(data)

    def report(self):
        """All there is to compare."""
        return {"count": self.count, "bytes": self.bytes, "sha256": self._hash.hexdigest()}


class Call:
    """One call, at either end."""

    def __init__(self):
        self.sent = 0
        self.received = Digest()
        self.released = threading.Event()

    def next(self, size):
        """The next message to send."""
        self.sent += 1
        return message(self.sent - 1, size)


calls = {}
"""Calls at the server by their id; at the client by the number of the order."""


class ServerCall(Call):
    """A call at the server."""

    def __init__(self, context):
        super().__init__()
        self.context = context
        metadata = dict(context.invocation_metadata())
        self.id = metadata.get("call-id")
        self.steps = json.loads(metadata["steps-bin"])
        left = context.time_remaining()
        self.timeout = None if left is None or left > FOREVER else left
        self.is_through = False
        self.over = threading.Event()
        calls[self.id] = self
        if not context.add_callback(self.ended):
            self.ended()

    def ended(self):
        """Reports, when nothing more can happen."""
        self.over.set()
        self.released.set()
        say(
            call=self.id,
            metadata=to_json(self.context.invocation_metadata()),
            timeout=self.timeout,
            received=self.received.report(),
            cancelled=not self.is_through,
        )

    def run(self, requests):
        """Takes the steps; gives what must be sent."""
        for name, *how in self.steps:
            if name == "send":
                for _ in range(how[0]):
                    yield self.next(how[1])
            elif name == "ping":
                for _ in range(how[0]):
                    yield self.take(requests)
            elif name == "recv":
                for _ in range(how[0]):
                    self.take(requests)
            elif name == "drain":
                for data in requests:
                    self.received.add(data)
            elif name == "end":
                self.end(*how)
            else:
                self.step(name, *how)
        self.is_through = True

    def take(self, requests):
        """Receives one message, which must come."""
        data = next(requests, None)
        if data is None and not self.context.is_active():
            raise ConnectionError("cancelled by the client")
        if data is None:
            self.is_through = True
            self.context.abort(grpc.StatusCode.UNKNOWN, "a message that must come does not")
        self.received.add(data)
        return data

    def step(self, name, *how):
        """Takes a step that moves no message."""
        if name == "initial":
            self.context.send_initial_metadata(from_json(how[0]))
        elif name == "compress":
            self.context.set_compression(grpc.Compression.Gzip)
        elif name == "tell":
            say(told=self.id)
        elif name == "wait":
            self.released.wait()
        elif name == "hold":
            self.over.wait()
            raise ConnectionError("cancelled, as it must be")
        elif name == "cancel":
            self.context.cancel()
            raise ConnectionError("cancelled by the server")
        else:
            raise ValueError(name)

    def end(self, code, details, trailing):
        """Ends with a status."""
        status = next(status for status in grpc.StatusCode if status.value[0] == code)
        self.context.set_trailing_metadata(from_json(trailing))
        self.is_through = True
        if code:
            self.context.abort(status, details)
        self.context.set_details(details)


def serve_one(request, context):
    """A method with one request and one response."""
    answer = b""
    for answer in ServerCall(context).run(iter([request])):
        pass
    return answer


def serve_up(requests, context):
    """A method with many requests and one response."""
    answer = b""
    for answer in ServerCall(context).run(requests):
        pass
    return answer


def serve_down(request, context):
    """A method with one request and many responses."""
    return ServerCall(context).run(iter([request]))


def serve_both(requests, context):
    """A method with many of both."""
    return ServerCall(context).run(requests)


HANDLERS = grpc.method_handlers_generic_handler(
    SERVICE,
    {
        "Unary": grpc.unary_unary_rpc_method_handler(serve_one),
        "Up": grpc.stream_unary_rpc_method_handler(serve_up),
        "Down": grpc.unary_stream_rpc_method_handler(serve_down),
        "Both": grpc.stream_stream_rpc_method_handler(serve_both),
    },
)
servers = {}


def serve(ask, port):
    """Begins to serve."""
    lenient = [("grpc.http2.max_ping_strikes", 0), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(THREADS), options=[*UNLIMITED, *lenient])
    server.add_generic_rpc_handlers((HANDLERS,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    servers[port] = server
    say(ask=ask)


def stop(ask, port, graceful):
    """Stops to serve: takes no more calls, and ends those that are open unless it is graceful."""
    servers.pop(port).stop(grace=60 if graceful else 0)
    say(ask=ask)


channels = {}


def channel(target, authority, options):
    """The channel to a target; there is one."""
    key = json.dumps([target, authority, options])
    if key not in channels:
        arguments = [*UNLIMITED, ("grpc.enable_http_proxy", 0)]
        arguments.append(("grpc.default_authority", authority))
        if every := options.get("keepalive"):
            arguments += [
                ("grpc.keepalive_time_ms", every),
                ("grpc.http2.max_pings_without_data", 0),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        compression = grpc.Compression.Gzip if options.get("gzip") else None
        channels[key] = grpc.insecure_channel(target, arguments, compression)
    return channels[key]


class ClientCall(Call):
    """A call at the client."""

    def __init__(self, ask):
        super().__init__()
        self.ask = ask
        self._outbox = queue.SimpleQueue()
        calls[ask] = self

    def start(self, channel, method, kind, **how):
        """Begins the call."""
        path = f"/{SERVICE}/{method}" if "/" not in method else method
        makers = {
            "unary": channel.unary_unary,
            "up": channel.stream_unary,
            "down": channel.unary_stream,
            "both": channel.stream_stream,
        }
        make, self.kind = makers[kind](path), kind
        if kind == "unary":
            self.rpc = make.future(self._one, **how)
        elif kind == "up":
            self.rpc = make.future(iter(self._requests()), **how)
        elif kind == "down":
            self.rpc = make(self._one, **how)
        else:
            self.rpc = make(iter(self._requests()), **how)

    def prepare(self, steps):
        """The one request of a method that takes one."""
        size = next((step[2] for step in steps if step[0] == "send"), 0)
        self._one = message(0, size)

    def _requests(self):
        while (order := self._outbox.get()) is not None:
            for _ in range(order[0]):
                yield self.next(order[1])

    def run(self, steps):
        """Takes the steps and reports."""
        try:
            for name, *how in steps:
                self._step(name, *how)
            self._outbox.put(None)
            self._drain()
        except grpc.RpcError:
            pass
        except (StopIteration, grpc.FutureCancelledError):
            pass
        self._outbox.put(None)
        self.report()

    def report(self):
        """All that the client sees."""
        say(
            ask=self.ask,
            code=self.rpc.code().value[0],
            message=self.rpc.details(),
            initial=to_json(self.rpc.initial_metadata()),
            trailing=to_json(self.rpc.trailing_metadata()),
            received=self.received.report(),
        )

    def _step(self, name, *how):
        if name == "send":
            self._outbox.put(how)
        elif name == "ping":
            for _ in range(how[0]):
                self._outbox.put((1, how[1]))
                self._receive()
        elif name == "recv":
            for _ in range(how[0]):
                self._receive()
        elif name == "close":
            self._outbox.put(None)
        elif name == "tell":
            say(told=self.ask)
        elif name == "wait":
            self.released.wait()
        elif name == "cancel":
            self.rpc.cancel()
        elif name == "drain":
            self._drain()
        else:
            raise ValueError(name)

    def _receive(self):
        self.received.add(next(self.rpc))

    def _drain(self):
        if self.kind in ("unary", "up"):
            self.received.add(self.rpc.result())
        else:
            for data in self.rpc:
                self.received.add(data)


def call(ask, target, authority, options, kind, method, metadata, timeout, steps):
    """Begins a call; the report comes when it has ended."""
    one = ClientCall(ask)
    one.prepare(steps)
    to = channel(target, authority, options)
    one.start(to, method, kind, metadata=from_json(metadata), timeout=timeout)
    threading.Thread(target=one.run, args=(steps,), daemon=True).start()


def go(call):
    """Lets a call go on."""
    calls[call].released.set()


def progress(ask, call):
    """Says how many messages a call has sent."""
    say(ask=ask, sent=calls[call].sent)


def hang_up(ask):
    """Closes every channel."""
    while channels:
        channels.popitem()[1].close()
    say(ask=ask)


ORDERS = {f.__name__: f for f in (serve, stop, call, go, progress, hang_up)}

if __name__ == "__main__":
    for line in sys.stdin:
        order = json.loads(line)
        ORDERS[order.pop("do")](**order)
    os._exit(0)
