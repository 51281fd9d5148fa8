"""A gRPC application on grpcio, with methods of all four kinds, and its client.

Messages are plain bytes, so that no generated code is needed.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

from ..ports import HOST
from ..waiting import DEADLINE

SERVICE = "peers.v1.Echo"
NO_PROXY = ("grpc.enable_http_proxy", 0)


class RpcApp:
    """The application; `metadata` holds what came with each call, in order."""

    def __init__(self, host=HOST, port=0):
        self.metadata = []
        self.peers = []
        """Where each call came from, as grpcio writes it."""
        self.cancelled = threading.Event()
        self.released = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self._handlers(),))
        self.port = self._server.add_insecure_port(f"{host}:{port}")
        self._server.start()

    def close(self):
        """Ends the application."""
        self.released.set()
        assert self._server.stop(grace=1).wait(DEADLINE), "the gRPC application does not end"

    def _handlers(self):
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
                "ServerStream": grpc.unary_stream_rpc_method_handler(self._server_stream),
                "ClientStream": grpc.stream_unary_rpc_method_handler(self._client_stream),
                "Bidirectional": grpc.stream_stream_rpc_method_handler(self._bidirectional),
                "Abort": grpc.unary_unary_rpc_method_handler(self._abort),
                "AbortLate": grpc.unary_stream_rpc_method_handler(self._abort_late),
                "Silence": grpc.unary_stream_rpc_method_handler(self._silence),
                "Held": grpc.unary_stream_rpc_method_handler(self._held),
            },
        )

    def _note(self, context):
        self.metadata.append(tuple(context.invocation_metadata()))
        self.peers.append(context.peer())

    def _unary(self, request, context):
        """Answers in upper case."""
        self._note(context)
        context.set_trailing_metadata((("trailer", "kept"),))
        return request.upper()

    def _server_stream(self, request, context):
        """Answers byte by byte."""
        self._note(context)
        for byte in request:
            yield bytes([byte])

    def _client_stream(self, requests, context):
        """Answers with everything in one."""
        self._note(context)
        return b"".join(requests)

    def _bidirectional(self, requests, context):
        """Answers each message in upper case, as it comes."""
        self._note(context)
        for request in requests:
            yield request.upper()

    def _abort(self, request, context):
        """Fails before any message, with the status that the request names."""
        self._note(context)
        context.abort(grpc.StatusCode[request.decode()], "as asked")

    def _abort_late(self, request, context):
        """Fails after a message, with the status that the request names."""
        self._note(context)
        yield b"one"
        context.abort(grpc.StatusCode[request.decode()], "as asked, 50% späť")

    def _silence(self, request, context):
        """Three messages, with as many seconds of silence between them as the request says."""
        self._note(context)
        for number in range(3):
            if number and self.released.wait(float(request)):
                return
            yield str(number).encode()

    def _held(self, request, context):
        """A message, and a second one when released; knows whether the caller went away."""
        self._note(context)
        context.add_callback(self._note_cancellation(context))
        yield b"one"
        self.released.wait(DEADLINE)
        yield b"two"

    def _note_cancellation(self, context):
        def ended():
            if context.code() is None and not self.released.is_set():
                self.cancelled.set()

        return ended


class RpcClient:
    """A channel to the application; a context manager."""

    def __init__(self, port, authority=None):
        options = [NO_PROXY]
        if authority:
            options.append(("grpc.default_authority", authority))
        self._channel = grpc.insecure_channel(f"{HOST}:{port}", options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._channel.close()

    def unary(self, method, request, **options):
        """A call of one message each way, and its call object."""
        call = self._channel.unary_unary(f"/{SERVICE}/{method}")
        return call.with_call(request, **_bounded(options))

    def server_stream(self, method, request, **options):
        """A call of one message up and many down."""
        return self._channel.unary_stream(f"/{SERVICE}/{method}")(request, **_bounded(options))

    def client_stream(self, method, requests, **options):
        """A call of many messages up and one down."""
        return self._channel.stream_unary(f"/{SERVICE}/{method}")(requests, **_bounded(options))

    def bidirectional(self, method, requests, **options):
        """A call of many messages both ways."""
        return self._channel.stream_stream(f"/{SERVICE}/{method}")(requests, **_bounded(options))


def _bounded(options):
    return {"timeout": DEADLINE} | options
