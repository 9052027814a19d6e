// Node's module hooks: `./x.js` is `./x.ts` where that is what there is, compiled as vitest compiles it.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

// Vite's own compiler; loading all of vite for each thread would take half a second.
const vite = createRequire(import.meta.url).resolve('vite/package.json');
const rolldown = createRequire(vite).resolve('rolldown/utils');
const { transformSync } = await import(pathToFileURL(rolldown).href);
/** What compiled decorators call. Vite has these of its own; TypeScript's do the same. */
const TSLIB = import.meta.url.replace(/test\/support\/.*/, 'node_modules/tslib/tslib.es6.mjs');
const HELPERS = { decorate: '__decorate', decorateMetadata: '__metadata', decorateParam: '__param' };
/** What the package exports, by the name under which it is imported. */
const EXPORTS = {
  'nestjs-job-reactor': new URL('../../lib/index.ts', import.meta.url).href,
  'nestjs-job-reactor/testing': new URL('../../lib/testing/job-reactor-testing.module.ts', import.meta.url).href,
};

export function resolve(specifier, context, next) {
  const exported = EXPORTS[specifier];
  if (exported) return { url: exported, shortCircuit: true };
  const helper = /^@oxc-project\/runtime\/helpers\/(\w+)$/.exec(specifier)?.[1];
  if (helper) {
    const code = `export { ${HELPERS[helper]} as default } from ${JSON.stringify(TSLIB)};`;
    return { url: `data:text/javascript,${encodeURIComponent(code)}`, shortCircuit: true };
  }
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
