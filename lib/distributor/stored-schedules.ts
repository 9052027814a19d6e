import type { Clock } from '../clock.js';
import { scheduleId } from '../job/schedule-ids.js';
import type { ScheduleDraft, ScheduleGateway } from '../job/schedule-gateway.js';
import { changedSchedule, pausedSchedule, type NewSchedule, type StoredSchedule } from '../job/schedule.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { ScheduleRows, ScheduleWrite } from '../storage/job-storage.js';

const PAGE = 1_000;
/** Changes by others that one change may come after. */
const TRIES = 20;

export interface StoredSchedulesParts {
  distributor: string;
  /** Known once the outbox is open; null where it keeps none. */
  rows: () => ScheduleRows | null;
  /** Resolves when the outbox is open. @throws STOPPED, STORAGE */
  open: () => Promise<void>;
  draft: (schedule: StoredSchedule) => Promise<ScheduleDraft>;
  /** As it is now, whether it was changed here or not. */
  changed: (schedule: StoredSchedule) => void;
  gone: (id: string) => void;
  clock: Clock;
}

/** The schedules in the outbox. Whoever changes one says which revision it saw, and looks again if that was not the last. */
export class StoredSchedules implements ScheduleGateway {
  readonly #parts: StoredSchedulesParts;

  constructor(parts: StoredSchedulesParts) {
    this.#parts = parts;
  }

  async put(wanted: NewSchedule): Promise<StoredSchedule> {
    const { distributor, clock } = this.#parts;
    const id = this.#id(wanted.key);
    const fresh = (): Parameters<typeof changedSchedule>[2] => ({ id, distributor, now: clock.now() });
    const put = await this.#change(id, wanted.key, (known) => changedSchedule(wanted, known, fresh()));
    return put as StoredSchedule;
  }

  async get(key: string): Promise<StoredSchedule | null> {
    return (await this.#rows()).get(this.#id(key));
  }

  async list(): Promise<StoredSchedule[]> {
    const rows = await this.#rows();
    const all: StoredSchedule[] = [];
    for (let after: string | null = null, more = true; more;) {
      const page: StoredSchedule[] = await rows.list(this.#parts.distributor, { after, limit: PAGE });
      all.push(...page);
      after = page.at(-1)?.id ?? null;
      more = page.length === PAGE;
    }
    return all.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  pause(key: string, paused: boolean): Promise<StoredSchedule | null> {
    const change = (known: StoredSchedule | null): StoredSchedule | null =>
      known && pausedSchedule(known, paused, this.#parts.clock.now());
    return this.#change(this.#id(key), key, change);
  }

  async remove(key: string): Promise<boolean> {
    const rows = await this.#rows();
    const id = this.#id(key);
    for (let tries = 0; tries < TRIES; tries++) {
      const known = await rows.get(id);
      const stale =
        known && (await rows.commit({ id, revision: known.revision, schedule: null, jobs: [] })) === 'stale';
      if (stale) continue;
      this.#parts.gone(id);
      return known !== null;
    }
    throw restless(key);
  }

  async draft(key: string): Promise<ScheduleDraft | null> {
    const row = await this.get(key);
    return row && this.#parts.draft(row);
  }

  /** Another process fired it or changed it. */
  async lookAgain(id: string): Promise<void> {
    const row = await (await this.#rows()).get(id);
    if (row) this.#parts.changed(row);
    else this.#parts.gone(id);
  }

  async commit(write: ScheduleWrite): ReturnType<ScheduleRows['commit']> {
    return (await this.#rows()).commit(write);
  }

  /** Whether the outbox, which is open, keeps schedules. */
  get kept(): boolean {
    return this.#parts.rows() !== null;
  }

  /** @throws {JobReactorError} NO_SCHEDULES */
  assertKept(): void {
    if (this.kept) return;
    const why = 'The storage given as `distributor.outbox` keeps no schedules: it has no `schedules`.';
    throw new JobReactorError('NO_SCHEDULES', `${why} Give it that part, or use a database or memory.`);
  }

  async #change(
    id: string,
    key: string,
    change: (known: StoredSchedule | null) => StoredSchedule | null,
  ): Promise<StoredSchedule | null> {
    const rows = await this.#rows();
    for (let tries = 0; tries < TRIES; tries++) {
      const known = await rows.get(id);
      const schedule = change(known);
      const revision = known?.revision ?? 0;
      if (schedule && (await rows.commit({ id, revision, schedule, jobs: [] })) === 'stale') continue;
      const row = schedule ?? known;
      if (row) this.#parts.changed(row);
      return row;
    }
    throw restless(key);
  }

  #id(key: string): string {
    return scheduleId(this.#parts.distributor, key);
  }

  async #rows(): Promise<ScheduleRows> {
    await this.#parts.open();
    this.assertKept();
    return this.#parts.rows() as ScheduleRows;
  }
}

const restless = (key: string): JobReactorError =>
  new JobReactorError('STORAGE', `The schedule '${key}' was changed by others again and again. Try it again.`);
