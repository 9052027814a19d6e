// For worker threads of tests: `--import` it, and TypeScript of this repository can be imported as it is.
import { register } from 'node:module';

register('./ts-hooks.mjs', import.meta.url);
