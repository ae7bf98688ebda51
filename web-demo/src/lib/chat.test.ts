import { describe, expect, it } from 'vitest';
import { ChatList } from './chat';
import { message } from './testing';

const texts = (chat: ChatList) =>
  chat.view().rows.map((row) => (row.kind === 'message' ? row.message.text : row.kind === 'draft' ? `~${row.draft.text}` : '--'));
const holes = (chat: ChatList) => chat.view().rows.flatMap((row) => (row.kind === 'hole' ? [row.hole] : []));
const page = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => message(from + i));

describe('order', () => {
  it('sorts by seq, whatever the order of arrival', () => {
    const chat = new ChatList();
    for (const seq of [3, 1, 4, 2]) chat.add(message(seq));
    expect(texts(chat)).toEqual(['m1', 'm2', 'm3', 'm4']);
  });

  it('shows a message once, however often it arrives', () => {
    const chat = new ChatList();
    expect(chat.add(message(1))).toBe(true);
    expect(chat.add(message(1))).toBe(false);
    chat.merge([message(1), message(2)], 50);
    expect(texts(chat)).toEqual(['m1', 'm2']);
    expect(chat.total).toBe(2);
  });

  it('keeps the newest when it is full', () => {
    const chat = new ChatList({ capacity: 3 });
    for (let seq = 1; seq <= 5; seq++) chat.add(message(seq));
    expect(texts(chat)).toEqual(['m3', 'm4', 'm5']);
    expect(chat.view().moreAbove).toBe(true);
  });

  it('sorts a new epoch behind the old one although its numbers begin anew', () => {
    const chat = new ChatList();
    chat.add(message(90));
    chat.startEra();
    chat.add(message(1, { id: 'fresh', text: 'fresh' }));
    expect(texts(chat)).toEqual(['m90', 'fresh']);
  });

  it('moves a message of the old epoch that the new one still holds', () => {
    const chat = new ChatList();
    chat.add(message(90));
    chat.add(message(91));
    chat.startEra();
    chat.merge([message(1, { id: 'id90', text: 'm90' })], 50);
    expect(texts(chat)).toEqual(['m91', 'm90']);
    expect(chat.total).toBe(2);
  });

  it('tells subscribers once for many changes', async () => {
    const chat = new ChatList();
    let calls = 0;
    chat.subscribe(() => calls++);
    for (let seq = 1; seq <= 10; seq++) chat.add(message(seq));
    await Promise.resolve();
    expect(calls).toBe(2);
  });
});

describe('holes', () => {
  it('leaves none where the history reaches back to what is known', () => {
    const chat = new ChatList();
    chat.merge(page(1, 3), 3);
    expect(chat.merge(page(3, 5), 3)).toBe(2);
    expect(texts(chat)).toEqual(['m1', 'm2', 'm3', 'm4', 'm5']);
  });

  it('leaves none where the history goes on right behind', () => {
    const chat = new ChatList();
    chat.merge(page(1, 3), 3);
    chat.merge(page(4, 6), 3);
    expect(chat.hole).toBeNull();
  });

  it('marks where a full page does not reach back far enough', () => {
    const chat = new ChatList();
    chat.merge(page(1, 2), 3);
    chat.merge(page(10, 12), 3);
    expect(texts(chat)).toEqual(['m1', 'm2', '--', 'm10', 'm11', 'm12']);
    expect(chat.hole).toMatchObject({ after: 2, before: 10, lost: false });
  });

  it('says that it is lost where the server has nothing older', () => {
    const chat = new ChatList();
    chat.merge(page(1, 2), 3);
    chat.merge(page(11, 12), 3);
    expect(holes(chat)).toMatchObject([{ after: 2, before: 11, lost: true }]);
    expect(chat.hole).toBeNull();
  });

  it('closes when a page reaches what is known', () => {
    const chat = new ChatList();
    chat.merge(page(1, 2), 3);
    chat.merge(page(8, 10), 3);
    expect(chat.fill(2, page(5, 7), 3)).toBe(3);
    expect(texts(chat)).toEqual(['m1', 'm2', '--', 'm5', 'm6', 'm7', 'm8', 'm9', 'm10']);
    expect(chat.fill(2, page(2, 4), 3)).toBe(2);
    expect(chat.hole).toBeNull();
    expect(texts(chat)).toHaveLength(10);
  });

  it('closes over numbers that were no chat', () => {
    const chat = new ChatList();
    chat.merge(page(1, 2), 2);
    chat.merge(page(8, 9), 2);
    chat.fill(2, [message(2), message(5)], 2);
    expect(chat.hole).toBeNull();
  });

  it('closes when a page ends right behind what is known', () => {
    const chat = new ChatList();
    chat.merge(page(1, 2), 3);
    chat.merge(page(6, 8), 3);
    chat.fill(2, page(3, 5), 3);
    expect(holes(chat)).toEqual([]);
  });

  it('becomes lost when a short page does not reach what is known', () => {
    const chat = new ChatList();
    chat.merge(page(1, 2), 3);
    chat.merge(page(8, 10), 3);
    chat.fill(2, [message(7)], 3);
    expect(holes(chat)).toMatchObject([{ after: 2, before: 7, lost: true }]);
  });

  it('keeps an older hole while a newer one is filled', () => {
    const chat = new ChatList();
    chat.merge(page(1, 2), 3);
    chat.merge(page(10, 12), 3);
    chat.merge(page(20, 22), 3);
    expect(chat.hole).toMatchObject({ after: 12, before: 20 });
    chat.fill(12, page(12, 19), 8);
    expect(holes(chat)).toMatchObject([{ after: 2, before: 10, lost: false }]);
    expect(chat.hole).toMatchObject({ after: 2 });
  });

  it('knows after the first page whether there is more above', () => {
    const chat = new ChatList();
    chat.merge(page(4, 6), 3);
    expect(chat.view().moreAbove).toBe(true);
    chat.prepend(page(2, 3), 3);
    expect(texts(chat)).toEqual(['m2', 'm3', 'm4', 'm5', 'm6']);
    expect(chat.view().moreAbove).toBe(false);
  });

  it('takes of an older page what fits, next to what it has', () => {
    const chat = new ChatList({ capacity: 4 });
    chat.merge(page(4, 6), 3);
    chat.prepend(page(1, 3), 3);
    expect(texts(chat)).toEqual(['m3', 'm4', 'm5', 'm6']);
  });
});

describe('deleted messages', () => {
  it('lose their text', () => {
    const chat = new ChatList();
    chat.add(message(1));
    chat.remove('id1');
    expect(chat.view().rows[0]).toMatchObject({ deleted: true, message: { text: '' } });
  });

  it('lose it also when the deletion comes first', () => {
    const chat = new ChatList();
    chat.remove('id1');
    chat.add(message(1));
    expect(texts(chat)).toEqual(['']);
  });
});

describe('drafts', () => {
  const mine = (seq: number, text: string) => message(seq, { text, user: { id: 'me', name: 'Me', role: 'viewer' } });
  const withDraft = (text: string, clientId = 'c1') => {
    const chat = new ChatList();
    chat.me = 'me';
    chat.addDraft(clientId, text, 0);
    return chat;
  };

  it('stand behind everything confirmed', () => {
    const chat = withDraft('hi');
    chat.add(message(1));
    expect(texts(chat)).toEqual(['m1', '~hi']);
  });

  it('turn into their message under the same key', () => {
    const chat = withDraft('hi');
    chat.confirmDraft('c1', mine(1, 'hi'));
    expect(chat.view().rows).toMatchObject([{ kind: 'message', key: 'c1', own: true }]);
  });

  it('are not doubled by a broadcast that overtakes the acknowledgement', () => {
    const chat = withDraft('hi');
    chat.add(mine(1, 'hi'));
    expect(texts(chat)).toEqual(['hi']);
    chat.confirmDraft('c1', mine(1, 'hi'));
    expect(texts(chat)).toEqual(['hi']);
  });

  it('come back as failed when the broadcast was the same text from another page', () => {
    const chat = withDraft('hi');
    chat.add(mine(1, 'hi'));
    chat.markDraft('c1', 'failed', { code: 'muted', message: '' });
    expect(texts(chat)).toEqual(['hi', '~hi']);
    const keys = chat.view().rows.map((row) => row.key);
    expect(new Set(keys).size).toBe(2);
  });

  it('are both there when two pages of one user wrote the same', () => {
    const chat = withDraft('hi');
    chat.add(mine(1, 'hi'));
    chat.confirmDraft('c1', mine(2, 'hi'));
    const rows = chat.view().rows;
    expect(rows.map((row) => row.kind === 'message' && row.message.seq)).toEqual([1, 2]);
    expect(new Set(rows.map((row) => row.key)).size).toBe(2);
  });

  it('that were held vanish with their approval', () => {
    const chat = withDraft('hi');
    chat.markDraft('c1', 'held');
    chat.add(mine(1, 'hi'));
    expect(texts(chat)).toEqual(['hi']);
    expect(chat.drafts()).toEqual([]);
  });

  it('are bounded', () => {
    const chat = new ChatList({ draftCapacity: 2 });
    expect(chat.addDraft('1', 'a', 0)).not.toBeNull();
    expect(chat.addDraft('2', 'b', 0)).not.toBeNull();
    expect(chat.addDraft('3', 'c', 0)).toBeNull();
  });

  it('keeps the rows that have not changed, so that a page redraws only what is new', () => {
    const chat = new ChatList();
    for (let seq = 1; seq <= 3; seq++) chat.add(message(seq));
    const before = chat.view().rows;
    chat.remove('id2');
    chat.add(message(4));
    const after = chat.view().rows;
    expect(after.map((row, i) => row === before[i])).toEqual([true, false, true, false]);
  });
});
