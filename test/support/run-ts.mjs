// Runs a TypeScript program of this repository in a process of its own: node test/support/run-ts.mjs <file> [arguments]
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import './register-ts.mjs';

process.argv.splice(1, 1); // the program sees itself as what was started
await import(pathToFileURL(resolve(process.argv[1])).href);
