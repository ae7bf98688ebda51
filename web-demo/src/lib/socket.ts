/** What is used of the official client's socket, and how one is opened. */
import { io } from 'socket.io-client';

export interface LiveSocket {
  readonly connected: boolean;
  /** It reconnects by itself. */
  readonly active: boolean;
  readonly recovered: boolean;
  auth: unknown;
  readonly io: { readonly engine?: { close(): unknown } };
  on(event: string, listener: (...args: never[]) => void): unknown;
  timeout(ms: number): { emit(event: string, body: unknown, done: (error: unknown, reply?: unknown) => void): unknown };
  connect(): unknown;
  disconnect(): unknown;
}

/** A socket towards the page's own origin, not connected yet. */
export function openSocket(auth: object): LiveSocket {
  return io({
    auth,
    // WebSocket needs no sticky balancer; polling stays for networks that do not let it through.
    transports: ['websocket', 'polling'],
    tryAllTransports: true,
    reconnectionDelay: 500,
    reconnectionDelayMax: 5000,
    autoConnect: false,
  }) as unknown as LiveSocket;
}
