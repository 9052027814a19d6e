import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { nodesOf, sourceFiles, type SourceFile } from '../support/source-file.js';

/*
 * The layers of DESIGN.md, section 3, and what it says must never be. Each test collects every offence as a line, so that
 * a failure names all of them.
 */
const lib = sourceFiles('lib');
const byPath = new Map(lib.map((file) => [file.path, file]));

/** Level 0 files beside the folder job/. */
const BASE = [
  'churning-map',
  'churning-set',
  'clock',
  'fair-turns',
  'heap',
  'recent',
  'timer-queue',
  'job-reactor.error',
  'job-reactor.events',
  'job-reactor.tokens',
];
/** Level 5: the composition root and what only it uses. */
const ROOT = [
  'index',
  'job-reactor.module',
  'job-reactor.environment',
  'job-reactor.health',
  'job-reactor.runtime',
  'job-reactor.runtimes',
  'job-reactor.thread-runtime',
  'job-reactor.read-options',
  'job-reactor.read-security',
  'job-reactor.read-threads',
  'job-reactor.logger',
  'job-reactor.line',
  'job-reactor.role-lines',
  'job-reactor.distributor-lines',
  'job-reactor.node-lines',
  'job-reactor.refusal-advice',
];

/** Made by spines and stages alike: they know nothing of what is done with them. */
const TOOLS = ['lib/distributor/tick-batch.ts'];

/** What each part of lib/ may import beside itself. `types` is job-reactor.options.ts, which is checked on its own. */
const MAY_IMPORT: Record<string, string[]> = {
  base: ['base', 'job'],
  job: ['job-reactor.error', 'churning-map'],
  protocol: ['job', 'job-reactor.error'],
  storage: ['job', 'base'],
  handlers: ['job', 'base'],
  transport: ['protocol', 'base'],
  distributor: ['transport', 'protocol', 'storage', 'handlers', 'job', 'base', 'types'],
  'worker-node': ['transport', 'protocol', 'storage', 'handlers', 'job', 'base', 'types'],
  client: ['distributor', 'worker-node', 'job', 'base'],
  testing: [
    'root',
    'client',
    'distributor',
    'worker-node',
    'transport',
    'protocol',
    'storage',
    'handlers',
    'job',
    'base',
    'types',
  ],
  telemetry: ['job', 'base'],
  terminus: ['root', 'job', 'base'],
  cli: ['base', 'transport/certificate-names'],
};

function partOf(path: string): string {
  const [, first = '', second] = path.split('/');
  if (second !== undefined) return first;
  const name = first.replace(/\.ts$/, '');
  if (ROOT.includes(name)) return 'root';
  if (name === 'job-reactor.options') return 'types';
  return BASE.includes(name) ? 'base' : `no part: ${path}`;
}

function offences(find: (file: SourceFile) => Iterable<string>): string[] {
  return lib.flatMap((file) => [...find(file)].map((offence) => `${file.path}: ${offence}`));
}

const isDeclaredIn = (file: SourceFile, ...folders: string[]): boolean =>
  folders.some((folder) => file.path.startsWith(`lib/${folder}`));

describe('the layers', () => {
  it('every file of lib/ has its place', () => {
    expect(
      lib
        .map(({ path }) => partOf(path))
        .filter((part) => !['root', 'types', ...Object.keys(MAY_IMPORT)].includes(part)),
    ).toEqual([]);
    expect(lib.length).toBeGreaterThan(80);
  });

  it('a part imports only what lies below it', () => {
    const found = offences(function* ({ path, imports }) {
      const part = partOf(path);
      if (part === 'root' || part === 'types') return;
      for (const { file } of imports) {
        if (file === null) continue;
        const name = file.replace(/^lib\/|\.ts$/g, '');
        const other = partOf(file);
        const allowed = MAY_IMPORT[part] ?? [];
        if (other !== part && !allowed.includes(other) && !allowed.includes(name)) yield `imports ${file}`;
      }
    });
    expect(found).toEqual([]);
  });

  it('the option types import types alone, and nothing above the transport', () => {
    const options = byPath.get('lib/job-reactor.options.ts')!;
    expect(options.imports.filter(({ typeOnly }) => !typeOnly)).toEqual([]);
    const parts = new Set(options.imports.map(({ file }) => partOf(file ?? '')));
    expect([...parts].filter((part) => !['job', 'storage', 'transport'].includes(part))).toEqual([]);
  });

  it('nobody in lib/ imports its index', () => {
    expect(
      offences(({ imports }) => imports.flatMap(({ file }) => (file === 'lib/index.ts' ? ['index'] : []))),
    ).toEqual([]);
  });

  it('there are no import cycles, those of types included', () => {
    expect(cycles()).toEqual([]);
  });

  it('a stage is made in the file of the stages alone, and knows of no other stage but by type', () => {
    for (const [spine, maker] of [
      ['lib/distributor/distributor.ts', 'lib/distributor/distributor-stages.ts'],
      ['lib/worker-node/worker-node.ts', 'lib/worker-node/node-stages.ts'],
    ] as const) {
      const folder = spine.slice(0, spine.lastIndexOf('/'));
      const stages = byPath
        .get(maker)!
        .imports.flatMap(({ file, typeOnly, names }) =>
          file?.startsWith(`${folder}/`) &&
          !TOOLS.includes(file) &&
          !typeOnly &&
          names.some((name) => makes(maker, name))
            ? [file]
            : [],
        );
      expect(stages.length).toBeGreaterThan(5);
      const found = offences(function* ({ path, imports }) {
        if (path === maker || !path.startsWith(folder)) return;
        for (const { file, typeOnly } of imports) {
          if (!typeOnly && file !== null && stages.includes(file)) yield `imports the stage ${file}`;
          if (file === maker && path !== spine) yield 'imports the makers of stages';
          if (file === spine && path !== `${folder}/job-reactor-distributor.ts`) yield 'imports its spine';
        }
      });
      expect(found).toEqual([]);
    }
  });
});

describe('packages', () => {
  const only = (packages: RegExp, ...folders: string[]): string[] =>
    offences(function* (file) {
      if (isDeclaredIn(file, ...folders)) return;
      for (const { specifier } of file.imports) if (packages.test(specifier)) yield `imports ${specifier}`;
    });

  it('TypeORM is imported in storage/typeorm alone', () => {
    expect(only(/^typeorm/, 'storage/typeorm/')).toEqual([]);
  });

  it('sockets are imported in transport/ alone', () => {
    expect(only(/^(node:)?(net|tls|dgram|http|https|http2)$/, 'transport/')).toEqual([]);
  });

  it('files and modules are read in storage/typeorm and by the command line alone', () => {
    expect(only(/^(node:)?(fs|fs\/promises|module|child_process)$/, 'storage/typeorm/', 'cli/')).toEqual([]);
    // The default number of threads is that of the cores.
    expect(only(/^(node:)?os$/, 'storage/typeorm/', 'job-reactor.read-threads.ts')).toEqual([]);
  });

  it('certificates are made by the command line alone, and the package for it is loaded when it makes some', () => {
    const found = offences(({ imports }) =>
      imports.flatMap(({ specifier, typeOnly }) =>
        specifier === '@peculiar/x509' && !typeOnly ? ['imports @peculiar/x509'] : [],
      ),
    );
    expect(found).toEqual(['lib/cli/make-certificates.ts: imports @peculiar/x509']);
  });

  it('threads and their pool are known in worker-node/threads alone', () => {
    expect(only(/^((node:)?worker_threads|piscina)$/, 'worker-node/threads/')).toEqual([]);
  });

  it('piscina is loaded when a node has threads, not when this package is', () => {
    const found = offences(({ imports }) =>
      imports.flatMap(({ specifier, typeOnly }) => (specifier === 'piscina' && !typeOnly ? ['imports piscina'] : [])),
    );
    // Its `import()`, which is found as well, is made at that time.
    expect(found).toEqual(['lib/worker-node/threads/load-piscina.ts: imports piscina']);
  });

  it('Nest is unknown to job/, protocol/, transport/ and storage/', () => {
    // A thread boots the node's module itself.
    const ofNode = ['worker-node/job-reactor.strategy.ts', 'worker-node/threads/thread-host.ts'];
    const elsewhere = ['handlers/', 'client/', 'testing/', 'terminus/', ...ofNode, 'job-reactor.', 'index.ts'];
    expect(only(/^@nestjs\//, ...elsewhere)).toEqual([]);
  });

  it('OpenTelemetry is known in telemetry/ alone, and loaded when it is there', () => {
    expect(only(/^@opentelemetry/, 'telemetry/')).toEqual([]);
    const found = offences(({ imports }) =>
      imports.flatMap(({ specifier, typeOnly }) =>
        specifier.startsWith('@opentelemetry/') && !typeOnly ? [specifier] : [],
      ),
    );
    // Its `import()`, which is found as well.
    expect(found).toEqual(['lib/telemetry/load-telemetry.ts: @opentelemetry/api']);
  });

  it('Terminus is imported in terminus/ alone, which is an entry of its own', () => {
    expect(only(/^@nestjs\/terminus/, 'terminus/')).toEqual([]);
    expect(
      offences(({ imports }) => imports.flatMap(({ file }) => (file?.startsWith('lib/terminus/') ? [file] : []))),
    ).toEqual([]);
  });

  it('only job-reactor.logger.ts has a logger', () => {
    const found = offences(function* ({ path, imports, tree }) {
      if (path === 'lib/job-reactor.logger.ts') return;
      for (const { specifier, names } of imports) {
        if (specifier.startsWith('@nestjs/') && names.some((name) => /Logger/.test(name))) yield `imports a logger`;
      }
      for (const node of nodesOf(tree)) if (isGlobal(node, 'console')) yield `uses console`;
    });
    expect(found).toEqual([]);
  });
});

describe('hidden inputs', () => {
  it('only clock.ts reads or sets time', () => {
    const timers = ['setTimeout', 'setInterval', 'setImmediate', 'performance'];
    const found = offences(function* ({ path, imports, tree }) {
      if (path === 'lib/clock.ts') return;
      for (const { specifier } of imports) if (/^(node:)?(timers|perf_hooks)/.test(specifier)) yield specifier;
      for (const node of nodesOf(tree)) {
        for (const name of timers) if (isGlobal(node, name)) yield name;
        if (isMember(node, 'Date', 'now') || isMember(node, 'process', 'hrtime')) yield node.getText();
        if (ts.isNewExpression(node) && isGlobal(node.expression, 'Date') && !node.arguments?.length)
          yield 'new Date()';
      }
    });
    expect(found).toEqual([]);
  });

  it('randomness is handed in: only the composition root reads it', () => {
    const found = offences(function* ({ path, tree }) {
      // A lock between real processes waits at random; no simulation stands on it.
      if (path === 'lib/job-reactor.environment.ts' || path.startsWith('lib/storage/typeorm/')) return;
      for (const node of nodesOf(tree)) if (isMember(node, 'Math', 'random')) yield 'Math.random';
    });
    expect(found).toEqual([]);
  });

  it('nothing reads the environment', () => {
    const found = offences(function* ({ path, tree }) {
      // The command line is what it is there to read.
      if (path === 'lib/cli/job-reactor.ts') return;
      for (const node of nodesOf(tree)) {
        if (isMember(node, 'process', 'env') || isMember(node, 'process', 'argv')) yield node.getText();
      }
    });
    expect(found).toEqual([]);
  });

  it('no module and no class keeps state: several roles live in one process', () => {
    const found = offences(function* ({ tree }) {
      for (const statement of tree.statements) {
        if (ts.isVariableStatement(statement) && !(statement.declarationList.flags & ts.NodeFlags.Const)) {
          yield statement.getText();
        }
      }
      const constants = new Set(
        tree.statements.flatMap((statement) =>
          ts.isVariableStatement(statement)
            ? statement.declarationList.declarations.map(({ name }) => name.getText())
            : [],
        ),
      );
      for (const node of nodesOf(tree)) {
        if (isStaticState(node)) yield `static ${node.name.getText()}`;
        const changed = changedObject(node);
        if (changed !== null && constants.has(changed)) yield `changes the constant ${changed}: ${node.getText()}`;
      }
    });
    expect(found).toEqual([]);
  });
});

describe('files', () => {
  it('there are no barrels: the only file of re-exports is index.ts', () => {
    const found = offences(function* ({ path, tree }) {
      if (path === 'lib/index.ts') return;
      if (path.endsWith('/index.ts')) yield 'is an index';
      const { statements } = tree;
      if (statements.every((one) => ts.isExportDeclaration(one) && one.moduleSpecifier)) yield 'only re-exports';
      if (statements.some((one) => ts.isExportDeclaration(one) && !one.exportClause)) yield 'has export *';
    });
    expect(found).toEqual([]);
  });

  it('index.ts has named exports only', () => {
    const { statements } = byPath.get('lib/index.ts')!.tree;
    expect(statements.filter((one) => ts.isExportDeclaration(one) && !one.exportClause)).toEqual([]);
  });

  it('no folder and no file is called utils, helpers or common', () => {
    expect(offences(({ path }) => path.match(/\b(utils?|helpers?|commons?|misc|shared)\b/i) ?? [])).toEqual([]);
  });

  it('none is longer than 300 lines, and half of them have no more than about 90', () => {
    expect(offences(({ lines }) => (lines > 300 ? [`${lines} lines`] : []))).toEqual([]);
    const lengths = lib.map(({ lines }) => lines).sort((a, b) => a - b);
    expect(lengths[Math.floor(lengths.length / 2)]).toBeLessThanOrEqual(100);
  });
});

it('no test is run alone', () => {
  const found = sourceFiles('test').flatMap(({ path, tree }) =>
    [...nodesOf(tree)].flatMap((node) =>
      ts.isPropertyAccessExpression(node) && node.name.text === 'only' && /^(it|test|describe)\b/.test(node.getText())
        ? [`${path}: ${node.getText()}`]
        : [],
    ),
  );
  expect(found).toEqual([]);
});

/** A global of this name in an expression, not a property or a parameter that happens to be called so. */
function isGlobal(node: ts.Node, name: string): boolean {
  if (!ts.isIdentifier(node) || node.text !== name) return false;
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isTypeReferenceNode(parent) || ts.isQualifiedName(parent)) return false;
  return !('name' in parent && parent.name === node);
}

function isMember(node: ts.Node, object: string, property: string): boolean {
  return ts.isPropertyAccessExpression(node) && isGlobal(node.expression, object) && node.name.text === property;
}

function isStaticState(node: ts.Node): node is ts.PropertyDeclaration {
  if (!ts.isPropertyDeclaration(node)) return false;
  const has = (kind: ts.SyntaxKind): boolean => node.modifiers?.some((modifier) => modifier.kind === kind) ?? false;
  return has(ts.SyntaxKind.StaticKeyword) && !has(ts.SyntaxKind.ReadonlyKeyword);
}

const CHANGES = [
  'set',
  'add',
  'delete',
  'clear',
  'push',
  'pop',
  'shift',
  'unshift',
  'splice',
  'sort',
  'reverse',
  'fill',
];

/** The name whose object this changes, if it does. */
function changedObject(node: ts.Node): string | null {
  if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
    const { expression, name } = node.expression;
    return CHANGES.includes(name.text) && ts.isIdentifier(expression) ? expression.text : null;
  }
  const target =
    ts.isBinaryExpression(node) && isAssignment(node.operatorToken.kind)
      ? node.left
      : ts.isDeleteExpression(node) || ts.isPostfixUnaryExpression(node)
        ? ts.isDeleteExpression(node)
          ? node.expression
          : node.operand
        : null;
  if (!target || !(ts.isPropertyAccessExpression(target) || ts.isElementAccessExpression(target))) return null;
  return ts.isIdentifier(target.expression) ? target.expression.text : null;
}

const isAssignment = (kind: ts.SyntaxKind): boolean =>
  kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;

/** Whether the spine has a `new Name(…)`. */
function makes(spine: string, name: string): boolean {
  return [...nodesOf(byPath.get(spine)!.tree)].some(
    (node) => ts.isNewExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === name,
  );
}

function cycles(): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, way: string[]): void => {
    const start = way.indexOf(path);
    if (start >= 0) return void found.push([...way.slice(start), path].join(' → '));
    if (done.has(path)) return;
    for (const { file } of byPath.get(path)?.imports ?? []) if (file) visit(file, [...way, path]);
    done.add(path);
  };
  for (const path of byPath.keys()) visit(path, []);
  return found;
}
