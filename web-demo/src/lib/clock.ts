/** Local time as a store, and how times are written. Ticks only while somebody looks at it, and four times a second: an offer opens on time. */
import { readable } from 'svelte/store';

const everyMs = 250;

export const clock = readable(Date.now(), (set) => {
  set(Date.now());
  const timer = setInterval(() => set(Date.now()), everyMs);
  return () => clearInterval(timer);
});

/** `4:07`, from an hour on `1:04:07`; below zero counts as zero. */
export function formatDuration(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** What is left until then: never `0:00` while there is some. */
export const formatRest = (ms: number) => formatDuration(Math.ceil(ms / 1000) * 1000);
