import { JobReactorError } from '../job-reactor.error.js';

export const USAGE = `Usage:
  job-reactor secret
      Prints a secret for \`auth: { secret }\`: 32 random bytes as 43 characters.

  job-reactor certs <folder> [--distributor <host>…] [--node <name>…] [--days <days>]
      Makes an authority (once), a certificate for distributors that are dialled by these host names or addresses
      (default: localhost 127.0.0.1), and one for each node (default: none). What is there already stays: run it
      again to add nodes, delete a certificate and its key to have them made anew. Needs the package @peculiar/x509.

Steps to a safe set-up: docs/security.md of the package nestjs-job-reactor.
`;

export type Command =
  | { command: 'help' }
  | { command: 'secret' }
  | { command: 'certs'; folder: string; hosts: string[]; nodes: string[]; days: number };

/** Reads a command line. @throws {JobReactorError} INVALID_OPTIONS with what is wrong, and the usage */
export function readArguments(args: readonly string[]): Command {
  const [command, ...rest] = args;
  if (command === undefined || ['help', '--help', '-h'].includes(command)) return { command: 'help' };
  if (command === 'secret')
    return rest.length === 0 ? { command } : refuse(`secret takes nothing more, not '${rest[0]}'.`);
  if (command !== 'certs') return refuse(`There is no command '${command}'.`);
  const [folder, ...options] = rest;
  if (folder === undefined || folder.startsWith('-')) return refuse('certs needs the folder to write to.');
  const values: Record<string, string[]> = { '--distributor': [], '--node': [], '--days': [] };
  let current: string[] | undefined;
  for (const word of options) {
    if (word.startsWith('--'))
      current = Object.hasOwn(values, word) ? values[word] : refuse(`There is no option ${word}.`);
    else if (current === undefined) return refuse(`'${word}' belongs to no option.`);
    else current.push(word);
  }
  const [days = '365', ...more] = values['--days'] as string[];
  if (more.length > 0 || !/^[1-9]\d{0,4}$/.test(days)) return refuse('--days takes one whole number of at least 1.');
  const hosts = values['--distributor'] as string[];
  return {
    command,
    folder,
    hosts: hosts.length > 0 ? hosts : ['localhost', '127.0.0.1'],
    nodes: (values['--node'] as string[]).map(readNodeName),
    days: Number(days),
  };
}

function readNodeName(name: string): string {
  if (/^[^\p{Cc}\p{Cs}]{1,200}$/u.test(name)) return name;
  return refuse(`--node: a name has 1 to 200 characters and none that control something.`);
}

function refuse(message: string): never {
  throw new JobReactorError('INVALID_OPTIONS', `${message}\n\n${USAGE}`);
}
