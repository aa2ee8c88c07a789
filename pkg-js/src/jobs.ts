/** `cxone-client/jobs`: jobs are submitted and asked after until they are done. */

import type { CxoneClient } from './client.js';
import type { Data, RequestOptions } from './request.js';
import { submitJob } from './submit.js';

/** A family of jobs: how they are asked after, and what their answers name. */
export type JobStyle = 'data-extraction' | 'report' | 'call-list-upload';

/** What may be said of a job, and of all its requests. */
export interface JobOptions extends Pick<RequestOptions, 'priority' | 'headers' | 'signal' | 'timeout' | 'scope'> {
  /** What is submitted. Default: an empty object. */
  data?: Data;
  /** Milliseconds that the job may take, from its submission on; `Infinity` is no bound. Default 1 h. */
  deadline?: number;
  /** Milliseconds to wait after an answer before asking again. Default: what NICE wants of the family, 30 000 for Data Extraction and 5000 for the others. */
  pollEvery?: number;
}

/** A job that is done. */
export interface JobDone {
  /** Its id. */
  id: string;
  /** The address of its result, if it has one. It may die soon: that of a data extraction lives for 30 s. */
  result?: string;
  /** The last answer about it. */
  answer: Record<string, any>;
}

/**
 * Submits a job and waits until it is done.
 *
 * Rejects with a {@link JobError} if the job fails, is not done within its deadline, or if what is
 * said about it cannot be understood; else as its requests do. A submission whose answer was lost
 * is not repeated: it may have been taken.
 *
 * ```js
 * const job = await runJob(cx, 'data-extraction', '/data-extraction/v1/jobs', { data: { entityName: 'qm-workflows', version: '1' } });
 * ```
 */
export async function runJob(cx: CxoneClient, style: JobStyle, path: string | URL, options: JobOptions = {}): Promise<JobDone> {
  return (await submitJob(cx, style, path, options)).done();
}
