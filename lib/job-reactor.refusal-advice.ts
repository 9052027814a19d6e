/** What to do about a refusal of a node, by its code. */
export const REFUSAL_ADVICE = new Map([
  [
    'AUTHENTICATION',
    'The log of the application says why. Give both sides the same secret in `auth`, and the node a certificate with its name.',
  ],
  [
    'UNTRUSTED',
    'It was told nothing. Give both sides the same secret in `auth`, or make sure that this is your application.',
  ],
  [
    'TLS',
    'Is `node.tls` right: its `ca`, its certificate, and the host in `node.distributors`? And does the application have `distributor.tls`?',
  ],
  ['TOO_LARGE', 'What answers there is no distributor, or one with TLS: then give `node.tls`.'],
  ['TOO_MANY', 'If that lasts, start another distributor, or raise what its application allows.'],
  ['VERSION', 'Bring the application and the worker to versions of this package that go together.'],
  ['STORAGE_IN_USE', 'Give each node a storage of its own.'],
]);
