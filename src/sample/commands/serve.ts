/** What the `serve` script does: models that were opened once answer over HTTP until they are told to stop. */
import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import type { Context, Outcome } from "../../cli/context.ts";
import { NAME_TOKENIZER } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import { bind } from "../../method/bind.ts";
import { checkModelCount, makeRule, viewed } from "../../run/combining/rule.ts";
import { openModel } from "../../run/open-model.ts";
import { humanBytes } from "../../text/format.ts";
import { table } from "../../text/table.ts";
import { openDepth } from "../depth.ts";
import { Desk } from "../serving/desk.ts";
import type { SERVE } from "../serving/options.ts";
import { pages } from "../serving/pages.ts";
import { ServedModel } from "../serving/served-model.ts";
import { serve as listen } from "../serving/server.ts";
import { type ChosenRule, cascadeModels, checkDecoder, loadModels, openOthers } from "../sources.ts";

export type ServeContext = Context<typeof SERVE, "decoder">;

/** Answers of one request. */
const ANSWERS = 256;
/** Tokens of a prompt that --dry-run counts with, where the model has as many positions. */
const USUAL_PROMPT = 1024;

/** The models of the arguments by name: `NAME=PATH`, or the last part of the path. Throws UserError. */
export function namedModels(args: readonly string[]): ReadonlyMap<string, string> {
  const named = new Map<string, string>();
  for (const arg of args) {
    const [, given, ref = arg] = /^([\w.:@-]+)=(.+)$/.exec(arg) ?? [];
    const name = given ?? basename(ref === "-" ? "stdin" : ref.startsWith("hf:") ? ref : resolve(ref));
    if (named.has(name)) throw new UserError(`two models are called ${name}`, `name them: NAME=${ref}`);
    named.set(name, ref);
  }
  return named;
}

/** The key of a file or the environment; undefined: everybody may ask. Throws UserError for an empty one. */
function keyOf(file: string | undefined): string | undefined {
  const text = file === undefined ? process.env.INGOT_API_KEY : readKey(file);
  if (text === undefined) return undefined;
  const key = text.trim();
  if (/^[\x21-\x7e]{8,}$/.test(key)) return key;
  throw new UserError(
    `${file ?? "INGOT_API_KEY"} holds no key`,
    "a key has at least 8 letters, digits and signs of ASCII, and no spaces",
  );
}

function readKey(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UserError(`--api-key-file ${file} cannot be read: ${why}`, "name a file that holds the key alone");
  }
}

/** Throws UserError for several models where others write together with the first. */
function checkAlone({ args, options, method }: ServeContext): void {
  const { cascade, with: others, draft, skip_layers: skip, routers, task } = options;
  if (cascade !== undefined) {
    if (others?.length) throw new UserError("--cascade and --with are two ways to write together", "leave one out");
    if (args.length > 0) throw new UserError("--cascade names all models", `leave out ${args.join(" ")}`);
    return;
  }
  if (args.length === 0) throw new UserError("no model", "name one: ingot serve model/");
  if (task !== undefined) throw new UserError("--task is for sample", "merge the adapter's task first");
  const flag = Object.entries({ with: others?.length, draft, skip_layers: skip, routers, method }).find(([, x]) => x);
  if (flag && args.length > 1)
    throw new UserError(
      `--${flag[0].replaceAll("_", "-")} is for one model, and there are ${args.length}`,
      "serve the others on another --port",
    );
}

/** Opens a model with those that write with it, before a weight is read. Throws UserError. */
async function openServed(context: ServeContext, name: string, ref: string) {
  const { options, method, settings } = context;
  const warn = (message: string) => context.warn(message);
  const first = await openModel(ref, { ...options, max_length: undefined }, warn);
  context.onExit(() => first.checkpoint.close());
  const tokenizer = first.tools?.tokenizer;
  if (!first.tools) throw new UserError(`${ref} is no language model`, "serve answers with texts");
  if (!tokenizer) throw new UserError(`${ref} has no tokenizer.json`, NAME_TOKENIZER);
  const sourcing = { ...options, seed: context.seed, ...(method && { method: method.name }) };
  const others = await openOthers(first, sourcing, { warn, opened: (one) => context.onExit(() => one.close()) });
  const opened = [first, ...others];
  const depth = await openDepth(first, options, warn);
  const chosen: ChosenRule | undefined = method && {
    rule: makeRule(
      bind(method, settings),
      viewed(options.draft === undefined ? opened : opened.slice(0, -1)),
      tokenizer,
    ),
    prompts: [],
  };
  if (chosen?.rule.remark) context.info(chosen.rule.remark);
  if (chosen?.rule.remembers && options.draft !== undefined)
    throw new UserError(
      `--method ${method?.name} remembers tokens, and drafted ones may be taken back`,
      "leave out --draft",
    );
  const isWhole = options.cascade === undefined && !depth.kept && !depth.routers && options.ensemble !== "switch";
  const judge = isWhole ? (options.with?.length ? ("all" as const) : ("first" as const)) : undefined;
  return { name, opened, tokenizer, chosen, judge, sourcing: { ...sourcing, depth, chosen } };
}

type OpenedServed = Awaited<ReturnType<typeof openServed>>;

async function loadServed(context: ServeContext, gpu: Gpu, served: OpenedServed): Promise<ServedModel> {
  const { name, opened, tokenizer, chosen, judge, sourcing } = served;
  const loaded = await loadModels(gpu, opened, sourcing, (message) => context.warn(message));
  const { batch_size: batch } = context.options;
  return new ServedModel({ name, opened, loaded, chosen, judge, batch }, tokenizer);
}

export async function serve(context: ServeContext): Promise<Outcome> {
  const { options, method } = context;
  checkAlone(context);
  if (method) {
    checkDecoder(method.name, options);
    checkModelCount(method, 1 + (options.with?.length ?? 0));
  }
  const key = keyOf(options.api_key_file);
  const refs = options.cascade === undefined ? context.args : [`cascade=${cascadeModels(options.cascade).weak}`];
  const opened: OpenedServed[] = [];
  for (const [name, ref] of namedModels(refs)) opened.push(await openServed(context, name, ref));
  const gpu = await openGpu({ device: context.device, ...(context.dryRun && { dry: true }) });
  const models = new Map<string, ServedModel>();
  for (const each of opened) models.set(each.name, await loadServed(context, gpu, each));
  if (context.dryRun) return printPlan(context, gpu, models);
  const desk = new Desk(options.batch_size, options.queue);
  const server = listen({
    ...{ host: options.host, port: options.port, key, models, desk, seed: context.seed, pages: pages() },
    limits: { maxTokens: options.max_tokens, answers: ANSWERS },
    body: { most: options.max_body, seconds: options.body_timeout },
    timeout: options.timeout,
    signal: context.signal,
    warn: (message) => context.warn(message),
  });
  if (!isLoopback(options.host) && key === undefined)
    context.warn("everybody who reaches this machine may ask: --api-key-file FILE asks for a key");
  const names = [...models.keys()];
  if (options.json) context.line({ url: server.url, models: names });
  context.info(`${names.join(", ")} at ${server.url}; OpenAI's API is at ${server.url}/v1`);
  await untilEnd(options.for, context.signal);
  await server.stop();
  for (const model of models.values()) await model.free();
  context.info(told(server.served));
  return { log: { ...server.served } };
}

const isLoopback = (host: string): boolean => ["localhost", "127.0.0.1", "::1"].includes(host);

const told = ({
  requests,
  refused,
  dropped,
  failed,
}: { [key in "requests" | "refused" | "dropped" | "failed"]: number }) =>
  `${requests} requests, ${refused} refused, ${dropped} dropped, ${failed} failed`;

/** Until a signal comes, or so many seconds have passed; 0: no time limit. */
async function untilEnd(seconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve: end } = Promise.withResolvers<void>();
  const timer = seconds > 0 ? setTimeout(end, 1000 * seconds) : undefined;
  signal.addEventListener("abort", () => end(), { once: true });
  await promise;
  clearTimeout(timer);
}

/** Says what would be served and the memory it takes, with as long answers as a request may ask for. */
async function printPlan(context: ServeContext, gpu: Gpu, models: ReadonlyMap<string, ServedModel>): Promise<Outcome> {
  const { options } = context;
  let cache = 0;
  for (const model of models.values()) {
    const prompt = Math.max(1, Math.min(USUAL_PROMPT, model.positions - 1));
    cache += await model.plan(prompt, options.max_tokens);
  }
  const memory = gpu.pool.peak;
  const address = `${options.host}:${options.port}`;
  if (options.json) context.line({ models: [...models.keys()], address, gpu_memory: memory, cache });
  else
    context.print(
      table([
        ["models", [...models.keys()].join(", ")],
        ["address", address],
        ["answers", `${options.batch_size} at once of at most ${options.max_tokens} tokens, ${options.queue} may wait`],
        ["GPU memory", `${humanBytes(memory)}, ${humanBytes(cache)} of it what is kept of tokens`],
      ]),
    );
  return {};
}
