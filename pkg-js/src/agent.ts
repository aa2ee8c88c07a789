/** `cxone-client/agent`: the events of an agent's session, by long polls. */

import type { CxoneClient } from './client.js';
import { at, json } from './json.js';
import type { RequestOptions } from './request.js';
import { milliseconds } from './settings.js';
import { sleep } from './sleep.js';

/** The scope of the polls. On NICE's own platform it counts apart from the client's concurrency. */
const SCOPE = 'agent-events';

/** The longest that the server holds a poll. */
const LONGEST_POLL = 60_000;

/** What an answer needs on top of that. */
const GRACE = 15_000;

/** What may be said of the polls. */
export interface AgentEventsOptions extends Pick<RequestOptions, 'priority' | 'headers' | 'signal' | 'scope'> {
  /** Milliseconds for which the server may hold a poll, up to 60 000, of which whole seconds count. Default 60 000. */
  timeout?: number;
}

/**
 * The events of an agent's session, as they come: it has no end of its own. The path is that of the
 * session, `…/agent-sessions/{id}`.
 *
 * The server holds each poll until something happens; 304 says that nothing has, and it is asked
 * again at once, but not more than four times a second where it does not hold them. The polls have
 * a scope of their own, `agent-events`, which on NICE's own platform
 * counts apart from the client's concurrency; elsewhere say so:
 * `new CxoneClient({ scopes: [{ name: 'agent-events', concurrency: 100, apart: true }] })`.
 *
 * An error ends it. The server forgets events that it has sent: what came with a broken answer is
 * lost, so whoever needs all of them reads the session's state again.
 *
 * ```js
 * for await (const event of agentEvents(cx, session, { signal })) console.log(event.Type);
 * ```
 */
export async function* agentEvents<T = any>(cx: CxoneClient, session: string | URL, options: AgentEventsOptions = {}): AsyncGenerator<T, void, undefined> {
  const { timeout = LONGEST_POLL, scope = SCOPE, ...request } = options;
  const held = Math.min(milliseconds('timeout', timeout), LONGEST_POLL);
  const url = `${String(session).replace(/\/+$/, '')}/get-next-event`;
  const params = { timeout: Math.floor(held / 1000) };
  for (;;) {
    const asked = performance.now();
    const response = await cx.get(url, { ...request, scope, params, timeout: held + GRACE, responseType: 'text' });
    let events: unknown = [];
    if (response.status !== 304 && response.status !== 204) {
      // Where it names none, the answer is one.
      const answer = json(response);
      events = at(answer, 'events');
      if (!Array.isArray(events)) events = [answer];
    }
    yield* events as T[];
    if ((events as T[]).length === 0) await sleep(cx.instance.pollPause(performance.now() - asked), options.signal);
  }
}
