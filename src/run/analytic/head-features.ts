/**
 * What the last linear layer of a classifier's head reads of rows, and its weights. Rows go through the model in
 * batches of one size, whatever their number, so that a row that is taken out has the features, bit for bit, with which
 * it was learnt.
 */
import { batchKey, bucketLength, stackExamples, tokensIn } from "../../data/batch.ts";
import type { Example } from "../../data/examples.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { RidgeFit, RidgeRows } from "../../tensor/linear-algebra/recursive-ridge.ts";
import { scale } from "../../tensor/ops/elementwise.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** Rows of a batch. */
const ROWS = 32;

/** The layer that gives the logits; with a bias its features have a last one that is always 1. */
export interface FittedHead {
  readonly module: string;
  /** M, with that of the bias. */
  readonly width: number;
  readonly outputs: number;
  readonly hasBias: boolean;
}

/** Finds it. Throws UserError for a model without classes, and a head that ends with no linear layer. */
export function fittedHead(model: Pick<Model, "task" | "architecture" | "specs" | "sizes" | "json">): FittedHead {
  const { task, architecture, specs, sizes, json } = model;
  if (task !== "classifier")
    throw new UserError(
      `a head of classes is fitted to a classifier, and ${architecture.name} is a ${task}`,
      "bun run train analytic ... --classes K gives a language model one",
    );
  const linear = specs.findLast((spec) => spec.linear && spec.shape.length === 2 && spec.shape[0] === sizes.outputs);
  if (!linear || json.key_value_head || json.domain_heads)
    throw new UserError(
      `the head of this ${architecture.name} does not end with one linear layer`,
      "take another model",
    );
  const module = linear.name.replace(/\.weight$/, "");
  const hasBias = specs.some(({ name }) => name === `${module}.bias`);
  return { module, outputs: sizes.outputs, hasBias, width: linear.shape[1]! + (hasBias ? 1 : 0) };
}

/** Rows that make batches of one shape: numbers, or texts of one padded length. */
function byShape(examples: readonly Example[]): Example[][] {
  const groups = new Map<number, Example[]>();
  for (const example of examples) {
    const key = "tokens" in example ? bucketLength(tokensIn(example)) : 0;
    groups.set(key, [...(groups.get(key) ?? []), example]);
  }
  return [...groups.values()];
}

/** Calls `each` with the features and one-hot labels of parts of the rows, and these, in an order of its own. */
export async function eachFeatures(
  model: Model,
  head: FittedHead,
  examples: readonly Example[],
  {
    each,
    signal,
  }: { readonly each: (rows: RidgeRows, examples: readonly Example[]) => void; readonly signal: AbortSignal },
): Promise<void> {
  const programs = new Programs(model.gpu);
  const read = head.width - (head.hasBias ? 1 : 0);
  try {
    for (const group of byShape(examples))
      for (let from = 0; from < group.length; from += ROWS) {
        signal.throwIfAborted();
        const own = group.slice(from, from + ROWS);
        const batch = stackExamples(Array.from({ length: ROWS }, (_, i) => own[Math.min(i, own.length - 1)]!));
        const { program } = await programs.get(batchKey(batch), (rec) => {
          const made = model.record(rec, recordInputs(rec, batch), {
            observe(module, x) {
              if (module === head.module) rec.output("features", scale(rec, x, 1));
            },
          });
          rec.output("logits", made.head(made.hidden));
        });
        fillInputs(program, batch);
        program.run();
        each(rowsOf(await program.read("features"), own, head, read), own);
      }
  } finally {
    programs.free();
  }
}

function rowsOf(found: Float32Array, examples: readonly Example[], head: FittedHead, read: number): RidgeRows {
  const { width, outputs } = head;
  const features = new Float64Array(examples.length * width);
  const targets = new Float64Array(examples.length * outputs);
  for (const [i, { label }] of examples.entries()) {
    features.set(found.subarray(i * read, (i + 1) * read), i * width);
    if (head.hasBias) features[(i + 1) * width - 1] = 1;
    targets[i * outputs + label] = 1;
  }
  return { count: examples.length, features, targets };
}

/** The head's matrix (K, M) and its bias (K), of a fit. */
export function headOf({ weights, outputs }: RidgeFit, { width, hasBias }: FittedHead) {
  const read = width - (hasBias ? 1 : 0);
  const weight = new Float32Array(outputs * read);
  for (let c = 0; c < outputs; c++) for (let i = 0; i < read; i++) weight[c * read + i] = weights[i * outputs + c]!;
  const bias = hasBias ? Float32Array.from(weights.subarray(read * outputs)) : undefined;
  return { weight, bias };
}

/** Gives the model the head of a fit. */
export function writeHead({ parameters }: Model, fit: RidgeFit, head: FittedHead): void {
  const { weight, bias } = headOf(fit, head);
  parameters.get(`${head.module}.weight`)!.write(weight);
  if (bias) parameters.get(`${head.module}.bias`)!.write(bias);
}

/**
 * Throws UserError where the model's head is not that of the fit, but for how it is rounded in a file: something
 * trained it since.
 */
export async function expectHead(model: Model, fit: RidgeFit, head: FittedHead, ref: string): Promise<void> {
  const own = model.parameters.get(`${head.module}.weight`)!;
  const fits = fit.width === head.width && fit.outputs === head.outputs;
  const { weight } = headOf(fit, head);
  const held = fits && own.dtype === "f32" ? await model.gpu.readFloats(own.buffer, own.size) : undefined;
  const isSame = held?.every((x, i) => Math.abs(x - weight[i]!) <= 2 ** -8 * Math.abs(weight[i]!)) ?? fits;
  if (!isSame)
    throw new UserError(
      `the head of ${ref} is not the one that its state says: it was changed since it was fitted`,
      "take rows out of the model that train analytic wrote",
    );
}
