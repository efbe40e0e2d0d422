/**
 * One file of the Hub into the cache: resumed at the byte where it broke off, counted, and checked against its hash.
 */
import { createHash, type Hash } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { fileBytes, place } from "./cache.ts";
import { type Asked, HubFetch, pageOf, RangeIgnored } from "./requests.ts";

/** A file as the Hub lists it; `etag` is its SHA-256 (large files) or its git hash (SHA-1). */
export interface Listed {
  readonly path: string;
  readonly size: number;
  readonly etag: string;
}

/** Called as bytes arrive; `done` counts those of earlier runs too. */
export type Progress = (step: { file: string; done: number; size: number }) => void;

/** Transfers of one file in one run; each continues where the one before broke off. */
const ATTEMPTS = 5;
const READ_BYTES = 1 << 20;

/**
 * Makes sure that `snapshots/<commit>/<path>` shows the file, and gives that path. Fetches nothing when it is there.
 * Throws UserError when the transfer breaks (what came is kept), the contents are not what was promised, or the disk is
 * full.
 */
export async function fetchFile(
  asked: Asked,
  repository: string,
  commit: string,
  file: Listed,
  progress: Progress | undefined,
): Promise<string> {
  const pointer = path.join(repository, "snapshots", commit, ...file.path.split("/"));
  if ((await fileBytes(pointer)) === file.size) return pointer;
  const blob = path.join(repository, "blobs", file.etag);
  if ((await fileBytes(blob)) !== file.size) {
    await fs.mkdir(path.dirname(blob), { recursive: true });
    await download(asked, commit, file, `${blob}.incomplete`, progress).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOSPC") throw diskFull(asked, file, file.size);
      throw error;
    });
    // Another process may have finished the same file and taken the name away.
    await fs.rename(`${blob}.incomplete`, blob).catch(async (error) => {
      if ((await fileBytes(blob)) !== file.size) throw error;
    });
  }
  await place(blob, pointer);
  return pointer;
}

async function download(
  asked: Asked,
  commit: string,
  file: Listed,
  incomplete: string,
  progress: Progress | undefined,
): Promise<void> {
  const there = (await fileBytes(incomplete)) ?? 0;
  await checkSpace(asked, file, path.dirname(incomplete), file.size - there);
  // Positions are written out, so two processes that fetch the same file write the same bytes to the same places.
  const handle = await fs.open(incomplete, there > 0 ? "r+" : "w+");
  try {
    const state = { done: 0, hash: hashOf(file) };
    const restart = async () => {
      await handle.truncate(0);
      state.done = 0;
      state.hash = hashOf(file);
    };
    if (there > file.size) await restart();
    else await readBack(handle, there, state);
    for (let attempt = 1; state.done < file.size; attempt++) {
      const before = state.done;
      const failure = await transfer(asked, commit, file, handle, state, progress);
      if (failure instanceof RangeIgnored && before > 0) {
        await restart();
        continue;
      }
      if (failure instanceof UserError) throw failure;
      if (state.done > file.size) {
        await restart();
        throw new UserError(
          `${asked.ref}: ${show(file.path)} is longer than the ${file.size} bytes that were listed`,
          "run again",
          1,
        );
      }
      if (state.done < file.size && (state.done === before || attempt >= ATTEMPTS)) {
        throw new UserError(
          `${asked.ref}: the transfer of ${show(file.path)} broke off at byte ${state.done} of ${file.size}`,
          "run again to continue from there",
          1,
        );
      }
      if (state.done < file.size) await new Promise((resolve) => setTimeout(resolve, 100 * attempt));
    }
    if (state.hash.digest("hex") !== file.etag) {
      await restart();
      throw new UserError(
        `${asked.ref}: the contents of ${show(file.path)} do not have the hash that was listed`,
        "run again; the bytes were discarded",
        1,
      );
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

interface State {
  done: number;
  hash: Hash;
}

/** Large files are listed with their SHA-256, small ones with git's hash of the object. */
function hashOf(file: Listed): Hash {
  return file.etag.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${file.size}\0`);
}

/** Takes what an earlier run left into the hash. */
async function readBack(handle: fs.FileHandle, length: number, state: State): Promise<void> {
  const buffer = new Uint8Array(Math.min(READ_BYTES, length));
  while (state.done < length) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - state.done), state.done);
    if (bytesRead === 0) break;
    state.hash.update(buffer.subarray(0, bytesRead));
    state.done += bytesRead;
  }
}

/**
 * One request for the rest of the file. Gives what stopped it, if anything did; a broken connection is an Error without
 * kind.
 */
async function transfer(
  asked: Asked,
  commit: string,
  file: Listed,
  handle: fs.FileHandle,
  state: State,
  progress: Progress | undefined,
): Promise<Error | undefined> {
  const { downloadFile } = await import("@huggingface/hub");
  const requests = new HubFetch(asked);
  const place = file.path.split("/").map(encodeURIComponent).join("/");
  const blob = await downloadFile({
    repo: { type: asked.kind, name: asked.name },
    path: file.path,
    revision: commit,
    hubUrl: asked.endpoint,
    fetch: requests.fetch,
    xet: false, // the Hub serves the same bytes over plain ranged requests, which can be resumed
    downloadInfo: {
      size: file.size,
      etag: file.etag,
      url: `${pageOf(asked)}/resolve/${commit}/${place}`,
    },
  });
  const reader = blob!.slice(state.done, file.size).stream().getReader();
  try {
    while (true) {
      const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true }));
      if (done || value === undefined) break;
      if (state.done + value.length <= file.size) {
        await writeAll(handle, value, state.done);
        state.hash.update(value);
      }
      state.done += value.length;
      if (state.done > file.size) break;
      progress?.({ file: file.path, done: state.done, size: file.size });
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
  return requests.failure;
}

async function writeAll(handle: fs.FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}

async function checkSpace(asked: Asked, file: Listed, folder: string, needed: number): Promise<void> {
  const { bavail, bsize } = await fs.statfs(folder);
  if (bavail * bsize < needed) throw diskFull(asked, file, needed, bavail * bsize);
}

function diskFull(asked: Asked, file: Listed, needed: number, free?: number): UserError {
  return new UserError(
    `${asked.ref}: no room for ${show(file.path)}, which needs ${needed} bytes${free === undefined ? "" : ` where ${free} are free`}`,
    "free some space, or set HF_HUB_CACHE to a folder on a larger disk",
    1,
  );
}
