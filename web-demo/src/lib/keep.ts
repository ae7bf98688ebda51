/** Small things that should outlive a reload, in this tab (`session`) or on this machine (`local`). Where storage is off, they do not. */

/** Reads what was stored under `key`; `fallback` where there is nothing readable, or another kind of thing. */
export function recall<T extends object>(where: 'session' | 'local', key: string, fallback: T): T {
  try {
    const stored: unknown = JSON.parse(storage(where).getItem(key) ?? 'null');
    const fits = typeof stored === 'object' && stored !== null && Array.isArray(stored) === Array.isArray(fallback);
    return fits ? (stored as T) : fallback;
  } catch {
    return fallback;
  }
}

export function keep(where: 'session' | 'local', key: string, value: object): void {
  try {
    storage(where).setItem(key, JSON.stringify(value));
  } catch {
    // It holds until the page is reloaded.
  }
}

const storage = (where: 'session' | 'local') => (where === 'session' ? sessionStorage : localStorage);
