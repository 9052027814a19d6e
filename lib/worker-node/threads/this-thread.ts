import { isMainThread, MessageChannel, parentPort, threadId, workerData, type MessagePort } from 'node:worker_threads';
import { MARK, type Announcement, type ThreadSetup } from './thread-messages.js';

/** What this thread was made for, or null in the main thread and in threads that are not ours. */
export function threadSetup(): ThreadSetup | null {
  if (isMainThread || typeof workerData !== 'object' || workerData === null) return null;
  return (workerData as Record<string, ThreadSetup | undefined>)[MARK] ?? null;
}

/** Our end of a new channel to the main thread, which gets the other end with this announcement. */
export function openPort(what: { kind: 'control' } | { kind: 'client'; forRoot: string | null }): MessagePort {
  const { port1, port2 } = new MessageChannel();
  const announcement: Announcement = { ...what, thread: threadId, port: port2 };
  parentPort?.postMessage({ [MARK]: announcement }, [port2]);
  return port1;
}

export function announcementIn(message: unknown): Announcement | undefined {
  if (typeof message !== 'object' || message === null) return undefined;
  return (message as Record<string, Announcement | undefined>)[MARK];
}
