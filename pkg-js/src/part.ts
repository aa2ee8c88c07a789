/** What has come of a file, and what names the version of it. */

import { createHash, type Hash } from 'node:crypto';
import { constants, open, readFile, rename, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { DownloadError } from './errors.js';

const CHUNK = 64 * 1024;

/** The files that are being written, by path: two writers of one would leave a hole in it. */
const going = new Set<string>();

export class Part {
  /** What it will be. */
  readonly target: string;
  /** So many bytes have come. */
  length = 0;
  /** So many of them with an earlier answer than the one that is read. */
  resumed = 0;
  /** What its length will be, as the first answer that states it does. */
  total: number | undefined;
  /** Names what comes, so that a later answer, or call, can go on with it. */
  etag: string | undefined;
  readonly #path: string;
  readonly #key: string;
  #file!: FileHandle;
  #isOpen = false;
  /** Of all that has come. */
  #sha256!: Hash;
  /** Of what comes, where an answer states it. */
  #md5: { hash: Hash; stated: string } | undefined;

  private constructor(target: string) {
    this.target = target;
    this.#path = `${target}.part`;
    // The process may change its folder meanwhile.
    this.#key = resolve(target);
  }

  /** Opens what an earlier call has left, or nothing. */
  static async open(target: string): Promise<Part> {
    const part = new Part(target);
    if (going.has(part.#key)) throw new DownloadError(`Download Error: ${target} cannot be written: another download is writing it`);
    going.add(part.#key);
    try {
      await part.#onDisk(async () => {
        part.#file = await open(part.#path, constants.O_RDWR | constants.O_CREAT);
        part.#isOpen = true;
      });
      await part.#recall();
    } catch (error) {
      await part.close();
      throw error;
    }
    return part;
  }

  /** Begins anew, with what goes by this name, and has this MD5 sum in base64. */
  restart(etag?: string, md5?: string): Promise<void> {
    return this.#onDisk(async () => {
      await this.#file.truncate(0);
      this.length = this.resumed = 0;
      this.total = undefined;
      this.#sha256 = createHash('sha256');
      this.#md5 = undefined;
      try {
        if (md5) this.#md5 = { hash: createHash('md5'), stated: md5 };
      } catch {
        // It is forbidden where FIPS 140 rules.
      }
      // The name is on disk before what it names.
      if (etag === undefined) await rm(this.#etagPath, { force: true });
      else await writeFile(this.#etagPath, etag);
      this.etag = etag;
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#onDisk(async () => {
      for (let at = 0; at < bytes.length; ) {
        at += (await this.#file.write(bytes, at, bytes.length - at, this.length + at)).bytesWritten;
      }
      this.#sha256.update(bytes);
      this.#md5?.hash.update(bytes);
      this.length += bytes.length;
    });
  }

  /** Is its checksum the stated one, which is sha-256's in base64, else the MD5 sum? `undefined`: none is stated. It can be asked once. */
  isRight(sha256: string | undefined): boolean | undefined {
    if (sha256 !== undefined) return this.#sha256.digest('base64') === sha256;
    return this.#md5 && this.#md5.hash.digest('base64') === this.#md5.stated;
  }

  /** It is complete: on disk first, then under its name, then the name on disk. */
  finish(): Promise<void> {
    return this.#onDisk(async () => {
      await this.#file.sync();
      this.#isOpen = false;
      await this.#file.close();
      await rename(this.#path, this.target);
      await rm(this.#etagPath, { force: true });
      // A rename is on disk when its folder is. (Windows has no such thing.)
      if (process.platform === 'win32') return;
      const folder = await open(dirname(this.target));
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
    });
  }

  /** Leaves what a later call can go on with, and nothing else. */
  async close(): Promise<void> {
    try {
      if (!this.#isOpen) return;
      this.#isOpen = false;
      await this.#file.close();
      if (this.etag !== undefined && this.length > 0) return;
      for (const path of [this.#path, this.#etagPath]) await rm(path, { force: true }).catch(() => {});
    } finally {
      going.delete(this.#key);
    }
  }

  get #etagPath(): string {
    return `${this.#path}.etag`;
  }

  /** What is there is counted, if it is known what it is. */
  async #recall(): Promise<void> {
    const etag = await readFile(this.#etagPath, 'utf8').catch(() => '');
    if (!isStrong(etag)) return this.restart();
    await this.#onDisk(async () => {
      this.etag = etag;
      this.#sha256 = createHash('sha256');
      const buffer = new Uint8Array(CHUNK);
      for (;;) {
        const { bytesRead } = await this.#file.read(buffer, 0, CHUNK, this.length);
        if (bytesRead === 0) return;
        this.#sha256.update(buffer.subarray(0, bytesRead));
        this.length += bytesRead;
      }
    });
  }

  async #onDisk<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      throw new DownloadError(`Download Error: ${this.target} cannot be written: ${(cause as Error).message}`, { cause });
    }
  }
}

/** A weak one names no bytes (RFC 9110 §8.8.1). */
export function isStrong(etag: string): boolean {
  return /^".*"$/s.test(etag);
}
