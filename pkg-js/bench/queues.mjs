// The queues that are compared: each `add(task, priority)` runs an async function when it is its
// turn, eight at once, and gives a promise of its outcome. Priorities are 1, 2 and 3, 1 first.

import { PriorityRequestQueue } from '../dist/node.js';

const concurrency = 8;

export const queues = {
  'cxone-client': async () => {
    const queue = new PriorityRequestQueue({ concurrency });
    return (requestFn, priority) => queue.add({ requestFn, priority });
  },
  'fastq (no priorities)': async () => {
    const { default: fastq } = await import('fastq');
    const queue = fastq.promise((task) => task(), concurrency);
    return (task) => queue.push(task);
  },
  'async.priorityQueue': async () => {
    const { default: priorityQueue } = await import('async/priorityQueue.js');
    const queue = priorityQueue(async (task) => task(), concurrency);
    return (task, priority) => queue.push(task, priority);
  },
  'p-queue': async () => {
    const { default: PQueue } = await import('p-queue');
    const queue = new PQueue({ concurrency });
    return (task, priority) => queue.add(task, { priority: -priority });
  },
  bottleneck: async () => {
    const { default: Bottleneck } = await import('bottleneck');
    const queue = new Bottleneck({ maxConcurrent: concurrency });
    return (task, priority) => queue.schedule({ priority }, task);
  },
};
