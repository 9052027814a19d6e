import { connect, type Socket } from 'node:net';
import { freePort } from '../support/free-port.js';
import { fuzzProcess } from './processes.js';

/*
 * npm run test:flood: 10,000 sockets that say nothing, opened again whenever they are let go, for 30 s; then 500 nodes
 * whose distributor is killed and started again. Needs `ulimit -n` of 12,000. Prints what was measured; what does not
 * hold ends it with 1.
 */
const SOCKETS = 10_000;
const FLOOD_SECONDS = 30;
const PROCESSES = 10;
const NODES = 500;
const secret = 'the secret of those who are flooded with sockets';
const wrong: string[] = [];
const megabytes = (bytes: number): number => Math.round(bytes / 1e5) / 10;
const after = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

await flood();
await storm();
for (const line of wrong) console.log(`Failed: ${line}`);
process.exit(wrong.length > 0 ? 1 : 0);

async function flood(): Promise<void> {
  const application = await fuzzProcess({ role: 'application', port: 0, secret });
  const node = await fuzzProcess({ role: 'node', port: application.port, secret });
  await after(5000);
  const before = await application.stats();
  let opened = 0;
  let open = 0;
  let most = 0;
  let done = false;
  const sockets = new Set<Socket>();
  const dial = (n: number): void => {
    if (done) return;
    const socket = connect({ port: application.port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (n % 200)}` });
    sockets.add(socket);
    socket.on('connect', () => {
      opened++;
      most = Math.max(most, ++open);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      open = Math.max(0, open - 1);
      sockets.delete(socket);
      // Not all at once, which would only keep this process busy.
      setTimeout(() => dial(n), 1000);
    });
  };
  for (let n = 0; n < SOCKETS; n++) {
    dial(n);
    if (n % 500 === 0) await after(50);
  }
  let rss = 0;
  let [stall, stallOfAll, slowest] = [0, 0, 0];
  for (let second = 0; second < FLOOD_SECONDS; second++) {
    await after(1000);
    const now = await application.stats();
    rss = Math.max(rss, now.rss);
    stall = Math.max(stall, now.stall);
    stallOfAll = Math.max(stallOfAll, now.stallOfAll);
    slowest = Math.max(slowest, now.slowest);
  }
  done = true;
  const end = await application.stats();
  console.log('flood', {
    dialling: SOCKETS,
    opened,
    refused: end.refused,
    grownMB: megabytes(rss - before.rss),
    stall: Math.round(stall),
    stallOfAll: Math.round(stallOfAll),
    jobs: end.done - before.done,
    slowestJob: Math.round(slowest),
    lost: end.lost,
  });
  if (opened < SOCKETS) wrong.push(`only ${opened} sockets were opened`);
  if (rss - before.rss > 100e6) wrong.push('the flood took more than 100 MB');
  if (end.lost.length > 0) wrong.push(`the node was lost: ${end.lost.join(', ')}`);
  wrong.push(...end.failed, ...end.unhandled);
  for (const socket of sockets) socket.destroy();
  await Promise.all([application.kill(), node.kill()]);
}

async function storm(): Promise<void> {
  const port = await freePort();
  const first = await fuzzProcess({ role: 'application', port, secret });
  const perProcess = NODES / PROCESSES;
  const many = [];
  for (let i = 0; i < PROCESSES; i++) many.push(await fuzzProcess({ role: 'nodes', port, secret, nodes: perProcess }));
  const joined = async (application: typeof first): Promise<number> => {
    const began = performance.now();
    while ((await application.stats()).nodes < NODES) {
      if (performance.now() - began > 120_000) return Infinity;
      await after(200);
    }
    return performance.now() - began;
  };
  await joined(first);
  await first.kill();
  // As long as a restart takes; the nodes have failed a few times by then.
  await after(5000);
  const second = await fuzzProcess({ role: 'application', port, secret });
  let stall = 0;
  const began = performance.now();
  let nodes = 0;
  while (nodes < NODES && performance.now() - began < 120_000) {
    await after(200);
    const now = await second.stats();
    stall = Math.max(stall, now.stall);
    nodes = now.nodes;
  }
  const seconds = Math.round((performance.now() - began) / 100) / 10;
  const end = await second.stats();
  console.log('restart', { nodes, seconds, stall: Math.round(stall), refused: end.refused });
  if (nodes < NODES || seconds > 60) wrong.push(`${nodes} of ${NODES} nodes were back after ${seconds} s`);
  if (stall > 200) wrong.push(`the event loop stood still for ${Math.round(stall)} ms while they came back`);
  await Promise.all([second.kill(), ...many.map((one) => one.kill())]);
}
