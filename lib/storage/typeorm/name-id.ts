import { createHash } from 'node:crypto';

/** A UUID that stands for these texts: they are longer than some databases' keys may be, and case and accents count. */
export function nameId(...texts: readonly string[]): string {
  const hex = createHash('sha256').update(JSON.stringify(texts)).digest('hex');
  // Version 8: what its bits mean is ours.
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    '-',
  );
}
