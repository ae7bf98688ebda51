/**
 * Gives the focus to what stands in its place when what had it is gone, a decided message or a closed drop: who works by keyboard
 * goes on from there instead of from the top. The row takes it, never its button: nothing is decided that was not read.
 */
export function keepFocus(root: HTMLElement): () => void {
  let last: { part: Element; list: Element | null; at: number; section: HTMLElement } | null = null;

  const remember = ({ target }: FocusEvent) => {
    const part = target as HTMLElement;
    const row = part.closest('li');
    const section = part.closest<HTMLElement>('[role=tabpanel], section, .air');
    const list = row?.parentElement ?? null;
    last = section && { part, list, at: row && list ? [...list.children].indexOf(row) : 0, section };
  };

  const watch = new MutationObserver(() => {
    if (!last || last.part.isConnected || document.activeElement !== document.body) return;
    const { list, at, section } = last;
    const rows = list?.isConnected ? list.children : [];
    const next = (rows[Math.min(at, rows.length - 1)] ?? section) as HTMLElement;
    last = null;
    if (!next.isConnected) return;
    next.tabIndex = -1;
    next.focus({ preventScroll: next === section });
  });

  root.addEventListener('focusin', remember);
  watch.observe(root, { childList: true, subtree: true });
  return () => {
    root.removeEventListener('focusin', remember);
    watch.disconnect();
  };
}
