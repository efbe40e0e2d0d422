/** What the Hub says of a repository: the commit of a revision, and the files of a folder. */
import path from "node:path";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { type Environment, isCommit, isPlain, readToken } from "./cache.ts";
import type { Listed } from "./download.ts";
import { type Asked, HubFetch } from "./requests.ts";

/** No folder of a repository has more that is of use here; a longer listing is refused. */
const MAX_LISTED = 10_000;

/** Which repository is asked for, at which server, as whom. Throws UserError for an address that is none. */
export async function askedOf(
  wanted: Pick<Asked, "ref" | "kind" | "name" | "revision">,
  env: Environment,
): Promise<Asked> {
  const { HUB_URL } = await import("@huggingface/hub");
  const endpoint = (env.HF_ENDPOINT || HUB_URL).replace(/\/+$/, "");
  if (!URL.canParse(endpoint) || !/^https?:/.test(endpoint)) {
    throw new UserError(`HF_ENDPOINT is ${show(endpoint)}, expected an address that begins with https://`);
  }
  return { ...wanted, endpoint, token: await readToken(env) };
}

/** The commit that the revision is now. Throws UserError, of kind NoRevision where there is no such revision. */
export async function commitOf(asked: Asked): Promise<string> {
  const { datasetInfo, modelInfo } = await import("@huggingface/hub");
  const { name, revision, endpoint: hubUrl } = asked;
  const { sha } = await answered(asked, (fetch) => {
    const request = { name, revision, hubUrl, additionalFields: ["sha"] as ["sha"], fetch };
    return asked.kind === "model" ? modelInfo(request) : datasetInfo(request);
  });
  if (typeof sha !== "string" || !isCommit(sha)) throw strange(asked, `the commit ${show(String(sha))}`);
  return sha;
}

/** Runs a request of the Hub's client; its refusals come as UserError, whatever the client makes of them. */
async function answered<T>(asked: Asked, request: (fetch: typeof globalThis.fetch) => Promise<T>): Promise<T> {
  const requests = new HubFetch(asked);
  try {
    return await request(requests.fetch);
  } catch (error) {
    throw requests.failure ?? strange(asked, show((error as Error).message));
  }
}

const strange = (asked: Asked, what: string): UserError =>
  new UserError(
    `${asked.ref}: ${new URL(asked.endpoint).host} does not answer as the Hub does: ${what}`,
    "check HF_ENDPOINT, and that no proxy answers in its place",
    1,
  );

/**
 * The files of one folder, or of all below it with `isDeep`, by path. Entries whose paths could lead elsewhere stop the
 * run: no honest repository has them.
 */
export async function list(asked: Asked, commit: string, folder: string, isDeep = false): Promise<Map<string, Listed>> {
  const { listFiles } = await import("@huggingface/hub");
  return answered(asked, async (fetch) => {
    const listed = new Map<string, Listed>();
    const place = folder === "" ? undefined : folder.split("/").map(encodeURIComponent).join("/");
    const entries = listFiles({
      repo: { type: asked.kind, name: asked.name },
      revision: commit,
      hubUrl: asked.endpoint,
      fetch,
      recursive: isDeep,
      ...(place === undefined ? {} : { path: place }),
    });
    for await (const entry of entries) {
      if (entry.type !== "file") continue;
      const size = entry.lfs?.size ?? entry.size;
      const etag = entry.lfs?.oid ?? entry.oid ?? "";
      const fine = typeof entry.path === "string" && isPlain(entry.path) && lies(entry.path, folder, isDeep);
      if (!fine) throw new Error(`a file named ${JSON.stringify(entry.path)}`);
      if (!Number.isSafeInteger(size) || size < 0 || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag)) {
        throw new Error(`${entry.path} with size ${size} and hash ${JSON.stringify(etag)}`);
      }
      listed.set(entry.path, { path: entry.path, size, etag });
      if (listed.size > MAX_LISTED)
        throw new Error(`more than ${MAX_LISTED} files in one ${isDeep ? "repository" : "folder"}`);
    }
    return listed;
  });
}

const lies = (file: string, folder: string, isDeep: boolean): boolean =>
  isDeep ? folder === "" || file.startsWith(`${folder}/`) : path.posix.dirname(file) === (folder || ".");
