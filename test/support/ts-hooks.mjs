// Node's module hooks: `./x.js` is `./x.ts` where that is what there is, compiled as vitest compiles it.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

// Vite's own compiler; loading all of vite for each thread would take half a second.
const rolldown = createRequire(import.meta.resolve('vite')).resolve('rolldown/utils');
const { transformSync } = await import(pathToFileURL(rolldown).href);
const INDEX = new URL('../../lib/index.ts', import.meta.url).href;

export function resolve(specifier, context, next) {
  if (specifier === 'nestjs-job-reactor') return { url: INDEX, shortCircuit: true };
  if (/^(\.|file:)/.test(specifier) && specifier.endsWith('.js')) {
    const url = new URL(specifier.replace(/\.js$/, '.ts'), context.parentURL);
    if (!url.pathname.includes('/node_modules/') && existsSync(url)) return { url: url.href, shortCircuit: true };
  }
  return next(specifier, context);
}

export function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const path = fileURLToPath(url);
  const { code, errors } = transformSync(path, readFileSync(path, 'utf8'), {
    lang: 'ts',
    decorator: { legacy: true, emitDecoratorMetadata: true },
    typescript: { removeClassFieldsWithoutInitializer: true },
  });
  if (errors.length > 0) throw errors[0];
  return { format: 'module', source: code, shortCircuit: true };
}
