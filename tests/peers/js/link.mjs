// One service of a chain on Node's own http, that knows nothing of tracing: what `apps/link.py` is
// on aiohttp, with the same arguments.
import http from 'node:http';
import { parseArgs } from 'node:util';

const { values: told } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    together: { type: 'string', default: '1' },
    next: { type: 'string' },
    proxy: { type: 'string' },
    forward: { type: 'string', multiple: true, default: [] },
  },
});
const agent = new http.Agent({ keepAlive: true });
let waiting = [];

function everybody() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === Number(told.together)) {
      for (const wake of waiting) wake();
      waiting = [];
    }
  });
}

function call(request) {
  const next = new URL(told.next + request.url);
  const proxy = told.proxy ? new URL(told.proxy) : next;
  const headers = { host: next.host };
  for (const name of told.forward) {
    if (request.headers[name] !== undefined) headers[name] = request.headers[name];
  }
  const path = told.proxy ? next.href : next.pathname;
  const { hostname, port } = proxy;
  const host = hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    http
      .get({ host, port, path, headers, agent }, (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode));
      })
      .on('error', reject);
  });
}

const server = http.createServer(async (request, response) => {
  await everybody();
  const status = told.next ? await call(request) : 200;
  response.writeHead(status, { 'content-type': 'text/plain' });
  response.end('done\n');
});
server.listen(Number(told.port), told.host, 1024, () => console.log(server.address().port));
// Whoever started it ends its input when it is to end.
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
