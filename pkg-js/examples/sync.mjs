// The tutorial's main script: reads all interactions, and says how it goes.
//
//   CXONE_BASE_URL=… CXONE_CLIENT_ID=… CXONE_CLIENT_SECRET=… node sync.mjs > interactions.ndjson
//
// The settings may also be in a file `.env`. The items go to standard output, one a line; what is
// said about them goes to standard error.

import { CxoneClient } from 'cxone-client';

// Whoever reads the items may have had enough, as `head` has.
process.stdout.on('error', (error) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

let cx;
try {
  console.error('[Init] Starting CXone interaction sync...');
  cx = await CxoneClient.fromEnv();
  for (const type of ['pause', 'retry']) cx.addEventListener(type, (event) => console.error(event.detail.message));
  cx.addEventListener('tokenretry', (event) => {
    console.error(`${event.detail.message}. If this stays: check CXONE_BASE_URL, CXONE_TOKEN_URL and the network`);
  });

  let total = 0;
  for await (const page of cx.interactions().pages()) {
    for (const interaction of page.items) process.stdout.write(`${JSON.stringify(interaction)}\n`);
    total = page.total;
    console.error(`[Pagination] Fetched ${page.items.length} interactions. Total: ${total}`);
    // A long run stores `page.state` here, and starts again with `cx.interactions({ state })`.
  }
  console.error(`[Complete] Successfully synced ${total} interactions.`);
} catch (error) {
  console.error(`[Fatal] ${error.message}`);
  process.exitCode = 1;
} finally {
  await cx?.close();
}
