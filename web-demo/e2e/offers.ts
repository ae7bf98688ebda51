/** Things to sell, win, vote and ask for. */
export const products = [
  {
    id: 'blue',
    title: 'Chanderi saree, peacock blue, with zari border',
    price: { amount: 249_900, currency: 'INR' },
    stock: 12,
    url: 'https://shop.example/blue',
  },
  { id: 'red', title: 'Cotton dupatta, red', price: { amount: 79_900, currency: 'INR' }, stock: 40 },
  { id: 'bag', title: 'हाथ से बना झोला', price: { amount: 39_900, currency: 'INR' }, stock: 0 },
];

export const drop = (now: number, more: object = {}) => ({
  id: 'd1',
  product: 'blue',
  price: { amount: 199_900, currency: 'INR' },
  stock: 20,
  left: 14,
  perUser: 1,
  status: 'open',
  endsAt: now + 95_000,
  ...more,
});

export const wheel = {
  id: 'w1',
  title: 'Diwali wheel',
  prizes: [
    { id: 'scarf', label: 'Silk scarf', weight: 1, stock: 2 },
    { id: 'ten', label: '10% off', weight: 6 },
    { id: 'ship', label: 'Free delivery', weight: 3, stock: 50 },
  ],
  spinsPerUser: 1,
  seedHash: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  status: 'open',
};

export const poll = (now: number) => ({
  id: 'p1',
  question: 'Which colour should we unpack next?',
  options: ['Peacock blue', 'Maroon', 'Mustard'],
  tally: [12, 31, 7],
  votes: 50,
  status: 'open',
  endsAt: now + 40_000,
});

export const questions = [
  { id: 'q1', text: 'Is the border real zari?', user: { id: 'ravi', name: 'Ravi Kumar' }, votes: 23, status: 'open' },
  {
    id: 'q2',
    text: 'Do you ship to Kochi?',
    user: { id: 'fatima', name: 'Fatima S' },
    votes: 31,
    status: 'answered',
    answer: 'Yes, in three to four days.',
  },
];
