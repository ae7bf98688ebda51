/**
 * The names and shapes that go over the wire, as the server promises them.
 * Types only: nothing here runs, and nothing here may be narrower than what the server may send.
 */

export type Role = 'viewer' | 'supplier' | 'moderator' | 'service';

export interface Person {
  id: string;
  name: string;
  role: Role | string;
}

export interface ChatMessage {
  id: string;
  stream: string;
  /** The stream's number of this message; rises by one from message to message, chat or not. */
  seq: number;
  /** Milliseconds since the epoch, server clock. */
  at: number;
  user: Person;
  text: string;
  replyTo?: { id: string; name: string; text: string };
}

export interface StreamState {
  id: string;
  title: string;
  supplier: { id: string; name: string };
  status: 'scheduled' | 'live' | 'ended';
  startedAt?: number;
  endedAt?: number;
  /** The server's clock when it wrote this, in milliseconds. */
  now: number;
  /** Changes when the server lost the stream's log; `seq` of different epochs cannot be compared. */
  epoch: string | number;
  seq: number;
  viewers: number;
}

export interface CommandError {
  code: string;
  message: string;
  retryAfterMs?: number;
}

export type Reply<T> = ({ ok: true } & T) | { ok: false; error: CommandError };

/** Every command this client sends: its body and what a good reply adds. */
export interface Commands {
  'stream:join': {
    body: { stream: string; history?: number };
    reply: { state: StreamState; me: Person; history: ChatMessage[] };
  };
  'stream:leave': { body: { stream: string }; reply: object };
  'stream:history': {
    body: { stream: string; before?: number; limit?: number };
    reply: { messages: ChatMessage[] };
  };
  'stream:start': { body: { stream: string; title?: string }; reply: { state: StreamState } };
  'stream:update': { body: { stream: string; title?: string }; reply: { state: StreamState } };
  'stream:end': { body: { stream: string }; reply: { state: StreamState } };
  'chat:send': {
    body: { stream: string; text: string; clientId?: string; replyTo?: string };
    reply: { message?: ChatMessage; held?: boolean };
  };
  'auth:refresh': { body: { token: string }; reply: object };
}

export type CommandName = keyof Commands;

/** Every event this client listens to. */
export interface Events {
  'chat:message': ChatMessage;
  'chat:deleted': { stream: string; seq?: number; message: string };
  viewers: { stream: string; count: number };
  'stream:started': { stream?: string; seq?: number; state: StreamState };
  'stream:updated': { stream?: string; seq?: number; state: StreamState };
  'stream:ended': { stream?: string; seq?: number; state: StreamState };
  'stream:reset': { stream: string; epoch: string | number; reason: string };
  'user:muted': { stream: string; until?: number };
  'user:banned': { stream: string; until?: number };
  'token:expired': object | undefined;
  'server:draining': { reconnectWithinMs: number };
}

/** Longest chat text, in Unicode scalars. */
export const maxTextScalars = 500;
/** Most messages one page of history may hold. */
export const maxHistory = 200;
/** How long the server keeps a connection whose token has expired, in milliseconds. */
export const expiryGraceMs = 30_000;
