/** One job, from its submission to its end. */

import type { CxoneClient } from './client.js';
import { ConfigError, JobError } from './errors.js';
import type { CxoneResponse } from './http.js';
import type { JobDone, JobOptions, JobStyle } from './jobs.js';
import { at, detailsOf, json, jsonObject } from './json.js';
import type { RequestOptions } from './request.js';
import { milliseconds } from './settings.js';
import { sleep } from './sleep.js';

/** How long a job may take, unless its caller says otherwise: an hour. */
const DEADLINE = 3_600_000;

/** What `jobNext` gives in place of a wait (`adapters/fetch`, `job.rs`). */
const DONE = -1;
const FAILED = -2;
const LATE = -3;

/** Puts a job onto its way. */
export async function submitJob(cx: CxoneClient, style: JobStyle, path: string | URL, options: JobOptions): Promise<Job> {
  const { data = {}, deadline = DEADLINE, pollEvery = NaN, ...request } = options;
  const { jobFields, jobNext, jobPath } = cx.instance;
  const fields = typeof style === 'string' ? jobFields(style) : undefined;
  if (fields === undefined) throw new ConfigError('style', "choose 'data-extraction', 'report' or 'call-list-upload'");
  milliseconds('deadline', deadline);
  if (options.pollEvery !== undefined) milliseconds('pollEvery', pollEvery);
  const start = performance.now();
  const response = await cx.post(path, data, { ...request, responseType: 'text', deadline });
  const answer = json(response);
  const [idField = '', ...others] = fields.split('\n');
  const id = idField === '' ? answer : at(answer, idField);
  if (typeof id !== 'string' && !Number.isSafeInteger(id)) {
    throw new JobError('Job Error: the answer names no id', detailsOf(response, answer));
  }
  const where = jobPath(`${style}\n${path}\n${id}`);
  if (where === undefined) throw new JobError('Job Error: its id cannot stand in a path', detailsOf(response, answer));
  const next = (state: string): number => jobNext(`${style}\n${state}`, pollEvery, deadline, performance.now() - start);
  // A poll that is asked past the deadline has no time left, and fails by that.
  const poll = () => cx.get<string>(where, { ...request, responseType: 'text', deadline: Math.max(0, deadline - (performance.now() - start)) });
  return new Job(String(id), others, poll, next, request.signal);
}

/** A job that was submitted. */
export class Job {
  readonly #id: string;
  readonly #fields: string[];
  readonly #poll: () => Promise<CxoneResponse<string>>;
  readonly #next: (state: string) => number;
  readonly #signal: RequestOptions['signal'];

  constructor(id: string, fields: string[], poll: () => Promise<CxoneResponse<string>>, next: (state: string) => number, signal: RequestOptions['signal']) {
    this.#id = id;
    this.#fields = fields;
    this.#poll = poll;
    this.#next = next;
    this.#signal = signal;
  }

  /** Waits until it is done; again, for another address of its result. */
  async done(): Promise<JobDone> {
    const [stateField = '', resultField = '', problemField = ''] = this.#fields;
    for (;;) {
      const response = await this.#poll();
      const answer = jsonObject(response);
      const text = (field: string): string | undefined => {
        const value = at(answer, field);
        return typeof value === 'string' ? value : undefined;
      };
      const state = text(stateField);
      if (state === undefined) throw new JobError(`Job Error: there is no state in \`${stateField}\``, detailsOf(response, answer));
      const next = this.#next(state);
      if (next === DONE) {
        const result = text(resultField);
        return { id: this.#id, ...(result === undefined ? {} : { result }), answer };
      }
      if (next === FAILED) {
        const why = text(problemField);
        throw new JobError(`Job Error: job ${this.#id} is ${state}${why === undefined ? '' : `: ${why}`}`, detailsOf(response, answer));
      }
      if (next === LATE) throw new JobError(`Job Error: job ${this.#id} is not done within its deadline`, detailsOf(response, answer));
      await sleep(next, this.#signal);
    }
  }
}
