/** Where in a model facts lie: how much of an answer's probability comes back as parts of its blocks are restored. */
import type { Model } from "../../model/model.ts";
import { notFinite } from "../not-finite.ts";
import type { Fact } from "./facts.ts";
import { embeddingDeviation, PARTS, type Part, type Restored, subjectNoise, Tracer } from "./tracer.ts";

/**
 * Tokens of a prompt from the subject on, those before being as they were: the last of the subject, the last of the
 * prompt, and each of those before them.
 */
export const SPOTS = ["earlier", "subject", "between", "end"] as const;
export type Spot = (typeof SPOTS)[number];

/** Defaults; `share` is the share of the effect that the chosen blocks hold. */
export const TRACE = { draws: 3, noise: 3, window: 1, batch: 16, share: 0.8 } as const;

export interface TraceOptions {
  /** Runs with other noise, whose mean is taken. */
  readonly draws: number;
  /** Standard deviations of the embedding table. */
  readonly noise: number;
  /** Consecutive blocks, centred on each, whose MLP or attention is restored together. */
  readonly window: number;
  /** Every token, not just the last of the subject and of the prompt. */
  readonly all: boolean;
  readonly seed: number;
  /** Rows that are run at once. */
  readonly batch: number;
  readonly signal: AbortSignal;
  /** Names the model in messages. */
  readonly ref?: string;
  readonly done?: () => void;
}

export interface Effects {
  /** Mean probabilities of the answers. */
  readonly clean: number;
  readonly corrupted: number;
  /** Mean of p(restored) - p(corrupted) over the facts that have such a token, by part, spot and block. */
  readonly of: ReadonlyMap<Part, ReadonlyMap<Spot, readonly number[]>>;
}

/** The tokens that are restored, each by itself, and what they are. */
export function spotsOf(
  { subject, prompt }: Pick<Fact, "subject" | "prompt">,
  all: boolean,
): { spot: Spot; place: number }[] {
  const last = subject.at(-1)!;
  const spots: { spot: Spot; place: number }[] = [];
  for (let place = subject[0]!; place < prompt; place++) {
    const spot = place === last ? "subject" : place < last ? "earlier" : place < prompt - 1 ? "between" : "end";
    if (all || spot === "subject" || spot === "end") spots.push({ spot, place });
  }
  return spots;
}

/** The blocks of a window centred on one of them. */
export function windowAt(block: number, width: number, layers: number): number[] {
  const first = Math.max(0, block - Math.floor(width / 2));
  const end = Math.min(layers, block + Math.ceil(width / 2));
  return Array.from({ length: end - first }, (_, i) => first + i);
}

export async function causalTrace(model: Model, facts: readonly Fact[], options: TraceOptions): Promise<Effects> {
  const { draws, noise, window, all, seed, batch, signal, done } = options;
  const { layers, width } = model.sizes;
  const deviation = noise * (await embeddingDeviation(model));
  const tracer = new Tracer(model, batch);
  const sums = new Map(PARTS.map((part) => [part, new Map<Spot, Float64Array>()]));
  const counts = new Map<Spot, number>();
  let [clean, corrupted] = [0, 0];
  try {
    for (const fact of facts) {
      const spots = spotsOf(fact, all);
      const asked = PARTS.flatMap((part) =>
        spots.flatMap(({ spot, place }) =>
          Array.from({ length: layers }, (_, block): Restored & { spot: Spot; block: number } => {
            const blocks = part === "state" ? [block] : windowAt(block, window, layers);
            return { part, blocks, places: [place], spot, block };
          }),
        ),
      );
      const tokens = new Map(SPOTS.map((spot) => [spot, spots.filter((one) => one.spot === spot).length]));
      for (const [spot, many] of tokens) if (many > 0) counts.set(spot, (counts.get(spot) ?? 0) + 1);
      for (let draw = 0; draw < draws; draw++) {
        signal.throwIfAborted();
        const key = [seed, fact.index, draw];
        const traced = await tracer.trace(fact, subjectNoise(fact, { width, deviation, key }), asked);
        if (!Number.isFinite(traced.clean)) throw notFinite(options.ref ?? "the model", fact.place);
        clean += traced.clean / draws / facts.length;
        corrupted += traced.corrupted / draws / facts.length;
        for (const [i, { part, spot, block }] of asked.entries()) {
          const sum = sums.get(part)!;
          if (!sum.has(spot)) sum.set(spot, new Float64Array(layers));
          sum.get(spot)![block]! += (traced.restored[i]! - traced.corrupted) / draws / tokens.get(spot)!;
        }
      }
      done?.();
    }
  } finally {
    tracer.free();
  }
  const of = new Map(
    PARTS.map((part) => [
      part,
      new Map(
        SPOTS.filter((spot) => counts.has(spot)).map((spot) => [
          spot,
          Array.from(sums.get(part)!.get(spot)!, (sum) => sum / counts.get(spot)!),
        ]),
      ),
    ]),
  );
  return { clean, corrupted, of };
}

/**
 * The fewest neighbouring blocks that hold a share of the effect, those below 0 counting as none; of equally few the
 * ones that hold most, then the first. Undefined where there is no effect.
 */
export function blocksHolding(
  effects: readonly number[],
  share: number,
): { first: number; last: number; share: number } | undefined {
  const mass = effects.map((effect) => Math.max(0, effect));
  const total = mass.reduce((a, b) => a + b, 0);
  if (!(total > 0)) return undefined;
  for (let width = 1; width <= mass.length; width++) {
    let best = { first: 0, last: 0, share: -1 };
    for (let first = 0; first + width <= mass.length; first++) {
      const held = mass.slice(first, first + width).reduce((a, b) => a + b, 0) / total;
      if (held > best.share) best = { first, last: first + width - 1, share: held };
    }
    // All blocks hold everything, whatever the sum rounds to.
    if (best.share >= share || width === mass.length) return best;
  }
  return undefined;
}
