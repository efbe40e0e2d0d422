/**
 * The empirical neural tangent kernel K = J J^T of a model's outputs on a few rows, J their derivatives in all that is
 * trained, seen through products with vectors: K U for columns U. Jacot et al., NeurIPS 2018,
 * https://arxiv.org/abs/1806.07572
 *
 * A product takes one pass back, g = J^T u, and two forward: J g ~ |g| (f(w + d g/|g|) - f(w - d g/|g|)) / (2 d), with
 * d = 1e-3 |w|. The step is along the gradient, where outputs change most, so f32 suffices. Columns are those of the
 * unit matrix where there is one for every output, and the kernel is exact but for the differences; else they are
 * random signs, the same at every look, and norms of the kernel are estimates:
 *
 *   |K|_F^2 ~ mean_m |K u_m|^2,   <K, K'> ~ mean_m <K u_m, K' u_m>
 *
 * Outputs are the logits of every row: of a language model those of the last position that counts. GPU memory: a copy
 * of what is trained, and the activations of a batch.
 */
import { type Batch, isPairs } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import { Perturbation } from "../training/perturbation.ts";
import { DISTANCE } from "./curvature.ts";
import { lastAnswers } from "./real-rows.ts";

export interface SketchOptions {
  /** Rows whose outputs are looked at: the first ones. */
  readonly rows: number;
  /** Columns, at most. */
  readonly columns: number;
  readonly seed: number;
}

export interface Sketch {
  /** K u of every column, an array of all outputs each. */
  readonly products: readonly Float64Array[];
  /** Of the labels y, centred over the classes: y^T K y / (|K|_F |y|^2). */
  readonly alignment: number;
  /** |K|_F */
  readonly size: number;
  /** Whether the columns are those of the unit matrix. */
  readonly exact: boolean;
}

interface Part {
  readonly batch: Batch;
  readonly back: Program;
  readonly forward: Program;
  /** Values of its outputs among all. */
  readonly start: number;
  readonly count: number;
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** How far two kernels are apart, each divided by its norm: 0 where one is a multiple of the other, sqrt(2) at most. */
export function movement(before: readonly Float64Array[], now: readonly Float64Array[]): number {
  let [both, first, second] = [0, 0, 0];
  for (const [i, column] of before.entries()) {
    both += dot(column, now[i]!);
    first += dot(column, column);
    second += dot(now[i]!, now[i]!);
  }
  if (first === 0 || second === 0) return first === second ? 0 : Math.SQRT2;
  return Math.sqrt(Math.max(0, 2 - (2 * both) / Math.sqrt(first * second)));
}

export class KernelSketch {
  readonly #model: Model;
  readonly #moved: Perturbation;
  readonly #programs: Programs<readonly Parameter[]>;
  readonly #parts: Part[] = [];
  readonly #untouched: Parameter[] = [];
  readonly #columns: readonly Float64Array[];
  readonly #labels: Float64Array;
  readonly #exact: boolean;

  private constructor(model: Model, labels: readonly number[], { columns, seed }: SketchOptions) {
    this.#model = model;
    this.#programs = new Programs(model.gpu, { training: true });
    this.#moved = new Perturbation(model.gpu, model.trainable(), ["weights"]);
    const { outputs } = model.sizes;
    const count = labels.length * outputs;
    this.#exact = count <= columns;
    this.#columns = Array.from({ length: Math.min(columns, count) }, (_, m) => {
      const column = new Float64Array(count);
      if (this.#exact) column[m] = 1;
      else {
        const random = new Random(seed, "kernel", m);
        for (const i of column.keys()) column[i] = random.uniform() < 0.5 ? -1 : 1;
      }
      return column;
    });
    this.#labels = new Float64Array(count).fill(-1 / outputs);
    for (const [row, label] of labels.entries()) this.#labels[row * outputs + label]! += 1;
  }

  /** Compiles what it needs. Throws UserError for rows without labels, and for weights that are not f32. */
  static async make(model: Model, batches: readonly Batch[], options: SketchOptions): Promise<KernelSketch> {
    const answers = batches.map((batch) => (isPairs(batch) ? [] : lastAnswers(batch)));
    let left = options.rows;
    const chosen = answers.map((own) => {
      const taken = own.slice(0, left);
      left -= taken.length;
      return taken;
    });
    const labels = chosen.flat().map(({ label }) => label);
    if (labels.length === 0)
      throw new UserError("these rows have no labels, to which a kernel could be aligned", "give rows with answers");
    const made = new KernelSketch(model, labels, options);
    const { outputs } = model.sizes;
    let start = 0;
    for (const [i, batch] of batches.entries()) {
      const places = chosen[i]!.map(({ place }) => place);
      if (places.length === 0) continue;
      const program = (name: "back" | "forward") =>
        made.#programs.get(`${name} ${i}`, (rec) => {
          const { hidden, head } = model.record(rec, recordInputs(rec, batch));
          const f = head(embedding(rec, rec.constant(Int32Array.from(places), [places.length], "rows"), hidden));
          rec.output("f", f);
          if (name === "back") rec.backward([[f, rec.input("along", [places.length, outputs])]]);
          const reached = rec.reached();
          return model.trainable().filter((parameter) => !reached.has(parameter));
        });
      const [back, forward] = [await program("back"), await program("forward")];
      if (made.#parts.length === 0) made.#untouched.push(...back.recorded);
      const count = places.length * outputs;
      made.#parts.push({ batch, back: back.program, forward: forward.program, start, count });
      start += count;
    }
    return made;
  }

  get bytes(): number {
    return this.#moved.bytes + this.#programs.slots.bytes + this.#programs.ownBytes;
  }

  /** Leaves J^T u in the gradients. */
  #back(u: Float64Array): void {
    const { gpu } = this.#model;
    for (const { gradient, size } of this.#untouched) gpu.clear(gradient, Math.max(16, 4 * size));
    for (const [i, { back, start, count }] of this.#parts.entries()) {
      back.write("along", Float32Array.from(u.subarray(start, start + count)));
      back.run({ step: 1, accumulate: i === 0 ? 0 : 1, seed: 0 });
    }
  }

  /** The outputs at the weights as they are. */
  #outputs(): Promise<Float32Array[]> {
    return Promise.all(
      this.#parts.map(({ forward }) => {
        forward.run({ step: 1, accumulate: 0, seed: 0 });
        return forward.read("f");
      }),
    );
  }

  /** K u; nothing is waited for but what `distance` needs. */
  async #product(u: Float64Array, distance: number): Promise<{ found: Promise<Float64Array> }> {
    const moved = this.#moved;
    this.#back(u);
    await moved.along(distance);
    const norm = moved.norm();
    const ahead = this.#outputs();
    moved.restore();
    await moved.along(-distance);
    const behind = this.#outputs();
    moved.restore();
    const found = Promise.all([norm, ahead, behind]).then(([length, plus, minus]) => {
      const product = new Float64Array(u.length);
      if (length === 0) return product;
      for (const [i, { start }] of this.#parts.entries())
        for (const [k, value] of plus[i]!.entries())
          product[start + k] = (length * (value - minus[i]![k]!)) / (2 * distance);
      return product;
    });
    return { found };
  }

  /** Weights are afterwards as they were, to the bit. */
  async measure(): Promise<Sketch> {
    const distance = DISTANCE * Math.max(await this.#moved.length(), 1e-12);
    for (const { batch, back, forward } of this.#parts) for (const one of [back, forward]) fillInputs(one, batch);
    this.#moved.save();
    const promised: Promise<Float64Array>[] = [];
    for (const column of [this.#labels, ...this.#columns]) promised.push((await this.#product(column, distance)).found);
    const [labelled, ...products] = await Promise.all(promised);
    const squares = products.reduce((sum, product) => sum + dot(product, product), 0);
    const size = Math.sqrt(this.#exact ? squares : squares / products.length);
    const alignment = dot(this.#labels, labelled!) / (size * dot(this.#labels, this.#labels));
    return { products, size, alignment: size === 0 ? 0 : alignment, exact: this.#exact };
  }

  free(): void {
    this.#programs.free();
    this.#moved.free();
  }
}
