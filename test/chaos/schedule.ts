import type { Failpoint } from './chaos-storage.js';
import { randomFrom } from './load.js';

/** What is killed in one cycle. */
export type Victim = 'application' | 'node' | 'both' | 'database';

/** What happens beside the kills and passes by itself. */
export type Weather =
  | { what: 'freeze'; whom: 'application' | number; milliseconds: number }
  | { what: 'cut' | 'reset'; whom: number }
  | { what: 'blackhole' | 'delay' | 'slices' | 'throttle'; whom: number; milliseconds: number }
  | { what: 'database cut' }
  | { what: 'commit reply lost'; whom: 'application' | number }
  | { what: 'database frozen'; milliseconds: number };

/** One kill -9, and what goes with it. */
export interface Cycle {
  /** Milliseconds before it. */
  after: number;
  weather: Weather | null;
  victim: Victim;
  /** Which of the nodes. */
  node: number;
  /** Null: whenever it is. */
  failpoint: Failpoint | 'feedback' | null;
  /** Milliseconds until it is started again; of two the first may come back after the second. */
  down: [number, number];
  /** The next kill does not wait until it runs again. */
  impatient: boolean;
}

export interface ScheduleSettings {
  seed: number;
  cycles: number;
  nodes: number;
  /** Milliseconds between one start and the next kill, about. */
  pace: number;
  server: boolean;
  /** The database is the run's own: it may be killed and frozen. */
  ownServer: boolean;
}

const NODE_POINTS: Failpoint[] = (['insert', 'start', 'again', 'end', 'forget'] as const).flatMap((kind) => [
  { kind, when: 'before' },
  { kind, when: 'after' },
]);
const OUTBOX_POINTS: Failpoint[] = (['insert', 'assign', 'release'] as const).flatMap((kind) => [
  { kind, when: 'before' },
  { kind, when: 'after' },
]);

/** The whole schedule, decided by the seed before anything runs. */
export function scheduleOf(settings: ScheduleSettings): Cycle[] {
  const random = randomFrom(`schedule ${settings.seed}`);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const between = (least: number, most: number): number => Math.floor(least + random() * (most - least));
  const anyone = (): 'application' | number => (random() < 0.4 ? 'application' : between(0, settings.nodes));

  const weather = (): Weather => {
    const whom = between(0, settings.nodes);
    const milliseconds = between(300, 2_500);
    const network: Weather[] = [
      { what: 'cut', whom },
      { what: 'reset', whom },
      { what: 'blackhole', whom, milliseconds },
      { what: 'delay', whom, milliseconds },
      { what: 'slices', whom, milliseconds },
      { what: 'throttle', whom, milliseconds },
      { what: 'freeze', whom: anyone(), milliseconds },
    ];
    const server: Weather[] = [{ what: 'database cut' }, { what: 'commit reply lost', whom: anyone() }];
    const own: Weather[] = [{ what: 'database frozen', milliseconds }];
    return pick([...network, ...(settings.server ? server : []), ...(settings.ownServer ? own : [])]);
  };

  return Array.from({ length: settings.cycles }, (_, index): Cycle => {
    const victims: Victim[] = ['node', 'node', 'application', 'both'];
    if (settings.ownServer) victims.push('database');
    // Each kind in turn, so that a short run has them all.
    const victim = victims[index % victims.length] as Victim;
    const failpoint =
      random() < 0.5
        ? null
        : victim === 'node'
          ? pick(NODE_POINTS)
          : victim === 'application'
            ? pick<Failpoint | 'feedback'>([...OUTBOX_POINTS, 'feedback'])
            : null;
    return {
      after: between(settings.pace / 4, settings.pace * 1.5),
      weather: random() < 0.4 ? weather() : null,
      victim,
      node: between(0, settings.nodes),
      failpoint,
      down: [between(0, 600), between(0, 600)],
      impatient: random() < 0.15,
    };
  });
}
