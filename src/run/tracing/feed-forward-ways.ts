/**
 * What a decoder with two sizes of feed-forward networks loses on rows under every placement of its big networks, and
 * what an oracle would choose for each token. All tokens of a sequence go one way; the oracle takes for each token the
 * way of the least loss. Alizadeh et al., Duo-LLM, 2024, https://arxiv.org/abs/2410.10846
 */
import { type Batch, batchKey, isTokens } from "../../data/batch.ts";
import { targetsOf } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import { type LayerWay, SMALL_WEIGHT, tellWays } from "../../model/blocks/duo.ts";
import type { Model } from "../../model/model.ts";
import { addScalar, neg } from "../../tensor/ops/elementwise.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** Most layers whose ways are all tried, 2^8 of them. */
export const MOST_LAYERS = 8;

/** Which layers take their big network, one bit each, the lowest for layer 0; the others take the small one. */
export type Placement = number;

const bigs = (placement: Placement): number => placement.toString(2).replaceAll("0", "").length;

/** Layers of a placement that are big, rising. */
export const layersIn = (placement: Placement, layers: number): number[] =>
  Array.from({ length: layers }, (_, layer) => layer).filter((layer) => (placement >> layer) & 1);

/** All placements, those with fewer big networks first. */
export const placementsOf = (layers: number): Placement[] =>
  Array.from({ length: 2 ** layers }, (_, placement) => placement).sort((a, b) => bigs(a) - bigs(b) || a - b);

/** What is known of a budget of `big` networks. Losses are means over tokens, in nats. */
export interface BudgetFigures {
  readonly big: number;
  /** Each token under its best placement of at most so many. */
  readonly oracle: number;
  /** Expected of a placement of exactly so many that is drawn evenly. */
  readonly random: number;
  /** The best one placement of exactly so many for all tokens, and its layers. */
  readonly fixed: number;
  readonly placement: readonly number[];
  /** Loss with small networks alone, less the oracle's: how much the tokens need big ones. */
  readonly difficulty: number;
  /** Share of the tokens for which some big network lowers the loss. */
  readonly helped: number;
  /** Share of the tokens whose oracle takes the big network, by layer. */
  readonly layers: readonly number[];
}

/** Sums over tokens, from which figures follow; tokens come a batch at a time. */
export class OracleSums {
  readonly #layers: number;
  readonly #order: readonly Placement[];
  /** By placement. */
  readonly #losses: Float64Array;
  /** By budget. */
  readonly #oracle: Float64Array;
  readonly #helped: Float64Array;
  /** (budgets, layers) */
  readonly #chosen: Float64Array;
  #tokens = 0;

  constructor(layers: number) {
    this.#layers = layers;
    this.#order = placementsOf(layers);
    this.#losses = new Float64Array(2 ** layers);
    this.#oracle = new Float64Array(layers + 1);
    this.#helped = new Float64Array(layers + 1);
    this.#chosen = new Float64Array((layers + 1) * layers);
  }

  /** Adds a token: its loss under each placement, by placement. Of equal losses that with fewer big networks counts. */
  add(losses: (placement: Placement) => number): void {
    this.#tokens++;
    const base = losses(0);
    let [best, least] = [0, base];
    for (const [i, placement] of this.#order.entries()) {
      const loss = losses(placement);
      this.#losses[placement]! += loss;
      if (loss < least) [best, least] = [placement, loss];
      const budget = bigs(placement);
      const next = this.#order[i + 1];
      if (next !== undefined && bigs(next) === budget) continue;
      this.#oracle[budget]! += least;
      if (least < base) this.#helped[budget]!++;
      for (const layer of layersIn(best, this.#layers)) this.#chosen[budget * this.#layers + layer]!++;
    }
  }

  get tokens(): number {
    return this.#tokens;
  }

  /** By budget, from 0 to all layers. */
  figures(): BudgetFigures[] {
    const share = (sum: number) => sum / this.#tokens;
    return Array.from({ length: this.#layers + 1 }, (_, big) => {
      const own = this.#order.filter((placement) => bigs(placement) === big);
      const best = own.reduce((a, b) => (this.#losses[b]! < this.#losses[a]! ? b : a));
      const chosen = this.#chosen.subarray(big * this.#layers, (big + 1) * this.#layers);
      return {
        big,
        oracle: share(this.#oracle[big]!),
        random: share(own.reduce((sum, placement) => sum + this.#losses[placement]!, 0) / own.length),
        fixed: share(this.#losses[best]!),
        placement: layersIn(best, this.#layers),
        difficulty: share(this.#losses[0]! - this.#oracle[big]!),
        helped: share(this.#helped[big]!),
        layers: Array.from(chosen, share),
      };
    });
  }
}

/** Throws UserError for a model that has no small networks, or too many layers to try all ways. */
export function expectDuo(model: Model, ref: string): void {
  if (!model.parameters.has(SMALL_WEIGHT))
    throw new UserError(
      `${ref} is a ${model.architecture.name}, which has no small feed-forward networks`,
      "train a duo_decoder",
    );
  const { layers } = model.sizes;
  if (layers > MOST_LAYERS)
    throw new UserError(
      `${ref} has ${layers} layers, whose placements are ${2 ** layers}`,
      `give a model of at most ${MOST_LAYERS} layers`,
    );
}

const nameOf = (layer: number): string => `layer ${layer} is big`;

/** Figures of a model on the tokens of batches that count. Read-back: the losses of all tokens, per placement. */
export async function computeOracle(
  model: Model,
  batches: readonly Batch[],
  { ref, signal, done }: { readonly ref: string; readonly signal: AbortSignal; readonly done?: (rows: number) => void },
): Promise<{ readonly tokens: number; readonly budgets: readonly BudgetFigures[] }> {
  expectDuo(model, ref);
  const { layers, outputs } = model.sizes;
  const sums = new OracleSums(layers);
  const programs = new Programs(model.gpu);
  try {
    for (const batch of batches) {
      signal.throwIfAborted();
      if (!isTokens(batch)) throw new TypeError("a language model reads tokens");
      const { program } = await programs.get(batchKey(batch), (rec) => {
        tellWays(rec, (layer): LayerWay => {
          const big = rec.input(nameOf(layer), [1, 1]);
          return { big, small: addScalar(rec, neg(rec, big), 1) };
        });
        const { hidden, head } = model.record(rec, recordInputs(rec, batch));
        rec.output("losses", headLoss(rec, { hidden, head, width: outputs, targets: recordTargets(rec, batch) }));
      });
      fillInputs(program, batch);
      fillTargets(program, batch);
      const read: Promise<Float32Array>[] = [];
      for (let placement = 0; placement < 2 ** layers; placement++) {
        for (let layer = 0; layer < layers; layer++)
          program.write(nameOf(layer), Float32Array.of((placement >> layer) & 1));
        program.run();
        read.push(program.read("losses"));
      }
      const losses = await Promise.all(read);
      for (const [i, target] of targetsOf(batch).entries())
        if (target >= 0) sums.add((placement) => losses[placement]![i]!);
      done?.(batch.rows);
    }
  } finally {
    programs.free();
  }
  if (sums.tokens === 0) throw new UserError("no token of the rows counts", "give rows whose answers have tokens");
  return { tokens: sums.tokens, budgets: sums.figures() };
}
