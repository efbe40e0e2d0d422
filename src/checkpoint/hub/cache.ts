/**
 * The Hub's cache on this machine, shared with the Python client: where it lies, what is in it, how a file gets there.
 *
 *   models--org--name/blobs/<etag>              contents, `<etag>.incomplete` while they arrive
 *   models--org--name/snapshots/<commit>/<path> links to them
 *   models--org--name/refs/<revision>           the commit that a branch or tag was when it was last asked for
 */
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";

export type Environment = Readonly<Record<string, string | undefined>>;

const isTrue = (text: string | undefined): boolean => /^(1|on|yes|true)$/i.test(text ?? "");

/** HF_HUB_OFFLINE and its older sibling, read as the Python client reads them. */
export const isOffline = (env: Environment): boolean => isTrue(env.HF_HUB_OFFLINE) || isTrue(env.TRANSFORMERS_OFFLINE);

const expanded = (text: string): string => text.replace(/^~(?=$|[\\/])/, os.homedir());

function homeOf(env: Environment): string {
  if (env.HF_HOME) return expanded(env.HF_HOME);
  return path.join(
    env.XDG_CACHE_HOME ? expanded(env.XDG_CACHE_HOME) : path.join(os.homedir(), ".cache"),
    "huggingface",
  );
}

/** The folder of all repositories. */
export function cacheFolder(env: Environment): string {
  const stated = env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE;
  return stated ? expanded(stated) : path.join(homeOf(env), "hub");
}

/** The user's token: HF_TOKEN, or what `hf auth login` stored. */
export async function readToken(env: Environment): Promise<string | undefined> {
  const stated = (env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN)?.trim();
  if (stated) return stated;
  const file = env.HF_TOKEN_PATH ? expanded(env.HF_TOKEN_PATH) : path.join(homeOf(env), "token");
  const text = await fs.readFile(file, "utf8").catch(() => "");
  return text.trim() || undefined;
}

export type RepositoryKind = "model" | "dataset";

/** Folder of one repository. */
export const repositoryFolder = (env: Environment, name: string, kind: RepositoryKind = "model"): string =>
  path.join(cacheFolder(env), [`${kind}s`, ...name.split("/")].join("--"));

/** A name as the Hub takes it, with an organisation or without. */
export const isRepositoryName = (name: string): boolean =>
  /^(?:[\w.-]+\/)?[\w.-]+$/.test(name) &&
  name.split("/").every((part) => /^\w/.test(part) && /\w$/.test(part) && !/\.\.|--/.test(part));

export const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);

/** A path or revision in whose parts every system sees a plain name: relative, no `..`, no drive, no backslash. */
export const isPlain = (text: string): boolean =>
  text.length <= 1000 &&
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  !/[\\:*?"<>|\u0000-\u001f\u007f]/.test(text) &&
  text.split("/").every((part) => part !== "" && part !== "." && part !== ".." && !part.endsWith(" "));

/** The commit that a revision was when it was last fetched. */
export async function cachedCommit(repository: string, revision: string): Promise<string | undefined> {
  if (isCommit(revision)) return revision;
  const text = await fs.readFile(path.join(repository, "refs", revision), "utf8").catch(() => "");
  return isCommit(text.trim()) ? text.trim() : undefined;
}

/** Remembers the commit of a revision, in one step. */
export async function rememberCommit(repository: string, revision: string, commit: string): Promise<void> {
  if (isCommit(revision) || (await cachedCommit(repository, revision)) === commit) return;
  const file = path.join(repository, "refs", revision);
  await fs.mkdir(path.dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  await fs.writeFile(temporary, commit);
  await fs.rename(temporary, file);
}

/** Bytes of a file or of what a link leads to; undefined when there is none. */
export const fileBytes = (file: string): Promise<number | undefined> =>
  fs.stat(file).then(
    (stat) => (stat.isFile() ? stat.size : undefined),
    () => undefined,
  );

/**
 * Lets `pointer` show the contents of `blob`: by a relative link, so that the cache can be moved; where links need
 * rights that the user lacks (Windows) by a second name for the same file; on file systems with neither by a copy.
 */
export async function place(blob: string, pointer: string, symlink: typeof fs.symlink = fs.symlink): Promise<void> {
  await fs.mkdir(path.dirname(pointer), { recursive: true });
  await fs.rm(pointer, { force: true });
  try {
    await symlink(path.relative(path.dirname(pointer), blob), pointer);
  } catch {
    await fs.link(blob, pointer).catch(() => fs.copyFile(blob, pointer));
  }
}
