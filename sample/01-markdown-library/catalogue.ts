import Database from 'libsql';
import type { Outcome } from './indexing.js';

/** How the job of one file ended. */
export interface Row {
  job: string;
  file: string;
  node: string;
  attempts: number;
  /** It was running when its node was killed, so it was run again. */
  crashed: boolean;
  outcome: Outcome;
}

export interface Progress {
  done: number;
  /** Null until the scan has ended. */
  total: number | null;
}

/** The application's own database. Feedback comes at least once, so rows go by the job's id: twice is once. */
export class Catalogue {
  readonly #database: Database.Database;

  constructor(readonly path: string) {
    this.#database = new Database(path, { timeout: 5_000 });
    this.#database.exec('PRAGMA journal_mode = WAL');
    this.#database.exec('CREATE TABLE IF NOT EXISTS scans (job TEXT PRIMARY KEY, files INTEGER)');
    this.#database.exec('CREATE TABLE IF NOT EXISTS files (job TEXT PRIMARY KEY, row TEXT)');
  }

  addScan(job: string, files: number): void {
    this.#database.prepare('INSERT OR IGNORE INTO scans VALUES (?, ?)').run(job, files);
  }

  addFile(row: Row): void {
    this.#database.prepare('INSERT OR IGNORE INTO files VALUES (?, ?)').run(row.job, JSON.stringify(row));
  }

  progress(): Progress {
    const { done, total } = this.#database
      .prepare('SELECT (SELECT count(*) FROM files) AS done, (SELECT sum(files) FROM scans) AS total')
      .get() as Progress;
    return { done, total };
  }

  rows(): Row[] {
    const rows = this.#database.prepare('SELECT row FROM files').all() as { row: string }[];
    return rows.map(({ row }) => JSON.parse(row) as Row);
  }

  close(): void {
    this.#database.close();
  }
}
