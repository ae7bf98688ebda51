/**
 * Which stream this page is for, and as whom. Both come in the address's fragment, `#token=…&stream=main`, which never reaches a
 * server's log; they move into this tab's storage, and the token leaves the address bar at once.
 */
export interface Session {
  stream: string;
  token?: string;
}

const storageKey = 'haat.session';
export const defaultStream = 'main';
const streamPattern = /^[A-Za-z0-9_-]{1,64}$/;

/** Reads `#token=…&stream=…`; what is not there, or not a stream id, is left out. */
export function parseFragment(fragment: string): Partial<Session> {
  const fields = new URLSearchParams(fragment.replace(/^#/, ''));
  const stream = fields.get('stream') ?? '';
  const token = fields.get('token');
  return { ...(streamPattern.test(stream) && { stream }), ...(token && { token }) };
}

/** The session of this tab, after taking in what the address brings. */
export function takeSession(): Session {
  const brought = parseFragment(location.hash);
  const session = { stream: defaultStream, ...readStored(), ...brought };
  store(session);
  if (brought.token || brought.stream) {
    // The stream stays, so that a reload or a copied address leads to the same place.
    const fragment = session.stream === defaultStream ? '' : `#stream=${session.stream}`;
    history.replaceState(history.state, '', location.pathname + location.search + fragment);
  }
  return session;
}

/** Goes on without a token in this tab. */
export function forgetToken(): void {
  const { token: _, ...rest } = readStored();
  store(rest);
}

function readStored(): Partial<Session> {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(storageKey) ?? '{}');
    return typeof stored === 'object' && stored !== null ? stored : {};
  } catch {
    return {};
  }
}

function store(session: Partial<Session>): void {
  try {
    sessionStorage.setItem(storageKey, JSON.stringify(session));
  } catch {
    // Without storage the page works until it is reloaded.
  }
}
