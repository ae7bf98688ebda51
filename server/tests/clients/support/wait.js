// Waiting for something that has to come. How long it may take is never what a test is about.

/** Milliseconds that anything may take before a test fails. */
export const PATIENCE = 20_000;

/** The promise's result, or an error that names what did not come. */
export function within(promise, what, patience = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${patience} ms`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The arguments of the next event `name` of an emitter. */
export function once(emitter, name, patience = PATIENCE) {
  return within(new Promise((resolve) => emitter.once(name, (...args) => resolve(args))), name, patience);
}

/** Looks until `look` returns something that counts as true, and returns that. */
export async function until(what, look, patience = PATIENCE) {
  const deadline = Date.now() + patience;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within ${patience} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * Waits until these official clients travel as they will from then on. A connection that breaks in the midst of an upgrade
 * is something the client may notice only when the next ping is late: it has stopped polling already, and blames the probe.
 */
export const settled = (...sockets) =>
  until('all upgrades', () =>
    sockets.every(({ io }) => io.engine.transport?.name === (io.opts.transports?.[0] ?? 'websocket')),
  );
