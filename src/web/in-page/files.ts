/**
 * The files that were chosen in the page, as the part of `node:fs` that opens checkpoints: `open` then reads them as a
 * disk's, range by range. It stands in for `node:fs` and `node:fs/promises` in the page; see ../build.ts.
 */

/** By path, without a slash in front. */
let chosen: ReadonlyMap<string, Blob> = new Map();
const opened: (Blob | undefined)[] = [];

/** The files that there are from now on. */
export function setFiles(files: ReadonlyMap<string, Blob>): void {
  chosen = files;
}

const tidy = (path: string): string => path.replace(/^(\.?\/)+/, "").replace(/\/+$/, "");

const missing = (path: string): Error =>
  Object.assign(new Error(`ENOENT: no such file or directory, ${path}`), { code: "ENOENT" });

const isFolder = (path: string): boolean => path === "" || [...chosen.keys()].some((own) => own.startsWith(`${path}/`));

function statOf(path: string) {
  const file = chosen.get(tidy(path));
  if (!file && !isFolder(tidy(path))) throw missing(path);
  return {
    size: file?.size ?? 0,
    isFile: () => file !== undefined,
    isDirectory: () => file === undefined,
    isFIFO: () => false,
    isCharacterDevice: () => false,
  };
}

export const constants = { O_RDONLY: 0 };

export const existsSync = (path: string): boolean => chosen.has(tidy(path)) || isFolder(tidy(path));

export function openSync(path: string): number {
  const file = chosen.get(tidy(path));
  if (!file) throw missing(path);
  return opened.push(file) - 1;
}

export const fstatSync = (fd: number) => ({ size: opened[fd]!.size, isFile: () => true });

export function closeSync(fd: number): void {
  opened[fd] = undefined;
}

/** Reads a range of an open file, and nothing else of it. */
export function read(
  fd: number,
  into: Uint8Array,
  at: number,
  length: number,
  position: number,
  done: (error: unknown, count: number) => void,
): void {
  const end = Math.min(position + length, opened[fd]!.size);
  opened[fd]!.slice(position, Math.max(position, end))
    .arrayBuffer()
    .then((bytes) => {
      into.set(new Uint8Array(bytes), at);
      done(null, bytes.byteLength);
    })
    .catch((error: unknown) => done(error, 0));
}

export const stat = async (path: string) => statOf(path);
export const lstat = stat;

export async function realpath(path: string): Promise<string> {
  statOf(path);
  return `/${tidy(path)}`;
}

export function readdirSync(path: string): string[] {
  const folder = tidy(path) === "" ? "" : `${tidy(path)}/`;
  const names = [...chosen.keys()].filter((own) => own.startsWith(folder)).map((own) => own.slice(folder.length));
  return [...new Set(names.map((name) => name.split("/")[0]!))];
}

export const readdir = async (path: string): Promise<string[]> => readdirSync(path);

export const promises = { stat, lstat, realpath, readdir };

export default {
  ...{ constants, existsSync, openSync, fstatSync, closeSync, readdirSync, read, promises },
  ...{ stat, lstat, realpath, readdir },
};
