import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { readArguments } from '../../../lib/cli/arguments.js';
import { makeCertificateFolder } from '../../../lib/cli/certificate-folder.js';
import { reactors } from '../../support/reactor.js';

const system = reactors();
const ROOT = join(import.meta.dirname, '../../..');

/** The command in a process of its own, as its users run it. */
async function command(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const program = [join(ROOT, 'test/support/run-ts.mjs'), join(ROOT, 'lib/cli/job-reactor.ts'), ...args];
  const run = promisify(execFile)(process.execPath, program);
  return run.then(
    (output) => ({ ...output, code: 0 }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
}

const certificate = async (folder: string, name: string): Promise<X509Certificate> =>
  new X509Certificate(await readFile(join(folder, `${name}.pem`)));

describe('job-reactor secret', () => {
  it('prints 32 random bytes and nothing else', async () => {
    const [one, two] = await Promise.all([command('secret'), command('secret')]);
    expect(one).toMatchObject({ code: 0, stdout: expect.stringMatching(/^[\w-]{43}\n$/) as string, stderr: '' });
    expect(Buffer.from(one.stdout, 'base64url')).toHaveLength(32);
    expect(two.stdout).not.toBe(one.stdout);
  });
});

describe('job-reactor certs', () => {
  it('makes an authority, a distributor and nodes, which go together', async () => {
    const folder = join(await system.folder(), 'certs');
    const made = await command('certs', folder, '--distributor', 'jobs.example', '10.0.0.1', '--node', 'gpu', 'a b');
    expect(made).toMatchObject({ code: 0, stderr: '' });
    const files = ['ca', 'distributor', 'node-gpu', 'node-a%20b'].flatMap((name) => [`${name}-key.pem`, `${name}.pem`]);
    expect((await readdir(folder)).toSorted()).toEqual(files.toSorted());
    for (const file of files) {
      expect(made.stdout).toContain(`${join(folder, file)}\n`);
      expect((await stat(join(folder, file))).mode & 0o777).toBe(file.endsWith('-key.pem') ? 0o600 : 0o644);
    }
    expect((await stat(folder)).mode & 0o777).toBe(0o700);

    const ca = await certificate(folder, 'ca');
    expect(ca.ca).toBe(true);
    for (const name of ['distributor', 'node-gpu', 'node-a%20b']) {
      const one = await certificate(folder, name);
      expect([one.ca, one.checkIssued(ca), one.verify(ca.publicKey)]).toEqual([false, true, true]);
      const key = createPrivateKey(await readFile(join(folder, `${name}-key.pem`)));
      expect(one.checkPrivateKey(key)).toBe(true);
      const days = (Date.parse(one.validTo) - Date.now()) / 86_400_000;
      expect(Math.round(days)).toBe(365);
    }
    const distributor = await certificate(folder, 'distributor');
    expect(distributor.checkHost('jobs.example')).toBe('jobs.example');
    expect(distributor.checkIP('10.0.0.1')).toBe('10.0.0.1');
    expect((await certificate(folder, 'node-a%20b')).subjectAltName).toBe('URI:job-reactor:node:a%20b');
  });

  it('run again keeps what is there, and adds what is not', async () => {
    const folder = await system.folder();
    const request = { folder, hosts: ['localhost'], nodes: ['one'], days: 30 };
    await makeCertificateFolder(request, () => {});
    const before = await Promise.all((await readdir(folder)).map((file) => readFile(join(folder, file), 'utf8')));
    const told: string[] = [];
    await makeCertificateFolder({ ...request, nodes: ['one', 'two'] }, (line) => told.push(line));
    const after = await Promise.all((await readdir(folder)).map((file) => readFile(join(folder, file), 'utf8')));
    expect(after).toEqual(expect.arrayContaining(before));
    expect(after).toHaveLength(before.length + 2);
    expect(told.filter((line) => line.includes('is there'))).toHaveLength(3);
    const ca = await certificate(folder, 'ca');
    expect((await certificate(folder, 'node-two')).verify(ca.publicKey)).toBe(true);
  });

  it('writes over nothing: half a pair is told, and left alone', async () => {
    const folder = await system.folder();
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'ca.pem'), 'precious');
    const made = await command('certs', folder);
    expect(made.code).toBe(1);
    expect(made.stderr).toBe(
      `${join(folder, 'ca.pem')} is there without ${join(folder, 'ca-key.pem')}. Put the other one beside it, or take it away as well.\n`,
    );
    expect(await readdir(folder)).toEqual(['ca.pem']);
  });

  it('says which file it can not write', async () => {
    const folder = join(await system.folder(), 'file');
    await writeFile(folder, '');
    const made = await command('certs', folder);
    expect(made.code).toBe(1);
    expect(made.stderr).toMatch(/^(EEXIST|ENOTDIR): .*file'\n$/);
    await rm(folder);
  });
});

describe('the command line', () => {
  it.each([[], ['help'], ['--help'], ['-h']])('shows how it is used', (...args) => {
    expect(readArguments(args)).toEqual({ command: 'help' });
  });

  it('has defaults', () => {
    expect(readArguments(['certs', 'here'])).toEqual({
      command: 'certs',
      folder: 'here',
      hosts: ['localhost', '127.0.0.1'],
      nodes: [],
      days: 365,
    });
  });

  it('takes several of each, at once or one by one', () => {
    expect(
      readArguments(['certs', 'here', '--node', 'a', 'b', '--distributor', 'x', '--node', 'c', '--days', '7']),
    ).toEqual({ command: 'certs', folder: 'here', hosts: ['x'], nodes: ['a', 'b', 'c'], days: 7 });
  });

  it.each([
    [['secrets'], "There is no command 'secrets'."],
    [['secret', 'x'], "secret takes nothing more, not 'x'."],
    [['certs'], 'certs needs the folder to write to.'],
    [['certs', '--node', 'x'], 'certs needs the folder to write to.'],
    [['certs', 'here', 'there'], "'there' belongs to no option."],
    [['certs', 'here', '--nodes', 'x'], 'There is no option --nodes.'],
    [['certs', 'here', '--__proto__', 'x'], 'There is no option --__proto__.'],
    [['certs', 'here', '--days', '0'], '--days takes one whole number'],
    [['certs', 'here', '--days', '1', '2'], '--days takes one whole number'],
    [['certs', 'here', '--node', ''], '--node: a name has 1 to 200 characters'],
    [['certs', 'here', '--node', 'a\nb'], '--node: a name has 1 to 200 characters'],
  ])('says what is wrong with %j, and how it is used', (args, message) => {
    expect(() => readArguments(args)).toThrow(message);
    expect(() => readArguments(args)).toThrow('Usage:');
  });
});
