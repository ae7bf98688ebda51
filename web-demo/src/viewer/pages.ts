/** What can lie on top of the show. */
export type Page = { name: 'shop' } | { name: 'questions' } | { name: 'wheel'; id: string } | { name: 'poll'; id: string };
