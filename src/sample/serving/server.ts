/**
 * The HTTP side: who may ask, what is asked, and how answers go out. No text of a request or an answer is kept or
 * written anywhere.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { UserError } from "../../errors.ts";
import { type BodyLimits, readJsonBody } from "./body.ts";
import { chatCompletions } from "./chat-completions.ts";
import { completions } from "./completions.ts";
import { ApiError } from "./errors.ts";
import type { Answered, Kitchen } from "./request.ts";
import { eventStream } from "./stream.ts";

export interface ServerOptions extends Kitchen {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly key: string | undefined;
  readonly body: BodyLimits;
  /** Seconds that a request may take, from its first byte on. */
  readonly timeout: number;
  /** Ends what runs. */
  readonly signal: AbortSignal;
  /** Hears of failures that are no client's. */
  warn(message: string): void;
  /** What else is there to look at, by path. */
  readonly pages: ReadonlyMap<string, () => Response>;
}

/** What was done so far. */
export interface Served {
  requests: number;
  refused: number;
  /** Ended by their clients, by time or with the server. */
  dropped: number;
  failed: number;
}

export interface RunningServer {
  readonly url: string;
  readonly served: Readonly<Served>;
  /** Takes no more, ends what runs and waits until it has ended. */
  stop(): Promise<void>;
}

const LOOPBACK = ["localhost", "127.0.0.1", "::1", "[::1]"];
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
const noSuch = (what: string): ApiError => new ApiError(404, `there is no ${what}`, { code: "not_found" });

/** A page of another site that a browser shows is no client: neither by its origin nor by a name made to mean us. */
function checkOrigin(request: Request, host: string): void {
  const asked = request.headers.get("host") ?? "";
  const origin = request.headers.get("origin");
  if (origin !== null && origin.replace(/^https?:\/\//, "") !== asked)
    throw new ApiError(403, "requests of pages of other sites are not taken", { code: "forbidden" });
  const name = asked.replace(/:\d+$/, "");
  if (LOOPBACK.includes(host) && !LOOPBACK.includes(name))
    throw new ApiError(403, "the host of the request is not this machine", { code: "forbidden" });
}

function checkKey(request: Request, key: string | undefined): void {
  if (key === undefined) return;
  const [, given = ""] = /^Bearer\s+(.+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  if (timingSafeEqual(digest(given), digest(key))) return;
  throw new ApiError(401, "the API key is missing or wrong: Authorization: Bearer KEY", { code: "invalid_api_key" });
}

/** What a request is answered where it went wrong. */
function refusal(error: unknown, { warn }: ServerOptions): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof UserError) return new ApiError(400, error.message);
  warn(`a request failed: ${error instanceof Error ? error.message : String(error)}`);
  return new ApiError(500, "the server could not answer", { type: "server_error" });
}

const HEADERS = { "cache-control": "no-store", "x-content-type-options": "nosniff" };

const jsonResponse = (value: object, status = 200): Response =>
  Response.json(value, {
    status,
    headers: { ...HEADERS, ...(status === 401 && { "www-authenticate": "Bearer" }) },
  });

/** What is told of the models. */
function modelList({ models }: Kitchen, created: number) {
  const of = (name: string) => ({ id: name, object: "model", created, owned_by: "ingot" });
  return { list: { object: "list", data: [...models.keys()].map(of) }, of };
}

const ASKING = new Map([
  ["/v1/completions", completions],
  ["/v1/chat/completions", chatCompletions],
]);

/** A part of a path; undefined where it is written wrong. */
function decoded(part: string | undefined): string | undefined {
  try {
    return part && decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

/** What a request that only reads is answered; undefined where it asks for text. */
function read(request: Request, path: string, options: ServerOptions, created: number): Response | undefined {
  const isAsking = ASKING.has(path);
  const isRead = request.method === "GET" || request.method === "HEAD";
  if (isAsking && request.method === "POST") return undefined;
  const page = options.pages.get(path);
  const { list, of } = modelList(options, created);
  const name = decoded(/^\/v1\/models\/(.+)$/.exec(path)?.[1]);
  if (isAsking || !isRead) {
    if (!isAsking && path !== "/v1/models" && path !== "/health" && !page) throw noSuch(`page ${path.slice(0, 60)}`);
    throw new ApiError(405, `${path} takes ${isAsking ? "POST" : "GET"}`);
  }
  if (path === "/health") return jsonResponse({ status: "ok" });
  if (page) return page();
  if (path === "/v1/models") return jsonResponse(list);
  if (name !== undefined && options.models.has(name)) return jsonResponse(of(name));
  throw noSuch(name === undefined ? `page ${path.slice(0, 60)}` : "such model");
}

/** Begins to serve. Throws UserError where the address cannot be had. */
export function serve(options: ServerOptions): RunningServer {
  const served: Served = { requests: 0, refused: 0, dropped: 0, failed: 0 };
  const created = Math.floor(Date.now() / 1000);
  const open = new Set<AbortController>();
  let number = 0;

  /** The answer to a request for text; `ended` is called once, when all of it has gone out. */
  const ask = async (request: Request, path: string, ended: () => void, call: AbortController): Promise<Response> => {
    const body = await readJsonBody(request, options.body);
    const answered: Answered = await ASKING.get(path)!(body, { number: number++, signal: call.signal }, options);
    if ("value" in answered) {
      ended();
      return jsonResponse(answered.value as object);
    }
    const refused = (error: unknown) => {
      if (!call.signal.aborted) served.failed++;
      return refusal(error, options).body;
    };
    return new Response(eventStream(answered.events, { call, ended, refused }), {
      headers: { ...HEADERS, "content-type": "text/event-stream; charset=utf-8" },
    });
  };

  const answer = async (request: Request): Promise<Response> => {
    served.requests++;
    const call = new AbortController();
    open.add(call);
    const late = new ApiError(504, `the answer took more than ${options.timeout} s`, {
      ...{ type: "server_error", code: "timeout" },
    });
    const timer = setTimeout(() => call.abort(late), 1000 * options.timeout);
    const leave = () => call.abort(new ApiError(499, "the client went away"));
    request.signal.addEventListener("abort", leave);
    const ended = () => {
      clearTimeout(timer);
      open.delete(call);
      request.signal.removeEventListener("abort", leave);
      if (call.signal.aborted) served.dropped++;
    };
    try {
      const path = new URL(request.url).pathname;
      checkOrigin(request, options.host);
      if (path.startsWith("/v1/")) checkKey(request, options.key);
      const found = read(request, path, options, created);
      if (!found) return await ask(request, path, ended, call);
      ended();
      return found;
    } catch (error) {
      ended();
      const told = refusal(error, options);
      if (told.status === 500) served.failed++;
      else if (!call.signal.aborted) served.refused++;
      const response = jsonResponse(told.body, told.status);
      // What is left of a body that nobody reads must not be taken for the next request.
      if (told.status === 413 || told.status === 408) response.headers.set("connection", "close");
      if (told.status === 429) response.headers.set("retry-after", "1");
      return response;
    }
  };

  let server: Bun.Server<undefined>;
  try {
    server = Bun.serve({
      ...{ hostname: options.host, port: options.port, idleTimeout: Math.min(255, Math.ceil(options.body.seconds)) },
      maxRequestBodySize: Number.MAX_SAFE_INTEGER, // bodies are counted as they are read
      fetch(request, own) {
        own.timeout(request, 0); // from here on the limits are ours
        return answer(request);
      },
      error: () => jsonResponse(refusal(new Error("no answer was made"), options).body, 500),
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(`${options.host}:${options.port} cannot be had: ${why}`, "name another --port, or 0 for any");
  }
  const end = () => {
    for (const call of open) call.abort(new ApiError(503, "the server stops", { type: "server_error" }));
  };
  options.signal.addEventListener("abort", end, { once: true });
  return {
    url: `http://${options.host.includes(":") && !options.host.startsWith("[") ? `[${options.host}]` : options.host}:${server.port}`,
    served,
    async stop() {
      end();
      await options.desk.idle();
      await server.stop(true);
    },
  };
}
