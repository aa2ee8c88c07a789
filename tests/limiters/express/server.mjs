// A server whose only limit is express-rate-limit's: LIMIT requests in a fixed window of WINDOW ms.
//
//   node server.mjs draft-8|x-ratelimit LIMIT WINDOW
//
// It prints its port, and ends when its standard input does, so that it outlives no test.
import express from 'express';
import { rateLimit } from 'express-rate-limit';

const [LIMIT, WINDOW] = process.argv.slice(3).map(Number);
// Long enough that a client's whole concurrency is in flight when the window is full.
const WORK = 20;

const headers = {
  'draft-8': { standardHeaders: 'draft-8', legacyHeaders: false },
  'x-ratelimit': { standardHeaders: false, legacyHeaders: true },
}[process.argv[2]];
if (!headers) throw new Error(`no headers called ${process.argv[2]}`);

const app = express();
app.use(rateLimit({ windowMs: WINDOW, limit: LIMIT, ...headers }));
app.get('/{*path}', (request, response) => {
  setTimeout(() => response.json({ path: request.path }), WORK);
});
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => process.exit());
