// Microseconds a task, and memory, of the queue alone: tasks that do nothing, three priorities,
// eight at once. Every run is a process of its own; the contenders take turns, round after round.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { queues } from './queues.mjs';
import { median, table } from './table.mjs';

const run = promisify(execFile);
const LOADS = { steady: '100 outstanding', 100000: '100 000 at once', 1000000: '1 000 000 at once' };
const BOUND_MS = { steady: 20_000, 100000: 20_000, 1000000: 60_000 };
const gaveUp = (load) => `gave up after ${BOUND_MS[load] / 1000} s`;

/** The comparison, as a Markdown table. */
export async function queue(rounds = 5) {
  const all = Object.keys(queues).flatMap((name) => Object.keys(LOADS).map((load) => ({ name, load, gaveUp: false, runs: [] })));
  const of = (name, load) => all.find((it) => it.name === name && it.load === load);
  for (let round = 0; round < rounds; round++) {
    for (const load of Object.keys(LOADS)) {
      for (const name of Object.keys(queues)) {
        const it = of(name, load);
        if (it.gaveUp) continue;
        try {
          const { stdout } = await run(process.execPath, ['queue-run.mjs', name, load], { timeout: BOUND_MS[load], killSignal: 'SIGKILL' });
          it.runs.push(JSON.parse(stdout));
        } catch (error) {
          if (!error.killed) throw error;
          it.gaveUp = true;
        }
      }
    }
  }
  const cell = ({ runs }, what, digits) => median(runs.map((it) => it[what])).toFixed(digits);
  const rows = Object.keys(queues).map((name) => [
    name,
    ...Object.keys(LOADS).map((load) => {
      const it = of(name, load);
      return it.gaveUp ? gaveUp(load) : `${cell(it, 'wall', 2)} (${cell(it, 'cpu', 2)})`;
    }),
    ...['100000', '1000000'].map((load) => (of(name, load).gaveUp ? '' : cell(of(name, load), 'rss', 0))),
  ]);
  return table(['µs a task (of CPU)', ...Object.values(LOADS), 'MB at 100 000', 'MB at 1 000 000'], rows);
}
