// A TCP proxy that does to connections what networks do to them.

import net from 'node:net';
import { once } from 'node:events';

/** A proxy in front of a port of this machine. It has to be closed. */
export async function startProxy(first) {
  let port = first;
  const pairs = new Set();
  let open = true;
  let held = false;
  const server = net.createServer((client) => {
    if (!open) return client.resetAndDestroy();
    const gateway = net.connect(port, '127.0.0.1');
    const pair = { client, gateway };
    pairs.add(pair);
    for (const [from, to] of [[client, gateway], [gateway, client]]) {
      from.setNoDelay(true);
      from.on('data', (chunk) => to.write(chunk));
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        pairs.delete(pair);
      });
    }
    if (held) gateway.pause();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Connections that go through it at present. */
    count: () => pairs.size,
    /** Breaks all connections, for both ends, and lets no new one through until `mend`. */
    cut() {
      open = false;
      for (const { client, gateway } of pairs) {
        client.resetAndDestroy();
        gateway.resetAndDestroy();
      }
    },
    mend() {
      open = true;
    },
    /** New connections go to another port from now on; after a `cut`, too. */
    lead(other) {
      port = other;
      open = true;
    },
    /** As `cut`, but for the clients alone. The gateway sees nothing of it: its ends stay, and go nowhere. */
    abandon() {
      open = false;
      for (const pair of pairs) {
        const { client, gateway } = pair;
        client.removeAllListeners('close');
        gateway.removeAllListeners('data');
        gateway.removeAllListeners('close');
        gateway.on('close', () => pairs.delete(pair));
        gateway.resume();
        client.resetAndDestroy();
      }
    },
    /** Carries nothing from the gateway to the clients until `flow`. The other way goes on. */
    hold() {
      held = true;
      for (const { gateway } of pairs) gateway.pause();
    },
    flow() {
      held = false;
      for (const { gateway } of pairs) gateway.resume();
    },
    async close() {
      server.close();
      for (const { client, gateway } of pairs) {
        client.destroy();
        gateway.destroy();
      }
    },
  };
}
