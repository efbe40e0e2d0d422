/**
 * Models of the Hub, `hf:org/name[@revision][:file]`: fetched into the cache that the Python client uses, once.
 *
 * Fetched are config, tokenizer files, shard index and safetensors of the repository's top folder, or the one file that
 * is named with its config beside it. Where there are no safetensors, PyTorch's own files are, which are read as data.
 */
import fs from "node:fs/promises";
import path from "node:path";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { INDEX_SUFFIX, parseIndex } from "../folder/folder.ts";
import { partNames } from "../gguf/parts.ts";
import { MODEL_FILES } from "../safetensors/metadata.ts";
import {
  cachedCommit,
  type Environment,
  fileBytes,
  isOffline,
  isPlain,
  isRepositoryName,
  rememberCommit,
  repositoryFolder,
} from "./cache.ts";
import { fetchFile, type Listed, type Progress } from "./download.ts";
import { askedOf, commitOf, list } from "./listing.ts";
import type { Asked } from "./requests.ts";

export interface HubOptions {
  progress?: Progress;
  /** HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH, HF_ENDPOINT, HF_HUB_OFFLINE, as the Python client has them. */
  env?: Environment;
}

interface HubRef {
  readonly name: string;
  readonly revision: string;
  readonly file: string | undefined;
}

/** Names of weights that torch.save wrote, and of all that may be such. */
const TORCH_FILE = /(^|\/)(pytorch_model|adapter_model)(-\d+-of-\d+)?\.bin$/;
const PICKLED = /\.(bin|pt|pth|ckpt|pkl|pickle)$/i;
const TORCH_INDEX_SUFFIX = ".bin.index.json";
const MAX_INDEX_BYTES = 100_000_000;

/** Parses `hf:org/name[@revision][:file]`. Throws UserError for anything else. */
export function parseHubRef(ref: string): HubRef {
  const match = /^hf:([^:@]+)(?:@([^:]+))?(?::(.+))?$/.exec(ref);
  const [, name, revision = "main", file] = (match ?? []) as (string | undefined)[];
  if (name === undefined || !isRepositoryName(name) || !isPlain(revision) || (file !== undefined && !isPlain(file))) {
    if (ref.startsWith("hf:datasets/"))
      throw new UserError(`${show(ref)} is a data set of the Hub`, "a model is written hf:org/name");
    throw new UserError(
      `${show(ref)} is not a model of the Hub`,
      "expected hf:org/name, hf:org/name@revision or hf:org/name:file.safetensors",
    );
  }
  return { name, revision, file };
}

/**
 * Fetches what is missing and gives the snapshot's folder, or the one file, and the commit. Throws UserError that
 * begins with the reference; a broken transfer keeps what arrived, and the next run continues from there.
 */
export async function resolveHub(ref: string, options: HubOptions = {}): Promise<{ path: string; revision: string }> {
  const env = options.env ?? process.env;
  const { name, revision, file } = parseHubRef(ref);
  const repository = repositoryFolder(env, name);
  if (isOffline(env)) return cached(ref, repository, revision, file);

  const asked = await askedOf({ ref, kind: "model", name, revision }, env);
  const commit = await commitOf(asked);

  const folder = file?.includes("/") ? file.slice(0, file.lastIndexOf("/")) : "";
  const top = await list(asked, commit, folder);
  // What pools the states of a sentence-transformer lies in a folder below.
  const isSentences = top.has(`${folder === "" ? "" : `${folder}/`}modules.json`);
  const below = isSentences ? await list(asked, commit, folder, true) : top;
  const fetch = (wanted: Listed) => fetchFile(asked, repository, commit, wanted, options.progress);
  const beside = folder === "" ? "" : `${folder}/`;
  const modelFiles = MODEL_FILES.map((wanted) => below.get(beside + wanted)).filter((found) => found !== undefined);

  let result: string;
  if (file === undefined) {
    const weights = await chooseWeights(asked, top, fetch);
    for (const wanted of [...modelFiles, ...weights]) await fetch(wanted);
    result = path.join(repository, "snapshots", commit);
  } else {
    const wanted = top.get(file);
    if (wanted === undefined) {
      throw new UserError(
        `${ref}: ${name} at ${show(revision)} has no file ${show(file)}`,
        `there are: ${names(top, /\.(safetensors|gguf)$/) || names(top, PICKLED) || "no safetensors or GGUF files"}`,
      );
    }
    if (file.endsWith(".safetensors") || PICKLED.test(file)) for (const other of modelFiles) await fetch(other);
    for (const part of partNames(file) ?? []) if (part !== file) await fetch(partOf(ref, top, part));
    result = await fetch(wanted);
  }
  await rememberCommit(repository, revision, commit);
  return { path: result, revision: commit };
}

function partOf(ref: string, listed: ReadonlyMap<string, Listed>, name: string): Listed {
  const part = listed.get(name);
  if (part) return part;
  throw new UserError(`${ref} is a part of a model, and the repository has no ${show(name)}`, "take another revision");
}

/** What an earlier run left, without a request. */
async function cached(
  ref: string,
  repository: string,
  revision: string,
  file: string | undefined,
): Promise<{ path: string; revision: string }> {
  const commit = await cachedCommit(repository, revision);
  const snapshot = path.join(repository, "snapshots", commit ?? "");
  const found = commit === undefined ? [] : await fs.readdir(snapshot).catch(() => []);
  if (file !== undefined && commit !== undefined) {
    const pointer = path.join(snapshot, ...file.split("/"));
    if ((await fileBytes(pointer)) !== undefined) return { path: pointer, revision: commit };
  } else if (commit !== undefined && found.some((name) => name.endsWith(".safetensors") || TORCH_FILE.test(name))) {
    return { path: snapshot, revision: commit };
  }
  throw new UserError(
    `${ref} is not in the cache, and HF_HUB_OFFLINE forbids fetching it`,
    `unset HF_HUB_OFFLINE, or set HF_HUB_CACHE to the cache that has it (looked in ${path.dirname(repository)})`,
  );
}

const names = (listed: ReadonlyMap<string, Listed>, pattern: RegExp): string =>
  [...listed.keys()]
    .filter((name) => pattern.test(name))
    .slice(0, 8)
    .map(show)
    .join(", ");

/**
 * The weights that a folder would be opened by (see folder.ts): one file before an index, a model before an adapter.
 */
async function chooseWeights(
  asked: Asked,
  listed: ReadonlyMap<string, Listed>,
  fetch: (wanted: Listed) => Promise<string>,
): Promise<Listed[]> {
  for (const stem of ["model", "adapter_model"]) {
    const found = await weightsUnder(asked, listed, fetch, { stem, ending: ".safetensors", suffix: INDEX_SUFFIX });
    if (found) return found;
  }
  const others = [...listed.values()].filter((file) => file.path.endsWith(".safetensors"));
  if (others.length === 1) return others;
  const { ref, name } = asked;
  if (others.length > 1) {
    throw new UserError(
      `${ref}: ${name} has ${others.length} safetensors files but no index that says which belong together`,
      `name one of them: ${names(listed, /\.safetensors$/)}`,
    );
  }
  const gguf = names(listed, /\.gguf$/);
  if (gguf !== "")
    throw new UserError(
      `${ref}: ${name} has no safetensors, only GGUF`,
      `name a file, as hf:${name}:${gguf.split(", ")[0]}`,
    );
  for (const stem of ["pytorch_model", "adapter_model"]) {
    const found = await weightsUnder(asked, listed, fetch, { stem, ending: ".bin", suffix: TORCH_INDEX_SUFFIX });
    if (found) return found;
  }
  const pickled = names(listed, PICKLED);
  throw new UserError(
    `${ref}: ${name} has no safetensors${pickled === "" ? "" : ` and no pytorch_model.bin, but ${pickled}`}`,
    pickled === "" ? "is it a model repository?" : `name a file of tensors, as hf:${name}:${pickled.split(", ")[0]}`,
  );
}

/** One file of weights, or those that an index names; undefined where there is neither. */
async function weightsUnder(
  asked: Asked,
  listed: ReadonlyMap<string, Listed>,
  fetch: (wanted: Listed) => Promise<string>,
  {
    stem,
    ending,
    suffix,
  }: { readonly stem: string; readonly ending: ".safetensors" | ".bin"; readonly suffix: string },
): Promise<Listed[] | undefined> {
  const single = listed.get(stem + ending);
  if (single !== undefined) return [single];
  const index = listed.get(stem + suffix);
  if (index === undefined) return undefined;
  const what = `${asked.ref}: ${index.path}`;
  if (index.size > MAX_INDEX_BYTES) throw new UserError(`${what} is larger than 100 MB`, "expected a shard index");
  const { shards } = parseIndex(await fs.readFile(await fetch(index), "utf8"), what, ending);
  return shards.map((shard) => {
    const found = listed.get(shard);
    if (found === undefined) throw new UserError(`${what} names ${show(shard)}, which the repository does not have`);
    return found;
  });
}
