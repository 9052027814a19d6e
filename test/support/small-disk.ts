import { execFile } from 'node:child_process';
import { chown, cp, mkdir, readdir, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { PrivateServer } from './private-server.js';

const run = promisify(execFile);
const MEGABYTES = 12;

/** A disk of its own for one database of a private server. */
export interface SmallDisk {
  /** Takes all the room there is, but for so many KiB. */
  fill(left?: number): Promise<void>;
  /** Gives it back. */
  empty(): Promise<void>;
  /** Once nobody uses the database any more. */
  end(): Promise<void>;
}

/** Puts a database that has no tables yet on a small disk; a reason where none can be made, as by whoever isn't root. */
export async function onSmallDisk(server: PrivateServer, database: string): Promise<SmallDisk | { reason: string }> {
  const disk = join(server.folder, `small-${database}`);
  await mkdir(disk);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${MEGABYTES}m`, 'tmpfs', disk]);
  } catch (error) {
    return { reason: `no small disk can be made here: ${(error as Error).message}` };
  }
  const owned = async (path: string): Promise<void> => {
    if (server.user) await chown(path, server.user.uid, server.user.gid);
  };
  await owned(disk);
  if (server.kind === 'postgres') {
    await server.query(`CREATE TABLESPACE small_${database} LOCATION '${disk}'`);
    await server.query(`ALTER DATABASE ${database} SET default_tablespace = small_${database}`);
  } else {
    // Its folder is elsewhere from now on; the logs of the server, and what it needs for a rollback, are not.
    const [folder, moved] = [join(server.folder, 'data', database), join(disk, database)];
    await cp(folder, moved, { recursive: true });
    for (const path of [moved, ...(await readdir(moved)).map((name) => join(moved, name))]) await owned(path);
    await rm(folder, { recursive: true });
    await symlink(moved, folder);
  }
  const filler = join(disk, 'filler');
  return {
    async fill(left = 0) {
      await writeFile(filler, Buffer.alloc((MEGABYTES + 1) * 1024 * 1024)).catch(() => undefined);
      if (left > 0) await truncate(filler, (await stat(filler)).size - left * 1024);
    },
    empty: () => rm(filler),
    async end() {
      // Started again after a crash, MariaDB would miss the tables.
      if (server.kind === 'mysql') await server.query(`DROP DATABASE ${database}`);
      // A file system in use goes when its last user does.
      await run('umount', ['-l', disk]);
    },
  };
}
