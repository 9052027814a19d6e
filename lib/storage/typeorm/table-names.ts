/** Our tables as a statement names them: quoted, with schema and prefix. */
export interface TableNames {
  readonly jobs: string;
  readonly feedbacks: string;
  readonly tombstones: string;
  readonly storage: string;
  readonly leases: string;
  readonly schedules: string;
  readonly pauses: string;
  readonly keys: string;
  readonly places: string;
}

export interface TablePlace {
  /** TypeORM's `entityPrefix`. */
  readonly prefix: string;
  /** PostgreSQL's, else undefined: where the connection's search path leads. */
  readonly schema: string | undefined;
}

export function tableNames(place: TablePlace, quote: '"' | '`'): TableNames {
  const quoted = (name: string): string => `${quote}${name.replaceAll(quote, quote + quote)}${quote}`;
  const table = (name: string): string => {
    const own = quoted(`${place.prefix}job_reactor_${name}`);
    return place.schema === undefined ? own : `${quoted(place.schema)}.${own}`;
  };
  return {
    jobs: table('jobs'),
    feedbacks: table('feedbacks'),
    tombstones: table('tombstones'),
    storage: table('storage'),
    leases: table('leases'),
    schedules: table('schedules'),
    pauses: table('pauses'),
    keys: table('keys'),
    places: table('places'),
  };
}
