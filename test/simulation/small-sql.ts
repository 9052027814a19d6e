/*
 * As much SQL as the statements over leases, jobs and feedbacks take, so that the product's own statements run in a
 * simulated database: each text is read once and then runs over rows in memory. What it does not know it refuses.
 */

export type Value = string | number | boolean | null;
export type Row = Record<string, Value>;
/** Rows by id. */
export type Table = Map<string, Row>;

export interface Answer {
  rows: Row[];
  count: number;
}

/** What a statement runs on. `changing` is told of a row before it changes (undefined: before it is there). */
export interface Run {
  tables: Record<string, Table>;
  params: readonly Value[];
  now: number;
  changing: (table: Table, id: string, before: Row | undefined) => void;
}

type Statement = (run: Run) => Answer;
type Expression = (row: Row, run: Run) => Value;
type Select = (run: Run) => Row[];

/** How the database's clock is written. */
export const NOW = ':now';

const TOKEN = /\s*([A-Za-z_][\w.]*|\d+|\?|:now|<=|>=|<>|[=<>+\-(),*])/y;
const known = new Map<string, Statement>();

export function statement(sql: string): Statement {
  let made = known.get(sql);
  if (!made) known.set(sql, (made = new Reader(sql).statement()));
  return made;
}

class Reader {
  readonly #tokens: string[] = [];
  #at = 0;
  #params = 0;

  constructor(private readonly sql: string) {
    TOKEN.lastIndex = 0;
    const text = sql.trim();
    while (TOKEN.lastIndex < text.length) {
      const from = TOKEN.lastIndex;
      const match = TOKEN.exec(text);
      if (!match) throw new Error(`This SQL is not known here: ${text.slice(from)}`);
      this.#tokens.push(match[1]!);
    }
  }

  statement(): Statement {
    const made = this.#statement();
    if (this.#at < this.#tokens.length) throw this.#unknown();
    return made;
  }

  #statement(): Statement {
    if (this.#is('SELECT')) {
      const select = this.#select();
      return (run) => {
        const rows = select(run);
        return { rows, count: rows.length };
      };
    }
    if (this.#takes('INSERT')) return this.#insert();
    if (this.#takes('UPDATE')) return this.#update();
    if (this.#takes('DELETE')) return this.#delete();
    throw this.#unknown();
  }

  #select(): Select {
    this.#take('SELECT');
    const columns = this.#list(() => this.#column());
    this.#take('FROM');
    const from = this.#from();
    const where = this.#where();
    const order = this.#takes('ORDER') ? (this.#take('BY'), this.#list(() => nameOf(this.#next()))) : [];
    const limit = this.#takes('LIMIT') ? this.#sum() : undefined;
    if (this.#takes('FOR')) this.#take('UPDATE');
    const [only] = columns;
    const counts = columns.length === 1 && only!.counts;
    return (run) => {
      const rows = from(run).filter((row) => where(row, run));
      if (counts) return [{ [only!.name]: rows.length }];
      if (order.length > 0) rows.sort((a, b) => compared(a, b, order));
      const wanted = limit ? rows.slice(0, Number(limit({}, run))) : rows;
      return wanted.map((row) => Object.fromEntries(columns.map(({ name, value }) => [name, value(row, run)])));
    };
  }

  #column(): { name: string; value: Expression; counts: boolean } {
    const counts = this.#is('COUNT');
    const first = this.#tokens[this.#at]!;
    if (counts) this.#at += 4;
    const value: Expression = counts ? () => null : this.#sum();
    return { name: this.#takes('AS') ? this.#next() : nameOf(first), value, counts };
  }

  #from(): (run: Run) => Row[] {
    if (!this.#takes('(')) {
      const name = this.#next();
      return ({ tables }) => [...table(tables, name).values()];
    }
    const select = this.#select();
    this.#take(')');
    if (this.#takes('AS')) this.#next();
    return select;
  }

  #where(): (row: Row, run: Run) => boolean {
    if (!this.#takes('WHERE')) return () => true;
    const condition = this.#either();
    return (row, run) => condition(row, run) === true;
  }

  #insert(): Statement {
    this.#take('INTO');
    const name = this.#next();
    this.#take('(');
    const columns = this.#list(() => this.#next());
    this.#take(')');
    this.#take('VALUES');
    this.#take('(');
    const values = this.#list(() => this.#sum());
    this.#take(')');
    return (run) => {
      const rows = table(run.tables, name);
      const row = Object.fromEntries(columns.map((column, i) => [column, values[i]!({}, run)]));
      const id = row['id'] as string;
      if (rows.has(id)) throw new Error(`duplicate key: ${name} ${id}`);
      run.changing(rows, id, undefined);
      rows.set(id, row);
      return { rows: [], count: 1 };
    };
  }

  #update(): Statement {
    const name = this.#next();
    this.#take('SET');
    const sets = this.#list(() => {
      const column = nameOf(this.#next());
      this.#take('=');
      return { column, value: this.#sum() };
    });
    const where = this.#where();
    return (run) => {
      const rows = table(run.tables, name);
      let count = 0;
      for (const [id, row] of rows) {
        if (!where(row, run)) continue;
        run.changing(rows, id, row);
        rows.set(id, {
          ...row,
          ...Object.fromEntries(sets.map(({ column, value }) => [column, value(row, run)])),
        });
        count++;
      }
      return { rows: [], count };
    };
  }

  #delete(): Statement {
    this.#take('FROM');
    const name = this.#next();
    const where = this.#where();
    return (run) => {
      const rows = table(run.tables, name);
      const gone = [...rows].filter(([, row]) => where(row, run));
      for (const [id, row] of gone) {
        run.changing(rows, id, row);
        rows.delete(id);
      }
      return { rows: [], count: gone.length };
    };
  }

  #either(): Expression {
    const parts = [this.#both()];
    while (this.#takes('OR')) parts.push(this.#both());
    return parts.length === 1 ? parts[0]! : (row, run) => parts.some((part) => part(row, run) === true);
  }

  #both(): Expression {
    const parts = [this.#comparison()];
    while (this.#takes('AND')) parts.push(this.#comparison());
    return parts.length === 1 ? parts[0]! : (row, run) => parts.every((part) => part(row, run) === true);
  }

  #comparison(): Expression {
    const left = this.#sum();
    if (this.#takes('IN')) return this.#in(left);
    if (this.#takes('IS')) {
      const not = this.#takes('NOT');
      this.#take('NULL');
      return (row, run) => ((left(row, run) ?? null) === null) !== not;
    }
    const compares = COMPARISONS[this.#tokens[this.#at] ?? ''];
    if (!compares) return left;
    this.#at++;
    const right = this.#sum();
    return (row, run) => {
      const [a, b] = [left(row, run) ?? null, right(row, run) ?? null];
      return a === null || b === null ? null : compares(a, b);
    };
  }

  #in(left: Expression): Expression {
    this.#take('(');
    if (this.#is('SELECT')) {
      const select = this.#select();
      this.#take(')');
      return (row, run) => select(run).some((found) => Object.values(found)[0] === left(row, run));
    }
    const values = this.#list(() => this.#sum());
    this.#take(')');
    return (row, run) => values.some((value) => value(row, run) === left(row, run));
  }

  #sum(): Expression {
    let made = this.#term();
    for (;;) {
      const sign = this.#takes('+') ? 1 : this.#takes('-') ? -1 : 0;
      if (sign === 0) return made;
      const [left, right] = [made, this.#term()];
      made = (row, run) => Number(left(row, run)) + sign * Number(right(row, run));
    }
  }

  #term(): Expression {
    const token = this.#next();
    if (token === '(') {
      const inner = this.#either();
      this.#take(')');
      return inner;
    }
    if (token === '?') {
      const index = this.#params++;
      return (_, { params }) => params[index] ?? null;
    }
    if (token === NOW) return (_, { now }) => now;
    if (/^\d/.test(token)) return () => Number(token);
    if (token === 'TRUE' || token === 'FALSE') return () => (token === 'TRUE' ? 1 : 0);
    if (token === 'NULL') return () => null;
    if (!/^[a-z_]/.test(token)) throw this.#unknown();
    const name = nameOf(token);
    return (row) => row[name] ?? null;
  }

  #list<T>(read: () => T): T[] {
    const items = [read()];
    while (this.#takes(',')) items.push(read());
    return items;
  }

  #is(token: string): boolean {
    return this.#tokens[this.#at] === token;
  }

  #takes(token: string): boolean {
    if (!this.#is(token)) return false;
    this.#at++;
    return true;
  }

  #take(token: string): void {
    if (!this.#takes(token)) throw this.#unknown();
  }

  #next(): string {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw this.#unknown();
    return token;
  }

  #unknown(): Error {
    return new Error(`This SQL is not known here, near ${this.#tokens[this.#at] ?? 'its end'}: ${this.sql}`);
  }
}

type Comparable = string | number | boolean;
const COMPARISONS: Record<string, (a: Comparable, b: Comparable) => boolean> = {
  '=': (a, b) => a === b,
  '<>': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};

const nameOf = (token: string): string => token.slice(token.indexOf('.') + 1);

function table(tables: Record<string, Table>, name: string): Table {
  const found = tables[name];
  if (!found) throw new Error(`There is no table ${name}.`);
  return found;
}

function compared(a: Row, b: Row, columns: readonly string[]): number {
  for (const column of columns) {
    const [left, right] = [a[column] ?? null, b[column] ?? null];
    if (left === right || left === null || right === null) continue;
    return left < right ? -1 : 1;
  }
  return 0;
}
