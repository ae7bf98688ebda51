/**
 * A real gateway for the tests, and the people who use it. `HAAT_BIN` names the binary (default: the workspace's debug build).
 * It listens on loopback only and ends with the tests.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';

const binary = process.env.HAAT_BIN ?? fileURLToPath(new URL('../../target/debug/haat', import.meta.url));
export const demo = fileURLToPath(new URL('../dist', import.meta.url));
export const secret = 'only-for-these-tests-0123456789abcdef';

export interface Person {
  sub: string;
  name: string;
  role?: 'viewer' | 'supplier' | 'moderator';
}

/** Where a show's pages are opened, and who lets people in. */
export interface Door {
  readonly origin: string;
  /** A token for that stream that holds for `ttl` seconds. */
  token(person: Person, stream: string, ttl?: number): string;
}

export function mint({ sub, name, role = 'viewer' }: Person, stream: string, ttl = 3600): string {
  const args = ['token', '--sub', sub, '--name', name, '--role', role, '--streams', stream, '--ttl', String(ttl)];
  return execFileSync(binary, args, { env: { PATH: process.env.PATH, HAAT_AUTH_SECRET: secret }, encoding: 'utf8' }).trim();
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export class Gateway implements Door {
  private output = '';

  private constructor(
    readonly port: number,
    private readonly child: ChildProcess,
  ) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.output = (this.output + chunk).slice(-8000)));
    }
  }

  /** Listens on `port`, so that a gateway can come back where another one was; default: any free one. */
  static async start(settings: Record<string, string> = {}, port?: number): Promise<Gateway> {
    port ??= await freePort();
    const privatePort = await freePort();
    const env = {
      PATH: process.env.PATH,
      HAAT_LISTEN: `127.0.0.1:${port}`,
      HAAT_PRIVATE_LISTEN: `127.0.0.1:${privatePort}`,
      HAAT_AUTH_SECRET: secret,
      HAAT_DEMO: demo,
      ...settings,
    };
    return Gateway.spawn(port, ['serve'], env);
  }

  /** As `make run` starts it, but for where it listens. */
  static async development(): Promise<Gateway> {
    const [port, privatePort] = [await freePort(), await freePort()];
    const listen = ['--listen', `127.0.0.1:${port}`, '--private-listen', `127.0.0.1:${privatePort}`];
    return Gateway.spawn(port, ['serve', '--dev', '--demo', demo, ...listen], { PATH: process.env.PATH });
  }

  private static async spawn(port: number, args: string[], env: NodeJS.ProcessEnv): Promise<Gateway> {
    const gateway = new Gateway(port, spawn(binary, args, { env, stdio: ['ignore', 'pipe', 'pipe'] }));
    await gateway.answers();
    return gateway;
  }

  /** The addresses that it printed. */
  links(): string[] {
    return this.output.match(/http:\S+/g) ?? [];
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  readonly token = mint;

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }

  private async answers(): Promise<void> {
    for (const until = Date.now() + 20_000; Date.now() < until; ) {
      if (this.child.exitCode !== null) break;
      const response = await fetch(this.origin).catch(() => null);
      if (response?.ok) return;
      await new Promise((again) => setTimeout(again, 50));
    }
    await this.stop();
    throw new Error(`the gateway did not come up:\n${this.output}`);
  }
}
