import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = resolve(import.meta.dirname, '../..');
/** What compiled decorators call: Vite has these of its own, TypeScript's do the same. */
const HELPERS: Record<string, string> = {
  decorate: '__decorate',
  decorateMetadata: '__metadata',
  decorateParam: '__param',
};
const HELPER = /^\0?@oxc-project\/runtime\/helpers\/(\w+)/;
/** Loaded as they are installed: what is native, what finds its drivers by name, and what is not there. */
const EXTERNAL = /^(node:|libsql|better-sqlite3|pg|mysql2|typeorm)(\/|$)/;

interface Rolldown {
  rolldown(options: object): Promise<{ write(options: object): Promise<unknown>; close(): Promise<void> }>;
}

/**
 * A program of this repository as one file, which starts in a third of the time: for tests that start hundreds of
 * processes. `remove` it when they have ended.
 */
export async function bundle(program: string): Promise<{ path: string; remove(): Promise<void> }> {
  const vite = createRequire(createRequire(import.meta.url).resolve('vite/package.json'));
  const { rolldown } = (await import(pathToFileURL(vite.resolve('rolldown')).href)) as Rolldown;
  // In this repository, so that it finds the packages it imports.
  await mkdir(join(ROOT, '.tmp'), { recursive: true });
  const folder = await mkdtemp(join(ROOT, '.tmp', 'bundle-'));
  const built = await rolldown({
    input: program,
    platform: 'node',
    logLevel: 'silent',
    external: (id: string) => EXTERNAL.test(id) || (!/^[./\0]/.test(id) && !HELPER.test(id) && !isInstalled(id)),
    plugins: [
      {
        name: 'decorator helpers',
        resolveId: (id: string) => (HELPER.test(id) ? `\0${id}` : undefined),
        load(id: string) {
          const helper = HELPERS[HELPER.exec(id)?.[1] ?? ''];
          return helper && `export { ${helper} as default } from 'tslib';`;
        },
      },
    ],
    resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
    transform: {
      decorator: { legacy: true, emitDecoratorMetadata: true },
      typescript: { removeClassFieldsWithoutInitializer: true },
    },
  });
  await built.write({ dir: folder, format: 'esm', entryFileNames: 'program.mjs', chunkFileNames: '[name]-[hash].mjs' });
  await built.close();
  return { path: join(folder, 'program.mjs'), remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Packages name others that are optional. */
function isInstalled(id: string): boolean {
  try {
    createRequire(import.meta.url).resolve(id);
    return true;
  } catch (error) {
    return (error as { code?: unknown }).code !== 'MODULE_NOT_FOUND';
  }
}
