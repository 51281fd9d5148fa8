// HTTP/2 CONNECT by Node: plain through a proxy, or extended (RFC 8441) as either end.
//
//   node h2connect.mjs serve                    an echo that takes extended CONNECT; prints its port
//   node h2connect.mjs tunnel PROXY TARGET TEXT  CONNECT to TARGET, sends TEXT, prints what comes back
//   node h2connect.mjs extended URL TEXT         extended CONNECT, likewise

import http2 from "node:http2";

const [what, ...rest] = process.argv.slice(2);

function serve() {
  const server = http2.createServer({ settings: { enableConnectProtocol: true } });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    if (headers[":method"] !== "CONNECT") {
      stream.respond({ ":status": 200 });
      stream.end("ok");
      return;
    }
    stream.respond({ ":status": 200, "x-protocol": headers[":protocol"], "x-path": headers[":path"] });
    stream.pipe(stream);
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
}

function open(url, headers, text, print) {
  const client = http2.connect(url);
  const ask = () => {
    const stream = client.request(headers, { endStream: false });
    const seen = { data: "" };
    stream.setEncoding("utf8");
    stream.on("response", (head) => Object.assign(seen, { ...head, status: head[":status"] }));
    stream.on("data", (data) => (seen.data += data));
    stream.on("error", (error) => (seen.error = error.code));
    stream.on("close", () => {
      seen.code = stream.rstCode;
      client.close();
      console.log(JSON.stringify(print(seen)));
    });
    stream.end(text);
  };
  if (!headers[":protocol"]) return ask();
  client.on("remoteSettings", (settings) => {
    if (settings.enableConnectProtocol) ask();
  });
}

const told = ({ status, data, code, error, ...head }) => ({
  status,
  data,
  code,
  error,
  protocol: head["x-protocol"],
  path: head["x-path"],
});

if (what === "serve") serve();
else if (what === "tunnel")
  open(rest[0], { ":method": "CONNECT", ":authority": rest[1] }, rest[2], told);
else
  open(
    rest[0],
    { ":method": "CONNECT", ":protocol": "websocket", ":path": "/chat", ":scheme": "http", ":authority": "shop.example" },
    rest[1],
    told,
  );
