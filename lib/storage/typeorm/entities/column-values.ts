import type { ValueTransformer } from 'typeorm';

/** Some drivers give 64-bit integers back as strings. Ours are times and counters far below 2^53. */
export const integer: ValueTransformer = {
  to: (value: unknown) => value,
  from: (value: unknown) => (value === null || value === undefined ? null : Number(value)),
};

/** JSON as text: it stays readable in the database, and a JSON column type costs the server time. */
export const json: ValueTransformer = {
  to: (value: unknown) => (value === null || value === undefined ? null : JSON.stringify(value)),
  from: (value: string | null) => (value === null ? null : JSON.parse(value)),
};
