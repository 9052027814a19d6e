import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { ROOT } from './page.js';

/*
 * A block that is not to compile, because it shows a mistake or a piece of something, says so: ```ts does not compile
 */
const NOT_COMPILED = 'ts does not compile';
/** What blocks may be besides TypeScript: nothing that hides code from the compiler. */
const OTHER = ['', 'sh', 'json', 'sql', 'text'];

/** Every page of the repository, wherever it is. */
const PAGES = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.md') && !/(^|\/)(node_modules|dist|\.[\w]+)\//.test(path))
  .toSorted();

interface Block {
  language: string;
  /** As its first line says, else by its place on the page. */
  name: string;
  code: string;
}

function blocksOf(page: string): Block[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(/^( *)(```+|~~~+)(.*)\n([\s\S]*?)^\1\2$/gm)].map(
    ([, , , language = '', code = ''], index) => {
      const name = /^\s*\/\/ (\S+\.ts)\b/.exec(code)?.[1] ?? `block-${index}.ts`;
      return { language: language.trim(), name, code };
    },
  );
}

function compile(page: string): string[] {
  const folder = join(ROOT, '.blocks');
  const blocks = blocksOf(page).filter(({ language }) => language === 'ts');
  const files = new Map(blocks.map(({ name, code }) => [join(folder, name), code]));
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  const compilerOptions = {
    ...options,
    paths: {
      'nestjs-job-reactor': [join(ROOT, 'lib/index.ts')],
      'nestjs-job-reactor/terminus': [join(ROOT, 'lib/terminus/job-reactor-health.module.ts')],
      'nestjs-job-reactor/testing': [join(ROOT, 'lib/testing/job-reactor-testing.module.ts')],
      'nestjs-job-reactor/typeorm': [join(ROOT, 'lib/storage/typeorm/schema.ts')],
    },
  };
  const host = ts.createCompilerHost(compilerOptions);
  const { readFile, fileExists, getSourceFile } = host;
  host.readFile = (path) => files.get(path) ?? readFile(path);
  host.fileExists = (path) => files.has(path) || fileExists(path);
  host.directoryExists = (path) => path === folder || ts.sys.directoryExists(path);
  host.getSourceFile = (path, target) => {
    const code = files.get(path);
    return code === undefined ? getSourceFile(path, target) : ts.createSourceFile(path, code, target);
  };
  const program = ts.createProgram([...files.keys()], compilerOptions, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, file, start }) => {
    const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
    return `${file?.fileName}:${line} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
}

it('the README shows the whole way: definition, application, worker', () => {
  const names = blocksOf('README.md').flatMap(({ language, name }) => (language === 'ts' ? [name] : []));
  expect(names).toEqual(['jobs.ts', 'app.ts', 'worker.ts']);
});

it('all pages are looked at: those of the root, of docs, of the protocol, of samples', () => {
  for (const page of ['README.md', 'SECURITY.md', 'docs/how-it-works.md', 'lib/protocol/README.md']) {
    expect(PAGES).toContain(page);
  }
  expect(PAGES.filter((page) => page.startsWith('sample/')).length).toBeGreaterThan(0);
});

it.each(PAGES)('no block of %s hides code from the compiler, and no name is given twice', (page) => {
  const blocks = blocksOf(page);
  const fences = readFileSync(join(ROOT, page), 'utf8').match(/^ *(```|~~~)/gm) ?? [];
  expect(fences.length).toBe(2 * blocks.length);
  const strange = blocks.filter(({ language }) => !['ts', NOT_COMPILED, ...OTHER].includes(language));
  expect(strange.map(({ language }) => language)).toEqual([]);
  const hidden = blocks.filter(
    ({ language, code }) => OTHER.includes(language) && /^\s*(import|const|@\w+\()/m.test(code),
  );
  expect(hidden.map(({ code }) => code)).toEqual([]);
  const names = blocks.flatMap(({ language, name }) => (language === 'ts' ? [name] : []));
  expect(names).toEqual([...new Set(names)]);
});

it.each(PAGES.filter((page) => blocksOf(page).some(({ language }) => language === 'ts')))(
  'every TypeScript block of %s compiles',
  (page) => {
    expect(compile(page)).toEqual([]);
  },
  300_000,
);
