/** The long polls of agents' sessions. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { agentEvents } from 'cxone-client/agent';
import { anonymous, client, ECHO, platform, rejection, serve, sleep, startMock } from './helper.mjs';

const SESSION = '/incontactapi/services/v34.0/agent-sessions/s-1';
const APART = { scopes: [{ name: 'agent-events', concurrency: 4, apart: true }] };

/** A server whose answers to polls are these, one after the other; the last one is held. */
async function session(t, ...answers) {
  const asked = [];
  const { url } = await serve(t, (request, response) => {
    if (!request.url.includes('get-next-event')) return response.end();
    asked.push(request.url);
    const answer = answers.shift();
    if (!answer) return; // held
    const [status, body = ''] = answer;
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  });
  return { url, asked };
}

async function take(events, n) {
  const found = [];
  for await (const event of events) {
    found.push(event);
    if (found.length === n) break;
  }
  return found;
}

test('events come by long polls, and 304 asks again', async (t) => {
  const mock = await startMock(t);
  const events = await take(agentEvents(client(t, mock, APART), SESSION), 3);
  assert.deepEqual(events.map((it) => it.Number), [1, 2, 3]);
  const polls = (await mock.log()).filter((it) => it.path === `${SESSION}/get-next-event`);
  assert.equal(polls.length, 9);
  assert.ok(polls.every((it) => it.query === 'timeout=60'));
});

test('on NICE’s own platform as well', async (t) => {
  const mock = await startMock(t);
  assert.equal((await take(agentEvents(platform(t, mock), SESSION), 2)).length, 2);
});

test('several come in one answer, in order, and 304 and 204 bring none', async (t) => {
  const { url, asked } = await session(t, [200, '{"events":[{"n":1},{"n":2}]}'], [304], [200, '{"events":[]}'], [204], [200, '{"n":3}']);
  const events = await take(agentEvents(anonymous(t, url), '/sessions/1/', { timeout: 1999 }), 3);
  assert.deepEqual(events.map((it) => it.n), [1, 2, 3]);
  assert.equal(asked.length, 5);
  assert.ok(asked.every((it) => it === '/sessions/1/get-next-event?timeout=1'));
});

test('polls hold up nothing else, where they count apart', async (t) => {
  const { url, asked } = await session(t);
  const cx = anonymous(t, url, { concurrency: 1, ...APART });
  const controller = new AbortController();
  const polls = [1, 2, 3].map((id) => rejection(take(agentEvents(cx, `/sessions/${id}`, { signal: controller.signal }), 1)));
  while (asked.length < 3) await sleep(2);
  await cx.get(ECHO);
  controller.abort('over');
  assert.deepEqual(await Promise.all(polls), ['over', 'over', 'over']);
});

test('a poll is allowed the time that the server may hold it', async (t) => {
  const { url, asked } = await session(t, [200, '{"n":1}']);
  const cx = anonymous(t, url, { timeout: 50 });
  assert.deepEqual(await take(agentEvents(cx, '/sessions/1'), 1), [{ n: 1 }]);
  const held = agentEvents(cx, '/sessions/1', { signal: AbortSignal.timeout(300) });
  assert.equal((await rejection(take(held, 1))).name, 'TimeoutError');
  assert.equal(asked.length, 2, 'the client’s own timeout has not ended it');
});

test('an error ends the events', async (t) => {
  const { url, asked } = await session(t, [200, '{"n":1}'], [404], [200, '{"n":2}']);
  const events = agentEvents(anonymous(t, url), '/sessions/1');
  assert.deepEqual(await events.next(), { value: { n: 1 }, done: false });
  assert.equal((await rejection(events.next())).status, 404);
  assert.deepEqual(await events.next(), { value: undefined, done: true });
  assert.equal(asked.length, 2);
  for (const body of ['<html>', '']) {
    const broken = await session(t, [200, body]);
    const error = await rejection(agentEvents(anonymous(t, broken.url), '/s').next());
    assert.deepEqual([error.code, error.status], ['DECODE', 200]);
  }
  const error = await rejection(agentEvents(anonymous(t, url), '/s', { timeout: -1 }).next());
  assert.equal(error.field, 'timeout');
});

test('nothing is asked before it is wanted', async (t) => {
  const mock = await startMock(t);
  const events = agentEvents(client(t, mock), SESSION);
  await sleep(20);
  assert.equal((await mock.stats()).requests, 0);
  await events.return();
  assert.deepEqual(await events.next(), { value: undefined, done: true });
  assert.equal((await mock.stats()).requests, 0);
});

test('a server that holds no poll is asked four times a second', async (t) => {
  for (const answer of [[304], [200, '{"events":[]}']]) {
    const { url, asked } = await session(t, ...Array.from({ length: 10_000 }, () => answer));
    const events = agentEvents(anonymous(t, url), '/s', { signal: AbortSignal.timeout(900) });
    assert.equal((await rejection(events.next())).name, 'TimeoutError');
    assert.ok(asked.length >= 2 && asked.length <= 4, String(asked.length));
  }
});
