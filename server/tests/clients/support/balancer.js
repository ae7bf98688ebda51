// A load balancer without any idea of sessions: it gives each request to the next gateway, over connections that it keeps
// open for all its clients. What becomes a WebSocket stays where it came.

import http from 'node:http';
import { once } from 'node:events';

/** A balancer in front of ports of this machine. It has to be closed. */
export async function startBalancer(...ports) {
  const agent = new http.Agent({ keepAlive: true });
  const sockets = new Set();
  let turn = 0;

  /** The same request, to the next gateway. */
  const onward = ({ method, url, headers }, more) => {
    turn += 1;
    return http.request({ host: '127.0.0.1', port: ports[turn % ports.length], method, path: url, headers, ...more });
  };

  const server = http.createServer((request, response) => {
    const out = onward(request, { agent });
    request.pipe(out);
    out.on('response', (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    out.on('error', () => (response.headersSent ? response.destroy() : response.writeHead(502).end()));
    // A client that hangs up takes its request along.
    response.on('close', () => out.destroy());
  });

  server.on('upgrade', (request, client, head) => {
    const out = onward(request, { agent: false });
    out.on('upgrade', (answer, gateway, first) => {
      const lines = answer.rawHeaders.flatMap((name, place, all) => (place % 2 ? [] : `${name}: ${all[place + 1]}`));
      client.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
      client.write(first);
      gateway.write(head);
      for (const [from, to] of [[client, gateway], [gateway, client]]) {
        from.setNoDelay(true);
        from.pipe(to);
        from.on('error', () => to.destroy());
        from.on('close', () => to.destroy());
      }
    });
    out.on('response', (answer) => client.end(`HTTP/1.1 ${answer.statusCode} Refused\r\nConnection: close\r\n\r\n`));
    out.on('error', () => client.destroy());
    client.on('error', () => out.destroy());
    out.end();
  });

  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Leaves a gateway out from now on, as a balancer does that looks after their health. */
    leaveOut(port) {
      ports = ports.filter((other) => other !== port);
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      agent.destroy();
    },
  };
}
