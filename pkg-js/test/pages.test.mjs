/** Pages, and what becomes of a run that cannot go on. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { client, ECHO, INTERACTIONS, platform, rejection, serve, sleep, startMock, STYLES } from './helper.mjs';

const id = (index) => `int-${String(index + 1).padStart(6, '0')}`;
const ids = (from, to) => Array.from({ length: to - from }, (_, i) => id(from + i));

async function collect(items) {
  const found = [];
  for await (const item of items) found.push(item.id);
  return found;
}

test('T23 all interactions come once and in order', async (t) => {
  const mock = await startMock(t, '--interactions', '250');
  assert.deepEqual(await collect(client(t, mock).interactions()), ids(0, 250));
  const [first, second, third] = await mock.sent();
  assert.deepEqual([first.path, first.query], [INTERACTIONS, 'page_size=100']);
  assert.match(second.query, /cursor=/);
  assert.match(third.query, /cursor=/);
  assert.equal((await mock.stats()).api_requests, 3);
});

test('T23 pages tell number, total and state', async (t) => {
  const mock = await startMock(t, '--interactions', '25');
  const cx = client(t, mock);
  for (const params of [{ mediaType: 'voice' }, new URLSearchParams('mediaType=voice')]) {
    await mock.reset();
    const run = cx.paginate(INTERACTIONS, { pageSize: 10, params, priority: 'low' });
    const pages = [];
    for await (const page of run.pages()) {
      assert.equal(run.state, page.state);
      pages.push(page);
    }
    assert.deepEqual(pages.map((it) => [it.number, it.items.length, it.total]), [[1, 10, 10], [2, 10, 20], [3, 5, 25]]);
    assert.ok(pages[2].state.done && !pages[1].state.done);
    assert.ok((await mock.sent()).every((it) => it.query.includes('mediaType=voice') && it.query.includes('page_size=10')));
  }
});

test('X30 T10 T28 twenty thousand interactions are exact, whatever goes wrong on the way', async (t) => {
  const mock = await startMock(t, '--interactions', '20000', '--limit', 'fixed:80/1s');
  await mock.faults(
    { nth: 3, do: { status: 401, headers: { 'www-authenticate': 'error="invalid token"' } } },
    { nth: 29, do: { status: 503, retry_after: 1 } },
    { nth: 54, do: { connection: 'reset' } },
    { nth: 79, do: { truncate: 100 } },
    { nth: 103, do: { status: 429, body: '<html>' } },
    { nth: 157, do: { status: 429 } },
  );
  assert.deepEqual(await collect(client(t, mock).interactions()), ids(0, 20_000));
  const { early, token_fetches, faults } = await mock.stats();
  assert.deepEqual([early, token_fetches, faults], [0, 2, 6]);
});

test('X30 a failed run resumes at its checkpoint', async (t) => {
  const mock = await startMock(t, '--interactions', '100');
  await mock.faults({ nth: 4, do: { status: 500 } });
  const cx = client(t, mock);
  const run = cx.interactions({ pageSize: 10 });
  const found = [];
  const error = await rejection((async () => { for await (const item of run) found.push(item.id); })());
  assert.equal(error.message, 'Server Error: 500 Internal Server Error');
  assert.deepEqual(found, ids(0, 30));
  assert.equal((await mock.stats()).api_requests, 4, 'nothing is fetched after an error');

  const state = JSON.parse(JSON.stringify(run.state));
  found.push(...(await collect(cx.interactions({ pageSize: 10, state }))));
  assert.deepEqual(found, ids(0, 100));
  assert.equal((await mock.stats()).duplicates, 0);
});

test('X30 the same run can be gone on with, and loses nothing', async (t) => {
  const mock = await startMock(t, '--interactions', '30');
  const cx = client(t, mock);
  const run = cx.interactions({ pageSize: 10 });
  let seen = 0;
  for await (const _ of run) if (++seen === 15) break;
  // The state within a page is before it.
  assert.deepEqual(await collect(cx.interactions({ pageSize: 10, state: run.state })), ids(10, 30));
  assert.deepEqual(await collect(run), ids(10, 30));
  assert.ok(run.state.done);
  assert.deepEqual(await collect(run), []);

  await mock.faults({ nth: 2, do: { status: 500 } });
  const again = cx.interactions({ pageSize: 10 });
  await rejection(collect(again));
  assert.deepEqual(await collect(again), ids(10, 30));
});

test('X30 a page that cannot be used never looks like the end', async (t) => {
  for (const [fault, text, malformed] of [
    ['loop', 'repeats a cursor'],
    ['empty', 'no body'],
    ['no-content', 'status 204 and no body'],
    ['malformed', 'not a JSON object', true],
    ['missing-entities', 'no array in `entities`'],
  ]) {
    const mock = await startMock(t, '--interactions', '50');
    await mock.script({ pages: { 2: fault } });
    const run = client(t, mock).interactions({ pageSize: 10 });
    let seen = 0;
    const error = await rejection((async () => { for await (const page of run.pages()) seen = page.number; })());
    assert.deepEqual([error.code, error.name, error.status], ['PAGE', 'PageError', fault === 'no-content' ? 204 : 200], `${fault}: ${error}`);
    assert.ok(error.message.startsWith('Pagination Error: ') && error.message.includes(text), `${fault}: ${error.message}`);
    assert.equal(error.cause?.code, malformed ? 'DECODE' : undefined);
    assert.ok(error.headers instanceof Headers);
    assert.ok(error.correlationId);
    assert.equal(error.url, `${mock.url}${INTERACTIONS}`);
    assert.ok(seen >= 1 && !run.state.done);
  }
});

test('X30 answers that are no pages', async (t) => {
  const mock = await startMock(t);
  const cx = client(t, mock);
  for (const body of ['[]', '1', 'null', '{"entities":{}}', '{"entities":[],"next_page_token":{}}', '<html>']) {
    await mock.faults({ status: 200, body });
    assert.equal((await rejection(collect(cx.interactions()))).code, 'PAGE', body);
  }
  const error = await rejection(collect(cx.paginate(ECHO)));
  assert.equal(error.code, 'PAGE');
  for (const [body, n] of [['{"entities":[]}', 0], ['{"entities":[{"id":1}],"next_page_token":null}', 1], ['{"entities":[{"id":1}],"next_page_token":""}', 1]]) {
    await mock.faults({ status: 200, body });
    assert.equal((await collect(cx.interactions())).length, n, body);
  }
});

test('X30 a cursor may be a number', async (t) => {
  const queries = [];
  const { url } = await serve(t, (request, response) => {
    queries.push(request.url);
    response.setHeader('content-type', 'application/json');
    if (request.url === '/oauth2/token') return response.end('{"access_token":"t"}');
    response.end(request.url.includes('cursor=17') ? '{"entities":[{"id":2}]}' : '{"entities":[{"id":1}],"next_page_token":17}');
  });
  assert.deepEqual(await collect(client(t, { url }).interactions()), [1, 2]);
  assert.ok(queries[2].includes('cursor=17'));
});

test('X31 pages of another origin get no token', async (t) => {
  const [mock, other] = [await startMock(t), await startMock(t)];
  const error = await rejection(collect(client(t, mock).paginate(`${other.url}${INTERACTIONS}`)));
  assert.deepEqual([error.code, error.field], ['CONFIG', 'auth']);
  assert.equal((await other.stats()).requests, 0);
});

test('X30 nothing is fetched before it is asked for', async (t) => {
  const mock = await startMock(t, '--interactions', '50');
  const cx = client(t, mock);
  const items = cx.interactions({ pageSize: 10 })[Symbol.asyncIterator]();
  await sleep(20);
  assert.equal((await mock.stats()).requests, 0);
  await items.next();
  await sleep(30);
  assert.equal((await mock.stats()).api_requests, 1);
});

test('X30 X27 a signal ends a run, and options that cannot be used are told', async (t) => {
  const mock = await startMock(t, '--interactions', '50');
  const cx = client(t, mock);
  const controller = new AbortController();
  const run = cx.interactions({ pageSize: 10, signal: controller.signal });
  const reason = await rejection((async () => { for await (const _ of run) controller.abort('enough'); })());
  assert.equal(reason, 'enough');
  for (const [options, field] of [
    [{ pageSize: 0 }, 'pageSize'],
    [{ pageSize: 1.5 }, 'pageSize'],
    [{ pageSize: '10' }, 'pageSize'],
    [{ cursor: 5 }, 'cursor'],
    [{ state: {} }, 'state'],
    [{ state: { cursor: null, done: false, pages: 0, items: 0, seen: [1] } }, 'state'],
    [{ state: null }, 'state'],
  ]) {
    assert.throws(() => cx.interactions(options), { code: 'CONFIG', field }, JSON.stringify(options));
  }
});

for (const [grant, sign] of [['client credentials', client], ['an access key', platform]]) {
  test(`each style brings each record once, with ${grant}, through throttles, dead tokens, resets and new starts`, async (t) => {
    const mock = await startMock(t, '--interactions', '320', '--poll-size', '40');
    for (const [url, options] of STYLES) {
      await mock.faults(
        { nth: 2, do: { status: 401 } },
        { nth: 3, do: { connection: 'reset' } },
        { nth: 4, do: { truncate: 100 } },
        { nth: 5, do: { status: 429 } },
      );
      const found = [];
      let state;
      // Each run ends after two pages: the process is gone, and its state is on disk.
      do {
        let pages = 0;
        for await (const page of sign(t, mock).paginate(url, { ...options, ...(state && { state }) }).pages()) {
          found.push(...page.items.map((it) => it.id));
          state = JSON.parse(JSON.stringify(page.state));
          if (++pages === 2) break;
        }
      } while (!state.done);
      assert.deepEqual(found, ids(0, 320), url);
      await mock.script({ clear: true });
    }
  });
}

test('a search sends its filters in the body', async (t) => {
  const bodies = [];
  const { url } = await serve(t, async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    bodies.push([request.method, JSON.parse(text)]);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ users: [{ id: 1 }], totalRecords: 2 }));
  });
  const cx = new (await import('cxone-client')).CxoneClient({ baseUrl: url, backoff: { base: 20, cap: 100 } });
  t.after(() => cx.close({ drain: false }));
  const found = [];
  for await (const user of cx.paginate('/users/search', { style: 'search', data: { filter: 'x' } })) found.push(user.id);
  assert.deepEqual(found, [1, 1]);
  assert.deepEqual(bodies, [
    ['POST', { filter: 'x', skip: 0, top: 50 }],
    ['POST', { filter: 'x', skip: 1, top: 50 }],
  ]);
});

test('X31 a link to another origin does not get the token', async (t) => {
  const [mock, other] = [await startMock(t), await startMock(t)];
  const page = { agents: [{ id: 1 }], totalRecords: 2, _links: { next: `${other.url}/agents?skip=1` } };
  await mock.faults({ status: 200, body: JSON.stringify(page) });
  const error = await rejection((async () => {
    for await (const _ of client(t, mock).paginate('/agents', { style: 'links', itemsField: 'agents' }));
  })());
  assert.equal(error.code, 'PAGE');
  assert.match(error.message, /another origin/);
  assert.equal((await other.stats()).requests, 0);
});

test('what came after the end is had by a reopened run', async (t) => {
  const url = '/incontactapi/services/v34.0/contacts/completed';
  const run = async (n, state) => {
    const cx = client(t, await startMock(t, '--interactions', String(n), '--poll-size', '40'));
    const run = cx.paginate(url, { style: 'updated-since', since: '2019-12-31', ...(state && { state: { ...state, done: false } }) });
    return [await collect(run), run.state];
  };
  const [before, state] = await run(100);
  const [after] = await run(130, state);
  assert.deepEqual([...before, ...after], ids(0, 130));
});

test('what a style needs is told', async (t) => {
  const cx = client(t, { url: 'http://127.0.0.1:1' });
  for (const [options, field] of [
    [{ style: 'offset' }, 'style'],
    [{ style: 'links' }, 'itemsField'],
    [{ style: 'updated-since', since: 'yesterday' }, 'since'],
    [{ style: 'windows', itemsField: 'x', window: 0 }, 'window'],
    [{ style: 'links', itemsField: 'x', data: {} }, 'data'],
  ]) {
    assert.throws(() => cx.paginate('/x', options), (error) => error.field === field, field);
  }
});
