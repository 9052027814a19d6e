import { Logger } from '@nestjs/common';
import type { JobReactorEvent, ThreadLog } from './job-reactor.events.js';
import { ROLE_LINES } from './job-reactor.role-lines.js';
import { DISTRIBUTOR_LINES } from './job-reactor.distributor-lines.js';
import type { Line, Lines } from './job-reactor.line.js';
import { NODE_LINES } from './job-reactor.node-lines.js';

type Told = Exclude<JobReactorEvent, ThreadLog>;

const LINES: Lines<Told> = {
  ...DISTRIBUTOR_LINES,
  ...NODE_LINES,
  ...ROLE_LINES,
};

const lineOf = (event: Told): Line => (LINES[event.event] as (event: Told) => Line)(event);

/**
 * Turns facts into log lines: one line a fact, quiet while all is well. The fact itself goes along for loggers that print
 * fields, such as `ConsoleLogger({ json: true })`, which has it as `params`; a stack is there only, and only of what has
 * failed for good.
 */
export class JobReactorLogger {
  readonly #logger = new Logger('JobReactor');

  readonly write = (event: JobReactorEvent): void => {
    if (event.event === 'thread log') return writeForThread(event);
    const line = lineOf(event);
    // Names and reasons may come from anybody: what looks like a line of the log has to be one.
    if (line) this.#logger[line[0]](line[1].replaceAll(/\p{Cc}+/gu, ' '), fieldsOf(event));
  };

  warn(message: string): void {
    this.#logger.warn(message);
  }
}

/** In text the line says it all: there the fields, which Nest would append, are to show as nothing. */
const AS_TEXT = { [Symbol.for('nodejs.util.inspect.custom')]: () => '' };

function fieldsOf(event: JobReactorEvent): object {
  // Nest copies what it is given, so the way it shows itself has to be a property like the others.
  return { ...event, ...('error' in event ? { error: errorFields(event) } : {}), ...AS_TEXT };
}

function errorFields(event: JobReactorEvent & { error: unknown }): object {
  const { error } = event;
  if (!(error instanceof Error)) return { message: String(error) };
  const { name, message, stack } = error;
  const { code } = error as { code?: unknown };
  const isFinal = event.event === 'job failed' && !event.willRetry;
  return { name, message, ...(code === undefined ? {} : { code }), ...(isFinal ? { stack } : {}) };
}

/** What was logged in a worker thread, by the logger that the application chose. */
function writeForThread({ level, message, context, stack }: ThreadLog): void {
  if (level === 'error') Logger.error(message, stack, context);
  else Logger[level](message, context);
}
