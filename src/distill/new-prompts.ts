/** New prompts near hard ones: as many, or fewer where one cannot be changed. */
import { Random } from "../data/random.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Model } from "../model/model.ts";
import type { Spoken } from "./spoken.ts";

type Tokens = readonly number[];

export const AUGMENTS = "'sample' | 'numbers' | 'none'";
export type Augment = "sample" | "numbers" | "none";

export interface AugmentGiven {
  readonly spoken: Pick<Spoken, "goOn">;
  readonly teacher: Model;
  readonly tokenizer: Pick<Tokenizer, "decode"> | undefined;
  readonly seed: number;
  /** Tells these draws from others. */
  readonly key: string;
}

/** Where a prompt has numbers: runs of tokens that are digits, as [from, to). */
function numbersIn(prompt: Tokens, { decode }: Pick<Tokenizer, "decode">): [number, number][] {
  const found: [number, number][] = [];
  for (const [at, id] of prompt.entries()) {
    if (!/^\s?\d+$/.test(decode([id]))) continue;
    const last = found.at(-1);
    if (last?.[1] === at) last[1] = at + 1;
    else found.push([at, at + 1]);
  }
  return found;
}

/** Prompts whose numbers are each another's, drawn from all prompts; one without numbers gives none. */
export function swapNumbers(
  prompts: readonly Tokens[],
  tokenizer: Pick<Tokenizer, "decode">,
  random: Random,
): Tokens[] {
  const decode = (ids: Iterable<number>) => tokenizer.decode(ids);
  const places = prompts.map((prompt) => numbersIn(prompt, { decode }));
  const numbers = prompts.flatMap((prompt, i) => places[i]!.map(([from, to]) => prompt.slice(from, to)));
  return prompts.flatMap((prompt, i) => {
    if (places[i]!.length === 0) return [];
    const made: number[] = [];
    let before = 0;
    for (const [from, to] of places[i]!) {
      made.push(...prompt.slice(before, from), ...numbers[random.below(numbers.length)]!);
      before = to;
    }
    return [[...made, ...prompt.slice(before)]];
  });
}

/** New prompts: ends that the teacher samples after a random part of each, or other numbers. */
export async function augment(how: Augment, prompts: readonly Tokens[], given: AugmentGiven): Promise<Tokens[]> {
  const { spoken, teacher, tokenizer, seed, key } = given;
  const random = new Random(seed, "new prompts", key);
  if (how === "none") return [];
  if (how === "numbers") return tokenizer ? swapNumbers(prompts, tokenizer, random) : [];
  const longer = prompts.filter(({ length }) => length > 1);
  const beginnings = longer.map((prompt) => prompt.slice(0, 1 + random.below(prompt.length - 1)));
  const ends = await spoken.goOn(
    teacher,
    beginnings,
    longer.map(({ length }, i) => length - beginnings[i]!.length),
    key,
  );
  return beginnings.map((beginning, i) => [...beginning, ...ends[i]!]);
}
