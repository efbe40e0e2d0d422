/**
 * Which hidden units of feed-forward networks do something: plasticity, as it can be seen without training.
 *
 *   active   share of units and tokens with |x| > above * rms of the token's units; x > 0 where no value is below 0
 *   dormant  share of units whose mean |x| over tokens is at most `dormant` times the mean over the layer's units
 *
 * x is what the network's last matrix reads, after the activation and its gate. Fraction of active units: Ma et al.,
 * ICLR 2024, https://arxiv.org/abs/2310.07418; dormant ones: Sokar et al., ICML 2023, https://arxiv.org/abs/2302.12902
 */
import { type Batch, batchKey, isTokens } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** The last matrix of a feed-forward network, by its module. */
const READS = /(\.(down_proj|w2|dense_4h_to_h|fc2|lin2)|\.mlp\.c_proj|\.\d+\.output\.dense)$/;

export interface UnitActivity {
  readonly units: number;
  readonly active: number;
  readonly dormant: number;
}

/** Counts of one layer, over any number of tokens. */
export class UnitCounts {
  readonly #units: number;
  readonly #above: number;
  /** Sum of |x| of each unit. */
  readonly #sums: Float64Array;
  #tokens = 0;
  #loud = 0;
  #positive = 0;
  #negative = 0;

  constructor(units: number, above: number) {
    this.#units = units;
    this.#above = above;
    this.#sums = new Float64Array(units);
  }

  /** One token's activations, (units). */
  add(x: Float32Array): void {
    const rms = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length);
    this.#tokens++;
    for (const [unit, value] of x.entries()) {
      this.#sums[unit]! += Math.abs(value);
      if (Math.abs(value) > this.#above * rms) this.#loud++;
      if (value > 0) this.#positive++;
      else if (value < 0) this.#negative++;
    }
  }

  activity(dormant: number): UnitActivity {
    const mean = this.#sums.reduce((sum, x) => sum + x, 0) / this.#units;
    const quiet = this.#sums.reduce((count, x) => count + Number(x <= dormant * mean), 0);
    const active = this.#negative === 0 ? this.#positive : this.#loud;
    return { units: this.#units, active: active / (this.#tokens * this.#units), dormant: quiet / this.#units };
  }
}

export interface ActiveOptions {
  readonly above: number;
  readonly dormant: number;
  /** Names the model in messages. */
  readonly ref: string;
  readonly signal: AbortSignal;
  /** Hears of the rows of each batch. */
  done(rows: number): void;
}

/**
 * By module, in the order of the model; of a perceptron its hidden layers. Padding does not count. Throws UserError for
 * a model without such a network, and for stacks of experts. Host memory: one batch's activations.
 */
export async function activeUnits(
  model: Model,
  batches: readonly Batch[],
  { above, dormant, ref, signal, done }: ActiveOptions,
): Promise<ReadonlyMap<string, UnitActivity>> {
  const programs = new Programs<readonly (readonly [module: string, units: number])[]>(model.gpu);
  const found = new Map<string, UnitCounts>();
  try {
    for (const batch of batches) {
      signal.throwIfAborted();
      const { program, recorded } = await programs.get(batchKey(batch), (rec) => {
        const read: [string, number][] = [];
        const { hidden, notes } = model.record(rec, recordInputs(rec, batch), {
          observe(module, x, plan) {
            if (plan || !READS.test(module)) return;
            rec.output(`units of ${module}`, x);
            read.push([module, x.shape.at(-1)!]);
          },
        });
        rec.output("hidden", hidden);
        if (isTokens(batch) || read.length > 0) return read;
        for (const [name, x] of notes) {
          if (!/^hidden\.[1-9]/.test(name)) continue;
          rec.output(`units of ${name}`, x);
          read.push([name, x.shape.at(-1)!]);
        }
        return read;
      });
      if (recorded.length === 0)
        throw new UserError(
          `${ref} has no feed-forward network whose hidden units are known`,
          "this counts those of dense networks, not of experts",
        );
      fillInputs(program, batch);
      program.run();
      for (const [module, units] of recorded) {
        const values = (await program.read(`units of ${module}`)) as Float32Array;
        const counts = found.get(module) ?? new UnitCounts(units, above);
        found.set(module, counts);
        const each = values.length / units / batch.rows;
        for (let row = 0; row < batch.rows; row++) {
          const own = isTokens(batch) && each === batch.length ? batch.lengths[row]! : each;
          for (let i = row * each; i < row * each + own; i++) counts.add(values.subarray(i * units, (i + 1) * units));
        }
      }
      done(batch.rows);
    }
  } finally {
    programs.free();
  }
  return new Map([...found].map(([module, counts]) => [module, counts.activity(dormant)]));
}
