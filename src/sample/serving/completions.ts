/** `POST /v1/completions`: texts or tokens that are continued, or judged with `echo` and `logprobs`. */
import type { Json } from "../../json.ts";
import type { Choice, Piece } from "./choice.ts";
import { wrongField } from "./errors.ts";
import { Fields } from "./fields.ts";
import type { TokenLog } from "./log-probs.ts";
import {
  type Answered,
  type Call,
  checkIds,
  checkText,
  choicesOf,
  type Kitchen,
  MOST_LIKELIEST,
  maxTokensOf,
  modelOf,
  samplingOf,
  usageOf,
} from "./request.ts";
import type { ServedModel } from "./served-model.ts";

/** Tokens of an answer where a request does not say, as OpenAI has it. */
const USUAL = 16;

interface Prompt {
  readonly ids: readonly number[];
  readonly text: string;
}

const isToken = (value: Json): value is number => Number.isInteger(value) && Number(value) >= 0;

/** A text, tokens, or a list of either. Throws ApiError. */
function promptsOf(fields: Fields, model: ServedModel, most: number): Prompt[] {
  const value = fields.get("prompt");
  const given: Json[] = Array.isArray(value) && !value.every(isToken) ? value : value === undefined ? [] : [value];
  if (given.length === 0 || given.length > most)
    throw wrongField("prompt", `prompt should be a text, a list of tokens, or up to ${most} of either`);
  return given.map((one) => {
    if (typeof one === "string") checkText(one, "prompt", model);
    const ids =
      typeof one === "string" ? model.encode(one) : Array.isArray(one) && one.every(isToken) ? one : undefined;
    if (ids === undefined) throw wrongField("prompt", "a prompt should be a text or a list of tokens");
    checkIds(ids, "prompt", model);
    return { ids, text: typeof one === "string" ? one : model.tokenizer.decode(ids, { skipSpecial: true }) };
  });
}

/** Characters of a token in a text; a part of a character counts as one. */
const lengthOf = (text: string): number => (text.startsWith("token_id:") ? 1 : text.length);

/** Log-probabilities as this endpoint writes them; `offset`: characters before the first token. */
class LogWriter {
  readonly #model: ServedModel;
  readonly #count: number;
  #offset: number;

  constructor(model: ServedModel, count: number, offset: number) {
    this.#model = model;
    this.#count = count;
    this.#offset = offset;
  }

  of(logs: readonly TokenLog[]) {
    const texts = logs.map(({ id }) => this.#model.texts.of(id));
    const offsets = texts.map((text) => {
      const at = this.#offset;
      this.#offset += lengthOf(text);
      return at;
    });
    return {
      tokens: texts,
      token_logprobs: logs.map(({ log }) => log ?? null),
      top_logprobs:
        this.#count === 0 ? null : logs.map((one, i) => (one.log === undefined ? null : this.#top(one, texts[i]!))),
      text_offset: offsets,
    };
  }

  /** The likeliest, and the token itself; of equal texts the likelier. */
  #top({ log, top }: TokenLog, text: string): Record<string, number> {
    const found = new Map<string, number>();
    for (const { id, log: each } of top) {
      const name = this.#model.texts.of(id);
      if (!found.has(name)) found.set(name, each);
    }
    if (!found.has(text) && log !== undefined) found.set(text, log);
    return Object.fromEntries(found);
  }
}

interface Asked {
  readonly model: ServedModel;
  readonly prompts: readonly Prompt[];
  readonly n: number;
  readonly echo: boolean;
  readonly logprobs: number | undefined;
}

/** A prompt that is given back before its answer: its text, and what is said of its tokens. */
interface Echo {
  readonly text: string;
  readonly logs: readonly TokenLog[];
}

/** What stands before the answers of each prompt. */
async function echoes({ model, prompts, echo, logprobs }: Asked, call: Call, { desk }: Kitchen): Promise<Echo[]> {
  if (!echo) return prompts.map(() => ({ text: "", logs: [] }));
  return Promise.all(
    prompts.map(async ({ ids, text }) => ({
      text,
      logs: logprobs === undefined ? [] : await desk.judge(model, { ids, count: logprobs }, call.signal),
    })),
  );
}

/** Throws ApiError for a request that is wrong, or has no place now. */
export function completions(body: Json, call: Call, kitchen: Kitchen): Promise<Answered> | Answered {
  const fields = new Fields(body);
  const model = modelOf(fields, kitchen);
  const sampling = samplingOf(fields, kitchen);
  const echo = fields.flag("echo") ?? false;
  const logprobs = fields.number("logprobs", { least: 0, most: MOST_LIKELIEST, whole: true });
  const maxTokens = maxTokensOf(fields, ["max_tokens"], 0, kitchen) ?? Math.min(USUAL, kitchen.limits.maxTokens);
  fields.refuse({ suffix: [""], best_of: [1, sampling.n] });
  const prompts = promptsOf(fields, model, Math.floor(kitchen.limits.answers / sampling.n));
  fields.end();
  if (maxTokens === 0 && !echo) throw wrongField("max_tokens", "max_tokens is 0, and there is no echo to give");
  if (echo && logprobs !== undefined && !model.judges)
    throw wrongField("logprobs", `${model.name} writes in a way that says nothing of texts that are given`);
  const ids = prompts.map((prompt) => prompt.ids);
  for (const each of ids) model.check(each, maxTokens);
  kitchen.desk.admit();
  const asked: Asked = { model, prompts, n: sampling.n, echo, logprobs };
  const wanted = { sampling, maxTokens, logprobs, tellsEnd: true };
  const head = {
    ...{ id: `cmpl-${crypto.randomUUID()}`, object: "text_completion" },
    ...{ created: Math.floor(Date.now() / 1000), model: model.name },
  };
  const write = (choices: readonly Choice[]) =>
    maxTokens === 0 ? [] : choices.map((choice) => kitchen.desk.write(model, choice));
  if (!sampling.stream) {
    const choices = choicesOf(model, ids, wanted, call, kitchen);
    const all = Promise.all([echoes(asked, call, kitchen), ...write(choices)]);
    return all.then(([before]) => ({
      value: {
        ...head,
        choices: choices.map((choice, index) => whole(asked, choice, before[Math.floor(index / sampling.n)]!, index)),
        usage: usageOf(ids, choices),
      },
    }));
  }
  const events = async (send: (event: object) => void) => {
    const before = await echoes(asked, call, kitchen);
    const chunk = (index: number, text: string, logs: object | null, finish: string | null) =>
      send({ ...head, choices: [{ index, text, logprobs: logs, finish_reason: finish }] });
    const writers = ids.flatMap((_, p) =>
      Array.from({ length: sampling.n }, () =>
        logprobs === undefined ? undefined : new LogWriter(model, logprobs, echo ? 0 : prompts[p]!.text.length),
      ),
    );
    const hear = (index: number, { text, logs }: Piece) => chunk(index, text, writers[index]?.of(logs) ?? null, null);
    const choices = choicesOf(model, ids, { ...wanted, hear }, call, kitchen);
    for (const index of echo ? choices.keys() : []) hear(index, before[Math.floor(index / sampling.n)]!);
    await Promise.all(write(choices));
    for (const [index, { finish }] of choices.entries()) chunk(index, "", null, finish ?? "length");
    if (sampling.tellsUsage) send({ ...head, choices: [], usage: usageOf(ids, choices) });
  };
  return { events };
}

/** An answer that is whole. */
function whole({ model, prompts, n, echo, logprobs }: Asked, choice: Choice, before: Echo, index: number) {
  const prompt = prompts[Math.floor(index / n)]!;
  const offset = echo ? 0 : prompt.text.length;
  const logs =
    logprobs === undefined ? null : new LogWriter(model, logprobs, offset).of([...before.logs, ...choice.logs]);
  return { index, text: before.text + choice.text, logprobs: logs, finish_reason: choice.finish ?? "length" };
}
