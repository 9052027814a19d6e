import { inspect } from 'node:util';
import type { LogLevel } from '../../job-reactor.events.js';

type Write = (level: LogLevel, context: string | undefined, message: string, stack?: string) => void;

/** In a worker thread: Nest's logger there. Lines go to the main thread, whose logger is the application's own. */
export class ThreadLogger {
  /** Nest tells of every module it loads; said once by the main thread, that need not be said again by each thread. */
  quiet = true;

  constructor(private readonly write: Write) {}

  log(message: unknown, ...rest: unknown[]): void {
    if (!this.quiet) this.#line('log', message, rest);
  }

  debug(message: unknown, ...rest: unknown[]): void {
    if (!this.quiet) this.#line('debug', message, rest);
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    if (!this.quiet) this.#line('verbose', message, rest);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.#line('warn', message, rest);
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.#line('fatal', message, rest);
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.#line('error', message, rest);
  }

  /** Nest hands the context last, and for an error the stack before it. */
  #line(level: LogLevel, message: unknown, rest: unknown[]): void {
    const texts = rest.filter((value) => typeof value === 'string');
    const context = texts.at(-1);
    const stack = level === 'error' && texts.length > 1 ? texts.at(-2) : undefined;
    this.write(level, context, typeof message === 'string' ? message : inspect(message, { depth: 4 }), stack);
  }
}
