/** What one field of a message may hold. */
export interface Check {
  /** In words, as the specification says it. */
  readonly is: string;
  /** True when it may be absent. */
  readonly optional: boolean;
  /** null when the value is good, else what is wrong with it, beginning with the path below this field. */
  check(value: unknown): string | null;
}

/**
 * A check with the type it stands for. `T` is invariant on purpose: a table whose field is wider or narrower than the
 * message type in message.ts does not compile.
 */
export interface Field<T> extends Check {
  /** Types only; never there at run time. */
  readonly type?: (value: T) => T;
}

/** A field for each key of `T`; an optional key needs an `optional(…)` field. */
export type FieldsOf<T> = { readonly [K in keyof T]-?: Field<T[K]> };

/** Names that mean something to JavaScript itself; no message has a use for them. */
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype']);

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const NOT_PRINTED = /[\p{Cc}\p{Cs}]/u;
const BYTES_32 = /^[\w-]{42}[AEIMQUYcgkosw048]$/;
const BYTES_16 = /^[\w-]{21}[AQgw]$/;
const KEY_ID = /^[0-9a-f]{16}$/;
const FEEDBACK_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:[1-9][0-9]{0,15}$/i;

function field<T>(is: string, good: (value: unknown) => boolean): Field<T> {
  const wrong = ` must be ${is}`;
  return { is, optional: false, check: (value) => (good(value) ? null : wrong) };
}

/** Length in UTF-16 code units, as JavaScript counts. */
export function text(max: number, min = 0): Field<string> {
  const is = min === 0 ? `text of at most ${max} characters` : `text of ${min} to ${max} characters`;
  return field(is, (value) => typeof value === 'string' && value.length >= min && value.length <= max);
}

export const uuid: Field<string> = field(
  'a UUID',
  (value) => typeof value === 'string' && value.length === 36 && UUID.test(value),
);

export const feedbackIdField: Field<string> = field(
  'a feedback id',
  (value) => typeof value === 'string' && value.length <= 53 && FEEDBACK_ID.test(value),
);

/** A name that goes into logs before its sender has proven anything: no control characters, no half surrogates. */
export const label: Field<string> = field(
  'text of 1 to 255 characters, none of them a control character',
  (value) => typeof value === 'string' && value.length >= 1 && value.length <= 255 && !NOT_PRINTED.test(value),
);

/** A nonce or a MAC. */
export const bytes32: Field<string> = field(
  '32 bytes as 43 characters of base64url',
  (value) => typeof value === 'string' && BYTES_32.test(value),
);

/** The MAC of a job id. */
export const bytes16: Field<string> = field(
  '16 bytes as 22 characters of base64url',
  (value) => typeof value === 'string' && value.length === 22 && BYTES_16.test(value),
);

export const keyId: Field<string> = field(
  '16 hexadecimal digits',
  (value) => typeof value === 'string' && KEY_ID.test(value),
);

export function integer(min: number, max = Number.MAX_SAFE_INTEGER): Field<number> {
  const to = max === Number.MAX_SAFE_INTEGER ? '2^53-1' : max;
  return field(
    `a whole number from ${min} to ${to}`,
    (value) => Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max,
  );
}

/** Milliseconds. */
export const duration: Field<number> = field(
  'a number from 0 to 2^53-1',
  (value) => typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER,
);

export const flag: Field<boolean> = field('true or false', (value) => typeof value === 'boolean');

export function oneOf<T extends string>(...values: T[]): Field<T> {
  const known = new Set<unknown>(values);
  return field(values.map((value) => `\`${value}\``).join(' or '), (value) => known.has(value));
}

export function optional<T>(inner: Field<T>): Field<T | undefined> {
  return { is: `${inner.is}; optional`, optional: true, check: inner.check };
}

export function nullable<T>(inner: Field<T>): Field<T | null> {
  return {
    is: `${inner.is}, or null`,
    optional: false,
    check: (value) => (value === null ? null : inner.check(value)),
  };
}

/** A number, or the object. */
export function numberOr<T>(number: Field<number>, object: Field<T>): Field<number | T> {
  return {
    is: `${number.is}, or ${object.is}`,
    optional: false,
    check: (value) => (typeof value === 'number' ? number.check(value) : object.check(value)),
  };
}

export function list<T>(item: Field<T>, max: number): Field<T[]> {
  const is = `at most ${max} × ${item.is}`;
  return {
    is,
    optional: false,
    check(value) {
      if (!Array.isArray(value) || value.length > max) return ` must be ${is}`;
      for (let i = 0; i < value.length; i++) {
        const wrong = item.check(value[i]);
        if (wrong !== null) return `[${i}]${wrong}`;
      }
      return null;
    },
  };
}

export function pair<A, B>(first: Field<A>, second: Field<B>): Field<[A, B]> {
  const is = `[${first.is}, ${second.is}]`;
  return {
    is,
    optional: false,
    check(value) {
      if (!Array.isArray(value) || value.length !== 2) return ` must be ${is}`;
      const wrong = first.check(value[0]);
      if (wrong !== null) return `[0]${wrong}`;
      const wrongToo = second.check(value[1]);
      return wrongToo === null ? null : `[1]${wrongToo}`;
    },
  };
}

/** A pair, and behind it what may be left out. */
export function pairAndMore<A, B, C>(
  first: Field<A>,
  second: Field<B>,
  more: Field<C>,
): Field<[first: A, second: B, more?: C]> {
  const is = `[${first.is}, ${second.is}], or with ${more.is} behind them`;
  const two = pair(first, second);
  return {
    is,
    optional: false,
    check(value) {
      if (!Array.isArray(value) || value.length !== 3) return two.check(value);
      const wrong = first.check(value[0]);
      if (wrong !== null) return `[0]${wrong}`;
      const wrongToo = second.check(value[1]);
      if (wrongToo !== null) return `[1]${wrongToo}`;
      const wrongLast = more.check(value[2]);
      return wrongLast === null ? null : `[2]${wrongLast}`;
    },
  };
}

/**
 * An object with these fields. Fields of a later version are taken off the value, so that nothing unchecked gets any
 * further; a field with a forbidden name is refused.
 */
export function record<T>(is: string, fields: FieldsOf<T>): Field<T> {
  const byName = new Map<string, Check>(Object.entries<Check>(fields));
  const names = [...byName.keys()];
  const checks = [...byName.values()];
  const required = names.filter((name) => !byName.get(name)!.optional);
  return {
    is,
    optional: false,
    check(value) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return ` must be ${is}`;
      const object = value as Record<string, unknown>;
      let seen = 0;
      let next = 0;
      for (const name of Object.keys(object)) {
        // Who sends them in the order of the table, as this side does, spares the search.
        while (next < names.length && names[next] !== name && checks[next]!.optional) next++;
        const one = names[next] === name ? checks[next++] : byName.get(name);
        if (one === undefined) {
          if (FORBIDDEN.has(name)) return ` must not have a field named ${name}`;
          delete object[name];
          continue;
        }
        const wrong = one.check(object[name]);
        if (wrong !== null) return `.${name}${wrong}`;
        if (!one.optional) seen++;
      }
      if (seen === required.length) return null;
      return `.${required.find((name) => !Object.hasOwn(object, name))} is missing`;
    },
  };
}

/**
 * An object with these fields that travels as the list of their values, in the order of the table: the names are half of
 * what a small job would send. An optional one that is absent is null, or left out at the end; values of a later version
 * come behind, and are ignored.
 */
export function row<T>(is: string, fields: FieldsOf<T>): Field<T> {
  const names = Object.keys(fields);
  const checks = Object.values<Check>(fields);
  const least = checks.findLastIndex((one) => !one.optional) + 1;
  return {
    is,
    optional: false,
    check(value) {
      if (!Array.isArray(value) || value.length < least) return ` must be ${is}, a list of ${least} values or more`;
      const many = Math.min(value.length, checks.length);
      for (let i = 0; i < many; i++) {
        const one = checks[i]!;
        if (one.optional && value[i] === null) continue;
        const wrong = one.check(value[i]);
        if (wrong !== null) return `.${names[i]}${wrong}`;
      }
      return null;
    },
  };
}
