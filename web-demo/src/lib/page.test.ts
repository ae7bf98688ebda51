import { describe, expect, it } from 'vitest';
import { formatDuration } from './clock';
import { Live } from './live';
import { hueOf, initialsOf, nameOf } from './names';
import { parseFragment } from './session';
import { statusOf } from './status';
import { FakeSocket } from './testing';
import { en } from './text.en';
import { hi } from './text.hi';
import { en as terms } from '../console/text.en';
import { hi as termsHi } from '../console/text.hi';

describe('the address', () => {
  it('brings token and stream', () => {
    expect(parseFragment('#token=a.b-c_d&stream=diwali-1')).toEqual({ token: 'a.b-c_d', stream: 'diwali-1' });
  });

  it.each(['#', '', '#stream=', '#stream=a%20b', `#stream=${'x'.repeat(65)}`, '#stream=<b>'])('%s brings nothing', (fragment) => {
    expect(parseFragment(fragment)).toEqual({});
  });
});

describe('status in words', () => {
  const base = new Live({ stream: 'main', token: 't', open: () => new FakeSocket() }).state;
  const text = (change: object, online = true) => statusOf({ ...base, ...change }, en, online, (at) => `@${at}`)?.text;

  it('says nothing when all is well', () => expect(text({ phase: 'live' })).toBeUndefined());
  it('knows a phone without network', () => expect(text({ phase: 'reconnecting' }, false)).toBe(en.phase.offline));
  it('stays calm while servers change', () => expect(text({ phase: 'reconnecting', moving: true })).toBe(en.phase.moving));
  it('counts what was missed', () => expect(text({ phase: 'live', caughtUp: 1 })).toBe('Caught up: 1 missed message loaded.'));
  it('says until when one is removed, and why', () => {
    expect(text({ phase: 'banned', banned: { until: null, reason: '' } })).toBe(en.phase.banned);
    expect(text({ phase: 'banned', banned: { until: 7, reason: 'spam' } })).toBe('You have been removed from this stream until @7. Reason: spam');
  });
  it('warns before the closing', () => expect(text({ phase: 'live', closesAt: 4200 })).toBe(en.phase.expiring));
});

describe('people and times', () => {
  it.each([
    [0, '0:00'],
    [-5, '0:00'],
    [247_000, '4:07'],
    [3_847_000, '1:04:07'],
  ])('%d ms is %s', (ms, written) => expect(formatDuration(ms)).toBe(written));

  it('keeps a colour for an id', () => {
    expect(hueOf('user-1')).toBe(hueOf('user-1'));
    expect(hueOf('user-1')).not.toBe(hueOf('user-2'));
  });

  it('has initials for any name', () => {
    expect(initialsOf('asha rao devi')).toBe('AR');
    expect(initialsOf('मीना')).toBe('म');
    expect(initialsOf('  ')).toBe('?');
    expect(nameOf({ id: 'u1', name: '' })).toBe('u1');
  });
});

it('has every word in both languages', () => {
  const keys = (value: object): string[] =>
    Object.entries(value).flatMap(([key, inner]) => (typeof inner === 'object' ? keys(inner as object).map((k) => `${key}.${k}`) : [key]));
  expect(keys(hi)).toEqual(keys(en));
  expect(keys(termsHi)).toEqual(keys(terms));
});
