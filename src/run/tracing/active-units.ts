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
import { dispatch } from "../../tensor/ops/moe.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { maskOf } from "../gram/gram-matrices.ts";
import { Programs } from "../programs.ts";

/** The last matrix of a feed-forward network, by its module. */
const READS = /(\.(down_proj|w2|dense_4h_to_h|fc2|lin2)|\.mlp\.c_proj|\.\d+\.output\.dense)$/;

/** What counts as active and dormant, where nothing else is asked for. */
export const ACTIVE = { above: 0.001, dormant: 0.025 } as const;

export interface UnitActivity {
  readonly units: number;
  readonly active: number;
  readonly dormant: number;
}

/** Counts of one layer, over any number of tokens. Of a stack of experts its units are those of all of them. */
export class UnitCounts {
  readonly #above: number;
  /** Sum of |x| of each unit, and how many tokens it saw. */
  readonly #sums: Float64Array;
  readonly #seen: Float64Array;
  #loud = 0;
  #positive = 0;
  #negative = 0;

  constructor(units: number, above: number) {
    this.#above = above;
    this.#sums = new Float64Array(units);
    this.#seen = new Float64Array(units);
  }

  /** One token's activations, of the units from `first` on. */
  add(x: Float32Array, first = 0): void {
    const rms = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length);
    for (const [unit, value] of x.entries()) {
      this.#sums[first + unit]! += Math.abs(value);
      this.#seen[first + unit]!++;
      if (Math.abs(value) > this.#above * rms) this.#loud++;
      if (value > 0) this.#positive++;
      else if (value < 0) this.#negative++;
    }
  }

  /** Units that saw no token are dormant. */
  activity(dormant: number): UnitActivity {
    const units = this.#sums.length;
    const scores = this.#sums.map((sum, unit) => sum / Math.max(1, this.#seen[unit]!));
    const mean = scores.reduce((sum, x) => sum + x, 0) / units;
    const quiet = scores.reduce((count, x) => count + Number(x <= dormant * mean), 0);
    const seen = this.#seen.reduce((sum, x) => sum + x, 0);
    const active = this.#negative === 0 ? this.#positive : this.#loud;
    return { units, active: active / seen, dormant: quiet / units };
  }
}

export interface ActiveOptions {
  readonly above: number;
  readonly dormant: number;
  /** Names the model in messages. */
  readonly ref: string;
  readonly signal: AbortSignal;
  /** Hears of the rows of each batch. */
  done?(rows: number): void;
}

/** A layer in a program: outputs `units of MODULE` and, of a stack, `places of MODULE` and `tokens of MODULE`. */
interface Seen {
  readonly module: string;
  /** Of a row: of one expert of a stack. */
  readonly units: number;
  readonly experts: number;
}

/** Records a forward pass with what the last matrices read. */
function record(rec: Recorder, model: Model, batch: Batch): Seen[] {
  const seen: Seen[] = [];
  let mask: Tensor | undefined;
  const { hidden, notes } = model.record(rec, recordInputs(rec, batch), {
    observe(module, x, plan) {
      if (!READS.test(module)) return;
      const units = x.shape.at(-1)!;
      rec.output(`units of ${module}`, x);
      if (plan && isTokens(batch)) {
        mask ??= rec.input("mask", [batch.rows * batch.length, 1]); // 1, or 0 for padding
        rec.output(`places of ${module}`, plan.offsets);
        rec.output(`tokens of ${module}`, dispatch(rec, mask, plan)); // (N * k, 1)
      }
      seen.push({ module, units, experts: plan?.experts ?? 1 });
    },
  });
  rec.output("hidden", hidden);
  if (isTokens(batch) || seen.length > 0) return seen;
  for (const [module, x] of notes) {
    if (!/^hidden\.[1-9]/.test(module)) continue;
    rec.output(`units of ${module}`, x);
    seen.push({ module, units: x.shape.at(-1)!, experts: 1 });
  }
  return seen;
}

/** Adds a batch's activations of a dense layer; padding does not count. */
function addDense(counts: UnitCounts, values: Float32Array, units: number, batch: Batch): void {
  const each = values.length / units / batch.rows;
  for (let row = 0; row < batch.rows; row++) {
    const own = isTokens(batch) && each === batch.length ? batch.lengths[row]! : each;
    for (let i = row * each; i < row * each + own; i++) counts.add(values.subarray(i * units, (i + 1) * units));
  }
}

/** Adds those of a stack, whose rows lie expert by expert; `isToken` is 0 for those of padding. */
function addExperts(
  counts: UnitCounts,
  values: Float32Array,
  units: number,
  { offsets, isToken }: { readonly offsets: ArrayLike<number>; readonly isToken: ArrayLike<number> },
): void {
  for (let expert = 0; expert + 1 < offsets.length; expert++)
    for (let row = offsets[expert]!; row < offsets[expert + 1]!; row++)
      if (isToken[row] !== 0) counts.add(values.subarray(row * units, (row + 1) * units), expert * units);
}

/**
 * By module, in the order of the model; of a perceptron its hidden layers, of a stack of experts all of them as one
 * layer. Padding does not count. Throws UserError for a model without such a network. Host memory: one batch's
 * activations.
 */
export async function activeUnits(
  model: Model,
  batches: readonly Batch[],
  { above, dormant, ref, signal, done }: ActiveOptions,
): Promise<ReadonlyMap<string, UnitActivity>> {
  const programs = new Programs<readonly Seen[]>(model.gpu);
  const found = new Map<string, UnitCounts>();
  try {
    for (const batch of batches) {
      signal.throwIfAborted();
      const { program, recorded } = await programs.get(batchKey(batch), (rec) => record(rec, model, batch));
      if (recorded.length === 0)
        throw new UserError(
          `${ref} has no feed-forward network whose hidden units are known`,
          "this counts what the last matrix of such a network reads",
        );
      fillInputs(program, batch);
      if (isTokens(batch) && recorded.some(({ experts }) => experts > 1)) program.write("mask", maskOf(batch)!);
      program.run();
      for (const { module, units, experts } of recorded) {
        const values = (await program.read(`units of ${module}`)) as Float32Array;
        const counts = found.get(module) ?? new UnitCounts(experts * units, above);
        found.set(module, counts);
        if (experts === 1) addDense(counts, values, units, batch);
        else
          addExperts(counts, values, units, {
            offsets: await program.readWords(`places of ${module}`),
            isToken: await program.read(`tokens of ${module}`),
          });
      }
      done?.(batch.rows);
    }
  } finally {
    programs.free();
  }
  return new Map([...found].map(([module, counts]) => [module, counts.activity(dormant)]));
}
