import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JobReactorError } from '../../../lib/job-reactor.error.js';
import { DEFAULT_TEXT_LIMIT, deserialise, serialise } from '../../../lib/job/serialise.js';

const back = (value: unknown): unknown => deserialise(serialise(value, 'args'));
const refusal = (value: unknown): string => {
  try {
    serialise(value, 'args');
  } catch (error) {
    expect(error).toBeInstanceOf(JobReactorError);
    expect(error).toMatchObject({ code: 'SERIALIZATION' });
    return (error as Error).message;
  }
  return 'accepted';
};

const text = fc.string({ unit: 'grapheme' });
const key = fc
  .oneof(text, fc.constantFrom('$type', 'value', 'constructor', 'toString'))
  .filter((k) => k !== '__proto__');
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n));
const { anything } = fc.letrec<{ anything: unknown }>((tie) => ({
  anything: fc.oneof(
    { maxDepth: 5 },
    text,
    number,
    fc.boolean(),
    fc.constantFrom(null, undefined),
    fc.bigInt(),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array(),
    fc.array(tie('anything'), { maxLength: 5 }),
    fc.dictionary(key, tie('anything'), { maxKeys: 5, noNullPrototype: true }),
    fc.array(tie('anything'), { maxLength: 5 }).map((items) => new Set(items)),
    fc.array(fc.tuple(tie('anything'), tie('anything')), { maxLength: 5 }).map((entries) => new Map(entries)),
  ),
}));

describe('what is carried', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(anything, (value) => {
        // Not toStrictEqual, which takes a property named `constructor` for the value's type.
        expect(isDeepStrictEqual(back(value), value)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it('is, for plain JSON, the text of JSON.stringify', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        fc.pre(!JSON.stringify(value).includes('__proto__') && !/\\ud/.test(JSON.stringify(value)));
        expect(serialise(value, 'args')).toBe(JSON.stringify(value));
      }),
    );
  });

  it('stays readable', () => {
    const value = { at: new Date(0), big: 12n, gone: undefined, bytes: Buffer.from('abc'), set: new Set([1]) };
    expect(JSON.parse(serialise(value, 'args'))).toEqual({
      at: { $type: 'Date', value: '1970-01-01T00:00:00.000Z' },
      big: { $type: 'BigInt', value: '12' },
      gone: { $type: 'undefined' },
      bytes: { $type: 'Uint8Array', value: 'YWJj' },
      set: { $type: 'Set', value: [1] },
    });
  });

  it('includes objects that look like tags', () => {
    const value = { $type: 'Date', value: { $type: 'Object', value: { $type: 'undefined' } } };
    expect(back(value)).toStrictEqual(value);
    expect(back({ $type: new Date(5) })).toStrictEqual({ $type: new Date(5) });
  });

  it('of a Buffer is a Uint8Array of its own memory', () => {
    const bytes = back({ bytes: Buffer.from([1, 2, 3]) }) as { bytes: Uint8Array };
    expect(bytes).toStrictEqual({ bytes: new Uint8Array([1, 2, 3]) });
    expect(bytes.bytes.buffer.byteLength).toBe(3);
  });

  it('of -0 is 0, of a hole in an array undefined', () => {
    expect(back([-0, new Date(0), -0])).toStrictEqual([0, new Date(0), 0]);
    expect(back([-0])).toStrictEqual([0]);
    const sparse = [1, , 3]; // oxlint-disable-line no-sparse-arrays
    expect(back(sparse)).toStrictEqual([1, undefined, 3]);
  });

  it('of a class instance is its own enumerable properties, plain or not', () => {
    class Dto {
      #hidden = 1;
      constructor(
        readonly name: string,
        readonly at?: Date,
      ) {}
      method(): number {
        return this.#hidden;
      }
    }
    expect(serialise(new Dto('plain', null as never), 'args')).toBe('{"name":"plain","at":null}');
    expect(back([new Dto('a', new Date(1))])).toStrictEqual([{ name: 'a', at: new Date(1) }]);
    expect(back(Object.assign(Object.create(null), { x: 1 }))).toStrictEqual({ x: 1 });
    const inherited = Object.create({ inherited: 1 }) as object;
    expect(serialise(Object.assign(inherited, { own: 1 }), 'args')).toBe('{"own":1}');
  });

  it('of an object with toJSON is what that gives', () => {
    expect(back({ url: new URL('https://a.b/c') })).toEqual({ url: 'https://a.b/c' });
    expect(back({ money: { toJSON: () => ({ amount: 5n }) } })).toEqual({ money: { amount: 5n } });
    const self = {
      x: 1,
      toJSON() {
        return { ...this, toJSON: undefined };
      },
    };
    expect(back(self)).toEqual({ x: 1, toJSON: undefined });
  });

  it('may hold the same object twice, and a hundred levels', () => {
    const shared = { x: new Date(1) };
    expect(back([shared, shared])).toEqual([shared, shared]);
    let deep: unknown = 1n;
    for (let i = 0; i < 100; i++) deep = [deep];
    expect(back(deep)).toStrictEqual(deep);
    let maps: unknown = new Date(1);
    for (let i = 0; i < 99; i++) maps = new Map([[i, { $type: maps }]]).get(i);
    expect(back(maps)).toStrictEqual(maps);
  });
});

describe('what is refused, with its path', () => {
  const cycle: Record<string, unknown> = { list: [] };
  (cycle['list'] as unknown[]).push({ cycle });
  let deep: unknown = {};
  for (let i = 0; i < 100; i++) deep = { d: deep };

  it.each<[string, unknown, string]>([
    ['a function', { items: [1, 2, 3, { callback: () => 1 }] }, 'args.items[3].callback is a function; only data'],
    ['a symbol', [Symbol('s')], 'args[0] is a symbol'],
    ['NaN', { 'a b': NaN }, 'args["a b"] is NaN'],
    ['Infinity', -Infinity, 'args is -Infinity'],
    ['an invalid Date', { at: new Date(NaN) }, 'args.at is an invalid Date'],
    ['a cycle', cycle, 'args.list[0].cycle refers back to an object that contains it'],
    ['depth', deep, '.d is nested deeper than 100 levels'],
    ['a Promise', { p: Promise.resolve() }, 'args.p is of the type Promise'],
    ['a WeakMap', new WeakMap(), 'args is of the type WeakMap'],
    ['a WeakRef', new WeakRef({}), 'args is of the type WeakRef'],
    ['a RegExp', { r: /x/ }, 'args.r is of the type RegExp'],
    ['an Error', { e: new TypeError('x') }, 'args.e is of the type Error'],
    ['a Float64Array', new Float64Array(1), 'args is of the type Float64Array'],
    ['an ArrayBuffer', new ArrayBuffer(1), 'args is of the type ArrayBuffer'],
    ['a boxed number', Object(1), 'args is of the type Number'],
    ['a generator', (function* () {})(), 'args is of the type Generator'],
    ['half a surrogate pair', { t: 'a\ud800' }, 'args.t is a text with half of a surrogate pair'],
    ['half a surrogate pair in a key', { 'a\ud800': 1 }, 'is a key with half of a surrogate pair'],
    ['a __proto__ key', JSON.parse('{"a":{"__proto__":1}}'), 'args.a.__proto__ is a key that could poison'],
    ['the value of a map', new Map([['k', () => 1]]), 'args.get("k") is a function'],
    ['the key of a map', new Map([[() => 1, 1]]), 'args.keys()[0] is a function'],
    ['the value of a set', new Set([1, () => 1]), 'args.values()[1] is a function'],
    ['what toJSON gives', { x: { toJSON: () => NaN } }, 'args.x is NaN'],
  ])('%s', (_, value, message) => {
    expect(refusal(value)).toContain(message);
  });

  it('a getter or toJSON that throws, with the cause', () => {
    const cause = new RangeError('mine');
    const fail = () => {
      throw cause;
    };
    const getter = { a: Object.defineProperty({}, 'b', { get: fail, enumerable: true }) };
    expect(() => serialise(getter, 'args')).toThrow('args.a.b has a getter that throws');
    expect(() => serialise({ a: { toJSON: fail } }, 'args')).toThrow(
      expect.objectContaining({ message: 'args.a has a toJSON that throws.', cause }) as Error,
    );
  });

  it('more bytes than are allowed, whichever way they come', () => {
    const letters = 'a'.repeat(DEFAULT_TEXT_LIMIT - 2);
    expect(refusal(letters)).toBe('accepted');
    expect(refusal(`${letters}a`)).toContain(`args takes ${DEFAULT_TEXT_LIMIT + 1} bytes; 921600 are allowed`);
    expect(refusal('ä'.repeat(500_000))).toContain('args takes 1000002 bytes');
    expect(refusal({ at: new Date(0), letters })).toContain('921600');
    expect(() => serialise('12345', 'result', 6)).toThrow('result takes 7 bytes; 6 are allowed');
  });

  it('what only looks small, because it refers to the same objects over and over', () => {
    let laughs: unknown = 'ha';
    for (let i = 0; i < 90; i++) laughs = [laughs, laughs];
    expect(refusal(laughs)).toContain('exceeds the 921600 bytes');
    expect(refusal(Object.assign([], { length: 2 ** 32 - 1 }))).toContain('exceeds the 921600 bytes');
  });
});

describe('a text from outside', () => {
  it.each([
    '{',
    '{"__proto__":{"admin":true}}',
    '{"a":[{"\\u005f_proto__":1}]}',
    '{"$type":"Date","value":"never"}',
    '{"$type":"Date","value":{}}',
    '{"$type":"BigInt","value":"1e3"}',
    '{"$type":"BigInt","value":7}',
    '{"$type":"Map","value":[1]}',
    '{"$type":"Map","value":{}}',
    '{"$type":"Set","value":1}',
    '{"$type":"Uint8Array","value":[1]}',
    '{"$type":"Object","value":[]}',
    '{"$type":"Object","value":{"__proto__":1}}',
    '{"$type":"RegExp","value":"x"}',
    '{"$type":{}}',
    `${'['.repeat(200)}{"$type":"undefined"}${']'.repeat(200)}`,
  ])('%s is refused', (given) => {
    expect(() => deserialise(given)).toThrow(JobReactorError);
  });

  it('never sets a prototype', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('{', '}', '"__proto__"', ':', '1', '"$type"', '"Object"', '"value"', ',') }),
        (given) => {
          try {
            deserialise(given);
          } catch (error) {
            expect(error).toMatchObject({ code: 'SERIALIZATION' });
          }
          expect(({} as Record<string, unknown>)['1']).toBeUndefined();
        },
      ),
    );
  });
});
