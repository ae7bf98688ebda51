/** Makes the page's connection from its address, and keeps it in step with the browser. */
import { ChatList } from './chat';
import { Live } from './live';
import { takeSession } from './session';

declare global {
  interface Window {
    /** For developers and tests: `haat.live.state`, `haat.live.chat.view()`, `haat.live.send('hello')`. Not an interface to build on. */
    haat?: { live: Live };
  }
}

/** At most one redraw of the chat per frame; a hidden page gets no frames and needs no redraws. */
const onFrame = (run: () => void) => (document.hidden ? setTimeout(run, 200) : requestAnimationFrame(run));

export function openLive(): Live {
  const session = takeSession();
  const live = new Live({ ...session, chat: new ChatList({ schedule: onFrame }) });
  window.haat = { live };
  window.addEventListener('online', () => live.nudge());
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) live.nudge();
  });
  // A new link pasted into the same tab: another stream is another page, another token is the same one.
  window.addEventListener('hashchange', () => {
    const next = takeSession();
    if (next.stream !== session.stream) location.reload();
    else if (next.token && next.token !== session.token) void live.refresh(next.token);
    session.token = next.token;
  });
  live.start();
  return live;
}
