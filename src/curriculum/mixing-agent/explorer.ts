/**
 * Trainings to learn from: mixtures drawn around the natural shares, whose part of new groups moves to another end in
 * every training, so that they differ in how much of the old is kept.
 */
import { Random } from "../../data/random.ts";
import { drawMixture } from "../../run/mixture-laws.ts";
import { normalised } from "../../run/simplex.ts";
import type { Sampler } from "../contract.ts";
import { kept } from "../sampler-state.ts";
import type { Round } from "./trajectories.ts";

export interface Exploring {
  readonly natural: readonly number[];
  readonly isTarget: readonly boolean[];
  readonly rounds: number;
  readonly seed: number;
  /** Which of the trainings it is. */
  readonly place: number;
}

/** Natural shares scaled so that new groups have so much together. */
function tilted(natural: readonly number[], isTarget: readonly boolean[], part: number): number[] {
  const own = natural.reduce((sum, p, k) => sum + (isTarget[k] ? p : 0), 0);
  if (own === 0 || own >= 1) return [...natural];
  return normalised(natural.map((p, k) => (isTarget[k] ? (part * p) / own : ((1 - part) * p) / (1 - own))));
}

/** Mixtures of all rounds of a training. */
export function explored({ natural, isTarget, rounds, seed, place }: Exploring): number[][] {
  const random = new Random(seed, "mix-agent", "explore", place);
  const [from, to] = [natural.reduce((sum, p, k) => sum + (isTarget[k] ? p : 0), 0), random.uniform()];
  return Array.from({ length: rounds }, (_, i) => {
    const part = from + ((i + 1) / rounds) * (to - from);
    return drawMixture(tilted(natural, isTarget, Math.min(0.99, Math.max(0.01, part))), [1, 10], random);
  });
}

export interface Explorer extends Sampler {
  /** Rounds that were heard of: all but the last. */
  readonly rounds: readonly Round[];
}

/** Goes through the mixtures, `steps` each. */
export function explorer(mixtures: readonly (readonly number[])[], steps: number): Explorer {
  const memory = { rounds: [] as { probs: number[]; losses: number[] }[] };
  const now = () => mixtures[Math.min(memory.rounds.length, mixtures.length - 1)]!;
  return {
    ...kept(memory),
    rounds: memory.rounds,
    segment: () => ({ probs: now(), steps }),
    update({ losses = [] }) {
      memory.rounds.push({ probs: [...now()], losses: [...losses] });
    },
  };
}
