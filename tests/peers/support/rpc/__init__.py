"""gRPC from three stacks: one little language of steps, which each stack carries out.

Each stack (`peer.py`, `js/grpc.mjs`, `grpc-go`) is a process that serves and calls, told what to do
by lines of JSON on its standard input. Messages are plain bytes, so that no code is generated:
message `i` of its direction is the four bytes of `i` over and over.

A call is a list of steps at either end; the server's come with the call as `steps-bin`.

| step | what it does |
|---|---|
| `send COUNT SIZE` | sends messages, no faster than the stack lets it |
| `recv COUNT` | waits for messages |
| `drain` | receives to the end of the other's messages |
| `ping COUNT SIZE` | client: sends one and waits for the answer; server: sends back what comes |
| `tell` | says that it has come this far |
| `wait` | goes on when told to |
| `cancel` | ends the call at once |
| `close` | client: no more messages |
| `hold` | server: waits until the call is cancelled |
| `initial [[KEY, VALUE]]` | server: sends its initial metadata |
| `compress` | server: answers in gzip, where the stack can |
| `end CODE MESSAGE [[KEY, VALUE]]` | server: ends with a status and trailing metadata |

Values of `-bin` keys are hexadecimal. A client that is through closes, drains, and reports.
"""
