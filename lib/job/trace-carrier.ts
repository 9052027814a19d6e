/** What travels with a job so that a trace goes on where it runs: headers by name, as a propagator makes them. */
export type TraceCarrier = [name: string, value: string][];
