/**
 * Jobs: how each family of them is asked after, what its answers name, and when to ask again.
 *
 * This is `core/src/job.rs` once more: jobs are rare and the WebAssembly is on every page, so that
 * these lines stay out of it. `tests/vectors/jobs.json` keeps the two the same.
 */

/** A family of jobs. */
export type JobStyle = 'data-extraction' | 'report' | 'call-list-upload';

/** How a family of jobs is asked after, and what its answers name. A `.` in a name leads into an object. */
export interface JobFamily {
  /** The field of the submission's answer that holds the job's id; empty: the whole answer. */
  idField: string;
  /** So many segments at the end of the submission's path make way for … */
  parent: number;
  /** … these, then the id: the path at which the job is asked after. */
  child: string;
  /** The field that holds the state. */
  stateField: string;
  /** The field that holds the address of the result, once there is one; empty: none ever does. */
  resultField: string;
  /** The field that says what went wrong, if it has. */
  problemField: string;
  /** Milliseconds to wait after an answer before asking again. */
  pollEvery: number;
  /** Milliseconds for which the address of the result lives, if that is known. */
  resultLives?: number;
}

/** What is known of each family. */
export const JOB_FAMILIES: Readonly<Record<JobStyle, JobFamily>> = {
  // NICE asks for 30 s between calls of Data Extraction, and lets a result's address live as long.
  'data-extraction': {
    idField: '',
    parent: 0,
    child: '',
    stateField: 'jobStatus.status',
    resultField: 'jobStatus.result.url',
    problemField: 'jobStatus.result.errorMessage',
    pollEvery: 30_000,
    resultLives: 30_000,
  },
  // Nothing is published of the others.
  report: {
    idField: 'jobId',
    parent: 1,
    child: '',
    stateField: 'jobResult.state',
    resultField: 'jobResult.resultFileURL',
    problemField: 'jobResult.errorMessage',
    pollEvery: 5000,
  },
  'call-list-upload': {
    idField: 'jobId',
    parent: 2,
    child: 'jobs/',
    stateField: 'status',
    resultField: '',
    problemField: 'errorMessage',
    pollEvery: 5000,
  },
};

/** The path at which a job is asked after that was submitted there; `undefined` if its id cannot stand in a path. */
export function statusPath({ parent, child }: JobFamily, submittedTo: string, id: string): string | undefined {
  if (id === '.' || id === '..' || !/^[\w.-]+$/.test(id)) return undefined;
  let path = /^[^?#]*/.exec(submittedTo)![0].replace(/\/+$/, '');
  for (let i = 0; i < parent; i++) {
    const slash = path.lastIndexOf('/');
    if (slash < 0) return undefined;
    path = path.slice(0, slash);
  }
  return `${path}/${child}${id}`;
}

/** Where a job stands. What has a name that is not known is running: the deadline bounds it. */
export type JobState = 'running' | 'done' | 'failed';

const DONE = /^(succeeded|success|finished|completed|complete)$/i;
const FAILED = /^(failed|failure|error|cancelled|canceled|expired)$/i;

/** What a state comes to, in whatever case it is written. */
export function jobState(name: string): JobState {
  return DONE.test(name) ? 'done' : FAILED.test(name) ? 'failed' : 'running';
}

/** When a job is asked after: at once, then a while after each answer, and never once its deadline has passed. */
export class JobPolling {
  readonly #every: number;
  readonly #until: number;

  /** For a job that is run now; its submission counts. Milliseconds, on a clock of the caller's. */
  constructor(every: number, deadline: number, now: number) {
    this.#every = every;
    this.#until = now + deadline;
  }

  /** How much time a request has that is sent now; `undefined`: the job is not done within its deadline. */
  left(now: number): number | undefined {
    const left = this.#until - now;
    return left > 0 ? left : undefined;
  }

  /** How long to wait after an answer that came now. A wait that would outlast the deadline is refused at once. */
  wait(now: number): number | undefined {
    const left = this.left(now);
    return left !== undefined && this.#every < left ? this.#every : undefined;
  }
}
