// How to test what your code does under a limit, without a network and without waiting: the
// engine itself, with a clock that moves when the test says so. Run it with `node --test`.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Engine } from 'cxone-client/core';

/** All that is to be done now, in short. */
const todo = (engine) =>
  engine.outputs().map((it) => (it.type === 'notice' ? `${it.type}: ${it.message}` : `${it.type} ${it.request}${it.error ? `: ${it.error.message}` : ''}`));

test('a refusal is waited for to the millisecond, and never retried early', () => {
  const engine = new Engine({ concurrency: 1 });
  const low = engine.submit({ priority: 'low' });
  assert.deepEqual(todo(engine), [`send ${low}`]);

  engine.advance(40); // the server took 40 ms to say no
  engine.head(low, 1, 429, { 'retry-after': '20' });
  const body = engine.outputs().find((it) => it.type === 'body');
  assert.equal(body.verdict, 'drain'); // nobody wants it, and it is not parsed
  engine.done(low, 1);
  assert.deepEqual(todo(engine), []);

  // A request that is more urgent comes during the pause, and leaves first when it ends.
  const high = engine.submit({ priority: 'high' });
  assert.deepEqual(todo(engine), []);
  const { at, reason } = engine.next;
  assert.equal(reason, 'gate');
  assert.ok(at >= 20_040 && at <= 20_040 + 250, String(at));

  engine.advance(at - engine.now - 1);
  assert.deepEqual(todo(engine), [], 'not a millisecond before');
  engine.advance();
  assert.deepEqual(todo(engine), [`send ${high}`]);
  engine.head(high, 1, 200);
  engine.outputs();
  engine.done(high, 1);
  assert.ok(todo(engine).includes(`send ${low}`));
});

test('the same seed gives the same run, to the byte', () => {
  const run = (seed) => {
    const engine = new Engine({ seed, concurrency: 2 });
    const trace = [];
    const requests = [1, 2, 3].map(() => engine.submit());
    for (let step = 0; step < 50; step++) {
      const outputs = engine.outputs();
      trace.push(engine.now, outputs);
      for (const it of outputs) {
        if (it.type === 'send') engine.head(it.request, it.attempt, engine.now < 5000 ? 429 : 200);
        if (it.type === 'body') engine.done(it.request, it.attempt);
      }
      if (outputs.length > 0) continue;
      if (engine.next === undefined) break;
      engine.advance();
    }
    const finished = trace.flat().filter((it) => it.type === 'finish');
    assert.equal(finished.length, requests.length);
    return JSON.stringify(trace);
  };
  assert.equal(run(1), run(1));
  assert.notEqual(run(1), run(2));
});
