// A real gateway, started as its operator starts it: a process with variables.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { within } from './wait.js';

export const SECRET = 'a secret of the client tests, 32 bytes or more';

const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../../../target', import.meta.url));

/** A program that cargo has built. */
export function built(path) {
  const file = `${target}/debug/${path}`;
  if (!existsSync(file)) throw new Error(`${file} is not there: make clients builds it`);
  return file;
}

/** Limits that would only slow tests down. */
const UNLIMITED = {
  HAAT_LIMITS_ADDRESS_HANDSHAKES: '0',
  HAAT_LIMITS_EVENTS_PER_SECOND: '0',
  HAAT_LIMITS_CHAT_PER_SECOND: '0',
  HAAT_LIMITS_JOINS_PER_SECOND: '0',
  HAAT_LIMITS_STAFF_PER_SECOND: '0',
};

/** Starts a gateway on free ports. It has to be stopped. */
export async function startGateway(variables = {}) {
  const child = spawn(built('haat'), ['serve'], {
    env: {
      PATH: process.env.PATH,
      HAAT_LISTEN: '127.0.0.1:0',
      HAAT_PRIVATE_LISTEN: '127.0.0.1:0',
      HAAT_AUTH_SECRET: SECRET,
      HAAT_SHARDS: '2',
      HAAT_LOG_FORMAT: 'json',
      ...UNLIMITED,
      ...variables,
    },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const log = [];
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  const up = new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      log.push(line);
      const fields = parse(line);
      if (fields?.message === 'gateway is up') resolve(fields);
    });
    exited.then(({ code }) => reject(new Error(`the gateway ended with ${code}:\n${log.join('\n')}`)));
  });
  const { listen, private: side } = await within(up, 'gateway');
  return {
    url: `http://${listen}`,
    port: Number(listen.split(':').pop()),
    side: `http://${side}`,
    log,
    exited,
    /** Asks it to drain, as a service manager does. */
    terminate: () => child.kill('SIGTERM'),
    /** Ends it at once. */
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Starts the example of the protocol suites, which echoes; see its source for what it does with which event. */
export async function startEcho() {
  const child = spawn(built('examples/conformance'), ['0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const lines = createInterface({ input: child.stdout });
  const url = await within(new Promise((resolve) => lines.once('line', resolve)), 'echo');
  return {
    url,
    port: Number(new URL(url).port),
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

function parse(line) {
  try {
    return JSON.parse(line).fields;
  } catch {
    return undefined;
  }
}
