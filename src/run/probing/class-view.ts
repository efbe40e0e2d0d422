/**
 * What a classifier makes of rows: features, logits, and the matrix of its head. GPU memory: the activations of a
 * batch. Host memory: a row of features and one of logits for each example.
 */
import { decodeFloats } from "../../checkpoint/decode.ts";
import { type Batch, batchKey, isPairs, isTokens } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

export interface SeenClasses {
  readonly width: number;
  /** (rows, width) */
  readonly features: Float32Array;
  /** (rows, classes) */
  readonly logits: Float32Array;
  readonly labels: Int32Array;
}

/** Throws UserError for a model that is no classifier of rows. `what` asks for one. */
export function expectClasses({ task, architecture }: Pick<Model, "task" | "architecture">, what: string): void {
  if (task !== "classifier")
    throw new UserError(
      `${what} looks at the classes of a classifier, and ${architecture.name} is a ${task}`,
      "leave it out",
    );
}

/** The matrix that makes a classifier's logits of its features; undefined where the head is something else. */
export function headWeight(
  { specs, parameters, sizes }: Pick<Model, "specs" | "parameters" | "sizes">,
  width: number,
): Parameter | undefined {
  const spec = specs.findLast(({ linear, shape }) => linear && shape[0] === sizes.outputs && shape[1] === width);
  return spec && parameters.get(spec.name);
}

/** The head's row of a class, where the head is a matrix over the features. */
export async function headRows(
  model: Pick<Model, "specs" | "parameters" | "sizes" | "gpu">,
  width: number,
): Promise<((label: number) => Float32Array) | undefined> {
  const { gpu } = model;
  const weight = headWeight(model, width);
  if (!weight) return undefined;
  const words = weight.dtype === "f32" ? undefined : await gpu.readWords(weight.buffer, Math.ceil(weight.size / 2));
  const values = words
    ? Float32Array.from(decodeFloats(new Uint8Array(words.buffer, 0, 2 * weight.size), "BF16"))
    : await gpu.readFloats(weight.buffer, weight.size);
  return (label) => values.subarray(label * width, (label + 1) * width);
}

export class ClassView {
  readonly #model: Model;
  readonly #programs: Programs;

  constructor(model: Model) {
    this.#model = model;
    this.#programs = new Programs(model.gpu);
  }

  /** Compiles the programs of batches ahead of time. */
  async prepare(batches: readonly Batch[]): Promise<void> {
    for (const batch of batches) await this.#program(batch);
  }

  get bytes(): number {
    return this.#programs.slots.bytes + this.#programs.ownBytes;
  }

  #program(batch: Batch) {
    if (isTokens(batch) || isPairs(batch)) throw new TypeError("only examples have classes");
    return this.#programs.get(batchKey(batch), (rec) => {
      const { hidden, head } = this.#model.record(rec, recordInputs(rec, batch));
      rec.output("features", hidden);
      rec.output("logits", head(hidden));
    });
  }

  /** All rows, in order. */
  async read(batches: readonly Batch[]): Promise<SeenClasses> {
    const rows = batches.reduce((sum, batch) => sum + batch.rows, 0);
    const labels = new Int32Array(rows);
    const { outputs } = this.#model.sizes;
    const logits = new Float32Array(rows * outputs);
    let features = new Float32Array(0);
    let [at, width] = [0, 0];
    for (const batch of batches) {
      const { program } = await this.#program(batch);
      fillInputs(program, batch);
      program.run();
      const [own, said] = await Promise.all([program.read("features"), program.read("logits")]);
      if (width === 0) {
        width = own.length / batch.rows;
        features = new Float32Array(rows * width);
      }
      features.set(own, at * width);
      logits.set(said, at * outputs);
      labels.set(batch.labels, at);
      at += batch.rows;
    }
    return { width, features, logits, labels };
  }

  free(): void {
    this.#programs.free();
  }
}

/** The class that the head says of every row, the first of equals, and its probability. */
export function saidOf(logits: Float32Array, classes: number): { label: number; confidence: number }[] {
  return Array.from({ length: logits.length / classes }, (_, row) => {
    const own = logits.subarray(row * classes, (row + 1) * classes);
    const most = Math.max(...own);
    const sum = own.reduce((all, z) => all + Math.exp(z - most), 0);
    return { label: own.indexOf(most), confidence: 1 / sum };
  });
}
