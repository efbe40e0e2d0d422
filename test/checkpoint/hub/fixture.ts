/**
 * A Hub of one repository on this machine, of a model or a data set, as far as downloads go: revision, tree, resolve
 * with ranges, gates, breaks.
 */
import { createHash } from "node:crypto";
import http from "node:http";
import type { AddressInfo } from "node:net";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";
export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const gitHash = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

export interface FakeHub {
  readonly endpoint: string;
  /** Path to contents; weights and Parquet are listed as large files with a SHA-256, others with git's hash. */
  readonly files: Map<string, Uint8Array>;
  /** Method, path and range of every request, in order. */
  readonly log: { path: string; range: string | undefined; token: string | undefined }[];
  /** Answers in place of the repository's; undefined lets the request through. */
  refuse: ((path: string) => { status: number; code?: string } | undefined) | undefined;
  /** Cuts the connection after so many bytes of a body, once per number. */
  readonly breaks: number[];
  /** Sends downloads on to this address. */
  redirect: string | undefined;
  ignoreRanges: boolean;
  /** Address of a server whose tree continues this one. */
  next: string | undefined;
  /** Changes what the tree says. */
  tree: (entries: Record<string, unknown>[]) => unknown;
  commit: string;
  revisions: string[];
  /** Paths of files that were fetched, with their ranges. */
  fetched(): string[];
  close(): void;
}

export async function serveHub(
  files: Record<string, string | Uint8Array>,
  name = "org/tiny",
  kind: "models" | "datasets" = "models",
): Promise<FakeHub> {
  const page = kind === "models" ? name : `datasets/${name}`;
  const encoder = new TextEncoder();
  const hub = {
    files: new Map(
      Object.entries(files).map(([path, bytes]) => [path, typeof bytes === "string" ? encoder.encode(bytes) : bytes]),
    ),
    log: [],
    refuse: undefined,
    breaks: [],
    redirect: undefined,
    ignoreRanges: false,
    next: undefined,
    tree: (entries) => entries,
    commit: COMMIT,
    revisions: ["main", "refs/pr/1", COMMIT],
    fetched: () =>
      hub.log
        .filter(({ path }) => path.includes("/resolve/"))
        .map(({ path, range }) => path.split(`/resolve/${COMMIT}/`)[1] + (range ? ` ${range}` : "")),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  } as Omit<FakeHub, "endpoint"> as { -readonly [K in keyof FakeHub]: FakeHub[K] };

  const server = http.createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    const path = decodeURIComponent(url.pathname);
    const { range, authorization } = request.headers;
    hub.log.push({ path, range, token: authorization });
    const answer = (status: number, body: unknown, headers: Record<string, string> = {}) => {
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(JSON.stringify(body));
    };
    const refused = hub.refuse?.(path);
    if (refused) {
      return answer(refused.status, { error: "no" }, refused.code ? { "x-error-code": refused.code } : {});
    }
    if (path.startsWith(`/api/${kind}/${name}/revision/`)) {
      const revision = path.slice(`/api/${kind}/${name}/revision/`.length);
      if (!hub.revisions.includes(revision)) {
        return answer(404, { error: "no" }, { "x-error-code": "RevisionNotFound" });
      }
      return answer(200, { _id: "1", id: name, sha: hub.commit, lastModified: "2024-01-01T00:00:00Z" });
    }
    const tree = `/api/${kind}/${name}/tree/${COMMIT}`;
    if (path.startsWith(tree)) {
      const folder = path.slice(tree.length + 1);
      const isDeep = url.searchParams.get("recursive") === "true";
      const inside = [...hub.files].filter(([file]) => isDeep || file.split("/").slice(0, -1).join("/") === folder);
      if (inside.length === 0) return answer(404, { error: "no" }, { "x-error-code": "EntryNotFound" });
      const entries = inside.map(([file, bytes]) => ({
        type: "file",
        path: file,
        size: bytes.length,
        oid: gitHash(bytes),
        ...(/\.(safetensors|gguf|parquet)$/.test(file)
          ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }
          : {}),
      }));
      const link = hub.next === undefined ? undefined : { link: `<${hub.next}${path}>; rel="next"` };
      return answer(200, hub.tree([...entries, { type: "directory", path: "original", size: 0, oid: COMMIT }]), link);
    }
    const bytes = hub.files.get(path.slice(`/${page}/resolve/${COMMIT}/`.length));
    if (bytes === undefined) return answer(404, { error: "no" }, { "x-error-code": "RepoNotFound" });
    if (hub.redirect !== undefined) {
      response.writeHead(302, { location: hub.redirect + path });
      return response.end();
    }
    const start = hub.ignoreRanges ? 0 : Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
    const part = bytes.subarray(start);
    const partial = range !== undefined && !hub.ignoreRanges;
    response.writeHead(partial ? 206 : 200, {
      etag: `"${gitHash(bytes)}"`,
      "content-length": String(part.length),
      ...(partial ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
    });
    const cut = hub.breaks.shift();
    if (cut === undefined) return response.end(part);
    // What was sent must be read before the connection breaks, however busy the machine is.
    response.write(part.subarray(0, cut), () => setTimeout(() => response.socket?.destroy(), 500));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(hub, { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}
