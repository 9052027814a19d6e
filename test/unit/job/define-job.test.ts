import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { defineJob, isJobDefinition, type JobSettings } from '../../../lib/job/define-job.js';

const refused = (name: unknown, settings?: unknown) => expect(() => defineJob(name as string, settings as JobSettings));
const long = 'x'.repeat(201);

describe('defineJob', () => {
  it('keeps name, settings and schema, and the settings as the roles work with them', () => {
    const schema = z.object({ path: z.string() });
    const backoff = { type: 'exponential', delay: '1s', max: '1h' } as const;
    const job = defineJob('image.resize', { schema, maxAttempts: null, timeout: '30s', priority: -5, backoff });
    expect(job).toMatchObject({ name: 'image.resize', schema, settings: { timeout: '30s', backoff } });
    expect(job.settings).not.toHaveProperty('schema');
    expect(job.defaults).toEqual({
      maxAttempts: null,
      timeout: 30_000,
      priority: -5,
      backoff: { type: 'exponential', delay: 1000, max: 3_600_000 },
    });
    expect(isJobDefinition(job)).toBe(true);
    expect(isJobDefinition('image.resize')).toBe(false);
  });

  it('needs no settings, and can not be changed afterwards', () => {
    const job = defineJob('x');
    expect(job).toEqual({ name: 'x', settings: {}, defaults: {} });
    expect(() => Object.assign(job, { name: 'y' })).toThrow(TypeError);
    expect(() => Object.assign(job.settings, { timeout: 1 })).toThrow(TypeError);
  });

  it('keeps a backoff function', () => {
    const backoff = (attempt: number): number => attempt;
    expect(defineJob('x', { backoff }).defaults.backoff).toBe(backoff);
    expect(defineJob('x', { backoff: '2s' }).defaults.backoff).toBe(2000);
  });

  it('refuses a name that is none', () => {
    refused('').toThrow("A job's name must be a name, a text of 1 to 200 characters, not ''.");
    refused(undefined).toThrow('not undefined');
    refused(long).toThrow("A job's name is 201 characters long; 200 are allowed.");
    refused('a\nb').toThrow('control characters');
    refused('a\ud800').toThrow('surrogate');
    expect(defineJob('Größe 📦/v2').name).toBe('Größe 📦/v2');
  });

  it('names an unknown setting with the nearest real one', () => {
    refused('x', { maxAttemps: 1 }).toThrow(
      "There is no option `defineJob('x') maxAttemps`: did you mean `defineJob('x') maxAttempts`?",
    );
    refused('x', { colour: 1 }).toThrow(
      'The options are maxAttempts, backoff, timeout, priority, thread, concurrency, globalConcurrency, rate, perGroup, schema.',
    );
    refused('x', 5).toThrow("The settings of defineJob('x') must be an object with options, not 5.");
  });

  it.each<[unknown, string]>([
    [{ maxAttempts: 0 }, "defineJob('x') maxAttempts must be a whole number of at least 1, not 0."],
    [{ maxAttempts: 1.5 }, 'not 1.5.'],
    [{ maxAttempts: '3' }, "not '3'."],
    [{ timeout: 0 }, "defineJob('x') timeout: 0 is too short."],
    [{ timeout: 'soon' }, "'soon' is no duration"],
    [{ priority: 1.5 }, 'priority must be a whole number from -2147483648 to 2147483647'],
    [{ priority: 2 ** 31 }, 'not 2147483648.'],
    [{ backoff: 'later' }, "backoff: 'later' is no duration"],
    [{ backoff: null }, 'backoff must be an object'],
    [{ backoff: { type: 'cubic', delay: 1 } }, "backoff.type must be 'linear' or 'exponential', not 'cubic'."],
    [{ backoff: { type: 'linear' } }, 'backoff.delay is missing'],
    [{ backoff: { type: 'linear', delay: 1, maximum: 2 } }, "no option `defineJob('x') backoff.maximum`"],
    [{ backoff: { type: 'linear', delay: 1, jitter: 1 } }, 'backoff.jitter must be true or false, not 1.'],
    [{ backoff: { type: 'linear', delay: -1 } }, 'backoff.delay: -1 is negative'],
    [{ thread: 'yes' }, 'thread must be true or false'],
    [{ schema: {} }, "defineJob('x') schema must be a Standard Schema"],
  ])('refuses %j', (settings, message) => {
    refused('x', settings).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }) as Error);
    refused('x', settings).toThrow(message);
  });
});
