import { createHash } from 'node:crypto';

/** Of the schedule with this key of the distributors with this name, in whichever process and database. */
export function scheduleId(distributor: string, key: string): string {
  return uuid8(digest(JSON.stringify([distributor, key])));
}

/**
 * Of the job of one slot: whoever fires it makes the same one. It begins with the slot's time as a UUIDv7 does, so that
 * jobs stay in the order of their time.
 */
export function slotJobId(schedule: string, slot: number): string {
  const bytes = digest(JSON.stringify([schedule, slot]));
  bytes.writeUIntBE(slot, 0, 6);
  return uuid8(bytes);
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest().subarray(0, 16);

/** Version 8: what its bits mean is ours. */
function uuid8(bytes: Buffer): string {
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
