// One queue, one load, in a process of its own: prints microseconds a task and the peak of memory.
//
//   node bench/queue-run.mjs NAME steady|TASKS

import { queues } from './queues.mjs';

const [, , name, load] = process.argv;
const add = await queues[name]();
const task = async () => {};

/** So many tasks, with so many outstanding at any time. */
async function steady(tasks, outstanding) {
  const work = async () => {
    while (tasks > 0) await add(task, (tasks-- % 3) + 1);
  };
  await Promise.all(Array.from({ length: outstanding }, work));
}

/** So many tasks, all there at once. */
async function atOnce(tasks) {
  const outcomes = [];
  for (let i = 0; i < tasks; i++) outcomes.push(add(task, (i % 3) + 1));
  await Promise.all(outcomes);
}

const run = load === 'steady' ? (tasks) => steady(tasks, 100) : atOnce;
const tasks = load === 'steady' ? 300_000 : Number(load);
if (load === 'steady') await run(20_000); // warm
const cpu = process.cpuUsage();
const start = performance.now();
await run(tasks);
const wall = (performance.now() - start) * 1000;
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ wall: wall / tasks, cpu: (user + system) / tasks, rss: process.resourceUsage().maxRSS / 1024 }));
