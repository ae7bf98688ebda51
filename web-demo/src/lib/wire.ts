/**
 * The shapes that go over the wire, as the server promises them; `commands.ts` and `events.ts` name what carries them.
 * Types and limits only: nothing here runs, and nothing here may be narrower than what the server may send.
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

/** A message that waits for approval has no place in the stream yet. */
export type HeldMessage = Omit<ChatMessage, 'seq'>;

export interface Money {
  /** In the currency's smallest unit. */
  amount: number;
  /** ISO 4217. */
  currency: string;
}

export interface Product {
  id: string;
  title: string;
  price: Money;
  image?: string;
  url?: string;
  stock?: number;
}

/** What a supplier says to open a drop. */
export interface DropPlan {
  id: string;
  /** Id of the product. */
  product: string;
  price: Money;
  stock: number;
  perUser?: number;
  opensAt?: number;
  durationMs?: number;
  holdMs?: number;
}

export interface Drop {
  id: string;
  product: string;
  price: Money;
  stock: number;
  left: number;
  perUser: number;
  /** Server clock, milliseconds; so is `endsAt`. */
  opensAt?: number;
  endsAt?: number;
  status: string;
}

export interface Prize {
  id: string;
  label: string;
  weight: number;
  stock?: number;
}

export interface WheelPlan {
  id: string;
  title: string;
  prizes: Prize[];
  spinsPerUser?: number;
  durationMs?: number;
}

export interface Wheel {
  id: string;
  title: string;
  prizes: Prize[];
  spinsPerUser: number;
  /** SHA-256 of the seed, in hex: proves afterwards that the draw was decided before. */
  seedHash?: string;
  seed?: string;
  endsAt?: number;
  status: string;
}

export interface PollPlan {
  id: string;
  question: string;
  options: string[];
  durationMs?: number;
}

export interface Poll {
  id: string;
  question: string;
  options: string[];
  tally: number[];
  votes: number;
  endsAt?: number;
  status: string;
}

export interface Question {
  id: string;
  text: string;
  user: Pick<Person, 'id' | 'name'>;
  votes: number;
  status: string;
  answer?: string;
}

export interface ChatMode {
  slowSeconds?: number;
  membersOnly?: boolean;
  paused?: boolean;
}

export type WordAction = 'reject' | 'mask' | 'hold';

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
  reactions: Record<string, number>;
  products: Product[];
  pinnedProduct: Product | string | null;
  pinnedMessage: ChatMessage | null;
  notice: string | { text: string } | null;
  mode: ChatMode;
  drops: Drop[];
  wheels: Wheel[];
  polls: Poll[];
  questions: Question[];
}

export interface Stats {
  viewers: number;
  peakViewers: number;
  uniqueViewers: number;
  messages: number;
  messagesPerSecond: number;
  reactions: number | Record<string, number>;
  claims: number;
  revenue: Money[];
  spins: number;
}

export interface CommandError {
  code: string;
  message: string;
  retryAfterMs?: number;
}

export type Reply<T> = ({ ok: true } & T) | { ok: false; error: CommandError };

/** Longest chat text, in Unicode scalars. */
export const maxTextScalars = 500;
/** Most messages one page of history may hold. */
export const maxHistory = 200;
/** Most reactions that one command may carry. */
export const maxReactions = 50;
/** How long the server keeps a connection whose token has expired, in milliseconds. */
export const expiryGraceMs = 30_000;
/** Kinds of reaction, unless the server is configured otherwise, and how they look. */
export const reactionFaces = { heart: '❤️', like: '👍', fire: '🔥', clap: '👏', laugh: '😂', wow: '😮' } as const;
export type ReactionKind = keyof typeof reactionFaces;
