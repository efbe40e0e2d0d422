/** From a rollout to the micro-batches of its updates. */
import { collate } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { SharedValues } from "./contract.ts";
import type { HeldAnswer, HeldRollout } from "./held-rollout.ts";
import type { PolicyBatch } from "./objective.ts";
import { pairPlaces } from "./pair-term.ts";
import { tokenWeights } from "./token-weights.ts";

/** How answers become micro-batches. */
export interface BatchSizes {
  /** Answers of a micro-batch. */
  readonly rows: number;
  /** Micro-batches of an update. */
  readonly accumulate: number;
  /** Answers of a rollout: a whole number of updates. */
  readonly answers: number;
  /** Passes over it. */
  readonly passes: number;
  /** Prompts of it. */
  readonly prompts: number;
  /** Answers that stay beside one another: 2 of pairs, a group where its best and worst are one. */
  readonly together: number;
}

/** Updates of a pass over a rollout. */
export const updatesOfPass = ({ answers, rows, accumulate }: BatchSizes): number => answers / (rows * accumulate);

/** Micro-batches of a rollout, of all passes. */
export const batchesOf = (sizes: BatchSizes): number => sizes.passes * updatesOfPass(sizes) * sizes.accumulate;

/**
 * The order of the answers in a pass: as they were sampled where a pass is one update, else drawn anew, so that no
 * update is one of prompts that stood together.
 */
function orderOf(number: number, pass: number, sizes: BatchSizes, seed: number): number[] {
  const { answers, together } = sizes;
  const all = Array.from({ length: answers / together }, (_, i) => i);
  const drawn = updatesOfPass(sizes) === 1 ? all : new Random(seed, "order of answers", number, pass).shuffled(all);
  return drawn.flatMap((i) => Array.from({ length: together }, (_, k) => i * together + k));
}

/** The micro-batch of a rollout at a place among all of its micro-batches. */
export function batchAt(
  held: HeldRollout,
  at: number,
  given: {
    readonly sizes: BatchSizes;
    readonly values: SharedValues;
    readonly seed: number;
    readonly pad: number;
    /** Weight of the first token of an answer, where it is apart from the others. */
    readonly firstWeight?: number | undefined;
    /** Whether answers are not as the model itself would begin them. */
    readonly forced?: boolean;
    /** Prompt and answer, and the tokens of the prompt. */
    readonly sequence: (answer: HeldAnswer) => { readonly sequence: Sequence; readonly from: number };
  },
): PolicyBatch {
  const { sizes, values, seed, pad, firstWeight, forced, sequence } = given;
  const perUpdate = sizes.rows * sizes.accumulate;
  const update = Math.floor(at / sizes.accumulate);
  const perPass = updatesOfPass(sizes);
  const order = orderOf(held.number, Math.floor(update / perPass), sizes, seed);
  const first = (update % perPass) * perUpdate;
  const micro = Array.from({ length: sizes.accumulate }, (_, i) =>
    order.slice(first + i * sizes.rows, first + (i + 1) * sizes.rows).map((answer) => held.answers[answer]!),
  );
  const counts = micro.map((answers) =>
    answers.map(({ ids, uncounted, isFiller }) => ({
      counted: uncounted ? 0 : ids.length,
      ...(isFiller ? { isFiller } : {}),
    })),
  );
  const total = Math.max(
    1,
    counts.flat().reduce((sum, { counted }) => sum + counted, 0),
  );
  const own = at % sizes.accumulate;
  const answers = micro[own]!;
  const rows = answers.map(sequence);
  const tokens = collate(
    rows.map((row) => [row.sequence]),
    { pad },
  );
  const isApart = firstWeight !== undefined;
  const rest = counts.map((all) =>
    all.map(({ counted, ...row }) => ({ ...row, counted: Math.max(0, isApart ? counted - 1 : counted) })),
  );
  const weights = tokenWeights(values.aggregate, rest, values.max_new_tokens)[own]!;
  const apart = (firstWeight ?? 0) / Math.max(1, counts.flat().filter(({ isFiller }) => !isFiller).length);
  /** What answers have, where the token before each of their tokens stands: (B, T). */
  const placed = (of: (row: number, t: number) => number): Float32Array => {
    const all = new Float32Array(tokens.rows * tokens.length);
    for (const [row, { ids, uncounted }] of answers.entries())
      for (let t = 0; t < (uncounted ? 0 : ids.length); t++)
        all[row * tokens.length + rows[row]!.from - 1 + t] = of(row, t);
    return all;
  };
  /** What a value head foretells, so many numbers of a token: (B, T, H). */
  const wide = (name: "estimates" | "returns"): Float32Array | undefined => {
    const [{ ids, [name]: first }] = answers as [HeldAnswer];
    if (!first) return undefined;
    const heads = first.length / Math.max(1, ids.length);
    const all = Array.from({ length: heads }, (_, h) => placed((row, t) => answers[row]![name]![t * heads + h]!));
    return Float32Array.from({ length: heads * tokens.rows * tokens.length }, (_, i) => {
      return all[i % heads]![Math.floor(i / heads)]!;
    });
  };
  const numbers = (name: "old" | "reference" | "traits") =>
    answers[0]![name] ? placed((row, t) => answers[row]![name]![t]!) : undefined;
  return {
    tokens,
    weights: placed((row, t) => (isApart && t === 0 ? apart : weights[row]!)),
    shares: placed(() => 1 / total),
    lengths: Float32Array.from(counts[own]!, ({ counted }) => Math.max(1, counted)),
    advantages: placed((row, t) => {
      const { advantage } = answers[row]!;
      return typeof advantage === "number" ? advantage : advantage[t]!;
    }),
    traits: numbers("traits"),
    // The model is the one that sampled until the first update is done, but for answers of earlier rollouts.
    old: update === 0 && !forced && answers.every(({ rollout }) => rollout === undefined) ? undefined : numbers("old"),
    reference: numbers("reference"),
    estimates: wide("estimates"),
    returns: wide("returns"),
    ...(values.pair_weight > 0
      ? pairPlaces(micro, own, values.group)
      : { best: undefined, worst: undefined, pairs: undefined }),
    told: held.told,
  };
}
