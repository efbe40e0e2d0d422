/**
 * A Hub on this machine as far as uploads go: who the token's owner is, making repositories, large files by hash, and
 * commits. What is committed is kept under its path.
 */
import { createHash } from "node:crypto";

export interface UploadHub {
  readonly endpoint: string;
  /** Contents of repositories by `org/name`, by path. */
  readonly repositories: Map<string, Map<string, Uint8Array>>;
  /** Tags of repositories by `org/name`. */
  readonly tags: Map<string, string[]>;
  /** Contents of large files by SHA-256. */
  readonly large: Map<string, Uint8Array>;
  /** Method and path of every request, in order. */
  readonly log: string[];
  /** Tokens of requests to this server. */
  readonly tokens: Set<string>;
  /** Visibility of repositories that were made here. */
  readonly made: Map<string, string>;
  owner: Record<string, unknown>;
  /** How many uploads of large files still succeed. */
  accepts: number;
  close(): void;
}

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const isLarge = (path: string) => /\.(safetensors|gguf)$/.test(path);

interface Line {
  readonly key: string;
  readonly value: { path: string; content?: string; oid?: string };
}

function commit(hub: UploadHub, name: string, text: string): Response {
  const files = hub.repositories.get(name);
  if (!files) return new Response("{}", { status: 404 });
  for (const line of text.trim().split("\n")) {
    const { key, value } = JSON.parse(line) as Line;
    if (key === "file") files.set(value.path, new Uint8Array(Buffer.from(value.content!, "base64")));
    if (key === "lfsFile") {
      const bytes = hub.large.get(value.oid!);
      if (!bytes) return new Response("{}", { status: 400 });
      files.set(value.path, bytes);
    }
    if (key === "deletedFile") files.delete(value.path);
  }
  return Response.json({ success: true, commitOid: COMMIT, commitUrl: "", hookOutput: "" });
}

type Handler = (request: Request, ...parts: string[]) => Response | Promise<Response>;

export function serveUploads(): UploadHub {
  const handlers: [RegExp, Handler][] = [
    [/^GET \/api\/whoami-v2$/, () => Response.json(hub.owner)],
    [
      /^POST \/api\/repos\/create$/,
      async (request) => {
        const { name, organization, visibility } = (await request.json()) as Record<string, string>;
        hub.repositories.set(`${organization}/${name}`, new Map());
        hub.made.set(`${organization}/${name}`, visibility!);
        return Response.json({ url: `${hub.endpoint}/${organization}/${name}`, id: "1" });
      },
    ],
    [
      /^GET \/api\/models\/([^/]+\/[^/]+)\/revision\/main$/,
      (_, name) =>
        hub.repositories.has(name!)
          ? Response.json({ _id: "1", id: name, sha: COMMIT, tags: hub.tags.get(name!) ?? [] })
          : new Response("{}", { status: 404, headers: { "x-error-code": "RepoNotFound" } }),
    ],
    [
      /^GET \/api\/models\/([^/]+\/[^/]+)\/tree\/[0-9a-f]+$/,
      (_, name) =>
        Response.json(
          [...hub.repositories.get(name!)!].map(([path, bytes]) => ({
            ...{ type: "file", path, size: bytes.length },
            oid: sha256(bytes).slice(0, 40),
          })),
        ),
    ],
    [
      /^POST \/api\/models\/([^/]+\/[^/]+)\/preupload\/main$/,
      async (request) => {
        const { files } = (await request.json()) as { files: { path: string }[] };
        return Response.json({
          files: files.map(({ path }) => ({ path, uploadMode: isLarge(path) ? "lfs" : "regular" })),
        });
      },
    ],
    [
      /^POST \/([^/]+\/[^/]+)\.git\/info\/lfs\/objects\/batch$/,
      async (request) => {
        const { objects } = (await request.json()) as { objects: { oid: string; size: number }[] };
        return Response.json({
          transfer: "basic",
          objects: objects.map(({ oid, size }) => ({
            ...{ oid, size },
            ...(hub.large.has(oid) ? {} : { actions: { upload: { href: `${hub.endpoint}/large/${oid}` } } }),
          })),
        });
      },
    ],
    [
      /^PUT \/large\/([0-9a-f]{64})$/,
      async (request, oid) => {
        if (hub.accepts-- <= 0) return new Response("{}", { status: 503 });
        const bytes = new Uint8Array(await request.arrayBuffer());
        if (sha256(bytes) !== oid) return new Response("{}", { status: 400 });
        hub.large.set(oid, bytes);
        return new Response("{}");
      },
    ],
    [
      /^POST \/api\/models\/([^/]+\/[^/]+)\/commit\/main$/,
      async (request, name) => commit(hub, name!, await request.text()),
    ],
  ];
  const server = Bun.serve({
    port: 0,
    async fetch(request) {
      const asked = `${request.method} ${decodeURIComponent(new URL(request.url).pathname)}`;
      hub.log.push(asked);
      hub.tokens.add(request.headers.get("authorization") ?? "");
      for (const [pattern, handle] of handlers) {
        const found = pattern.exec(asked);
        if (found) return handle(request, ...found.slice(1));
      }
      return new Response("{}", { status: 404 });
    },
  });
  const hub: UploadHub = {
    endpoint: `http://127.0.0.1:${server.port}`,
    repositories: new Map(),
    tags: new Map(),
    large: new Map(),
    log: [],
    tokens: new Set(),
    made: new Map(),
    owner: { name: "me", orgs: [{ name: "org", roleInOrg: "write" }], auth: { accessToken: { role: "write" } } },
    accepts: Number.POSITIVE_INFINITY,
    close: () => void server.stop(true),
  };
  return hub;
}
