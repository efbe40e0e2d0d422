/**
 * Twins of rows to forget: the same answer behind a prompt in which something neutral stands for what is to be
 * forgotten. A row says it in `twin`; else its `subject` is replaced in its prompt.
 */
import { bucketLength, collate, type TokenBatch } from "../data/batch.ts";
import type { GroupReference } from "../data/groups.ts";
import { encodeRow, type Sequence } from "../data/sequences.ts";
import { targetsOf } from "../data/targets.ts";
import { UserError } from "../errors.ts";
import type { Json } from "../json.ts";
import type { Options } from "../method/options.ts";
import type { TextTools } from "../run/text-tools.ts";
import { completions } from "./wanted-answers.ts";

export const NEUTRAL = {
  neutral: {
    type: "string",
    default: "someone",
    help: "what stands for a row's subject in its twin, where the row has no twin of its own",
    value: "TEXT",
  },
} as const satisfies Options;

/** The twins of a batch, a row each. */
export interface TwinBatch {
  readonly batch: TokenBatch;
  /** For every position of the batch that predicts an answer's token the twin's of the same token, else -1. */
  readonly places: Int32Array;
}

/** The prompt of a row's twin. Throws UserError where the row says none. */
export function twinPrompt(
  { prompt, extra }: { readonly prompt: string; readonly extra: Readonly<Record<string, Json>> },
  neutral: string,
  place: string,
): string {
  const { twin, subject } = extra;
  if (typeof twin === "string") return twin;
  if (typeof subject === "string" && subject !== "" && prompt.includes(subject))
    return prompt.replaceAll(subject, neutral);
  throw new UserError(
    `${place}: the row has no twin, nor a subject that its prompt names`,
    'add a field twin, the prompt with something neutral in the place of what is to be forgotten, or "subject"',
  );
}

/** Counted positions of rows of a batch. */
const countedOf = (targets: Int32Array, row: number, length: number): number[] =>
  Array.from({ length }, (_, t) => row * length + t).filter((at) => targets[at]! >= 0);

export class Twins {
  readonly #twins: ReadonlyMap<string, Sequence>;
  readonly #pad: number;
  readonly #length: number;
  readonly #known = new WeakMap<TokenBatch, TwinBatch>();

  private constructor(twins: ReadonlyMap<string, Sequence>, pad: number) {
    this.#twins = twins;
    this.#pad = pad;
    this.#length = bucketLength(Math.max(...[...twins.values()].map(({ ids }) => ids.length)));
  }

  /** Reads the rows once more. Throws UserError for rows without a twin. */
  static async read(
    groups: readonly GroupReference[],
    { tools, neutral, method, pad }: { tools: TextTools; neutral: string; method: string; pad: number },
  ): Promise<Twins> {
    const twins = new Map<string, Sequence>();
    for await (const { row, place } of completions(groups, method)) {
      const prompt = twinPrompt(row, neutral, place);
      const [sequence] = encodeRow({ row: { ...row, prompt }, place }, { ...tools.encode, group: 0 });
      twins.set(place, sequence!);
    }
    return new Twins(twins, pad);
  }

  /** Those of a batch with a sequence in each row. Answers are laid side by side from their ends. */
  of(batch: TokenBatch): TwinBatch {
    let found = this.#known.get(batch);
    if (!found) {
      const rows = batch.documents.map(({ sequence }) => [this.#twins.get(sequence.place)!]);
      const twin = collate(rows, { pad: this.#pad, buckets: [this.#length] });
      const [own, theirs] = [targetsOf(batch), targetsOf(twin)];
      const places = new Int32Array(batch.rows * batch.length).fill(-1);
      for (const [i, { row }] of batch.documents.entries()) {
        const [from, to] = [countedOf(own, row, batch.length), countedOf(theirs, i, twin.length)];
        for (let back = 1; back <= Math.min(from.length, to.length); back++) places[from.at(-back)!] = to.at(-back)!;
      }
      found = { batch: twin, places };
      this.#known.set(batch, found);
    }
    return found;
  }
}
