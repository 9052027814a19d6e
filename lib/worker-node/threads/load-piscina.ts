import type { Piscina } from 'piscina';
import { JobReactorError } from '../../job-reactor.error.js';

/** Loaded where threads are used and nowhere else: it is an optional peer. @throws {JobReactorError} NO_PISCINA */
export async function loadPiscina(
  load: () => Promise<{ Piscina: typeof Piscina }> = () => import('piscina'),
): Promise<typeof Piscina> {
  try {
    return (await load()).Piscina;
  } catch (cause) {
    throw new JobReactorError(
      'NO_PISCINA',
      '`node.threads` needs the package piscina, which could not be loaded: npm install piscina',
      { cause },
    );
  }
}
