import type { LoggerService } from '@nestjs/common';
import { Facts } from './reactor.js';

export interface Line {
  level: string;
  text: string;
}

/** A logger that keeps what it is given. */
export function keptLog(): Facts<Line> & { logger: LoggerService } {
  const facts = new Facts<Line>();
  const on = (level: string) => (text: unknown) => facts.tell({ level, text: String(text) });
  return Object.assign(facts, { logger: { log: on('log'), warn: on('warn'), error: on('error'), debug: on('debug') } });
}
