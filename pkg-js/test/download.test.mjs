/** Downloads: whole and checked, or not there. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

import { DownloadError } from 'cxone-client';
import { download, runJobTo } from 'cxone-client/download';
import { undiciTransport } from 'cxone-client/undici';
import * as undici from 'undici';
import { anonymous, client, platform, rejection, run, serve, sleep, startMock, until } from './helper.mjs';

const JOBS = '/data-extraction/v1/jobs';
const SIZE = 100_000;
const bytes = (n) => Buffer.from(Uint8Array.from({ length: n }, (_, i) => i % 251));
const WHOLE = bytes(SIZE);
const base64 = (name, data) => createHash(name).update(data).digest('base64');

/** A folder of the test's own, where a file is to be. */
function folder(t) {
  const dir = mkdtempSync(join(tmpdir(), 'cxone-download-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return { dir, file: join(dir, 'file.wav'), names: () => readdirSync(dir).sort() };
}

/** A recording's address, as Media Playback has it: of another origin, and signed. */
async function recording(cx) {
  return (await cx.get('/media-playback/v1/contacts')).data.interactions[0].data.fileToPlayUrl;
}

async function start(t, options) {
  const mock = await startMock(t);
  const cx = client(t, mock, options);
  const address = await recording(cx);
  const files = (...faults) => mock.script({ rules: [{ on: '/files/', times: faults.length, do: faults }] });
  const ranges = async () => (await mock.log()).filter((it) => it.path.startsWith('/files/')).length;
  return { mock, cx, address, files, ranges, ...folder(t) };
}

/** A server of one file: what it is asked for, and how it answers. */
async function store(t, answer, options) {
  const { file, ...rest } = folder(t);
  const asked = [];
  const { url } = await serve(t, (request, response) => {
    asked.push(request.headers);
    return answer(request, response, asked.length);
  });
  /** Sends that, and breaks the connection once it is on disk, so many bytes in all: what nobody has read by then would be lost. */
  const cut = async (response, piece, size) => {
    response.write(piece);
    await until(`${size} bytes are there`, () => existsSync(`${file}.part`) && statSync(`${file}.part`).size === size);
    response.destroy();
  };
  return { url: `${url}/file`, asked, cut, cx: anonymous(t, url, options), file, ...rest };
}

/** Such a server, which knows ranges, and ends its answers early after so many bytes each, or with a status. */
async function ranged(t, ends, options) {
  const made = await store(t, ({ headers }, response, n) => {
    const end = ends[n - 1];
    if (end >= 200 && end < 600) return response.writeHead(end).end();
    const from = headers['if-range'] === '"v1"' ? Number(/\d+/.exec(headers.range)) : 0;
    const range = `bytes ${from}-${SIZE - 1}/${SIZE}`;
    response.writeHead(from ? 206 : 200, { etag: '"v1"', 'content-length': SIZE - from, 'repr-digest': `sha-256=:${base64('sha256', WHOLE)}:`, ...(from && { 'content-range': range }) });
    return end ? made.cut(response, WHOLE.subarray(from, from + end), from + end) : response.end(WHOLE.subarray(from));
  }, options);
  return made;
}

test('a recording is fetched from where it is, checked, and carries no token there', async (t) => {
  const { cx, address, file, names } = await start(t);
  // The mock refuses a request that signs in twice, as object stores do.
  const found = await download(cx, address, file);
  assert.deepEqual(found, { path: file, bytes: SIZE, resumed: 0, verified: true });
  assert.deepEqual(readFileSync(file), WHOLE);
  assert.deepEqual(names(), ['file.wav']);
  // It takes the place of what is there.
  writeFileSync(file, 'an older one');
  assert.equal((await download(cx, new URL(address), pathToFileURL(file))).path, file);
  assert.deepEqual(readFileSync(file), WHOLE);
});

test('a recording of NICE’s own platform, and what a job of it has made', async (t) => {
  const mock = await startMock(t);
  const { file } = folder(t);
  const cx = platform(t, mock);
  const found = { path: file, bytes: SIZE, resumed: 0, verified: true };
  assert.deepEqual(await download(cx, await recording(cx), file), found);
  rmSync(file);
  assert.deepEqual((await runJobTo(cx, 'report', '/incontactapi/services/v34.0/report-jobs/77', file, { pollEvery: 5 })).file, found);
  assert.deepEqual(readFileSync(file), WHOLE);
});

test('of the base URL’s origin a file is fetched with the token', async (t) => {
  const { cx, file } = await start(t);
  const { bytes } = await download(cx, '/incontactapi/services/v34.0/agents', file, { params: { top: 1 } });
  assert.ok(bytes > 0);
});

test('a download goes on where its body ended, over both transports', async (t) => {
  for (const options of [{}, { transport: undiciTransport(undici) }]) {
    const { url, asked, cx, file, names } = await ranged(t, [30_000, 20_000], options);
    assert.deepEqual(await download(cx, url, file), { path: file, bytes: SIZE, resumed: 50_000, verified: true });
    assert.deepEqual(readFileSync(file), WHOLE);
    assert.deepEqual(names(), ['file.wav']);
    assert.deepEqual(asked.map((it) => it.range), [undefined, 'bytes=30000-', 'bytes=50000-']);
  }
});

test('a store as the platform has it may break off whenever it likes', async (t) => {
  const { cx, address, file, files, names } = await start(t);
  await files({ truncate: 30_000 }, { truncate: 20_000 }, { connection: 'reset' }, { truncate: 10 });
  const { bytes, verified } = await download(cx, address, file);
  assert.deepEqual([bytes, verified], [SIZE, true]);
  assert.deepEqual(readFileSync(file), WHOLE);
  assert.deepEqual(names(), ['file.wav']);
});

test('a later call goes on with what an earlier one left', async (t) => {
  const { url, cx, file, names, dir } = await ranged(t, [30_000, 500, 404]);
  assert.equal((await rejection(download(cx, url, file))).code, 'SERVER');
  assert.deepEqual(names(), ['file.wav.part', 'file.wav.part.etag']);
  assert.equal((await rejection(download(cx, url, file))).status, 404);
  assert.deepEqual(await download(cx, url, file), { path: file, bytes: SIZE, resumed: 30_000, verified: true });
  assert.deepEqual(readFileSync(file), WHOLE);

  const part = join(dir, 'file.wav.part');
  const { cx: other, address } = await start(t);
  // What is there is of another version, of none that is known, or longer than what is there now.
  for (const [rest, etag] of [['something else', '"v0"'], ['something else', 'W/"v1"'], ['something else'], [bytes(SIZE + 5), '"v1"'], [WHOLE, '"v1"']]) {
    writeFileSync(part, rest);
    if (etag) writeFileSync(`${part}.etag`, etag);
    assert.deepEqual(await download(other, address, file), { path: file, bytes: SIZE, resumed: 0, verified: true });
    assert.deepEqual(readFileSync(file), WHOLE);
    assert.deepEqual(names(), ['file.wav']);
  }
});

test('If-Range and Range are what RFC 9110 has them be', async (t) => {
  const made = await store(t, ({ headers }, response, n) => {
    response.setHeader('etag', '"v7"');
    if (n === 1) {
      response.setHeader('content-length', SIZE);
      return made.cut(response, WHOLE.subarray(0, 40_000), 40_000);
    }
    response.writeHead(206, { 'content-range': `bytes ${/\d+/.exec(headers.range)}-${SIZE - 1}/${SIZE}` });
    response.end(WHOLE.subarray(Number(/\d+/.exec(headers.range))));
  });
  const { url, asked, cx, file } = made;
  assert.deepEqual(await download(cx, url, file, { headers: { 'x-a': 'b', range: 'bytes=1-2' } }), { path: file, bytes: SIZE, resumed: 40_000, verified: false });
  assert.deepEqual(readFileSync(file), WHOLE);
  const [first, second] = asked;
  assert.deepEqual([first['accept-encoding'], first.accept, first['x-a'], first.range, first['if-range']], ['identity', '*/*', 'b', undefined, undefined]);
  assert.deepEqual([second.range, second['if-range'], second['x-a']], ['bytes=40000-', '"v7"', 'b']);
});

test('without a strong ETag it begins anew', async (t) => {
  for (const etag of [undefined, 'W/"v1"']) {
    const made = await store(t, (_, response, n) => {
      if (etag) response.setHeader('etag', etag);
      response.setHeader('content-length', SIZE);
      if (n > 1) return response.end(WHOLE);
      return made.cut(response, WHOLE.subarray(0, 40_000), 40_000);
    });
    const { url, asked, cx, file, names } = made;
    assert.deepEqual(await download(cx, url, file), { path: file, bytes: SIZE, resumed: 0, verified: false });
    assert.deepEqual(readFileSync(file), WHOLE);
    assert.equal(asked[1].range, undefined);
    assert.deepEqual(names(), ['file.wav']);
  }
});

test('a part that is another than the one that is missing is not taken', async (t) => {
  const { url, cx, file, names } = await store(t, (_, response) => {
    response.writeHead(206, { 'content-range': `bytes 0-4/${SIZE}` }).end('abcde');
  });
  const error = await rejection(download(cx, url, file));
  assert.deepEqual([error.code, error.status], ['DOWNLOAD', 206]);
  assert.deepEqual(names(), []);
});

test('parts of two versions do not make a file', async (t) => {
  // None of these servers minds `If-Range`.
  const other = async ([etag, range, rest], again = WHOLE) => {
    const made = await store(t, (_, response, n) => {
      if (n % 2 === 0) return response.writeHead(206, { ...(etag && { etag }), 'content-range': `bytes 5-${range}` }).end(rest);
      response.writeHead(200, { etag: '"v1"', 'content-length': n === 1 || !again ? 10 : again.length });
      return n === 1 || !again ? made.cut(response, 'AAAAA', 5) : response.end(again);
    });
    return made;
  };
  for (const answer of [['"v2"', '9/10', 'BBBBB'], ['W/"v1"', '9/10', 'BBBBB'], [undefined, '8/9', 'BBBB'], ['"v1"', '10/11', 'BBBBBB']]) {
    const { url, asked, cx, file, names } = await other(answer);
    assert.deepEqual(await download(cx, url, file), { path: file, bytes: SIZE, resumed: 0, verified: false }, String(answer));
    assert.deepEqual(readFileSync(file), WHOLE);
    assert.deepEqual(asked.map(({ range }) => range), [undefined, 'bytes=5-', undefined]);
    assert.deepEqual(names(), ['file.wav']);
  }
  // Neither a validator nor a total need be repeated.
  for (const answer of [[undefined, '9/*', 'BBBBB'], ['"v1"', '9/10', 'BBBBB']]) {
    const { url, cx, file } = await other(answer);
    assert.equal((await download(cx, url, file)).resumed, 5);
    assert.equal(readFileSync(file, 'utf8'), 'AAAAABBBBB');
  }
  const { url, asked, cx, file, names } = await other(['"v2"', '9/10', 'BBBBB'], null);
  const error = await rejection(download(cx, url, file));
  assert.deepEqual([error.code, error.message], ['DOWNLOAD', 'Download Error: its parts are not of one file']);
  assert.equal(asked.length, 10);
  assert.deepEqual(names(), []);
});

test('what is not what the server states never gets its name', async (t) => {
  const { cx, address, file, files, names } = await start(t);
  const wrong = base64('sha256', '');
  for (const headers of [
    { 'repr-digest': `sha-256=:${wrong}:` },
    { 'repr-digest': `md5=:AAAA:, SHA-256=:${wrong}:` },
    { 'x-amz-checksum-sha256': wrong },
    { 'content-md5': base64('md5', '') },
    { 'repr-digest': `sha-256=:${wrong}:`, etag: '"v1"' },
  ]) {
    await files({ status: 200, body: 'x', headers });
    const error = await rejection(download(cx, address, file));
    assert.ok(error instanceof DownloadError);
    assert.deepEqual([error.code, error.message, error.status], ['DOWNLOAD', 'Download Error: its checksum is not what the server states', 200]);
    assert.doesNotMatch(error.url, /\?/);
    assert.deepEqual(names(), [], JSON.stringify(headers));
  }
  // One that is right is said to be, and others are not taken for one.
  for (const [headers, verified] of [
    [{ 'repr-digest': `sha-512=:AAAA:, sha-256=:${base64('sha256', 'abc')}:` }, true],
    [{ 'x-amz-checksum-sha256': base64('sha256', 'abc') }, true],
    [{ 'content-md5': base64('md5', 'abc') }, true],
    [{ 'x-amz-checksum-sha256': `${wrong}-3` }, false],
    [{ 'repr-digest': 'sha-512=:AAAA:' }, false],
  ]) {
    await files({ status: 200, body: 'abc', headers });
    assert.equal((await download(cx, address, file)).verified, verified, JSON.stringify(headers));
    assert.equal(readFileSync(file, 'utf8'), 'abc');
  }
});

test('a checksum is that of the whole file, whichever answers brought it', async (t) => {
  const digest = { 'repr-digest': `sha-256=:${base64('sha256', WHOLE)}:` };
  for (const broken of [false, true]) {
    const made = await store(t, ({ headers }, response, n) => {
      response.setHeader('etag', '"v1"');
      response.setHeader('content-md5', base64('md5', 'of the body that is sent'));
      if (n === 1) {
        response.setHeader('content-length', SIZE);
        return made.cut(response, WHOLE.subarray(0, 40_000), 40_000);
      }
      const rest = Buffer.from(WHOLE.subarray(40_000));
      if (broken) rest[7] ^= 1;
      assert.equal(headers.range, 'bytes=40000-');
      response.writeHead(206, { ...digest, 'content-range': `bytes 40000-${SIZE - 1}/${SIZE}` }).end(rest);
    });
    const { url, cx, file, names } = made;
    if (broken) assert.match((await rejection(download(cx, url, file))).message, /checksum/);
    else assert.equal((await download(cx, url, file)).verified, true);
    assert.deepEqual(names(), broken ? [] : ['file.wav']);
  }
});

test('a wrong length is told', async (t) => {
  // More than stated, as only a part can bring it: HTTP ends a whole body at its Content-Length.
  const made = await store(t, (_, response, n) => {
    response.setHeader('etag', '"v1"');
    if (n === 1) {
      response.setHeader('content-length', 20);
      return made.cut(response, '0123456789', 10);
    }
    response.writeHead(206, { 'content-range': 'bytes 10-19/20' }).end('0123456789abc');
  });
  const { url, cx, file, names } = made;
  const error = await rejection(download(cx, url, file));
  assert.deepEqual([error.code, error.message], ['DOWNLOAD', 'Download Error: 23 bytes of 20 came']);
  assert.deepEqual(names(), []);

  // Less than stated, over and over: what a transport takes for an end is none.
  const short = async () => new Response('0123456789', { headers: { 'content-length': '20' } });
  const given = anonymous(t, 'http://a.example', { fetch: short });
  const never = await rejection(download(given, 'http://a.example/file', file));
  assert.deepEqual([never.code, never.message], ['DOWNLOAD', 'Download Error: its body brings nothing']);
  assert.deepEqual(names(), []);
});

test('a file has one writer at a time', async (t) => {
  let go;
  const may = new Promise((resolve) => (go = resolve));
  const { url, asked, cx, file, names } = await store(t, async (_, response) => {
    response.writeHead(200, { 'content-length': SIZE }).write(WHOLE.subarray(0, 40_000));
    await may;
    response.end(WHOLE.subarray(40_000));
  });
  const first = download(cx, url, file);
  for (const other of [file, pathToFileURL(file), relative('.', file)]) {
    const error = await rejection(download(cx, url, other));
    assert.ok(error instanceof DownloadError);
    assert.match(error.message, /file\.wav cannot be written: another download is writing it$/);
  }
  // One beside it does not mind.
  const second = download(cx, url, `${file}.2`);
  go();
  assert.deepEqual([(await first).bytes, (await second).bytes, asked.length], [SIZE, SIZE, 2]);
  assert.deepEqual(readFileSync(file), WHOLE);
  assert.deepEqual(names(), ['file.wav', 'file.wav.2']);
  // It may be written again: also after a failure.
  await rejection(download(cx, url, file, { headers: { 'no name': '' } }));
  await rejection(download(cx, url, join(file, 'no', 'folder')));
  assert.match((await rejection(download(cx, url, join(file, 'no', 'folder')))).message, /ENOTDIR|ENOENT/);
  assert.equal((await download(cx, url, file)).bytes, SIZE);
});

test('what is packed in spite of what was asked for is an error, and no file', async (t) => {
  const { url, cx, file, names } = await store(t, ({ headers }, response) => {
    assert.equal(headers['accept-encoding'], 'identity');
    const packed = gzipSync(WHOLE);
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length, etag: '"v1"', 'repr-digest': `sha-256=:${base64('sha256', packed)}:` });
    response.end(packed);
  });
  const error = await rejection(download(cx, url, file));
  assert.equal(error.message, 'Download Error: the server packs it, though it was asked not to');
  assert.deepEqual([error.code, names()], ['DOWNLOAD', []]);
});

test('what is no file is none', async (t) => {
  const { cx, address, file, files, names } = await start(t);
  for (const [status, code] of [[302, 'DOWNLOAD'], [204, 'DOWNLOAD'], [304, 'DOWNLOAD'], [403, 'AUTH'], [404, 'STATUS'], [416, 'STATUS'], [500, 'SERVER']]) {
    await files({ status, headers: { location: 'https://b.example/file' } });
    const error = await rejection(download(cx, address, file));
    assert.deepEqual([error.code, error.status], [code, status], `${status}: ${error}`);
    assert.deepEqual(names(), [], String(status));
  }
  const error = await rejection(download(cx, address, join(file, 'no', 'folder')));
  assert.deepEqual([error.code, error.cause.code], ['DOWNLOAD', 'ENOENT']);
  assert.deepEqual(names(), []);
  assert.equal((await rejection(download(cx, address, file, { stallTimeout: -1 }))).field, 'stallTimeout');
});

test('an empty file is a file', async (t) => {
  const { url, cx, file } = await store(t, (_, response) => response.writeHead(200, { 'content-length': 0 }).end());
  assert.equal((await download(cx, url, file)).bytes, 0);
  assert.equal(statSync(file).size, 0);
});

test('throttles on the way are waited for', async (t) => {
  const { mock, cx, address, file, files } = await start(t);
  await files({ status: 429, retry_after: 1 }, { truncate: 30_000 }, { status: 503, retry_after: 1 });
  assert.equal((await download(cx, address, file)).verified, true);
  assert.equal((await mock.stats()).early, 0);
});

test('a body that keeps ending or stalls is given up', { timeout: 20_000 }, async (t) => {
  const { cx, address, file, files, names } = await start(t);
  await files(...Array(5).fill({ truncate: 0 }));
  const error = await rejection(download(cx, address, file));
  assert.deepEqual([error.code, error.message], ['NETWORK', "Network Error: the answer's body ended early"]);
  assert.ok(error.cause);
  assert.deepEqual(names(), []);
  await files({ body_delay_ms: 30_000 });
  assert.equal((await download(cx, address, file, { stallTimeout: 100 })).bytes, SIZE);
});

test('a body that stalls in the middle goes on from there', { timeout: 20_000 }, async (t) => {
  const { url, cx, file } = await store(t, ({ headers }, response, n) => {
    response.setHeader('etag', '"v1"');
    if (n === 1) {
      response.setHeader('content-length', SIZE);
      response.write(WHOLE.subarray(0, 40_000));
      return; // and no more
    }
    response.writeHead(206, { 'content-range': `bytes 40000-${SIZE - 1}/${SIZE}` }).end(WHOLE.subarray(Number(/\d+/.exec(headers.range))));
  });
  assert.deepEqual(await download(cx, url, file, { stallTimeout: 200 }), { path: file, bytes: SIZE, resumed: 40_000, verified: false });
  assert.deepEqual(readFileSync(file), WHOLE);
});

test('X27 a signal ends a download wherever it is, and a later call goes on', { timeout: 20_000 }, async (t) => {
  for (const transport of [undefined, undiciTransport(undici)]) {
    let slow = true;
    const { url } = await serve(t, ({ headers }, response) => {
      const from = Number(/\d+/.exec(headers.range ?? '0'));
      response.writeHead(from ? 206 : 200, { etag: '"v1"', 'content-length': SIZE - from, ...(from && { 'content-range': `bytes ${from}-${SIZE - 1}/${SIZE}` }) });
      if (!slow) return response.end(WHOLE.subarray(from));
      response.write(WHOLE.subarray(from, from + 10_000));
    });
    const { file, names } = folder(t);
    const cx = anonymous(t, url, transport && { transport });
    const controller = new AbortController();
    const { signal } = controller;
    const going = rejection(download(cx, '/file', file, { signal }));
    await until('some of it is there', () => names().includes('file.wav.part') && statSync(`${file}.part`).size === 10_000);
    controller.abort('enough');
    assert.equal(await going, 'enough');
    assert.deepEqual(names(), ['file.wav.part', 'file.wav.part.etag']);
    assert.equal(await rejection(download(cx, '/file', file, { signal })), 'enough');
    assert.equal((await rejection(download(cx, '/file', file, { signal: AbortSignal.timeout(50) }))).name, 'TimeoutError');
    slow = false;
    const { resumed, bytes } = await download(cx, '/file', file, { signal: new AbortController().signal });
    assert.deepEqual([resumed, bytes], [20_000, SIZE]);
    assert.deepEqual(readFileSync(file), WHOLE);
  }
});

test('a process that is killed leaves no half file under the name, and the next one goes on', { timeout: 30_000 }, async (t) => {
  const { file, names } = folder(t);
  const ranges = [];
  const { url } = await serve(t, async ({ headers }, response) => {
    ranges.push(headers.range);
    const from = Number(/\d+/.exec(headers.range ?? '0'));
    response.writeHead(from ? 206 : 200, { etag: '"v1"', 'content-length': SIZE - from, ...(from && { 'content-range': `bytes ${from}-${SIZE - 1}/${SIZE}` }), 'repr-digest': `sha-256=:${base64('sha256', WHOLE)}:` });
    for (let at = from; at < SIZE && !response.destroyed; at += 1000) {
      response.write(WHOLE.subarray(at, at + 1000));
      if (at < 80_000) await sleep(2);
    }
    response.end();
  });
  const code = `import { CxoneClient } from '${import.meta.resolve('cxone-client')}';
    import { download } from '${import.meta.resolve('cxone-client/download')}';
    const { resumed, verified } = await download(new CxoneClient({ baseUrl: '${url}' }), '/file', ${JSON.stringify(file)});
    console.log(JSON.stringify({ resumed, verified }));`;
  let resumed = 0;
  for (const enough of [5000, 20_000, 50_000]) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'inherit' });
    const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
    await until(`${enough} bytes are there`, () => names().includes('file.wav.part') && statSync(`${file}.part`).size >= enough);
    child.kill('SIGKILL');
    assert.equal(await ended, 'SIGKILL');
    assert.deepEqual(names(), ['file.wav.part', 'file.wav.part.etag']);
    resumed = statSync(`${file}.part`).size;
  }
  const { status, stdout, stderr } = await run(code);
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), { resumed, verified: true });
  assert.equal(ranges.length, 4);
  assert.deepEqual(readFileSync(file), WHOLE);
  assert.deepEqual(names(), ['file.wav']);
});

test('memory is bounded, however long the file', { timeout: 60_000 }, async (t) => {
  const chunk = Buffer.alloc(1 << 20, 'x');
  const count = 256;
  const { url } = await serve(t, async (_, response) => {
    response.writeHead(200, { 'content-length': count * chunk.length });
    for (let i = 0; i < count; i++) if (!response.write(chunk)) await new Promise((resolve) => response.once('drain', resolve));
    response.end();
  });
  const { file } = folder(t);
  const code = `import { CxoneClient } from '${import.meta.resolve('cxone-client')}';
    import { download } from '${import.meta.resolve('cxone-client/download')}';
    let most = 0;
    const timer = setInterval(() => { const { heapUsed, arrayBuffers } = process.memoryUsage(); most = Math.max(most, heapUsed + arrayBuffers); }, 5);
    await download(new CxoneClient({ baseUrl: '${url}' }), '/file', ${JSON.stringify(file)});
    clearInterval(timer);
    console.log(most);`;
  const { status, stdout, stderr } = await run(code);
  assert.equal(status, 0, stderr);
  assert.equal(statSync(file).size, count * chunk.length);
  const most = Number(stdout) / 2 ** 20;
  assert.ok(most < 64, `${most.toFixed(1)} MiB for ${count} MiB`);
});

test('a job’s result is fetched at once, and another address asked for if that has died', async (t) => {
  for (const [style, path] of [['data-extraction', JOBS], ['report', '/incontactapi/services/v34.0/report-jobs/77']]) {
    const { mock, cx, file, files, names } = await start(t);
    await files({ status: 403 }, { status: 404 });
    const { job, file: found } = await runJobTo(cx, style, path, file, { data: { entityName: 'x' }, pollEvery: 5 });
    assert.deepEqual(found, { path: file, bytes: SIZE, resumed: 0, verified: true });
    assert.ok(job.id.startsWith('job-') && job.result.includes('/files/'));
    assert.deepEqual(readFileSync(file), WHOLE);
    assert.deepEqual(names(), ['file.wav']);
    assert.equal((await mock.log()).filter((it) => it.path.endsWith(`/${job.id}`)).length, 5);

    await files({ status: 403 }, { status: 410 }, { status: 404 });
    assert.equal((await rejection(runJobTo(cx, style, path, file, { pollEvery: 5 }))).status, 404);
    await files({ status: 500 });
    assert.equal((await rejection(runJobTo(cx, style, path, file, { pollEvery: 5 }))).status, 500);
  }
});

test('a job without a result has none to fetch', async (t) => {
  const { cx, file, names } = await start(t);
  const error = await rejection(runJobTo(cx, 'call-list-upload', '/incontactapi/services/v34.0/lists/call-lists/5/upload', file, { pollEvery: 5 }));
  assert.deepEqual([error.code, error.message], ['JOB', 'Job Error: job job-2 is done and names no result']);
  assert.deepEqual(names(), []);
});
