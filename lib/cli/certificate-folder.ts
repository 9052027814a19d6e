import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { JobReactorError } from '../job-reactor.error.js';
import { nodeUri } from '../transport/certificate-names.js';
import { certificateAuthority, type Authority, type Certificate } from './make-certificates.js';

/** Ten years: what it signed has to be replaced with it. */
const AUTHORITY_DAYS = 3650;

export interface FolderRequest {
  folder: string;
  /** Names and addresses by which nodes dial distributors. */
  hosts: readonly string[];
  /** Names of nodes. */
  nodes: readonly string[];
  days: number;
}

/**
 * Writes what is missing: `ca.pem`, `distributor.pem`, `node-<name>.pem`, each with its `-key.pem` beside it that only
 * its owner may read. Tells of each file. @throws {JobReactorError} NO_X509, or INVALID_OPTIONS for half a pair
 */
export async function makeCertificateFolder(request: FolderRequest, tell: (line: string) => void): Promise<void> {
  const { folder, hosts, nodes, days } = request;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const earlier = await read(folder, 'ca');
  const authority = await certificateAuthority(AUTHORITY_DAYS, earlier);
  if (earlier) tell(`${join(folder, 'ca.pem')} is there and signs what is missing`);
  else await write(folder, 'ca', authority, tell);

  const missing = async (name: string, issue: (from: Authority) => Promise<Certificate>): Promise<void> => {
    if (await read(folder, name))
      return tell(`${join(folder, `${name}.pem`)} is there and stays; delete it and its key to have it made anew`);
    await write(folder, name, await issue(authority), tell);
  };
  await missing('distributor', (from) => from.issue({ commonName: 'distributor', hosts, use: 'distributor', days }));
  for (const name of nodes) {
    const issue = (from: Authority): Promise<Certificate> =>
      from.issue({ commonName: commonName(name), uris: [nodeUri(name)], use: 'node', days });
    await missing(`node-${encodeURIComponent(name)}`, issue);
  }
}

/** At most 64 characters are allowed there; the name that counts is in the URI. */
function commonName(name: string): string {
  return [...name].slice(0, 60).join('');
}

async function read(folder: string, name: string): Promise<Certificate | undefined> {
  const files = [join(folder, `${name}.pem`), join(folder, `${name}-key.pem`)];
  const [cert, key] = await Promise.all(files.map(readIfThere));
  if (cert !== undefined && key !== undefined) return { cert, key };
  if (cert === undefined && key === undefined) return undefined;
  const [there, missing] = cert === undefined ? [files[1], files[0]] : files;
  const message = `${there} is there without ${missing}. Put the other one beside it, or take it away as well.`;
  throw new JobReactorError('INVALID_OPTIONS', message);
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function write(
  folder: string,
  name: string,
  { cert, key }: Certificate,
  tell: (line: string) => void,
): Promise<void> {
  const files = [
    [join(folder, `${name}-key.pem`), key, 0o600],
    [join(folder, `${name}.pem`), cert, 0o644],
  ] as const;
  for (const [file, text, mode] of files) {
    // Whatever came there meanwhile: nothing is ever written over.
    await writeFile(file, text, { mode, flag: 'wx' });
    tell(file);
  }
}
