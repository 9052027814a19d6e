/// <reference lib="es2024.string" />

/** The key that marks a tagged object; a user's object with this key is itself wrapped in the tag `Object`. */
export const TAG = '$type';

/** Deepest nesting of objects, arrays, maps and sets. */
export const MAX_DEPTH = 100;

/** False for text with half of a surrogate pair, which UTF-8 can't carry. */
export function isWellFormed(text: string): boolean {
  return text.isWellFormed();
}

/**
 * True for instances of ordinary classes. Every built-in with a state of its own has another tag (Map, Promise, WeakRef,
 * Error…); taken as plain data it would become an empty husk.
 */
export function isPlainInstance(value: object): boolean {
  return Object.prototype.toString.call(value) === '[object Object]';
}
