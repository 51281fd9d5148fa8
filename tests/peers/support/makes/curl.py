"""curl: one process for each scenario, so that its requests may share a connection."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from .messages import message, numbered

_DEADLINE = "20"
_AT_ONCE = 4
"""Processes at the same time."""


class Curl:
    """Runs curl over a version of HTTP.

    It uses the proxy that it is told to; over HTTP/2 it connects to it in place of the origin.
    """

    def __init__(self, batch, *version):
        self._program = shutil.which("curl")
        assert self._program, "there is no curl: install it (apt-get install curl)"
        self._base, self._version = batch["base"], version or ("--http1.1",)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._way = ["--noproxy", "", "--proxy", ""]
        if batch["proxy"] and "--http2-prior-knowledge" in version:
            origin = urlsplit(self._base).netloc
            self._way = ["--noproxy", "*", "--connect-to", f"{origin}:{batch['proxy']}"]
        elif batch["proxy"]:
            self._way = ["--noproxy", "", "--proxy", f"http://{batch['proxy']}"]

    async def run(self, requests, is_at_once=False):
        """Runs the requests by one curl; gives what came back of each."""
        async with self._turns:
            return await self._run(requests, is_at_once)

    async def _run(self, requests, is_at_once):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            arguments = ["--parallel", "--parallel-immediate"] if is_at_once else []
            for number, asked in enumerate(requests):
                arguments += ["--next"] if number else []
                arguments += self._arguments(asked, folder, number)
            code = await self._execute(arguments, is_left=requests[0].get("stop"))
            results = [_result(folder, number) for number in range(len(requests))]
            if code:
                results[-1] |= {"body": None, "error": f"exit code {code}"}
            return results

    def _arguments(self, asked, folder, number):
        arguments = [*self._version, *self._way, "--silent", "--no-buffer"]
        arguments += ["--max-time", _DEADLINE]
        arguments += ["--path-as-is", "--request", asked["method"]]
        if asked["method"] == "HEAD":
            arguments[-2:] = ["--head"]
        for name, value in asked["headers"]:
            arguments += ["--header", f"{name}: {value}" if value else f"{name};"]
        if asked.get("size") is not None:
            body = folder / f"{number}.sent"
            body.write_bytes(numbered(asked["size"]))
            arguments += ["--data-binary", f"@{body}"]
            arguments += ["--header", "Transfer-Encoding: chunked"] if asked.get("chunked") else []
        arguments += ["--dump-header", str(folder / f"{number}.head")]
        output = "-" if asked.get("stop") else str(folder / f"{number}.body")
        # Of HEAD, curl writes the head as if it were the body.
        output = "/dev/null" if asked["method"] == "HEAD" else output
        return [*arguments, "--output", output, self._base + asked["path"]]

    async def _execute(self, arguments, is_left):
        """Runs curl to its end, or kills it when the first byte of a body is there."""
        process = await asyncio.create_subprocess_exec(
            self._program,
            "-q",
            *arguments,
            env={},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        if is_left:
            await process.stdout.read(1)
            process.kill()
            await process.wait()
            return 0
        return await process.wait()


def _result(folder, number):
    head, body = folder / f"{number}.head", folder / f"{number}.body"
    blocks = _blocks(head.read_bytes().decode("latin-1") if head.exists() else "")
    result = {"interim": [], "reason": "", "version": "", "headers": [], "trailers": []}
    for version, status, reason, lines in blocks:
        if status == "":
            result["trailers"] = lines
        elif status.startswith("1"):
            result["interim"].append({"status": int(status), "headers": lines})
        else:
            result |= {"version": version, "status": int(status), "reason": reason}
            result["headers"] = lines
    return result | {"body": message(body.read_bytes()) if body.exists() else None}


def _blocks(text):
    """The heads in what curl dumped; what follows the last one is trailers."""
    for block in filter(None, text.split("\r\n\r\n")):
        first, *rest = block.strip("\r\n").split("\r\n")
        if first.startswith("HTTP/"):
            version, status, reason = f"{first}  ".split(" ", 2)
            yield version, status, reason.rstrip(), [_line(line) for line in rest]
        else:
            yield "", "", "", [_line(line) for line in [first, *rest]]


def _line(line):
    name, _, value = line.partition(":")
    return [name, value.strip()]
