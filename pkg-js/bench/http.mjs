// Requests a second, and CPU time a request, beside the bare transport: 32 at once, against a
// server on this machine that answers at once. Each contender is a process of its own, so that
// nobody pays for what another one left behind; they take turns, round after round.

import { fork } from 'node:child_process';
import { contenders } from './http-run.mjs';
import { median, table } from './table.mjs';

const SLICE = 1_000;
const WARM = 8_000;

/** The comparison, as a Markdown table. */
export async function http(rounds = 15) {
  const server = fork('server.mjs');
  const baseUrl = `http://127.0.0.1:${await message(server)}`;
  const all = Object.entries(contenders(baseUrl)).flatMap(([transport, group]) =>
    Object.keys(group).map((name) => ({ transport, name, child: fork('http-run.mjs', [baseUrl, transport, name]), slices: [] })),
  );
  for (const { child } of all) {
    child.send(WARM);
    await message(child);
  }
  for (let round = 0; round < rounds; round++) {
    for (const { child, slices } of all) {
      child.send(SLICE);
      slices.push(await message(child));
    }
  }
  for (const { child } of [...all, { child: server }]) child.disconnect();
  const of = (it, what) => median(it.slices.map((slice) => slice[what]));
  const rows = all.map((it) => {
    const bare = all.find(({ transport }) => transport === it.transport);
    const [rate, cpu] = [of(it, 'rate'), of(it, 'cpu')];
    return [it.transport, it.name, Math.round(rate), (rate / of(bare, 'rate')).toFixed(2), Math.round(cpu), (cpu / of(bare, 'cpu')).toFixed(2)];
  });
  return table(['over', '', 'requests/s', 'of bare', 'CPU µs/request', 'of bare'], rows);
}

function message(child) {
  return new Promise((resolve, reject) => {
    const gone = (code) => reject(new Error(`${child.spawnargs.slice(1).join(' ')}: exit ${code}`));
    child.once('exit', gone);
    child.once('message', (it) => {
      child.off('exit', gone);
      resolve(it);
    });
  });
}
