/** One job, from its submission to its end. */

import type { CxoneClient } from './client.js';
import { ConfigError, JobError } from './errors.js';
import type { CxoneResponse } from './http.js';
import { JOB_FAMILIES, JobPolling, jobState, statusPath, type JobFamily, type JobStyle } from './job.js';
import type { JobDone, JobOptions } from './jobs.js';
import { at, detailsOf, json, jsonObject } from './json.js';
import type { RequestOptions } from './request.js';
import { milliseconds } from './settings.js';
import { sleep } from './sleep.js';

/** How long a job may take, unless its caller says otherwise: an hour. */
const DEADLINE = 3_600_000;

/** Puts a job onto its way. */
export async function submitJob(cx: CxoneClient, style: JobStyle, path: string | URL, options: JobOptions): Promise<Job> {
  const { data = {}, deadline = DEADLINE, pollEvery, ...request } = options;
  if (typeof style !== 'string' || !Object.hasOwn(JOB_FAMILIES, style)) {
    throw new ConfigError('style', `choose ${Object.keys(JOB_FAMILIES).map((it) => `'${it}'`).join(', ')}`);
  }
  const family = JOB_FAMILIES[style];
  milliseconds('deadline', deadline);
  milliseconds('pollEvery', pollEvery);
  const polling = new JobPolling(pollEvery ?? family.pollEvery, deadline, performance.now());
  const response = await cx.post(path, data, { ...request, responseType: 'text', deadline });
  const answer = json(response);
  const id = family.idField === '' ? answer : at(answer, family.idField);
  if (typeof id !== 'string' && !Number.isSafeInteger(id)) {
    throw new JobError('Job Error: the answer names no id', detailsOf(response, answer));
  }
  const where = statusPath(family, String(path), String(id));
  if (where === undefined) throw new JobError('Job Error: its id cannot stand in a path', detailsOf(response, answer));
  return new Job(cx, family, polling, String(id), where, request);
}

/** A job that was submitted. */
class Job {
  readonly #cx: CxoneClient;
  readonly #family: JobFamily;
  readonly #polling: JobPolling;
  readonly id: string;
  readonly #path: string;
  readonly #request: RequestOptions;

  constructor(cx: CxoneClient, family: JobFamily, polling: JobPolling, id: string, path: string, request: RequestOptions) {
    this.#cx = cx;
    this.#family = family;
    this.#polling = polling;
    this.id = id;
    this.#path = path;
    this.#request = request;
  }

  /** Waits until it is done; again, for another address of its result. */
  async done(): Promise<JobDone> {
    const { stateField, resultField, problemField } = this.#family;
    for (;;) {
      const left = this.#polling.left(performance.now());
      if (left === undefined) throw this.#late();
      const response: CxoneResponse<string> = await this.#cx.get(this.#path, { ...this.#request, responseType: 'text', deadline: left });
      const answer = jsonObject(response);
      const text = (field: string): string | undefined => {
        const value = at(answer, field);
        return typeof value === 'string' ? value : undefined;
      };
      const state = text(stateField);
      if (state === undefined) throw new JobError(`Job Error: there is no state in \`${stateField}\``, detailsOf(response, answer));
      switch (jobState(state)) {
        case 'done': {
          const result = text(resultField);
          return { id: this.id, ...(result === undefined ? {} : { result }), answer };
        }
        case 'failed': {
          const why = text(problemField);
          throw new JobError(`Job Error: job ${this.id} is ${state}${why === undefined ? '' : `: ${why}`}`, detailsOf(response, answer));
        }
        default: {
          const wait = this.#polling.wait(performance.now());
          if (wait === undefined) throw this.#late();
          await sleep(wait, this.#request.signal);
        }
      }
    }
  }

  #late(): JobError {
    return new JobError(`Job Error: job ${this.id} is not done within its deadline`);
  }
}
