"""The ways from the client to the backend: spandrel as it may be set, and what it is compared with.

Each has a `name`, a port for HTTP/1.1, one for HTTP/2 where it can, and one worker.
"""
