/**
 * A teacher behind an OpenAI-style API, asked for the log-probabilities of texts that are there already.
 *
 *   echo              POST /completions with the text, echo and logprobs: tokens come back as strings, which are
 *                     matched with the student's
 *   prompt-logprobs   the same with token ids and prompt_logprobs, as vLLM has it: tokens come back as ids
 *
 * A row whose tokens are not the student's is refused. What is not among the k that come back is the tail.
 */
import type { Sequence } from "../data/sequences.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { UserError } from "../errors.ts";
import { isObject, type Json } from "../json.ts";
import { NOTHING } from "../run/teachers/teacher-cache.ts";
import type { Answering, Said } from "../run/teachers/write-teacher-cache.ts";
import { type Api, completion } from "./api-request.ts";
import { textsOf } from "./same-texts.ts";

export type ApiForm = "echo" | "prompt-logprobs";

export interface ApiTeacher {
  readonly api: Api;
  readonly form: ApiForm;
  /** The student's, with the number of its outputs. */
  readonly tokenizer: Tokenizer;
  readonly outputs: number;
  readonly k: number;
}

/** Tokens that may follow, by id, and the log-probability of the one that does. */
interface Entry {
  readonly top: ReadonlyMap<number, number>;
  readonly actual: number;
}

/** How far probabilities may sum to more than 1. */
const ROUNDING = 1e-3;

const refuse = ({ place }: Sequence, what: string, hint: string): never => {
  throw new UserError(`${place}: ${what}`, hint, 1);
};
const OTHERS = "the API's model needs the student's tokenizer; for others give --teacher a model, and --method gold";

const listOf = (value: Json | undefined): readonly Json[] | undefined => (Array.isArray(value) ? value : undefined);

/** What each of a row's tokens adds to the text; "" of special ones. */
function piecesOf(tokenizer: Tokenizer, ids: Int32Array): string[] {
  const decoder = tokenizer.decoder({ skipSpecial: true });
  return Array.from(ids, (id) => decoder.push(id));
}

/** Asks by text. Gives what is said of every token but the first. */
async function byText({ api, k, tokenizer }: ApiTeacher, ids: ReadonlyMap<string, number>, row: Sequence) {
  const pieces = piecesOf(tokenizer, row.ids);
  const first = pieces.findIndex((piece) => piece !== "");
  const end = pieces.findLastIndex((piece) => piece !== "") + 1;
  if (first < 0) refuse(row, "it has no text", "leave it out");
  if (pieces.slice(first, end).includes("") || first > 1 || pieces.length - end > 1)
    refuse(
      row,
      "it has special tokens, or parts of characters, that a text does not show",
      "give --api prompt-logprobs, which sends token ids, where the server has it",
    );
  const prompt = tokenizer.decode(row.ids, { skipSpecial: true });
  const [choice] = listOf(
    (await completion(api, { prompt, max_tokens: 1, echo: true, logprobs: k, temperature: 0 })).choices,
  ) ?? [null];
  const said = isObject(choice) && isObject(choice.logprobs) ? choice.logprobs : {};
  const tokens = listOf(said.tokens) ?? [];
  const [logProbs, tops] = [listOf(said.token_logprobs) ?? [], listOf(said.top_logprobs) ?? []];
  if (tokens.length === 0 || logProbs.length !== tokens.length || tops.length !== tokens.length)
    throw new UserError(
      `${api.host} gave no tokens, token_logprobs and top_logprobs of the text that it was sent`,
      "the server must allow echo with logprobs; or give --api prompt-logprobs",
      1,
    );
  // The server may put its own first token before the text.
  const [begin] = tokens;
  const shift = typeof begin === "string" && begin !== pieces[first] && tokenizer.idOf(begin) === tokenizer.bos ? 1 : 0;
  for (let at = first; at < end; at++) {
    const theirs = tokens[shift + at - first];
    if (theirs !== pieces[at])
      refuse(
        row,
        `token ${at} is ${JSON.stringify(pieces[at])} here and ${JSON.stringify(theirs ?? null)} there`,
        OTHERS,
      );
  }
  return Array.from(row.ids.subarray(1), (id, i): Entry => {
    const place = shift + i + 1 - first;
    const top = tops[place];
    if (!isObject(top))
      return refuse(
        row,
        `nothing is said of token ${i + 1}`,
        place === 0
          ? "the server puts no token before a text, and the student's tokenizer does: give --api prompt-logprobs"
          : "the server must say what follows the text: it is asked for one token more",
      );
    const found = new Map<number, number>();
    for (const [text, value] of Object.entries(top)) {
      const token = ids.get(text) ?? tokenizer.idOf(text);
      if (token !== undefined && typeof value === "number" && !found.has(token)) found.set(token, value);
    }
    const own = logProbs[place];
    // After the text another token may have been chosen than the one that ends the row.
    const actual = place < shift + end - first && typeof own === "number" ? own : (found.get(id) ?? NOTHING);
    return { top: found, actual };
  });
}

/** Asks by token ids. */
async function byIds({ api, k, tokenizer }: ApiTeacher, row: Sequence): Promise<Entry[]> {
  const pieces = piecesOf(tokenizer, row.ids);
  const answer = await completion(api, {
    ...{ prompt: [...row.ids], max_tokens: 1, temperature: 0, prompt_logprobs: k },
  });
  const [choice] = listOf(answer.choices) ?? [];
  const said = listOf(isObject(choice) ? choice.prompt_logprobs : undefined) ?? listOf(answer.prompt_logprobs);
  if (!said)
    throw new UserError(`${api.host} gave no prompt_logprobs`, "give --api echo, where the server allows it", 1);
  if (said.length !== row.ids.length)
    refuse(row, `${said.length} tokens came back of ${row.ids.length} that were sent`, OTHERS);
  return Array.from(row.ids.subarray(1), (id, i): Entry => {
    const entry = said[i + 1];
    const top = new Map<number, number>();
    for (const [key, value] of isObject(entry) ? Object.entries(entry) : []) {
      if (!isObject(value) || typeof value.logprob !== "number") continue;
      top.set(Number(key), value.logprob);
      const text = value.decoded_token;
      const own = pieces[i + 1];
      if (Number(key) === id && typeof text === "string" && text !== own && own !== "" && !text.includes("\uFFFD"))
        refuse(row, `token ${i + 1} is ${JSON.stringify(own)} here and ${JSON.stringify(text)} there`, OTHERS);
    }
    const actual = top.get(id);
    if (actual === undefined) return refuse(row, `nothing is said of token ${i + 1}, ${id}`, OTHERS);
    return { top, actual };
  });
}

/** The k likeliest of what was said, and the rest. */
function kept(row: Sequence, entries: readonly Entry[], { k, outputs }: ApiTeacher): Said {
  const ids = new Int32Array(entries.length * k);
  const logProbs = new Float32Array(entries.length * k);
  const tail = new Float32Array(entries.length);
  let [sum, labels] = [0, 0];
  for (const [t, { top, actual }] of entries.entries()) {
    const id = row.ids[t + 1]!;
    const all = new Map([...top, ...(actual > NOTHING ? [[id, actual] as const] : [])]);
    const chosen = [...all]
      .filter(([token, value]) => token >= 0 && token < outputs && value <= ROUNDING)
      .sort((a, b) => b[1] - a[1] || a[0] - b[0])
      .slice(0, k);
    const mass = chosen.reduce((total, [, value]) => total + Math.exp(value), 0);
    if (mass > 1 + ROUNDING)
      refuse(row, `the probabilities of token ${t + 1} sum to ${mass.toFixed(4)}`, "the server must not change them");
    const taken = new Set(chosen.map(([token]) => token));
    for (let other = 0; chosen.length < k; other++) if (!taken.has(other)) chosen.push([other, NOTHING]);
    chosen.sort((a, b) => a[0] - b[0]);
    for (const [j, [token, value]] of chosen.entries()) {
      ids[t * k + j] = token;
      logProbs[t * k + j] = value;
    }
    tail[t] = mass < 1 ? Math.max(NOTHING, Math.log1p(-mass)) : NOTHING;
    if (row.labels[t + 1]! >= 0) {
      // A token that is in the tail has its even share at the most.
      sum -= actual > NOTHING ? actual : tail[t]! - Math.log(Math.max(1, outputs - k));
      labels++;
    }
  }
  return { ids, logProbs, tail, loss: sum / Math.max(1, labels) };
}

/** A teacher that answers over the network, several rows at once. Throws UserError (exit 1) where it does not. */
export function apiTeacher(teacher: ApiTeacher): Answering {
  const { tokenizer, outputs, k, form } = teacher;
  const texts = textsOf(tokenizer, outputs);
  const ask = async (row: Sequence): Promise<Said> =>
    kept(row, form === "echo" ? await byText(teacher, texts, row) : await byIds(teacher, row), teacher);
  return { outputs, k, say: (sequences) => Promise.all(sequences.map(ask)) };
}
