/**
 * How much units of a model matter to what it says, without labels: two passes with other dropout, and the gradients
 * that the KL divergence between them sends to gates of 1 on the units. CoFiTune, ACL Findings 2024,
 * https://arxiv.org/abs/2404.10306, after Ke et al., ICLR 2023, https://arxiv.org/abs/2302.03241
 *
 *   loss = KL(softmax z2 || softmax z1);  g of a unit = its gate's gradient, summed over tokens
 *   m = |tanh((g - mean) / deviation)|, over the units of a block and kind
 *
 * A gate on what a row of W makes takes sum_k W_jk dL/dW_jk (and the bias's part), one on what a column reads the sum
 * over the column, so that no gate is recorded. Without dropout the passes are equal and every gradient is 0. Dropout
 * acts on what attention and the feed-forward network add to the residual stream; the authors drop attention's weights.
 */
import type { Batch } from "../../data/batch.ts";
import { batchKey } from "../../data/batch.ts";
import { meanWeights } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { dropout } from "../../tensor/ops/dropout.ts";
import { add, stopGradient, sub } from "../../tensor/ops/elementwise.ts";
import { chunkedHead } from "../../tensor/ops/head-loss.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import { headCounts, readsHeads } from "./attention-heads.ts";
import { blockWeights } from "./layer-importance.ts";
import { UnitProducts } from "./unit-products.ts";

/** Kinds of units: what the network's first matrix makes, what its last one makes, heads of attention. */
export const KINDS = ["inner", "output", "heads"] as const;
export type Kind = (typeof KINDS)[number];

const MODULES: Readonly<Record<"inner" | "output", RegExp>> = {
  inner: /\.(up_proj|gate_up_proj|w3|c_fc|dense_h_to_4h|fc1|intermediate\.dense|lin1)(\.weight)?$/,
  output: /(\.(down_proj|w2|dense_4h_to_h|fc2|lin2)|\.mlp\.c_proj|\.\d+\.output\.dense)(\.weight)?$/,
};

/** A weight whose units have gates, and its bias. */
export interface Gated {
  readonly layer: number;
  readonly kind: Kind;
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  readonly along: "row" | "column";
}

/** Masks of the units of a weight: one per row or column, or one per head. */
export interface UnitMask extends Gated {
  readonly mask: Float32Array;
}

/** Weights that hold the units of each kind, by block. Throws UserError where a block has none of a kind. */
export function gatedWeights(model: Model, kinds: readonly Kind[], ref: string): Gated[] {
  const { parameters } = model;
  return blockWeights(model, ref).flatMap((weights, layer) =>
    kinds.flatMap((kind): Gated[] => {
      const found = weights.filter((weight) =>
        kind === "heads" ? readsHeads(weight) : MODULES[kind].test(weight.name),
      );
      if (found.length === 0)
        throw new UserError(
          `block ${layer} of ${ref} has no ${kind === "heads" ? "attention" : "feed-forward network"} whose ${kind} units are known`,
          "choose other kinds: --unit-importance-kinds",
        );
      return found.map((weight) => {
        const isOutFirst = !model.isInFirst(weight);
        if (!isOutFirst && weight.shape.length > 2)
          throw new UserError(`${weight.name} of ${ref} is a stack of experts stored (in, out)`, "use another model");
        // Heads are read by the last matrix of attention, the others are made by theirs.
        const along = isOutFirst === (kind !== "heads") ? "row" : "column";
        const isOwn = kind !== "heads" && weight.name.endsWith(".weight");
        const bias = isOwn ? parameters.get(weight.name.replace(/weight$/, "bias")) : undefined;
        return { layer, kind, weight, bias, along };
      });
    }),
  );
}

export interface UnitMaskOptions {
  /** Probability of a zero. */
  readonly dropout: number;
  readonly seed: number;
  /** Names the model in messages. */
  readonly ref: string;
  readonly signal: AbortSignal;
  /** Called after every batch with its number of rows. */
  readonly done?: (rows: number) => void;
}

/** Puts dropout on what the halves of blocks add to the residual stream. */
function dropped(rec: Recorder, p: number, pass: number): (name: string, x: Tensor) => Tensor {
  let before: Tensor | undefined;
  return (note, x) => {
    if (!/^(hidden|middle)\.\d+$/.test(note)) return x;
    if (!before) {
      before = x;
      return x;
    }
    const own = sub(rec, x, before);
    before = add(rec, x, sub(rec, dropout(rec, own, { p, key: `${pass} ${note}` }), own));
    return before;
  };
}

/** Records both passes; leaves the gradient of the mean divergence. */
function recordPasses(rec: Recorder, model: Model, batch: Batch, p: number): void {
  const inputs = recordInputs(rec, batch);
  const [first, second] = [1, 2].map((pass) => model.record(rec, inputs, { replace: dropped(rec, p, pass) }));
  const targets = recordTargets(rec, batch);
  const losses = chunkedHead(rec, {
    hidden: first!.hidden,
    head: first!.head,
    width: model.sizes.outputs,
    along: [second!.hidden, targets],
    loss: (z1, [hidden2, labels]) => {
      const z2 = second!.head(hidden2!);
      // The same divergence twice, with the gradient of one pass each.
      const toFirst = divergence(rec, z1, stopGradient(rec, z2), labels!, { kind: "forward-kl" });
      const toSecond = divergence(rec, z2, stopGradient(rec, z1), labels!, { kind: "reverse-kl" });
      return add(rec, toFirst, toSecond);
    },
  });
  rec.output("losses", losses);
  rec.backward([[losses, rec.input("weights", [batch.rows * batch.length])]]);
}

/** What gates of 1 would take, by weight as they were asked for, and the mean divergence of the two passes. */
export interface GateGradients {
  readonly gradients: readonly Float64Array[];
  readonly divergence: number;
}

/** Measures gates on batches. Only the weights with gates take gradients from then on. Throws UserError. */
export async function gateGradients(
  model: Model,
  gated: readonly Gated[],
  batches: readonly Batch[],
  { dropout: p, seed, ref, signal, done }: UnitMaskOptions,
): Promise<GateGradients> {
  const wanted = new Set(gated.flatMap(({ weight, bias }) => [weight, ...(bias ? [bias] : [])]));
  for (const parameter of model.parameters.values()) parameter.trainable = wanted.has(parameter);
  const summed = gated.map(({ weight, along }) => ({ parameter: weight, along }));
  const biased = gated.flatMap(({ bias }) => (bias ? [{ parameter: bias, along: "row" as const }] : []));
  const products = await UnitProducts.make(model.gpu, [...summed, ...biased]);
  const programs = new Programs(model.gpu, { training: true });
  const total = batches.reduce((sum, { counted }) => sum + counted, 0);
  let divergence = 0;
  try {
    for (const [i, batch] of batches.entries()) {
      signal.throwIfAborted();
      const { program } = await programs.get(batchKey(batch), (rec) => recordPasses(rec, model, batch, p));
      fillInputs(program, batch);
      const weights = meanWeights(fillTargets(program, batch), total);
      program.write("weights", weights);
      program.run({ accumulate: 0, seed: (Math.imul(seed, 0x9e3779b9) + i) >>> 0 });
      products.add(1);
      const losses = await program.read("losses");
      for (const [row, weight] of weights.entries()) divergence += (weight * losses[row]!) / 2; // it is there twice
      if (!Number.isFinite(divergence))
        throw new UserError(
          `${ref}: the divergence of two passes is not finite`,
          "the model's own weights are not finite",
          1,
        );
      done?.(batch.rows);
    }
    return { gradients: await readGates(model, gated, products), divergence };
  } finally {
    programs.free();
    products.free();
  }
}

/** The sums by gate: of the weight, with the bias's part, of all values of a head together. */
async function readGates(model: Model, gated: readonly Gated[], products: UnitProducts): Promise<Float64Array[]> {
  const gradients: Float64Array[] = [];
  let biases = gated.length;
  for (const [place, { kind, bias, weight }] of gated.entries()) {
    const lines = Float64Array.from(await products.read(place));
    if (bias) for (const [i, x] of (await products.read(biases++)).entries()) lines[i]! += x;
    gradients.push(kind === "heads" ? headSums(model, lines) : ownUnits(weight, lines));
  }
  return gradients;
}

/** Masks of all units: those of a block and kind are compared, also where several weights hold them. */
export async function measureUnits(
  model: Model,
  gated: readonly Gated[],
  batches: readonly Batch[],
  options: UnitMaskOptions,
): Promise<UnitMask[]> {
  const { gradients } = await gateGradients(model, gated, batches, options);
  const masks = new Map<number, Float32Array>();
  const together = Map.groupBy(gated.keys(), (i) => `${gated[i]!.layer} ${gated[i]!.kind}`);
  for (const places of together.values()) {
    const mask = normalizedMask(places.flatMap((place) => [...gradients[place]!]));
    let at = 0;
    for (const place of places) {
      const { length } = gradients[place]!;
      masks.set(place, mask.slice(at, at + length));
      at += length;
    }
  }
  return gated.map((one, place) => ({ ...one, mask: masks.get(place)! }));
}

/** Of a matrix that makes gates and values, the values: its second half. */
function ownUnits({ name, shape }: Parameter, lines: Float64Array): Float64Array {
  if (!/gate_up_proj/.test(name) || shape.length > 2) return lines;
  return lines.slice(lines.length / 2);
}

/** Sums over the values of each head. */
function headSums(model: Model, lines: Float64Array): Float64Array {
  const { heads } = headCounts(model);
  const size = lines.length / heads;
  const sums = new Float64Array(heads);
  for (const [i, x] of lines.entries()) sums[Math.floor(i / size)]! += x;
  return sums;
}

/** |tanh| of how many deviations each lies from the mean; 0 where all are alike. */
export function normalizedMask(gradients: readonly number[]): Float32Array {
  const mean = gradients.reduce((a, b) => a + b, 0) / gradients.length;
  const deviation = Math.sqrt(gradients.reduce((sum, x) => sum + (x - mean) ** 2, 0) / gradients.length);
  return Float32Array.from(gradients, (x) => (deviation === 0 ? 0 : Math.abs(Math.tanh((x - mean) / deviation))));
}
