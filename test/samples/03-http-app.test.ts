import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { within } from '../support/deadline.js';
import { program } from '../support/program.js';
import { eventually } from '../support/reactor.js';

const PROGRAM = join(import.meta.dirname, '../../sample/03-http-app/main.ts');

interface Started {
  url: string;
  stop(): Promise<unknown>;
}

/** The sample in a process of its own, on a free port. */
async function start(database: string): Promise<Started> {
  const sample = program(PROGRAM, ['0', database]);
  const line = await sample.says('Open for reports on');
  return { url: `${/http:\S+/.exec(line)?.[0]}/reports`, stop: () => sample.kill('SIGTERM') };
}

describe('sample 03, over real HTTP', () => {
  let folder: string;
  let app: Started;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'http-app-'));
    app = await start(join(folder, 'reports.sqlite'));
  });
  afterAll(async () => {
    await app.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const post = (body: unknown): Promise<Response> =>
    fetch(app.url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const enqueue = async (rows: number): Promise<string> => {
    const answer = await post({ title: 'July', rows });
    expect(answer.status).toBe(202);
    return ((await answer.json()) as { id: string }).id;
  };
  const get = async (id: string): Promise<Record<string, unknown>> =>
    (await (await fetch(`${app.url}/${id}`)).json()) as Record<string, unknown>;
  /** All events to the end of the stream. */
  const events = async (id: string): Promise<{ type: string; data: Record<string, unknown> }[]> => {
    const answer = await fetch(`${app.url}/${id}/progress`, { headers: { accept: 'text/event-stream' } });
    expect(answer.headers.get('content-type')).toContain('text/event-stream');
    const text = await within(answer.text(), 'the end of the stream', 60_000);
    return [...text.matchAll(/event: (.*)\n(?:id: .*\n)?data: (.*)/g)].map(([, type = '', data = '']) => ({
      type,
      data: JSON.parse(data) as Record<string, unknown>,
    }));
  };

  it('POST enqueues, GET shows the status, and at the end the result', async () => {
    const id = await enqueue(1_000);
    expect(['queued', 'running', 'succeeded']).toContain((await get(id))['status']);
    await eventually('the report is made', async () => (await get(id))['status'] === 'succeeded');
    expect(await get(id)).toEqual({ id, status: 'succeeded', result: { title: 'July', rows: 1_000, sum: 500_500 } });
  });

  it('tells the progress as server-sent events, in order, and then the end', async () => {
    const told = await events(await enqueue(3_000));
    const progress = told.filter(({ type }) => type === 'progress').map(({ data }) => data['done'] as number);
    expect(progress.length).toBeGreaterThan(5);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    expect(progress.at(-1)).toBe(3_000);
    expect(told.at(-1)).toMatchObject({ type: 'end', data: { status: 'succeeded', result: { sum: 4_501_500 } } });
  });

  it('tells only the end of a report that has ended', async () => {
    const id = await enqueue(1);
    await eventually('the report is made', async () => (await get(id))['status'] === 'succeeded');
    await eventually('only the end is told', async () => (await events(id)).length === 1);
    expect(await events(id)).toMatchObject([{ type: 'end', data: { status: 'succeeded' } }]);
  });

  it('DELETE cancels it while it runs', async () => {
    const id = await enqueue(1_000_000);
    await eventually('it runs', async () => (await get(id))['status'] === 'running');
    const ended = events(id);
    const answer = await fetch(`${app.url}/${id}`, { method: 'DELETE' });
    expect(await answer.json()).toEqual({ answer: 'cancelled' });
    expect((await ended).at(-1)).toMatchObject({ type: 'end', data: { status: 'cancelled' } });
  });

  it('answers 400 to what the schema refuses, 404 to an id nobody knows', async () => {
    const refused = await post({ title: 'July', rows: 0 });
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ code: 'ARGS_INVALID', message: expect.stringContaining('rows') });
    const unknown = await fetch(`${app.url}/018f0000-0000-7000-8000-000000000001`);
    expect(unknown.status).toBe(404);
  });

  it('shows after a restart what was made before it', async () => {
    const id = await enqueue(100);
    await eventually('the report is made', async () => (await get(id))['status'] === 'succeeded');
    expect(await app.stop()).toMatchObject({ signal: 'SIGTERM' });
    app = await start(join(folder, 'reports.sqlite'));
    await eventually('it is shown', async () => (await get(id))['status'] === 'succeeded');
    expect(await get(id)).toMatchObject({ result: { sum: 5_050 } });
  });
});
