/**
 * Data sets of the Hub, `hf:datasets/org/name[@revision][:config][/split]`: their Parquet files, fetched once into the
 * cache that the Python client uses.
 *
 * The Hub converts data sets to Parquet on the branch refs/convert/parquet (config/split/0000.parquet). Where it has
 * not, and where a revision is named, the files of the repository itself are read: data/train-00000-of-00002.parquet,
 * or config/train-00000-of-00002.parquet.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { cacheFolders } from "../../cache-folders.ts";
import {
  cachedCommit,
  type Environment,
  fileBytes,
  isOffline,
  isPlain,
  isRepositoryName,
  rememberCommit,
  repositoryFolder,
} from "../../checkpoint/hub/cache.ts";
import { fetchFile, type Listed } from "../../checkpoint/hub/download.ts";
import { askedOf, commitOf, list } from "../../checkpoint/hub/listing.ts";
import { type Asked, NoRevision } from "../../checkpoint/hub/requests.ts";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";

export const DATASET_PREFIX = "hf:datasets/";
const CONVERTED = "refs/convert/parquet";
const DEFAULT = "default";

interface DatasetRef {
  readonly name: string;
  readonly revision: string | undefined;
  readonly config: string | undefined;
  readonly split: string | undefined;
}

/** A file of rows on this machine, and its name within the data set. */
export interface FetchedFile {
  readonly file: string;
  readonly name: string;
}

/** Parses a reference. Throws UserError for anything else. */
export function parseDatasetRef(ref: string): DatasetRef {
  const rest = ref.slice(DATASET_PREFIX.length);
  const name = /^[^/:@]+(?:\/[^/:@]+)?/.exec(rest)?.[0] ?? "";
  const match = /^(?:@(refs\/[a-z]+\/\w+|[^:/]+))?(?::([^/:]+))?(?:\/([\w.-]+))?$/.exec(rest.slice(name.length));
  const [, revision, config, split] = (match ?? []) as (string | undefined)[];
  const isFine = [revision, config, split].every((part) => part === undefined || isPlain(part));
  if (!match || !isRepositoryName(name) || !isFine)
    throw new UserError(
      `${show(ref)} is not a data set of the Hub`,
      "expected hf:datasets/org/name, with @revision, :config and /split where they are needed",
    );
  return { name, revision, config, split };
}

/**
 * Fetches what is missing of the files of one split, in the order of their names. Throws UserError that begins with the
 * reference; a broken transfer keeps what arrived, and the next run continues from there.
 */
export async function fetchDataset(ref: string, env: Environment = process.env): Promise<readonly FetchedFile[]> {
  const wanted = parseDatasetRef(ref);
  const repository = repositoryFolder(env, wanted.name, "dataset");
  const revisions = wanted.revision === undefined ? [CONVERTED, "main"] : [wanted.revision];
  if (isOffline(env)) return cached(ref, wanted, repository, revisions, env);
  const { asked, commit } = await newest(ref, wanted.name, revisions, env);
  const files = (await list(asked, commit, "", true)).values();
  const parquet = [...files].filter((file) => file.path.endsWith(".parquet"));
  const chosen = chooseFiles(ref, wanted, parquet);
  const fetched: FetchedFile[] = [];
  for (const file of chosen)
    fetched.push({ file: await fetchFile(asked, repository, commit, file, undefined), name: file.path });
  await rememberCommit(repository, asked.revision, commit);
  await rememberListing(wanted.name, commit, parquet, env);
  return fetched;
}

/** The commit of the first of some revisions that there is. */
async function newest(
  ref: string,
  name: string,
  [revision, ...others]: readonly string[],
  env: Environment,
): Promise<{ asked: Asked; commit: string }> {
  const asked = await askedOf({ ref, kind: "dataset", name, revision: revision! }, env);
  try {
    return { asked, commit: await commitOf(asked) };
  } catch (error) {
    if (!(error instanceof NoRevision) || others.length === 0) throw error;
    return newest(ref, name, others, env);
  }
}

/** The config and the split that a path belongs to. */
function placeOf(file: string): { config: string; split: string } {
  const [, config, split] = /^([^/]+)\/([^/]+)\/\d+\.parquet$/.exec(file) ?? [];
  if (config !== undefined && split !== undefined) return { config, split };
  const folder = path.posix.dirname(file);
  const [word = ""] = /^[^-.]+/.exec(path.posix.basename(file)) ?? [];
  return { config: folder === "." || folder === "data" ? DEFAULT : folder.replace(/^data\//, ""), split: word };
}

/** The files of the config and the split that are meant. Throws UserError where that is not clear. */
function chooseFiles(ref: string, wanted: DatasetRef, files: readonly Listed[]): readonly Listed[] {
  const placed = files.map((file) => ({ file, ...placeOf(file.path) }));
  if (placed.length === 0)
    throw new UserError(
      `${ref}: ${wanted.name} has no Parquet files`,
      "download its files and give them by path; JSON lines, lists, CSV and Parquet are read",
    );
  const config = choice(ref, "config", wanted.config, DEFAULT, new Set(placed.map((of) => of.config)), ":");
  const own = placed.filter((of) => of.config === config);
  const split = choice(ref, "split", wanted.split, "train", new Set(own.map((of) => of.split)), "/");
  if (split.startsWith("partial-"))
    throw new UserError(
      `${ref}: the Hub has converted only the beginning of the split ${show(split.slice("partial-".length))}`,
      `${DATASET_PREFIX}${wanted.name}@main reads the repository's own files, where they are Parquet`,
    );
  const chosen = own.filter((of) => of.split === split).map(({ file }) => file);
  return chosen.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The one that is named, the only one there is, or the usual one. */
function choice(
  ref: string,
  what: string,
  named: string | undefined,
  usual: string,
  all: ReadonlySet<string>,
  mark: string,
): string {
  const found = named ?? (all.size === 1 ? [...all][0]! : usual);
  if (all.has(found)) return found;
  if (all.has(`partial-${found}`)) return `partial-${found}`;
  const listed = [...all].sort().slice(0, 8).map(show).join(", ");
  const more = all.size > 8 ? ` and ${all.size - 8} more` : "";
  throw new UserError(
    named === undefined ? `${ref} has several ${what}s` : `${ref} has no ${what} ${show(named)}`,
    `there are: ${listed}${more}; name one after ${mark}`,
  );
}

/** Where the list of a commit's files is kept: without it nobody knows whether a split is whole. */
const listingFile = (name: string, commit: string, env: Environment): string =>
  path.join(cacheFolders(env)[0]!, "datasets", ...name.split("/"), `${commit}.json`);

async function rememberListing(
  name: string,
  commit: string,
  files: readonly Listed[],
  env: Environment,
): Promise<void> {
  const target = listingFile(name, commit, env);
  const temporary = `${target}.${process.pid}.tmp`;
  // A cache that cannot be written costs the next run without a network, not this one.
  await fs
    .mkdir(path.dirname(target), { recursive: true })
    .then(() => fs.writeFile(temporary, JSON.stringify(files)))
    .then(() => fs.rename(temporary, target))
    .catch(() => {});
}

/** A listing that was kept; a damaged one lists nothing. */
function listingOf(text: string): Listed[] {
  try {
    return JSON.parse(text) as Listed[];
  } catch {
    return [];
  }
}

/** What an earlier run left, without a request. */
async function cached(
  ref: string,
  wanted: DatasetRef,
  repository: string,
  revisions: readonly string[],
  env: Environment,
): Promise<readonly FetchedFile[]> {
  const missing = new UserError(
    `${ref} is not in the cache, and HF_HUB_OFFLINE forbids fetching it`,
    `unset HF_HUB_OFFLINE, or set HF_HUB_CACHE to the cache that has it (looked in ${path.dirname(repository)})`,
  );
  for (const revision of revisions) {
    const commit = await cachedCommit(repository, revision);
    const text = commit && (await fs.readFile(listingFile(wanted.name, commit, env), "utf8").catch(() => ""));
    if (!text) continue;
    const chosen = chooseFiles(ref, wanted, listingOf(text));
    const fetched = chosen.map(({ path: name, size }) => ({
      file: path.join(repository, "snapshots", commit, ...name.split("/")),
      name,
      size,
    }));
    for (const { file, size } of fetched) if ((await fileBytes(file)) !== size) throw missing;
    return fetched;
  }
  throw missing;
}
