/** Answers whose body has to be JSON, whatever their `Content-Type`. */

import { DecodeError, type ErrorDetails } from './errors.js';
import type { CxoneResponse } from './http.js';

/** The value that the body of an answer is. */
export function json(response: CxoneResponse<string | null>): unknown {
  try {
    return JSON.parse(response.data ?? '');
  } catch {
    // Its reason quotes the body, which may be nobody's business.
    throw new DecodeError('Invalid Answer: its body is no JSON', detailsOf(response, response.data));
  }
}

/** The object that the body of an answer is. */
export function jsonObject(response: CxoneResponse<string | null>): Record<string, any> {
  const value = json(response);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new DecodeError('Invalid Answer: its body is no JSON object', detailsOf(response, value));
}

/** What a field holds; a `.` in its name leads into an object. */
export function at(value: unknown, field: string): unknown {
  for (const name of field.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** What an error tells of an answer. */
export function detailsOf(response: CxoneResponse, data: unknown): ErrorDetails {
  const { status, statusText, headers, attempts, correlationId, url } = response;
  const { origin, pathname } = new URL(url);
  return { status, statusText, headers, data, attempts, url: origin + pathname, ...(correlationId === undefined ? {} : { correlationId }) };
}
