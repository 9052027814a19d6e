#!/usr/bin/env node
import { randomBytes } from 'node:crypto';
import { JobReactorError } from '../job-reactor.error.js';
import { readArguments, USAGE } from './arguments.js';
import { makeCertificateFolder } from './certificate-folder.js';

/* The command line: `npx job-reactor`. */

async function run(args: readonly string[], say: (line: string) => void): Promise<void> {
  const given = readArguments(args);
  switch (given.command) {
    case 'help':
      return say(USAGE);
    case 'secret':
      return say(randomBytes(32).toString('base64url'));
    case 'certs':
      return makeCertificateFolder(given, say);
  }
}

try {
  await run(process.argv.slice(2), (line) => process.stdout.write(`${line}\n`));
} catch (error) {
  // Ours say what to do; of others only the operating system's can come, and those name the file.
  const isOurs = error instanceof JobReactorError || (error as NodeJS.ErrnoException).syscall !== undefined;
  process.stderr.write(`${isOurs ? (error as Error).message : String((error as Error).stack)}\n`);
  process.exitCode = 1;
}
