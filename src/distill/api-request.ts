/** Requests to an OpenAI-style API: what may go wrong is said plainly, and what may pass is tried again. */
import { UserError } from "../errors.ts";
import { isObject, type Json, type JsonObject, parseJson, show } from "../json.ts";

export interface Api {
  /** Up to the version: http://localhost:8000/v1 */
  readonly url: URL;
  /** What messages call it. */
  readonly host: string;
  /** Name of the model there. */
  readonly model: string;
  /** Sent as a bearer token, and nowhere written. */
  readonly key: string | undefined;
  /** Name of the environment variable that has it. */
  readonly keyVariable: string;
  /** Seconds that an answer may take. */
  readonly timeout: number;
  /** How often a request is sent again. */
  readonly retries: number;
  readonly signal: AbortSignal;
}

/** Milliseconds before the first repetition; each further one waits twice as long. */
const PAUSE = 250;
/** Most seconds that a server may ask to wait. */
const LONGEST = 60;

/** Reads an address. Throws UserError for what is none, or has a key in it. */
export function apiUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw new UserError(`--teacher-url ${show(text)} is no address`, "such as http://localhost:8000/v1");
  if (url.username !== "" || url.password !== "")
    throw new UserError("--teacher-url has a name or a key in it", "set the environment variable of --key-variable");
  return url;
}

/** The message of a refusal, where the server gives one. */
function reasonOf(body: string): string {
  try {
    const { value } = parseJson(body, "the answer");
    const error = isObject(value) ? (value.error ?? value.message ?? value.detail) : undefined;
    const message = isObject(error) ? error.message : error;
    if (typeof message === "string") return `: ${show(message.slice(0, 200))}`;
  } catch {}
  return "";
}

type Tried = { readonly answer: JsonObject } | { readonly failure: UserError; readonly wait?: number | undefined };

/** Sends a request once. Throws UserError for what no repetition helps. */
async function tried({ url, host, model, key, keyVariable, timeout, signal }: Api, body: JsonObject): Promise<Tried> {
  const late = AbortSignal.timeout(1000 * timeout);
  let status = 0;
  let text = "";
  let after: string | null = null;
  try {
    const response = await fetch(new URL(`${url.pathname.replace(/\/$/, "")}/completions`, url), {
      method: "POST",
      headers: { "content-type": "application/json", ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
      body: JSON.stringify({ model, ...body }),
      redirect: "error", // another place is not sent the key
      signal: AbortSignal.any([signal, late]),
    });
    status = response.status;
    after = response.headers.get("retry-after");
    text = await response.text();
  } catch (error) {
    signal.throwIfAborted();
    const why = late.aborted ? `in ${timeout} s` : `(${show(error instanceof Error ? error.message : String(error))})`;
    const hint = late.aborted ? "give --timeout more seconds, or a smaller --batch-size" : "check --teacher-url";
    return { failure: new UserError(`no answer from ${host} ${why}`, hint, 1) };
  }
  const said = (hint: string) => new UserError(`${host} answered ${status}${reasonOf(text)}`, hint, 1);
  if (status === 429 || status >= 500) {
    const wait = after === null || !/^\d+$/.test(after) ? undefined : Math.min(LONGEST, Number(after));
    return { failure: said("try again later, or give a smaller --batch-size"), wait };
  }
  if (status === 401 || status === 403)
    throw said(key === undefined ? `set ${keyVariable} to a key` : `the key in ${keyVariable} has no access`);
  if (status === 404) throw said(`check --teacher-url, which ends in /v1 for most servers, and --model ${show(model)}`);
  if (status < 200 || status > 299) throw said("the server does not take such requests; see --api and --top-logprobs");
  const { value } = parseJson(text, `the answer of ${host}`);
  if (!isObject(value)) throw new UserError(`the answer of ${host} is no object`, "check --teacher-url", 1);
  return { answer: value };
}

/** The answer of /completions. Throws UserError (exit 1) where there is none after all repetitions. */
export async function completion(api: Api, body: Record<string, Json>): Promise<JsonObject> {
  for (let attempt = 0; ; attempt++) {
    const found = await tried(api, body);
    if ("answer" in found) return found.answer;
    if (attempt === api.retries) {
      const { message, hint } = found.failure;
      throw attempt === 0 ? found.failure : new UserError(`${message}, ${attempt + 1} times`, hint, 1);
    }
    await Bun.sleep(found.wait === undefined ? PAUSE * 2 ** attempt : 1000 * found.wait);
    api.signal.throwIfAborted();
  }
}
