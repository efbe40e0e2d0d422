/**
 * A folder to the Hub, `hf:org/name[@branch]`, as one commit. A repository that is not there is made, private. Large
 * files go by the Hub's LFS protocol: what it has already, by SHA-256, is not sent again, so that an upload that broke
 * is continued by running it again.
 */
import fs from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { type Environment, isOffline } from "./cache.ts";
import { parseHubRef } from "./hub.ts";
import { askedOf, commitOf, list } from "./listing.ts";
import { type Asked, HubFetch, NoRepository, NoRevision } from "./requests.ts";

/** A place on the Hub that may be written. */
export interface UploadTarget {
  readonly asked: Asked;
  /** Paths of the files that are there; undefined where the repository is still to be made. */
  readonly files: ReadonlySet<string> | undefined;
}

/** Hears how many bytes are sent. */
export interface UploadProgress {
  start(plan: { readonly total: number; readonly unit: string }): void;
  advance(bytes: number, file: string): void;
  done(): void;
}

const NO_RIGHT = "make a token with the right to write at https://huggingface.co/settings/tokens, and set HF_TOKEN";

/** What the Hub tells of the owner of a token, as far as it is read here. */
interface Owner {
  readonly name?: unknown;
  readonly orgs?: unknown;
  readonly auth?: { readonly accessToken?: { readonly role?: unknown } };
}

function refuseOwner(asked: Asked, owner: Owner): void {
  const { ref, name } = asked;
  const space = name.slice(0, name.indexOf("/"));
  const account = typeof owner.name === "string" ? owner.name : "";
  if (owner.auth?.accessToken?.role === "read") {
    throw new UserError(`${ref}: the token of ${show(account)} may only read`, NO_RIGHT);
  }
  if (space === account) return;
  const orgs = Array.isArray(owner.orgs) ? (owner.orgs as { name?: unknown; roleInOrg?: unknown }[]) : [];
  const org = orgs.find((one) => one.name === space);
  if (org === undefined) {
    throw new UserError(
      `${ref}: ${show(account)}, whose token this is, is not in ${show(space)}`,
      `write hf:${account}/${name.slice(space.length + 1)}, or set HF_TOKEN to a token of a member`,
    );
  }
  if (org.roleInOrg === "read")
    throw new UserError(`${ref}: ${show(account)} may only read in ${show(space)}`, NO_RIGHT);
}

/** Refusals of requests that write. */
function refusalOf(response: Response, asked: Asked): UserError {
  const { ref, endpoint } = asked;
  const host = new URL(endpoint).host;
  const { status } = response;
  if (status === 401 || status === 403) return new UserError(`${ref}: ${host} does not take this token`, NO_RIGHT);
  if (status === 409) {
    return new UserError(`${ref}: ${host} has it already, and this token may not see it`, NO_RIGHT);
  }
  if (status === 413) return new UserError(`${ref}: ${host} says that a file is too large`, "write smaller shards");
  if (status === 429) {
    return new UserError(`${ref}: ${host} refuses more requests for now`, "run again in a few minutes", 1);
  }
  return new UserError(
    `${ref}: ${host} answered ${status} to an upload`,
    "run again later; what has arrived is not sent again",
    1,
  );
}

/** Where `ref` leads, without a request. Throws UserError for what is no place to write to. */
export function parseUploadRef(ref: string): { readonly name: string; readonly branch: string } {
  const { name, revision: branch, file } = parseHubRef(ref);
  if (file !== undefined) {
    throw new UserError(`${ref} names a file; a result is a whole repository`, `write hf:${name}`);
  }
  if (!name.includes("/")) {
    throw new UserError(`${ref} names no owner`, `write hf:you/${name} or hf:organisation/${name}`);
  }
  return { name, branch };
}

/** What a run would send, in a line. Throws UserError for what is no place to write to. */
export function uploadText(ref: string): string {
  const { name, branch } = parseUploadRef(ref);
  return `hf:${name}, as one commit to ${branch}: weights, the model's files, a card if it has none; private if it is new`;
}

/**
 * Asks before work whether the place can be written: a token that may, an owner who is the repository's. Makes nothing.
 * Throws UserError.
 */
export async function prepareUpload(ref: string, env: Environment): Promise<UploadTarget> {
  const { name, branch } = parseUploadRef(ref);
  if (isOffline(env)) {
    throw new UserError(`${ref} cannot be written: HF_HUB_OFFLINE is set`, "unset it, or write to a folder");
  }
  const asked = await askedOf({ ref, kind: "model", name, revision: branch }, env);
  if (asked.token === undefined) {
    throw new UserError(`${ref} needs a token, and there is none`, NO_RIGHT);
  }
  const { whoAmI } = await import("@huggingface/hub");
  const credentials = { hubUrl: asked.endpoint, accessToken: "hf_" };
  refuseOwner(asked, await sending(asked, (fetch) => whoAmI({ ...credentials, fetch })));
  return { asked, files: await filesOf(asked) };
}

async function filesOf(asked: Asked): Promise<ReadonlySet<string> | undefined> {
  try {
    return new Set((await list(asked, await commitOf(asked), "")).keys());
  } catch (error) {
    if (error instanceof NoRevision) {
      throw new UserError(`${error.message}`, `make the branch on ${asked.endpoint}/${asked.name}, or leave it out`);
    }
    if (error instanceof NoRepository) return undefined;
    throw error;
  }
}

/** Runs a request of the Hub's client that writes; its refusals come as UserError. */
async function sending<T>(asked: Asked, request: (fetch: typeof globalThis.fetch) => Promise<T>): Promise<T> {
  const requests = new HubFetch(asked, refusalOf);
  try {
    return await request(requests.fetch);
  } catch (error) {
    if (requests.failure) throw requests.failure;
    throw new UserError(
      `${asked.ref}: ${new URL(asked.endpoint).host} does not answer as the Hub does: ${show((error as Error).message)}`,
      "check HF_ENDPOINT, and that no proxy answers in its place",
      1,
    );
  }
}

/** Weights of other layouts that a reader would take for this model's. */
const WEIGHTS = /^(?:adapter_)?model(?:-\d{5}-of-\d{5})?\.safetensors(?:\.index\.json)?$/;

/**
 * Sends every file of a folder as one commit; weights that are there and not in the folder are removed with it. Gives
 * the commit and the names that it removed. Throws UserError (exit code 1 where running again may help).
 */
export async function sendFolder(
  { asked, files }: UploadTarget,
  folder: string,
  title: string,
  progress?: UploadProgress,
): Promise<{ readonly commit: string; readonly removed: readonly string[] }> {
  const { commitIter, createRepo } = await import("@huggingface/hub");
  const repo = { type: "model", name: asked.name } as const;
  const credentials = { hubUrl: asked.endpoint, accessToken: "hf_" };
  if (files === undefined) {
    await sending(asked, (fetch) => createRepo({ ...credentials, repo, visibility: "private", fetch }));
  }
  const names = fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => path.relative(folder, path.join(parentPath, name)).replaceAll(path.sep, "/"))
    .sort();
  const removed = [...(files ?? [])].filter((name) => WEIGHTS.test(name) && !names.includes(name));
  const operations = [
    ...names.map((name) => ({
      operation: "addOrUpdate" as const,
      path: name,
      content: Bun.file(path.join(folder, name)) as Blob,
    })),
    ...removed.map((name) => ({ operation: "delete" as const, path: name })),
  ];
  const sizes = new Map(names.map((name) => [name, fs.statSync(path.join(folder, name)).size]));
  const sent = new Map<string, number>();
  progress?.start({ total: [...sizes.values()].reduce((a, b) => a + b, 0), unit: "bytes" });
  const commit = await sending(asked, async (fetch) => {
    const steps = commitIter({ ...credentials, repo, operations, title, branch: asked.revision, fetch, useXet: false });
    for (;;) {
      const { done, value } = await steps.next();
      if (done) return value?.commit.oid ?? "";
      if (value.event === "fileProgress" && value.state === "uploading") {
        const now = Math.round(value.progress * (sizes.get(value.path) ?? 0));
        progress?.advance(now - (sent.get(value.path) ?? 0), value.path);
        sent.set(value.path, now);
      }
    }
  });
  progress?.done();
  return { commit, removed };
}
