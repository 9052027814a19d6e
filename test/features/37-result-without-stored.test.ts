import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { OnSuccessFeedback } from '../../lib/index.js';
import { signal } from '../support/deadline.js';
import { nodesByHand } from '../support/node-by-hand.js';
import { eventually, Facts, reactors } from '../support/reactor.js';
import { resultByHand } from '../support/result-by-hand.js';

/*
 * The word that a job is stored was lost on the way, its result was not: found by the simulation, once in half a million
 * schedules.
 */
const system = reactors();
const nodeByHand = nodesByHand();

describe.each(['memory', 'SQLite'] as const)('a durable node that brings a result, with an outbox in %s', (kind) => {
  it.each(['refuses it', 'is gone'])(
    'is not asked again, nor is another, while the application is told: it %s',
    async (how) => {
      const [told, gate] = [new Facts<string>(), signal()];
      @Injectable()
      class Hears {
        @OnSuccessFeedback('work')
        async hear({ id }: { id: string }): Promise<void> {
          told.tell(id);
          if (told.all.length === 1) throw new Error('not now');
          await gate.promise;
        }
      }
      const outbox = kind === 'SQLite' ? await system.database(kind) : undefined;
      const web = await system.application({ ...(outbox ? { outbox } : {}), providers: [Hears] });
      const storage = randomUUID();
      const first = await nodeByHand(web, 'one', ['work'], { storage });
      const job = await web.client.enqueue('work', {});
      const sent = await first.next('job');
      first.send(resultByHand(sent, 1, { listeners: 'declared' }));
      expect(await first.next('undelivered')).toMatchObject({ id: `${job.id}:1`, code: 'FAILED' });
      if (how === 'refuses it')
        first.send({ type: 'refuse', id: job.id, assignment: sent.assignment, code: 'STORAGE' });
      first.send({ type: 'goodbye' });
      first.socket.end();
      await eventually('it is gone', () => web.distributor.nodes().length === 0);

      const second = await nodeByHand(web, 'two', ['work']);
      const returned = await nodeByHand(web, 'one', ['work'], { storage });
      returned.send(resultByHand(sent, 1, { listeners: 'declared' }));
      await told.count(2);
      gate.resolve();
      expect((await returned.next('result-ack')).ids).toEqual([`${job.id}:1`]);
      await eventually('nobody answers for it', () => web.distributor.backlog().unconfirmed === 0);
      for (const side of [second, returned]) {
        side.send({ type: 'ping' });
        await side.next('pong');
        expect(side.heard.all.filter(({ type }) => type === 'job')).toEqual([]);
      }
    },
  );
});
