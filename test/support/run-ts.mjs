// Runs a TypeScript program of this repository in a process of its own: node test/support/run-ts.mjs <file> [arguments]
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

process.argv.splice(1, 1); // the program sees itself as what was started
await runnerImport(process.argv[1], {
  configFile: false,
  logLevel: 'error',
  // A program may import the package by its name, as its users do.
  resolve: { alias: { 'nestjs-job-reactor': fileURLToPath(new URL('../../lib/index.ts', import.meta.url)) } },
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
});
