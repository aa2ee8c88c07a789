/** PriorityRequestQueue: plain functions on the same engine. */

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';

import { PRIORITY, PriorityRequestQueue } from 'cxone-client';
import { FAST, rejection, sleep, until } from './helper.mjs';

/** A function that ends when it is told to. */
function controlled() {
  let end;
  const promise = new Promise((resolve, reject) => (end = { resolve, reject }));
  const requestFn = () => {
    requestFn.runs += 1;
    return promise;
  };
  return Object.assign(requestFn, end, { runs: 0 });
}

test('T18 T19 T21 five run at once, by priority, first come first served within one', async () => {
  const queue = new PriorityRequestQueue();
  queue.pause();
  const order = [];
  let running = 0;
  let most = 0;
  const add = (name, priority) =>
    queue.add({
      ...(priority === undefined ? {} : { priority }),
      requestFn: async () => {
        order.push(name);
        most = Math.max(most, (running += 1));
        await sleep(1);
        running -= 1;
        return name;
      },
    });
  const all = [];
  for (let i = 0; i < 4; i++) all.push(add(`l${i}`, PRIORITY.LOW), add(`n${i}`), add(`h${i}`, 'high'));
  assert.deepEqual([queue.size, queue.pending, order.length], [12, 0, 0]);
  queue.resume();
  const results = await Promise.all(all);
  assert.equal(most, 5);
  assert.deepEqual(results.slice(0, 3), ['l0', 'n0', 'h0']);
  assert.equal(order.join(' '), 'h0 h1 h2 h3 n0 n1 n2 n3 l0 l1 l2 l3');
  assert.deepEqual(PRIORITY, { HIGH: 1, NORMAL: 2, LOW: 3 });
  assert.ok(Object.isFrozen(PRIORITY));
});

test('X26 LOW gets its share', async () => {
  const queue = new PriorityRequestQueue({ concurrency: 1, fairShare: 4 });
  queue.pause();
  const order = [];
  const add = (name, priority) => queue.add({ priority, requestFn: () => void order.push(name) });
  const all = Array.from({ length: 20 }, () => add('h', 'high'));
  all.push(add('l', 'low'), add('l', 'low'));
  queue.resume();
  await Promise.all(all);
  assert.ok(order.indexOf('l') < 4 && order.lastIndexOf('l') < 8, order.join(''));
});

test('T27 results, rejections and what throws', async () => {
  const queue = new PriorityRequestQueue(2);
  assert.equal(await queue.add({ requestFn: () => 5 }), 5);
  assert.equal(await queue.add({ requestFn: async () => undefined }), undefined);
  const error = new Error('no');
  assert.equal(await rejection(queue.add({ requestFn: () => { throw error; } })), error);
  assert.equal(await rejection(queue.add({ requestFn: async () => { throw error; } })), error);
  assert.equal(await rejection(queue.add({ requestFn: () => Promise.reject(undefined) })), undefined);
  assert.equal(await queue.add({ requestFn: () => ({ then: (resolve) => resolve('thenable') }) }), 'thenable');
  for (const bad of [{}, { requestFn: 5 }, undefined, null]) assert.equal((await rejection(queue.add(bad))).field, 'requestFn');
  assert.equal((await rejection(queue.add({ requestFn: () => 1, priority: 'soon' }))).field, 'priority');
  assert.equal((await rejection(queue.add({ requestFn: () => 1, scope: 5 }))).field, 'scope');
  for (let i = 0; i < 20; i++) await queue.add({ requestFn: () => { throw error; } }).catch(() => {});
  assert.equal(await queue.add({ requestFn: () => 'alive' }), 'alive');
  await queue.onIdle();
  assert.deepEqual([queue.size, queue.pending], [0, 0]);
});

test('X23 nothing is retried unless asked for', async () => {
  const queue = new PriorityRequestQueue();
  let runs = 0;
  const limited = Object.assign(new Error('429'), { response: { status: 429, headers: { 'retry-after': '1' } } });
  assert.equal(await rejection(queue.add({ requestFn: async () => { runs += 1; throw limited; } })), limited);
  assert.equal(runs, 1);
});

test('T10 X23 with retry, what looks like the answer of a server is treated like it', async () => {
  const queue = new PriorityRequestQueue({ retry: true, concurrency: 1, backoff: FAST, maxAttempts: 3, seed: 1 });
  const axiosLike = (status, headers = {}) => Object.assign(new Error(`status ${status}`), { response: { status, headers } });
  const failing = (...ends) => async () => {
    const end = ends.shift();
    if (end instanceof Error) throw end;
    return end;
  };
  // A throttle: waited for as stated, whatever else waits.
  const start = performance.now();
  const order = [];
  const first = queue.add({ requestFn: failing(axiosLike(429, { 'retry-after': '1' }), 'first') }).then((it) => order.push(it));
  const high = queue.add({ priority: 'high', requestFn: () => 'high' }).then((it) => order.push(it));
  await Promise.all([first, high]);
  assert.deepEqual(order, ['high', 'first']);
  assert.ok(performance.now() - start >= 1000);
  // Names of fields in any case.
  const canonical = performance.now();
  assert.equal(await queue.add({ requestFn: failing(axiosLike(429, { 'Retry-After': 1 }), 'again') }), 'again');
  assert.ok(performance.now() - canonical >= 1000);
  // A Response, with headers that are asked for.
  const response = new Response('{}');
  assert.equal(await queue.add({ requestFn: failing(new Response('', { status: 429, headers: { 'retry-after': '0' } }), response) }), response);
  // Transient.
  assert.equal(await queue.add({ requestFn: failing(axiosLike(503), axiosLike(502), 'ok') }), 'ok');
  // Attempts end; the last outcome is handed over as it is.
  const last = axiosLike(503);
  assert.equal(await rejection(queue.add({ requestFn: failing(axiosLike(503), axiosLike(503), last) })), last);
  const unavailable = new Response('', { status: 500 });
  assert.equal(await queue.add({ requestFn: failing(unavailable) }), unavailable);
  // What is no answer is not retried.
  const other = new Error('other');
  assert.equal(await rejection(queue.add({ requestFn: failing(other) })), other);
  for (const status of ['429', 42, NaN]) {
    const odd = axiosLike(status);
    assert.equal(await rejection(queue.add({ requestFn: failing(odd) })), odd);
  }
  assert.equal(queue.pending, 0);
});

test('T20 X27 a signal takes a function out of the queue, with its own reason', async () => {
  const queue = new PriorityRequestQueue(1);
  queue.pause();
  const controller = new AbortController();
  let runs = 0;
  const all = Array.from({ length: 10 }, () => rejection(queue.add({ requestFn: () => (runs += 1), signal: controller.signal })));
  assert.equal(getEventListeners(controller.signal, 'abort').length, 1);
  controller.abort('enough');
  assert.deepEqual(new Set(await Promise.all(all)), new Set(['enough']));
  assert.equal(await rejection(queue.add({ requestFn: () => 1, signal: controller.signal })), 'enough');
  queue.resume();
  await queue.onIdle();
  assert.equal(runs, 0);
});

test('X27 a function that runs keeps its slot until it ends, aborted or not', async () => {
  for (const options of [{}, { retry: true }]) {
    const queue = new PriorityRequestQueue({ concurrency: 1, ...options });
    for (const end of ['resolve', 'reject']) {
      const controller = new AbortController();
      const [running, next] = [controlled(), controlled()];
      const first = rejection(queue.add({ requestFn: running, signal: controller.signal }));
      const second = queue.add({ requestFn: next });
      controller.abort('enough');
      assert.equal(await first, 'enough');
      let idle = false;
      void queue.onIdle().then(() => (idle = true));
      await sleep(5);
      assert.deepEqual([running.runs, next.runs, queue.pending, idle], [1, 0, 1, false]);
      running[end](Object.assign(new Error('late'), { response: { status: 429 } }));
      await until('the next runs', () => next.runs === 1);
      next.resolve('second');
      assert.equal(await second, 'second');
      await queue.onIdle();
      assert.equal(queue.pending, 0);
    }
  }
});

test('X27 idle is when nothing runs, also after an abort of the last', async () => {
  const queue = new PriorityRequestQueue(1);
  await queue.onIdle();
  const controller = new AbortController();
  const running = controlled();
  const first = rejection(queue.add({ requestFn: running, signal: controller.signal }));
  controller.abort();
  await first;
  let idle = false;
  const waiting = queue.onIdle().then(() => (idle = true));
  await sleep(5);
  assert.equal(idle, false);
  running.resolve();
  await waiting;
  for (let i = 0; i < 3; i++) {
    await queue.add({ requestFn: () => 1 });
    await queue.onIdle();
  }
});

test('X27 close drains, or ends what waits; what runs is waited for', async () => {
  const queue = new PriorityRequestQueue(1);
  queue.pause();
  const all = [1, 2, 3].map((n) => queue.add({ requestFn: async () => n }));
  await queue.close();
  assert.deepEqual(await Promise.all(all), [1, 2, 3]);
  assert.equal((await rejection(queue.add({ requestFn: () => 1 }))).code, 'CLOSED');
  await queue.close();

  const cut = new PriorityRequestQueue(1);
  const running = controlled();
  const first = rejection(cut.add({ requestFn: running }));
  const second = rejection(cut.add({ requestFn: () => 2 }));
  let closed = false;
  const closing = cut.close({ drain: false }).then(() => (closed = true));
  assert.equal((await second).code, 'CLOSED');
  assert.equal((await first).code, 'CLOSED');
  await sleep(5);
  assert.equal(closed, false);
  running.resolve(1);
  await closing;
  await cut.onIdle();
  assert.deepEqual([cut.size, cut.pending], [0, 0]);
});

test('X27 the queue is bounded and says so', async () => {
  const queue = new PriorityRequestQueue({ queueLimit: 2 });
  queue.pause();
  const all = [1, 2].map((n) => queue.add({ requestFn: () => n }));
  assert.equal((await rejection(queue.add({ requestFn: () => 3 }))).code, 'QUEUE_FULL');
  queue.resume();
  assert.deepEqual(await Promise.all(all), [1, 2]);
  await queue.onIdle();
});

test('T19 setConcurrency, and functions that add to their own queue', async () => {
  const queue = new PriorityRequestQueue(1);
  let running = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, (running += 1));
    await sleep(1);
    running -= 1;
  };
  queue.setConcurrency(3);
  await Promise.all(Array.from({ length: 9 }, () => queue.add({ requestFn: work })));
  assert.equal(most, 3);
  assert.throws(() => queue.setConcurrency(0), { code: 'CONFIG' });
  let inner;
  await queue.add({ requestFn: () => { inner = queue.add({ requestFn: () => 'inner' }); } });
  assert.equal(await inner, 'inner');
  // A synchronous function that aborts its own signal.
  const controller = new AbortController();
  const reason = await rejection(queue.add({ signal: controller.signal, requestFn: () => { controller.abort('self'); } }).then(() => Promise.reject('ran')));
  assert.ok(['self', 'ran'].includes(reason));
  await queue.onIdle();
});

test('T27 whatever a function adds while it begins, all are run and told', async () => {
  const queue = new PriorityRequestQueue(2);
  queue.pause();
  let late;
  const first = queue.add({ requestFn: () => 'a' });
  const second = queue.add({
    requestFn: () => {
      late = queue.add({ requestFn: () => 'c' });
      return 'b';
    },
  });
  queue.resume();
  assert.deepEqual(await Promise.all([first, second]), ['a', 'b']);
  assert.equal(await late, 'c');
  await queue.onIdle();
  assert.deepEqual([queue.size, queue.pending], [0, 0]);
});

test('X27 a function may close its own queue, and is done all the same', async () => {
  const queue = new PriorityRequestQueue(2);
  queue.pause();
  let closed;
  const neighbour = queue.add({ requestFn: () => 1 });
  const closing = queue.add({
    requestFn: () => {
      closed = queue.close({ drain: false });
      return 2;
    },
  });
  const settled = Promise.allSettled([neighbour, closing]);
  queue.resume();
  await settled;
  await closed;
  assert.deepEqual([queue.size, queue.pending], [0, 0]);
});

test('X27 random functions that add, pause, abort and throw are each told once, and none is left', async () => {
  let state = 7;
  const random = () => (state = (state * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
  for (let run = 0; run < 12; run++) {
    const queue = new PriorityRequestQueue({ concurrency: 1 + Math.floor(random() * 6) });
    const told = [];
    const add = (depth) => {
      const aborter = new AbortController();
      const dice = random();
      const requestFn = () => {
        if (depth < 3 && random() < 0.3) add(depth + 1);
        if (random() < 0.1) {
          queue.pause();
          setTimeout(() => queue.resume(), 3);
        }
        if (random() < 0.2) aborter.abort();
        if (dice < 0.1) throw new Error('at once');
        return dice < 0.4 ? 1 : sleep(random() * 5);
      };
      const signal = random() < 0.3 ? aborter.signal : undefined;
      told.push(queue.add({ priority: 1 + Math.floor(random() * 3), signal, requestFn }).catch(() => 0));
    };
    for (let i = 0; i < 150; i++) add(0);
    for (let i = 0; i < told.length; i++) await told[i]; // it grows
    await queue.onIdle();
    assert.deepEqual([queue.size, queue.pending], [0, 0]);
    await queue.close();
  }
});

test('X15 scopes of functions', async () => {
  const queue = new PriorityRequestQueue({ concurrency: 8, scopes: [{ name: 'one', concurrency: 1 }] });
  let running = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, (running += 1));
    await sleep(1);
    running -= 1;
  };
  await Promise.all(Array.from({ length: 5 }, () => queue.add({ requestFn: work, scope: 'one' })));
  assert.equal(most, 1);
});

test('T27 whatever a function gives harms nobody else', async () => {
  const boom = new Error('boom');
  const bad = () => {
    throw boom;
  };
  const other = new PriorityRequestQueue(1);
  for (const retry of [false, true]) {
    const queue = new PriorityRequestQueue({ concurrency: 1, retry });
    for (const thenable of [{ get then() { return bad(); } }, { then: bad }, { then: (_, reject) => reject(boom) }]) {
      assert.equal(await rejection(queue.add({ requestFn: () => thenable })), boom);
    }
    // As with `await`: the first word counts.
    const twice = (resolve, reject) => {
      resolve({ then: (resolve) => resolve(1) });
      reject(boom);
      bad();
    };
    assert.equal(await queue.add({ requestFn: () => ({ then: twice }) }), 1);
    // What only looks like an answer.
    for (const odd of [{ get status() { return bad(); } }, { status: 429, headers: { get: bad } }, { headers: { 'retry-after': Object.create(null) } }]) {
      assert.equal(await queue.add({ requestFn: () => odd }), odd);
      assert.equal(await queue.add({ requestFn: async () => odd }), odd);
      const error = Object.assign(new Error(), { response: odd });
      assert.equal(await rejection(queue.add({ requestFn: async () => { throw error; } })), error);
    }
    await queue.onIdle();
    assert.deepEqual([queue.size, queue.pending], [0, 0]);
  }
  assert.equal(await other.add({ requestFn: () => 2 }), 2);
});

test('X27 what is no signal is told', async () => {
  const queue = new PriorityRequestQueue(1);
  const error = await rejection(queue.add({ requestFn: () => 1, signal: new AbortController() }));
  assert.deepEqual([error.code, error.field], ['CONFIG', 'signal']);
  await queue.onIdle();
});

test('X25 a hundred thousand functions run once each', async () => {
  const queue = new PriorityRequestQueue(8);
  let runs = 0;
  let sum = 0;
  const all = [];
  for (let i = 0; i < 100_000; i++) {
    const add = queue.add({ priority: (i % 3) + 1, requestFn: i % 2 ? () => (runs += 1) && i : async () => (runs += 1) && i });
    all.push(add.then((it) => (sum += it)));
  }
  await Promise.all(all);
  assert.deepEqual([runs, sum], [100_000, (99_999 * 100_000) / 2]);
  await queue.onIdle();
});
