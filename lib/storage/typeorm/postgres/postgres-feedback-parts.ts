import type { Tombstone } from '../../job-storage.js';
import { DELIVERY_COLUMNS, FEEDBACK_COLUMNS, deliveryValues, feedbackValues, type RowValue } from '../job-rows.js';
import { assignments, columnsOf, excluded, listOf, listParams, unnest, type Column } from './postgres-arrays.js';
import type { Of } from './postgres-group.js';
import { MINE, type PartName, type PostgresPart } from './postgres-part.js';

// A feedback's id is no UUID.
const FEEDBACK: Column[] = [{ name: 'id', type: 'text' }, ...columnsOf(FEEDBACK_COLUMNS).slice(1)];
const DELIVERY: Column[] = [{ name: 'id', type: 'text' }, ...columnsOf(DELIVERY_COLUMNS)];
const TOMBSTONE: Column[] = columnsOf('id, expires_at');

/** The parts that end jobs: a feedback is left by those they found as expected, and by no others. */
const ENDING: readonly PartName[] = ['saved', 'deleted'];

/** What ended jobs leave behind: their feedbacks, and their ids. */
export const FEEDBACK_PARTS: readonly PostgresPart[] = [
  {
    name: 'fed',
    answers: false,
    count: ({ feedbacks }) => feedbacks.length,
    text: ({ tables, parts }) => {
      // `IS TRUE` makes it a lookup in a hash, and not a join of each with each.
      const ended = ENDING.filter((ending) => parts.includes(ending)).map((ending) => `SELECT id FROM ${ending}`);
      // A run that ends twice (its first end was not acknowledged yet) leaves its last word under the same id.
      return (
        `INSERT INTO ${tables.feedbacks} (${FEEDBACK_COLUMNS}, owner) SELECT v.*, ?::uuid FROM ${unnest(FEEDBACK)} ` +
        `WHERE (v.job_id IN (${ended.join(' UNION ALL ')})) IS TRUE ` +
        `ON CONFLICT (id) DO UPDATE SET ${excluded(`${FEEDBACK_COLUMNS.replace('id, ', '')}, owner`)}, ` +
        DELIVERY_COLUMNS.replaceAll(/\w+/g, '$& = DEFAULT')
      );
    },
    params: ({ feedbacks }, owner) => [owner.id, ...listParams(FEEDBACK, feedbacks.map(feedbackValues))],
  },
  {
    name: 'buried',
    answers: false,
    count: ({ tombstones }) => tombstones.length,
    text: ({ tables }) =>
      `INSERT INTO ${tables.tombstones} (id, expires_at) SELECT v.* FROM ${unnest(TOMBSTONE)} ` +
      'WHERE (v.id IN (SELECT id FROM deleted)) IS TRUE ON CONFLICT (id) DO UPDATE SET expires_at = EXCLUDED.expires_at',
    params: ({ tombstones }) => listParams(TOMBSTONE, tombstones.map(tombstoneValues)),
  },
  {
    name: 'delivered',
    answers: false,
    count: ({ deliveries }) => deliveries.length,
    text: ({ tables }) =>
      `UPDATE ${tables.feedbacks} AS feedback SET ${assignments(DELIVERY_COLUMNS)} FROM ${unnest(DELIVERY)} ` +
      `WHERE feedback.id = v.id AND ${MINE}`,
    params: ({ deliveries }) => listParams(DELIVERY, deliveries.map(deliveredValues)),
  },
  {
    name: 'forgotten',
    answers: false,
    count: ({ forgotten }) => forgotten.length,
    text: ({ tables }) => `DELETE FROM ${tables.feedbacks} WHERE id = ANY (${listOf('text')}) AND ${MINE}`,
    params: ({ forgotten }) => [forgotten.join('\x1e')],
  },
  {
    name: 'replaced',
    answers: false,
    count: ({ replaced }) => replaced.length,
    text: ({ tables }) =>
      `INSERT INTO ${tables.tombstones} (id, expires_at) SELECT v.* FROM ${unnest(TOMBSTONE)} ` +
      `WHERE ${MINE} ON CONFLICT (id) DO UPDATE SET expires_at = EXCLUDED.expires_at`,
    params: ({ replaced }) => listParams(TOMBSTONE, replaced.map(tombstoneValues)),
  },
];

const tombstoneValues = ({ id, until }: Tombstone): RowValue[] => [id, until];

const deliveredValues = ({ feedbackId, delivery }: Of<'save-delivery'>): RowValue[] => [
  feedbackId,
  ...deliveryValues(delivery),
];
