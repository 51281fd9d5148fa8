"""The clients of Python: httpx (HTTP/1.1 and HTTP/2), aiohttp, and the library's http.client.

Every line of standard input is a batch of scenarios; its results are told as a line.
`python -m support.makes.python_client`; it ends with its input. curl is run from here, too.
"""

import asyncio
import http.client
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import aiohttp
import httpx
from yarl import URL

from .curl import Curl
from .messages import byte_lines, message, numbered, text_lines

DEADLINE = 20


def nothing():
    """A result without anything in it."""
    return {"interim": [], "reason": "", "version": "", "headers": [], "trailers": []}


def failed(error):
    """The name of an error and its words, less what differs between connections."""
    words = re.sub(r"127\.0\.0\.1[:', ]*\d+|0x[0-9a-f]+", "there", str(error))
    return {"error": f"{type(error).__name__}: {words}"}


def acknowledgement(asked):
    """The request that acknowledges an event of another."""
    return {"method": "GET", "path": "/ack", "headers": asked["headers"]}


class Httpx:
    """httpx. Over HTTP/2 it knows no proxy, so that `Host` says where a request goes."""

    def __init__(self, batch, http2):
        self._base, self._host = batch["base"], None
        proxy = f"http://{batch['proxy']}" if batch["proxy"] else None
        if http2 and proxy:
            self._base, self._host, proxy = proxy, urlsplit(batch["base"]).netloc, None
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        protocols = {"http1": not http2, "http2": http2}
        self._client = httpx.AsyncClient(
            proxy=proxy, trust_env=False, timeout=DEADLINE, limits=limits, **protocols
        )

    async def exchange(self, asked):
        """One request; gives what came back."""
        result = nothing()
        host = [(b"Host", self._host.encode())] if self._host else []
        request = self._client.build_request(
            asked["method"],
            self._base + asked["path"],
            headers=[*host, *byte_lines(asked["headers"])],
            content=_content(asked),
        )
        try:
            response = await self._client.send(request, stream=True)
            try:
                result |= {
                    "status": response.status_code,
                    "reason": response.reason_phrase,
                    "version": response.http_version,
                    "headers": text_lines(response.headers.raw),
                }
                pieces = await self._read(asked, response.aiter_raw())
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            return result | failed(error)
        return result if asked.get("stop") else result | {"body": message(pieces)}

    async def _read(self, asked, pieces):
        return await read(asked, pieces, lambda: self.exchange(acknowledgement(asked)))

    async def close(self):
        """Ends the connections."""
        await self._client.aclose()


class Aiohttp:
    """aiohttp."""

    def __init__(self, batch):
        self._base = batch["base"]
        self._proxy = f"http://{batch['proxy']}" if batch["proxy"] else None
        timeout = aiohttp.ClientTimeout(total=DEADLINE)
        self._session = aiohttp.ClientSession(
            timeout=timeout, auto_decompress=False, connector=aiohttp.TCPConnector(limit=64)
        )

    async def exchange(self, asked):
        """One request; gives what came back."""
        result = nothing()
        if asked.get("websocket"):
            return await self._converse(asked)
        url = URL(self._base + asked["path"], encoded=True)
        expects = any(name.lower() == "expect" for name, _ in asked["headers"])
        headers = [line for line in asked["headers"] if line[0].lower() != "expect"]
        how = {"proxy": self._proxy, "allow_redirects": False, "expect100": expects}
        try:
            sent = self._session.request(
                asked["method"], url, headers=headers, data=_content(asked), **how
            )
            async with sent as response:
                result |= {
                    "status": response.status,
                    "reason": response.reason,
                    "version": f"HTTP/{response.version.major}.{response.version.minor}",
                    "headers": text_lines(response.raw_headers),
                }
                pieces = await self._read(asked, response.content.iter_any())
                if asked.get("stop"):
                    response.close()
        except (aiohttp.ClientError, TimeoutError) as error:
            return result | failed(error)
        return result if asked.get("stop") else result | {"body": message(pieces)}

    async def _read(self, asked, pieces):
        return await read(asked, pieces, lambda: self.exchange(acknowledgement(asked)))

    async def _converse(self, asked):
        """A WebSocket on which everything said comes back; this side closes."""
        result, heard = nothing(), []
        try:
            socket = await self._session.ws_connect(
                self._base + asked["path"],
                headers=asked["headers"],
                proxy=self._proxy,
                protocols=["unknown", "spoken"],
                compress=15,
            )
            for said in asked["websocket"]:
                await socket.send_str(said)
                heard.append(await socket.receive_str(timeout=DEADLINE))
                await socket.send_bytes(said.encode())
                heard.append((await socket.receive_bytes(timeout=DEADLINE)).decode())
            await socket.close(code=1001, message=b"enough")
        except (aiohttp.ClientError, TimeoutError, TypeError) as error:
            return result | failed(error)
        headers = text_lines(socket._response.raw_headers)
        how = f"{socket.protocol} {socket.compress} {socket.close_code}"
        return result | {"headers": headers, "body": {"messages": heard, "how": how}}

    async def close(self):
        """Ends the connections."""
        await self._session.close()


class Library:
    """http.client, on one connection that it opens anew when it must."""

    def __init__(self, batch):
        self._base, self._proxy = batch["base"], batch["proxy"]
        self._host = urlsplit(self._base).netloc
        self._connection = http.client.HTTPConnection(self._proxy or self._host, timeout=DEADLINE)

    async def exchange(self, asked):
        """One request; gives what came back."""
        return await asyncio.to_thread(self._exchange, asked)

    def _exchange(self, asked):
        result, connection = nothing(), self._connection
        target = f"{self._base}{asked['path']}" if self._proxy else asked["path"]
        try:
            connection.putrequest(asked["method"], target, skip_host=True)
            for name, value in [["Host", self._host], *asked["headers"], *_framing(asked)]:
                connection.putheader(name, value.encode("latin-1"))
            body = None if asked.get("size") is None else numbered(asked["size"])
            connection.endheaders(body, encode_chunked=asked.get("chunked", False))
            response = connection.getresponse()
            result |= {
                "status": response.status,
                "reason": response.reason,
                "version": {10: "HTTP/1.0", 11: "HTTP/1.1"}[response.version],
                "headers": [list(line) for line in response.headers.raw_items()],
            }
            if asked.get("stop"):
                response.read(1)
                connection.close()
                return result
            return result | {"body": message(response.read())}
        except (http.client.HTTPException, OSError) as error:
            connection.close()
            return result | failed(error)

    async def close(self):
        """Ends the connection."""
        self._connection.close()


def _framing(asked):
    if asked.get("size") is None:
        return []
    if asked.get("chunked"):
        return [["Transfer-Encoding", "chunked"]]
    return [["Content-Length", str(asked["size"])]]


def _content(asked):
    """A body for the asynchronous clients, which frame it themselves."""
    if asked.get("size") is None:
        return None
    body = numbered(asked["size"])
    return _pieces(body) if asked.get("chunked") else body


async def _pieces(body, size=16 * 1024):
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(asked, pieces, acknowledge):
    """Reads a body; where asked to, acknowledges every event before it reads on."""
    whole = b""
    async for piece in pieces:
        whole += piece
        for _ in range(piece.count(b"\n\n") if asked.get("ack") else 0):
            await acknowledge()
        if asked.get("stop"):
            break
    return whole


CLIENTS = {
    "httpx": lambda batch: Httpx(batch, http2=False),
    "httpx2": lambda batch: Httpx(batch, http2=True),
    "aiohttp": Aiohttp,
    "library": Library,
    "curl": lambda batch: Curl(batch),
    "curl10": lambda batch: Curl(batch, "--http1.0"),
    "curl2": lambda batch: Curl(batch, "--http2-prior-knowledge"),
}


async def run(batch):
    """Runs the scenarios of a batch."""
    client, scenarios = CLIENTS[batch["client"]](batch), batch["scenarios"]
    names = [scenario["name"] for scenario in scenarios]
    if isinstance(client, Curl):
        asked = [client.run(s["requests"], s["at_once"]) for s in scenarios]
        return dict(zip(names, await asyncio.gather(*asked), strict=True))
    results = [await _run(client, s["requests"], s["at_once"]) for s in scenarios]
    await client.close()
    return dict(zip(names, results, strict=True))


async def _run(client, requests, is_at_once):
    if is_at_once:
        return await asyncio.gather(*map(client.exchange, requests))
    return [await client.exchange(asked) for asked in requests]


async def main():
    """Runs one batch after the other until the input ends."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as reader:
        while line := await loop.run_in_executor(reader, sys.stdin.readline):
            print(json.dumps(await run(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
