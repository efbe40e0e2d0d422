/**
 * `train --schedule-search es`: finds what the learning rate of the schedule is to be multiplied by, over whole short
 * trainings of the model, before it is trained.
 *
 *   rate(t) <- 10^tanh(psi(2 t/T - 1, ln T scaled, ln(loss now / loss first))) rate(t)
 *
 * psi is a small network, 1 where its last layer is 0, as it is at first. A short training has a length that is
 * log-uniform, an order of its rows of its own, and is judged by the held-out loss at its end, as a share of that of
 * the model as it was; both of a mirrored pair have the same. Jackson et al., Discovering Temporally-Aware
 * Reinforcement Learning Algorithms, ICLR 2024, https://arxiv.org/abs/2402.05828
 */
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { Options, Values } from "../../method/options.ts";
import { evolve } from "../../run/small-nets/evolution.ts";
import { Mlp } from "../../run/small-nets/mlp.ts";
import type { Controller } from "../../run/training/controller.ts";

export const SCHEDULE_SEARCH = {
  schedule_search: {
    type: "'es'",
    needs: ["eval_data", "eval_split"],
    help: "before training, search what the rate is multiplied by, by evolution strategies over short trainings",
  },
  search_generations: {
    type: "number.integer >= 1",
    default: 10,
    needs: "schedule_search",
    help: "updates of the schedule",
    value: "N",
  },
  search_pairs: {
    type: "number.integer >= 1",
    default: 16,
    needs: "schedule_search",
    help: "pairs of mirrored schedules in a generation",
    value: "N",
  },
  search_lengths: {
    type: "number.integer[]",
    default: [20, 80],
    needs: "schedule_search",
    help: "steps of the shortest and the longest training",
    value: "T",
  },
  search_sigma: {
    type: "number > 0",
    default: 0.1,
    needs: "schedule_search",
    help: "deviation of the weights of a pair",
    value: "S",
  },
  search_lr: {
    type: "number > 0",
    default: 0.05,
    needs: "schedule_search",
    help: "learning rate of Adam on the schedule",
    value: "R",
  },
} as const satisfies Options;

type Asked = Values<typeof SCHEDULE_SEARCH>;

const SIZES = [3, 16, 1];
/** Share of a step's loss in the smoothed one. */
const NEW = 0.2;
/** What a training that diverges, or does worse, is judged as: so many times the loss of the model as it was. */
const WORST = 2;

/** Throws UserError for lengths that are none. */
export function checkScheduleSearch({ search_lengths: lengths }: Asked): void {
  const [low = 0, high = 0] = lengths;
  if (lengths.length !== 2 || low < 1 || high < low)
    throw new UserError(`--search-lengths ${lengths.join(",")} are no lengths`, "give two, the shortest first: 20,80");
}

/** A schedule on its way through a training, whose losses it hears. */
export class SearchedRate implements Controller {
  readonly name = "schedule search";
  readonly #net: Mlp;
  readonly #middle: number;
  readonly #half: number;
  #first = 0;
  #smoothed = 0;

  /** The weights are read whenever a rate is asked for. */
  constructor(weights: Float64Array, [low = 1, high = 1]: readonly number[]) {
    this.#net = new Mlp(SIZES, weights);
    this.#middle = (Math.log(low) + Math.log(high)) / 2;
    this.#half = Math.max(1e-9, (Math.log(high) - Math.log(low)) / 2);
  }

  /** What the rate of a step, from 1, is multiplied by. */
  multiplier(step: number, steps: number): number {
    const change = this.#first > 0 ? Math.log(Math.max(1e-6, this.#smoothed / this.#first)) : 0;
    const time = [(2 * (step - 1)) / steps - 1, (Math.log(steps) - this.#middle) / this.#half];
    return 10 ** Math.tanh(this.#net.output(Float64Array.from([...time, Math.max(-3, Math.min(3, change))]), 1)[0]!);
  }

  heard({ metrics }: { readonly metrics: Readonly<Record<string, number>> }): void {
    const loss = metrics.loss!;
    if (this.#first === 0) this.#first = this.#smoothed = loss;
    else this.#smoothed += NEW * (loss - this.#smoothed);
  }

  state(): Json {
    return { weights: [...this.#net.weights], first: this.#first, smoothed: this.#smoothed };
  }

  load(state: Json): void {
    const { weights, first, smoothed } = isObject(state) ? state : {};
    if (!Array.isArray(weights) || weights.length !== this.#net.weights.length || typeof first !== "number")
      throw new UserError("the saved state has no searched schedule", "it is damaged: begin again without --resume");
    this.#net.weights.set(weights as number[]);
    this.#first = first;
    this.#smoothed = smoothed as number;
  }
}

/** A short training of the model as it was, whose rates are those times the multiplier's; gives its held-out loss. */
export type ShortLife = (rate: SearchedRate, steps: number, seed: number) => Promise<number>;

/** Weights before a search: multipliers of 1. */
export const firstWeights = (seed: number): Float64Array => Mlp.fresh(SIZES, new Random(seed, "schedule"), 0).weights;

/** Moves the weights; `before` is the held-out loss of the model as it was, `told` hears of each generation. */
export async function searchSchedule(
  weights: Float64Array,
  asked: Asked,
  {
    seed,
    before,
    life,
    told,
  }: {
    readonly seed: number;
    readonly before: number;
    readonly life: ShortLife;
    readonly told: (generation: number, loss: number) => void;
  },
): Promise<void> {
  const [low = 1, high = 1] = asked.search_lengths;
  const search = evolve<{ readonly steps: number; readonly seed: number }>({
    ...{ weights, seed, pairs: asked.search_pairs, generations: asked.search_generations },
    ...{ sigma: asked.search_sigma, lr: asked.search_lr },
    draw: (random) => ({ steps: Math.round(low * (high / low) ** random.uniform()), seed: random.below(2 ** 30) }),
    live: async (own, { steps, seed: order }) => {
      const loss = await life(new SearchedRate(own, asked.search_lengths), steps, order);
      return -Math.min(loss / before, WORST);
    },
  });
  let generation = 0;
  for await (const mean of search) told(++generation, -mean * before);
}
