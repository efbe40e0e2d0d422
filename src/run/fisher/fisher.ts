/**
 * The diagonal of a model's Fisher information on rows:
 *
 *   F_j = mean over rows of E_y (d log p(y | x) / d theta_j)^2
 *
 * x is a row, log p(y | x) the sum over its positions that count; of tokens, each after the row's own ones before it.
 * exact: the expectation over every output at every position, a pass back for each. sampled: one y per row, drawn from
 * the model. empirical: the row's own labels, which is no Fisher information but needs no draws. A gradient is that of
 * one row: squares of a batch's would be something else.
 */
import type { Batch } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import { targetsOf } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { drawOutputs } from "../../tensor/ops/distribution.ts";
import { chunkRows, headLoss } from "../../tensor/ops/head-loss.ts";
import type { Program } from "../../tensor/program.ts";
import { fillInputs, recordInputs, recordTargets } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";
import { SquaredGradients } from "./squared-gradients.ts";

export type FisherLabels = "exact" | "sampled" | "empirical";

/** Passes back for a row of an exact measurement, beyond which it is refused. */
const MOST_PASSES = 2 ** 16;

export interface FisherOptions {
  readonly labels: FisherLabels;
  readonly seed: number;
  /** Weighs the squares of each row by the probability of its labels; of one label a row. */
  readonly byLikelihood?: boolean;
  readonly signal: AbortSignal;
  /** Called after every row. */
  readonly done?: () => void;
}

/** Positions of a row that count. */
const countedIn = (batch: Batch): number[] => [...targetsOf(batch)].flatMap((target, i) => (target < 0 ? [] : [i]));

/** Throws UserError for rows with too many outputs to go through one by one. `rows`: one each. */
export function checkExact(rows: readonly Batch[], outputs: number): void {
  for (const [i, batch] of rows.entries()) {
    const positions = countedIn(batch).length;
    if (positions * outputs > MOST_PASSES)
      throw new UserError(
        `row ${i + 1} has ${positions} positions of ${outputs} outputs: exact labels take a pass back for each`,
        "draw them, --fisher-labels sampled",
      );
  }
}

/** Draws an output at every position of a row; what no position counts is drawn too. */
class Draws {
  readonly #programs: Programs<number>;
  readonly #model: Model;

  constructor(model: Model) {
    this.#model = model;
    this.#programs = new Programs<number>(model.gpu);
  }

  async of(batch: Batch, key: string, random: Random): Promise<Int32Array> {
    const count = batch.rows * batch.length;
    const { program, recorded: parts } = await this.#programs.get(key, (rec) => {
      const { hidden, head } = this.#model.record(rec, recordInputs(rec, batch));
      const rows = chunkRows(this.#model.sizes.outputs, rec.profile.maxBinding);
      const uniforms = rec.split(rec.input("uniforms", [count]), rows);
      const pieces = rec.split(hidden, rows);
      for (const [i, piece] of pieces.entries()) rec.output(`draws ${i}`, drawOutputs(rec, head(piece), uniforms[i]!));
      return pieces.length;
    });
    fillInputs(program, batch);
    program.write(
      "uniforms",
      Float32Array.from({ length: count }, () => Math.min(random.uniform(), 1 - 2 ** -24)),
    );
    program.run();
    const draws = new Int32Array(count);
    let at = 0;
    for (let i = 0; i < parts; i++) {
      const piece = await program.readWords(`draws ${i}`);
      draws.set(piece, at);
      at += piece.length;
    }
    return draws;
  }

  free(): void {
    this.#programs.free();
  }
}

/** Losses of all positions for these targets, and gradients of their weighted sum in the weights. */
async function passBack(program: Program, targets: Int32Array, weights: Float32Array): Promise<Float32Array> {
  program.write("targets", targets);
  program.write("weights", weights);
  program.run({ accumulate: 0, seed: 0 });
  return program.read("nll");
}

/** 1 at these positions of N, else 0. */
function marks(count: number, positions: readonly number[]): Float32Array {
  const found = new Float32Array(count);
  for (const position of positions) found[position] = 1;
  return found;
}

/** Throws UserError where a loss is not finite. */
function expectFinite(losses: readonly number[], row: number): void {
  const odd = losses.find((loss) => !Number.isFinite(loss));
  if (odd === undefined) return;
  throw new UserError(
    `the loss on row ${row} is ${odd}`,
    "the model's own weights are not finite, or these rows are not for it",
    1,
  );
}

/** Adds one row by every output of every position that counts. */
async function addExact(model: Model, sums: SquaredGradients, program: Program, batch: Batch, of: Share) {
  const positions = countedIn(batch);
  const count = batch.rows * batch.length;
  for (let output = 0; output < model.sizes.outputs; output++) {
    const targets = new Int32Array(count).fill(output);
    for (const position of positions) {
      const nll = await passBack(program, targets, marks(count, [position]));
      const loss = nll[position]!;
      expectFinite([Number.isNaN(loss) ? loss : 0], of.row);
      sums.add(of.share * Math.exp(-loss));
    }
  }
}

/** Which row it is, and what it adds to the mean. */
interface Share {
  readonly row: number;
  readonly share: number;
}

/** Measures on rows, a batch of one each, which all count somewhere. The caller frees the sums. */
export async function measureFisher(
  model: Model,
  rows: readonly Batch[],
  { labels, seed, byLikelihood = false, signal, done }: FisherOptions,
): Promise<SquaredGradients> {
  const { key } = crossEntropyObjective(model);
  const sums = await SquaredGradients.make(model.gpu, model.trainable());
  const programs = new Programs(model.gpu, { training: true });
  const draws = new Draws(model);
  try {
    for (const [i, batch] of rows.entries()) {
      signal.throwIfAborted();
      const { program } = await programs.get(key(batch), (rec) => {
        const { hidden, head } = model.record(rec, recordInputs(rec, batch));
        const weights = rec.input("weights", [batch.rows * batch.length]);
        const targets = recordTargets(rec, batch);
        const nll = headLoss(rec, { hidden, head, width: model.sizes.outputs, targets });
        rec.output("nll", nll);
        rec.backward([[nll, weights]]);
      });
      fillInputs(program, batch);
      const of = { row: i + 1, share: 1 / rows.length };
      if (labels === "exact") await addExact(model, sums, program, batch, of);
      else {
        const own = targetsOf(batch);
        const drawn = labels === "sampled" ? await draws.of(batch, key(batch), new Random(seed, "fisher", i)) : own;
        const positions = countedIn(batch);
        const nll = await passBack(program, drawn, marks(own.length, positions));
        expectFinite(
          positions.map((position) => nll[position]!),
          of.row,
        );
        const likelihood = Math.exp(-positions.reduce((sum, position) => sum + nll[position]!, 0));
        sums.add(byLikelihood ? of.share * likelihood : of.share);
      }
      done?.();
    }
  } catch (error) {
    sums.free();
    throw error;
  } finally {
    programs.free();
    draws.free();
  }
  sums.finish();
  return sums;
}
