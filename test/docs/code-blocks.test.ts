import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const PAGES = ['README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => join('docs', name))];

/** Every ```ts block of a page, by the file name its first line gives. */
function blocksOf(page: string): Map<string, string> {
  const text = readFileSync(join(ROOT, page), 'utf8');
  const blocks = new Map<string, string>();
  for (const [, code = ''] of text.matchAll(/```ts\n([\s\S]*?)```/g)) {
    const name = /^\/\/ (\S+\.ts)\b/.exec(code)?.[1] ?? `block-${blocks.size}.ts`;
    blocks.set(name, code);
  }
  return blocks;
}

function compile(page: string): string[] {
  const folder = join(ROOT, '.blocks');
  const files = new Map([...blocksOf(page)].map(([name, code]) => [join(folder, name), code]));
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  const compilerOptions = {
    ...options,
    paths: {
      'nestjs-job-reactor': [join(ROOT, 'lib/index.ts')],
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
  expect([...blocksOf('README.md').keys()]).toEqual(['jobs.ts', 'app.ts', 'worker.ts']);
});

it.each(PAGES)(
  'every TypeScript block of %s compiles',
  (page) => {
    expect(compile(page)).toEqual([]);
  },
  60_000,
);
