/** Settings from the environment. */

import { currentPlatform } from './wasm.js';

/** What the environment says; a variable that is empty counts as absent. */
export interface Environment {
  baseUrl?: string;
  tokenUrl?: string;
  clientId?: string;
  clientSecret?: string;
  accessKeyId?: string;
  accessKeySecret?: string;
  issuer?: string;
}

const VARIABLES = {
  baseUrl: 'CXONE_BASE_URL',
  tokenUrl: 'CXONE_TOKEN_URL',
  clientId: 'CXONE_CLIENT_ID',
  clientSecret: 'CXONE_CLIENT_SECRET',
  accessKeyId: 'CXONE_ACCESS_KEY_ID',
  accessKeySecret: 'CXONE_ACCESS_KEY_SECRET',
  issuer: 'CXONE_ISSUER',
} as const;

export async function environment(): Promise<Environment> {
  const variables = (await currentPlatform().environment?.()) ?? {};
  const found: Environment = {};
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const value = variables[variable];
    if (value) found[name as keyof Environment] = value;
  }
  return found;
}
