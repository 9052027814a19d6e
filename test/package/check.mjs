/*
 * The package as its users get it: packed, installed with the README's own lines into an empty Nest project, its types
 * resolved in every way TypeScript has, the README's example compiled and run, and what is missing told as it should be.
 * Needs nothing but npm: node test/package/check.mjs
 */
import { execFile, spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const ROOT = resolve(import.meta.dirname, '../..');
const manifest = createRequire(import.meta.url)('../../package.json');
const README = await readFile(join(ROOT, 'README.md'), 'utf8');
/** The parts of a Nest application, which the README takes for granted, and what compiles it. */
const NEST = ['@nestjs/common', '@nestjs/core', 'reflect-metadata', 'rxjs'];
const COMPILER = ['typescript', '@types/node'];
/** What every compilation of a user's code here has. */
const STRICT = {
  target: 'ES2023',
  strict: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  types: ['node'],
  skipLibCheck: true,
};
const hasNodeSqlite = process.getBuiltinModule?.('node:sqlite') !== undefined;

const work = await mkdtemp(join(tmpdir(), 'job-reactor-package-'));
const project = join(work, 'project');
const programs = new Set();
try {
  const tarball = await pack();
  await install(tarball);
  const port = await freePort();
  await writeExample(port);
  await compile();
  await readsItsTypesEverywhere('with TypeORM');
  await runsTheExample();
  await makesSecretsAndCertificates();
  await saysThatADriverIsMissing();
  await saysThatTypeormIsMissing();
  await readsItsTypesEverywhere('without it');
  await needsNeitherForMemory();
} finally {
  await Promise.all([...programs].map((program) => program.kill()));
  await rm(work, { recursive: true, force: true });
}

/** Only what users need, and no source map without its source. */
async function pack() {
  const [packed] = Object.values(JSON.parse(await npm(ROOT, 'pack', '--json', '--pack-destination', work)));
  const paths = packed.files.map(({ path }) => path);
  const allowed =
    /^(dist\/[\w/.-]+\.(js|js\.map|d\.ts)|docs\/[\w-]+\.md|lib\/protocol\/README\.md|[A-Z]+(\.md)?|package\.json)$/;
  const strange = paths.filter((path) => !allowed.test(path) || /(^|\/)(test|sample|bench)\/|\.test\./.test(path));
  if (strange.length > 0) fail(`the package holds what no user needs: ${strange.join(', ')}`);
  const needed = ['dist/index.js', 'dist/index.d.ts', 'README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md'];
  const missing = needed.filter((path) => !paths.includes(path));
  if (missing.length > 0) fail(`not in the package: ${missing.join(', ')}`);
  for (const path of paths.filter((name) => name.endsWith('.js.map'))) {
    const { sourcesContent } = JSON.parse(await readFile(join(ROOT, path), 'utf8'));
    if (!sourcesContent?.every(Boolean)) fail(`${path} points to sources that the package does not have`);
  }
  passed(`${paths.length} files, ${Math.round(packed.size / 1000)} kB packed`);
  return join(work, basename(packed.filename));
}

/** An empty Nest project, then the lines of the README as they stand there, with the tarball for the package. */
async function install(tarball) {
  await mkdir(project, { recursive: true });
  await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  await npm(project, 'install', ...NEST.map(asDeveloped));
  await npm(project, 'install', '--save-dev', ...COMPILER.map(asDeveloped));
  const section = /## Install\n[\s\S]*?```\n([\s\S]*?)```/.exec(README)?.[1] ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('npm i '));
  if (!lines[0]?.includes(` ${manifest.name} `)) fail('the README has no line that installs the package');
  for (const line of lines) {
    const names = line.replace(/#.*/, '').trim().split(/\s+/).slice(2);
    await npm(project, 'install', ...names.map((name) => (name === manifest.name ? tarball : name)));
  }
  passed('installed with the lines of the README');
}

/** As this repository has it: the check is of our package, not of what was published elsewhere today. */
function asDeveloped(name) {
  return `${name}@${manifest.devDependencies[name]}`;
}

async function writeExample(port) {
  const blocks = [...README.matchAll(/```ts\n(\/\/ (\w+\.ts)\b[\s\S]*?)```/g)];
  if (blocks.length < 3) fail('the README has no complete example');
  for (const [, code, name] of blocks)
    await writeFile(join(project, name), code.replaceAll('port: 5000', `port: ${port}`));
  const memory = (await readFile(join(project, 'worker.ts'), 'utf8')).replace(/storage: \{.*?\}/, "storage: 'memory'");
  await writeFile(join(project, 'memory-worker.ts'), memory);
  await writeFile(
    join(project, 'required.cts'),
    "import { defineJob } from 'nestjs-job-reactor';\nimport { JobReactorTestingModule } from 'nestjs-job-reactor/testing';\n" +
      "export const job = defineJob('a');\nexport const kit = JobReactorTestingModule.forRoot();\n",
  );
}

async function compile() {
  await tsc('tsconfig.json', { ...STRICT, module: 'nodenext', outDir: 'dist', rootDir: '.' });
  passed('the example of the README compiles, and so does a CommonJS file');
}

/** Each resolution finds the types, and without `skipLibCheck` none of our declarations is wrong or lacks anything. */
async function readsItsTypesEverywhere(how) {
  for (const [module, moduleResolution] of [
    ['node16', 'node16'],
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
    ['preserve', 'bundler'],
  ]) {
    const options = { ...STRICT, module, moduleResolution, noEmit: true, skipLibCheck: false };
    await tsc(`tsconfig.${module}.json`, options, ['*.ts'], (line) => /^[\w.-]+\.ts|nestjs-job-reactor/.test(line));
  }
  passed(`types resolve under node16, nodenext and bundler, ${how}`);
}

async function runsTheExample() {
  const app = start('app.js');
  await app.says('listens on');
  const worker = start('worker.js');
  await worker.says(hasNodeSqlite ? 'node:sqlite' : 'libsql');
  await worker.says('attempt 1: cat.png to 640 pixels');
  await worker.says('recorded cat.png');
  await app.says('resized cat.png');
  await app.says('640000 bytes');
  await worker.stop();
  await app.stop();
  passed(`the example of the README runs on Node ${process.version} with ${hasNodeSqlite ? 'node:sqlite' : 'libsql'}`);
}

async function makesSecretsAndCertificates() {
  const command = (...args) => run('npx', ['--no-install', 'job-reactor', ...args], project);
  const secret = await command('secret');
  if (secret.failed || !/^[\w-]{43}\n$/.test(secret.stdout)) fail(`npx job-reactor secret: ${secret.stderr}`);
  const made = await command('certs', 'certs', '--distributor', 'jobs.example', '--node', 'pictures');
  if (made.failed) fail(`npx job-reactor certs: ${made.stderr}`);
  for (const name of ['ca', 'distributor', 'node-pictures']) {
    const [cert, key] = await Promise.all(
      [`${name}.pem`, `${name}-key.pem`].map((file) => readFile(join(project, 'certs', file))),
    );
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) fail(`${name}: the key is of another`);
  }
  await npm(project, 'uninstall', '@peculiar/x509');
  const missing = await command('certs', 'others');
  if (!missing.failed || !missing.stderr.includes('npm install --save-dev @peculiar/x509'))
    fail(`npx job-reactor certs without @peculiar/x509 said: ${missing.stderr}`);
  passed('npx job-reactor makes secrets, and certificates where @peculiar/x509 is installed');
}

async function saysThatADriverIsMissing() {
  await npm(project, 'uninstall', 'libsql');
  const worker = start('worker.js');
  if (hasNodeSqlite) {
    await worker.says('node:sqlite');
    await worker.stop();
    return passed('node:sqlite needs no driver');
  }
  await worker.fails('No SQLite driver works here');
  for (const part of ['NO_SQLITE_DRIVER', 'npm install libsql', 'npm install better-sqlite3', 'Node 22.13'])
    worker.said(part);
  passed('a missing driver is told with what to install');
}

async function saysThatTypeormIsMissing() {
  await npm(project, 'uninstall', 'typeorm');
  const worker = start('worker.js');
  await worker.fails('npm install typeorm');
  passed('a missing TypeORM is told with what to install');
}

async function needsNeitherForMemory() {
  const app = start('app.js');
  await app.says('listens on');
  const worker = start('memory-worker.js');
  await app.says('640000 bytes');
  await worker.stop();
  await app.stop();
  passed('memory needs neither TypeORM nor a driver');
}

/** A program of the project. What it says is remembered; each wait has a deadline. */
function start(file) {
  const child = spawn(process.execPath, [join(project, 'dist', file)], {
    cwd: project,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = once(child, 'exit');
  let output = '';
  let wake = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk) => {
      output += chunk;
      wake();
    });
  }
  const within = (promise, what) => {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${file}: no ${what} within 60 s. It said:\n${output}`)), 60_000);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
  };
  const heard = async (text) => {
    while (!output.includes(text)) await new Promise((resolve) => (wake = resolve));
  };
  const program = {
    says: (text) => within(heard(text), `'${text}'`),
    said(text) {
      if (!output.includes(text)) fail(`${file} did not say '${text}', but:\n${output}`);
    },
    async fails(text) {
      const [code] = await within(exit, 'end');
      if (code === 0) fail(`${file} ended well, although it can't work:\n${output}`);
      program.said(text);
    },
    async stop() {
      child.kill('SIGTERM');
      await within(exit, 'end after SIGTERM');
      programs.delete(program);
    },
    async kill() {
      child.kill('SIGKILL');
      await exit;
    },
  };
  programs.add(program);
  return program;
}

async function tsc(name, compilerOptions, include = ['*.ts', '*.cts'], counts = () => true) {
  await writeFile(join(project, name), JSON.stringify({ compilerOptions, include }));
  const compiler = join(project, 'node_modules/typescript/bin/tsc');
  const { stdout, failed } = await run(process.execPath, [compiler, '-p', name], project);
  const wrong = stdout.split('\n').filter((line) => line.includes('error TS') && counts(line));
  if (wrong.length > 0) fail(`${name}:\n${wrong.join('\n')}`);
  if (failed && !stdout.includes('error TS')) fail(`${name}: ${stdout}`);
}

async function npm(cwd, command, ...args) {
  const quiet = ['--no-audit', '--no-fund', '--loglevel', 'error'];
  const { stdout, stderr, failed } = await run('npm', [command, ...quiet, ...args], cwd);
  if (failed) fail(`npm ${command} ${args.join(' ')}:\n${stdout}${stderr}`);
  return stdout;
}

async function run(file, args, cwd) {
  const options = { cwd, maxBuffer: 64 * 1024 * 1024, timeout: 300_000 };
  return promisify(execFile)(file, args, options).then(
    (output) => ({ ...output, failed: false }),
    (error) => ({ stdout: error.stdout ?? '', stderr: error.stderr || error.message, failed: true }),
  );
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

function passed(what) {
  console.log(`ok  ${what}`);
}

function fail(why) {
  throw new Error(why);
}
