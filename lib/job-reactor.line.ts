export type Level = 'log' | 'warn' | 'error' | 'debug';

/** Null: of this one nothing is said. */
export type Line = [Level, string] | null;

/** A line for each event of a role; the type sees to it that none is missing. */
export type Lines<E extends { event: string }> = {
  readonly [K in E['event']]: (event: Extract<E, { event: K }>) => Line;
};

/** Attempts between two reminders that something can't be reached; they come to be 15 s apart on average. */
export const REMIND_EVERY = 64;

/** Of several lines, as schemas and databases write them, one. */
export function message(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.replaceAll(/\s*\n\s*/g, ' ');
}

/** Where in the code, as far as the error knows: one line has to do for a stack. */
export function place(error: unknown): string {
  const frame = error instanceof Error ? /\n\s+at (.+)/.exec(error.stack ?? '')?.[1] : undefined;
  return frame === undefined ? '' : ` (at ${frame})`;
}
