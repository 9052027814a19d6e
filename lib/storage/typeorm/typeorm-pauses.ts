import type { Pause, PauseKind } from '../../job/pause-book.js';
import type { PauseRows } from '../pause-rows.js';
import type { Dialect } from './dialect.js';
import type { Row } from './job-rows.js';
import { nameId } from './name-id.js';

const COLUMNS = 'id, kind, name, paused, changed_at';
/** More than are ever in memory; they are few. */
const LIMIT = 10_000;

/** What is paused, in a database: written when somebody says so, read at a start. */
export class TypeOrmPauses implements PauseRows {
  constructor(private readonly dialect: Dialect) {}

  async list(): Promise<Pause[]> {
    const sql = `SELECT ${COLUMNS} FROM ${this.table} ORDER BY changed_at DESC LIMIT ${LIMIT}`;
    return (await this.dialect.all(sql, [])).map(toPause);
  }

  async put(words: readonly Pause[]): Promise<void> {
    for (const word of words) {
      if (await this.change(word)) continue;
      if (!(await this.isThere(word)) && (await this.insert(word))) continue;
      // Somebody else was faster, with a word that may be an earlier one.
      await this.change(word);
    }
  }

  private async change(word: Pause): Promise<boolean> {
    const { paused, changedAt } = word;
    const sql = `UPDATE ${this.table} SET paused = ${bool(paused)}, changed_at = ? WHERE id = ? AND changed_at < ?`;
    return (await this.dialect.commitWith({ sql, params: [changedAt, idOf(word), changedAt] }, [])) !== null;
  }

  /** False when it is there already: the primary key refuses it, for which each database has an error of its own. */
  private async insert(word: Pause): Promise<boolean> {
    const { kind, name, paused, changedAt } = word;
    const sql = `INSERT INTO ${this.table} (${COLUMNS}) VALUES (?, ?, ?, ${bool(paused)}, ?)`;
    try {
      return (await this.dialect.commitWith({ sql, params: [idOf(word), kind, name, changedAt] }, [])) !== null;
    } catch (error) {
      if (await this.isThere(word)) return false;
      throw error;
    }
  }

  private async isThere(word: Pause): Promise<boolean> {
    return (await this.dialect.all(`SELECT id FROM ${this.table} WHERE id = ?`, [idOf(word)])).length > 0;
  }

  private get table(): string {
    return this.dialect.tables.pauses;
  }
}

const bool = (value: boolean): string => (value ? 'TRUE' : 'FALSE');

const idOf = ({ kind, name }: Pause): string => nameId(kind, name);

function toPause(row: Row): Pause {
  const [kind, name] = [row['kind'] as PauseKind, row['name'] as string];
  return { kind, name, paused: Boolean(row['paused']), changedAt: Number(row['changed_at']) };
}
