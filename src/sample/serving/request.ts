/** What requests for completions and for chats have in common: the model, how is drawn, and what is told. */
import type { Json } from "../../json.ts";
import type { RowOptions } from "../../run/generating/generate.ts";
import { Choice, type Piece } from "./choice.ts";
import type { Desk } from "./desk.ts";
import { ApiError, wrongField } from "./errors.ts";
import { type Fields, shown } from "./fields.ts";
import type { ServedModel } from "./served-model.ts";

/** What a server allows a request. */
export interface Limits {
  /** Tokens of an answer. */
  readonly maxTokens: number;
  /** Answers of a request. */
  readonly answers: number;
}

/** What answers requests. */
export interface Kitchen {
  readonly models: ReadonlyMap<string, ServedModel>;
  readonly desk: Desk;
  readonly limits: Limits;
  /** Of requests that have no seed of their own. */
  readonly seed: number;
}

/** A request on its way. */
export interface Call {
  /** Distinguishes it from all others of the server. */
  readonly number: number;
  readonly signal: AbortSignal;
}

export interface Sampling {
  readonly row: RowOptions;
  /** Undefined: draws follow from the server's seed and the number of the request. */
  readonly seed: number | undefined;
  readonly n: number;
  readonly stops: readonly string[];
  readonly stream: boolean;
  /** Whether a stream ends with the numbers of tokens. */
  readonly tellsUsage: boolean;
}

/** Throws ApiError where there is no such model. */
export function modelOf(fields: Fields, { models }: Kitchen): ServedModel {
  const name = fields.text("model");
  const [only] = models.values();
  if (name === undefined && only && models.size === 1) return only;
  if (name === undefined) throw wrongField("model", "model names one of /v1/models, and is missing");
  const found = models.get(name);
  if (found) return found;
  throw new ApiError(404, `there is no model ${shown(name)}; /v1/models lists them`, {
    param: "model",
    code: "model_not_found",
  });
}

function stopsOf(fields: Fields): string[] {
  const value = fields.get("stop") ?? [];
  const list = Array.isArray(value) ? value : [value];
  const stops = list.filter((stop) => typeof stop === "string");
  if (stops.length === list.length && stops.length <= 16 && !stops.includes("")) return stops;
  throw wrongField("stop", "stop should be a text, or up to 16 of them, and none that is empty");
}

/** The likeliest tokens that are told of a place, at most. */
export const MOST_LIKELIEST = 20;

const most = Number.MAX_SAFE_INTEGER;

/** How is drawn, from the fields of both kinds of requests; vLLM's `top_k`, `min_p` and others too. */
export function samplingOf(fields: Fields, { limits }: Kitchen): Sampling {
  const n = fields.number("n", { least: 1, most: limits.answers, whole: true }) ?? 1;
  const seed = fields.number("seed", { least: 0, most, whole: true });
  const row: RowOptions = {
    temperature: fields.number("temperature", { least: 0, most: 100 }) ?? 1,
    topP: fields.number("top_p", { least: 1e-9, most: 1 }) ?? 1,
    topK: Math.max(0, fields.number("top_k", { least: -1, most, whole: true }) ?? 0),
    minP: fields.number("min_p", { least: 0, most: 1 }) ?? 0,
    typical: fields.number("typical_p", { least: 1e-9, most: 1 }) ?? 1,
    repetitionPenalty: fields.number("repetition_penalty", { least: 1e-9, most: 100 }) ?? 1,
  };
  const stream = fields.flag("stream") ?? false;
  const { include_usage: tellsUsage = false } = fields.object("stream_options") ?? {};
  fields.ignore("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key");
  fields.refuse({ logit_bias: [{}], frequency_penalty: [0], presence_penalty: [0] });
  return { row, seed, n, stops: stopsOf(fields), stream, tellsUsage: tellsUsage === true };
}

/** Most tokens of an answer. Throws ApiError for more than the server allows. */
export function maxTokensOf(fields: Fields, names: readonly string[], least: number, { limits }: Kitchen) {
  const given = names.map((name) => fields.number(name, { least, most, whole: true })).find((x) => x !== undefined);
  if (given !== undefined && given > limits.maxTokens)
    throw wrongField(names[0]!, `${names[0]} is ${given}, and this server gives up to ${limits.maxTokens}`);
  return given;
}

/** Characters that a token has at most on average, for all that is known of texts. */
const CHARACTERS = 64;

const tooLong = (what: string, param: string, { positions }: ServedModel): ApiError =>
  new ApiError(400, `the prompt has ${what}, and the model ${positions} positions`, {
    param,
    code: "context_length_exceeded",
  });

/** Throws ApiError for a text that is too long whatever its tokens are, which would take long to find. */
export function checkText(text: string, param: string, model: ServedModel): void {
  if (text.length > CHARACTERS * model.positions) throw tooLong(`${text.length} characters`, param, model);
}

/** Throws ApiError for tokens that the model cannot continue. */
export function checkIds(ids: readonly number[], param: string, model: ServedModel): void {
  if (ids.length === 0) throw wrongField(param, "the prompt has no tokens");
  const { positions, outputs } = model;
  const odd = ids.find((id) => id >= outputs);
  if (odd !== undefined) throw wrongField(param, `token ${odd} is outside the vocabulary of ${outputs}`);
  if (ids.length >= positions) throw tooLong(`${ids.length} tokens`, param, model);
}

export interface Wanted {
  readonly sampling: Sampling;
  readonly maxTokens: number;
  readonly logprobs: number | undefined;
  readonly tellsEnd: boolean;
  /** Hears pieces of the answer at a place, from 0. */
  readonly hear?: (place: number, piece: Piece) => void;
}

/** The answers to prompts, in order, `n` to each; none is begun yet. */
export function choicesOf(
  model: ServedModel,
  prompts: readonly (readonly number[])[],
  { sampling, maxTokens, logprobs, tellsEnd, hear }: Wanted,
  call: Call,
  { seed: ownSeed }: Kitchen,
): Choice[] {
  const { seed, n, row, stops } = sampling;
  return prompts.flatMap((ids, p) =>
    Array.from({ length: n }, (_, s) => {
      const place = p * n + s;
      // As `sample` names its draws, so that both write the same for a seed.
      const key = seed === undefined ? `request ${call.number}: ${p}.${s}` : `${p}.${s}`;
      const asked = { ids, key, signal: call.signal, row: { ...row, seed: seed ?? ownSeed, maxTokens } };
      const told = { tokenizer: model.tokenizer, stops, logprobs, tellsEnd };
      return new Choice(asked, { ...told, ...(hear && { hear: (piece: Piece) => hear(place, piece) }) });
    }),
  );
}

/** The numbers of tokens that a request took. */
export function usageOf(prompts: readonly (readonly number[])[], choices: readonly Choice[]) {
  const read = prompts.reduce((sum, { length }) => sum + length, 0);
  const written = choices.reduce((sum, { tokens }) => sum + tokens, 0);
  return { prompt_tokens: read, completion_tokens: written, total_tokens: read + written };
}

/** What a handler gives: a value at once, or a stream of events. */
export type Answered =
  | { readonly value: Json | object }
  | { readonly events: (send: (event: object) => void) => Promise<void> };
