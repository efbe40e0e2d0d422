/**
 * How a mixture of experts routes whole rows: from router probabilities, averaged over a row's tokens, a pathway of
 * experts through the layers, and two figures that need no labels. Where to find Grokking in LLM Pretraining? 2025,
 * https://arxiv.org/abs/2506.21551
 *
 *   distance       mean edit distance of the pathways of two rows, over the longer one's length: 0 for the same, 1 for
 *                  none in common; a pathway has of every layer the likeliest experts that reach a share together
 *   inconsistency  1 - mean over rows and neighbouring layers of cos(e_l, e_l+1), e_l the mean of the router's rows of
 *                  the layer's experts, weighed by their probabilities
 *
 * Both fall as rows come to share routes. GPU memory: the activations of a batch.
 */
import { type Batch, isTokens } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { layerOf } from "../../model/names.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** A row's mean router probabilities, layer by layer, and the group of the data that it is of. */
export interface RowRoutes {
  readonly layers: readonly Float64Array[];
  readonly group: number;
}

/** The likeliest experts of each layer that reach `share` together, as symbols that no two layers have in common. */
export const pathwayOf = (layers: readonly Float64Array[], share: number): string[] =>
  layers.flatMap((weights, layer) => {
    const order = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]! || a - b);
    let sum = 0;
    const enough = order.findIndex((expert) => {
      sum += weights[expert]!;
      return sum >= share;
    });
    return order.slice(0, enough < 0 ? order.length : enough + 1).map((expert) => `${layer}.${expert}`);
  });

/** Levenshtein's distance over the longer length; 0 for two empty ones. */
export function editDistance(a: readonly string[], b: readonly string[]): number {
  let before = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, symbol] of a.entries()) {
    const row = [i + 1];
    for (const [j, other] of b.entries())
      row.push(Math.min(before[j]! + (symbol === other ? 0 : 1), before[j + 1]! + 1, row[j]! + 1));
    before = row;
  }
  const longer = Math.max(a.length, b.length);
  return longer === 0 ? 0 : before[b.length]! / longer;
}

const cosine = (a: Float64Array, b: Float64Array): number => {
  let [ab, aa, bb] = [0, 0, 0];
  for (const [i, x] of a.entries()) {
    ab += x * b[i]!;
    aa += x * x;
    bb += b[i]! ** 2;
  }
  return ab / Math.max(1e-30, Math.sqrt(aa * bb));
};

/** The mean of rows of a matrix (E, C), weighed. */
function weighedRows(weights: Float64Array, rows: Float32Array): Float64Array {
  const width = rows.length / weights.length;
  const mean = new Float64Array(width);
  for (const [e, weight] of weights.entries())
    for (let i = 0; i < width; i++) mean[i]! += weight * rows[e * width + i]!;
  return mean;
}

export interface Pathways {
  readonly distance: number;
  /** Of pairs within a group of the data, and of two groups, where there are several. */
  readonly within?: number;
  readonly across?: number;
  /** Of models with two layers of experts or more, of one number each. */
  readonly inconsistency?: number;
}

export interface PathwayOptions {
  readonly share: number;
  /** Pairs of rows that are drawn, at most all there are. */
  readonly pairs: number;
  readonly seed: number;
}

/** All pairs, or so many that are drawn. */
function pairsOf(rows: number, most: number, seed: number): (readonly [number, number])[] {
  const all = (rows * (rows - 1)) / 2;
  if (all <= most)
    return Array.from({ length: rows }, (_, i) => Array.from({ length: i }, (__, j) => [i, j] as const)).flat();
  const random = new Random(seed, "pairs of pathways");
  return Array.from({ length: most }, () => {
    const [a, b] = [random.below(rows), random.below(rows - 1)];
    return [a, b < a ? b : b + 1] as const;
  });
}

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** `embeddings` are the routers' rows, layer by layer. Throws RangeError for fewer than two rows. */
export function pathwaysOf(
  routes: readonly RowRoutes[],
  embeddings: readonly Float32Array[],
  { share, pairs, seed }: PathwayOptions,
): Pathways {
  if (routes.length < 2) throw new RangeError("pathways of fewer than two rows");
  const paths = routes.map(({ layers }) => pathwayOf(layers, share));
  const found = pairsOf(routes.length, pairs, seed).map(([a, b]) => ({
    distance: editDistance(paths[a]!, paths[b]!),
    same: routes[a]!.group === routes[b]!.group,
  }));
  const of = (same: boolean) => found.flatMap((pair) => (pair.same === same ? [pair.distance] : []));
  const [within, across] = [of(true), of(false)];
  const steps = routes.flatMap(({ layers }) => {
    const means = layers.map((weights, l) => weighedRows(weights, embeddings[l]!));
    return means.slice(1).map((mean, l) => cosine(means[l]!, mean));
  });
  return {
    distance: meanOf(found.map(({ distance }) => distance)),
    ...(within.length > 0 && across.length > 0 ? { within: meanOf(within), across: meanOf(across) } : {}),
    ...(steps.length > 0 ? { inconsistency: 1 - meanOf(steps) } : {}),
  };
}

/** The matrices of the routers of a model, (experts, width), by layer. */
function routersOf({ specs, parameters }: Model): Map<number, Parameter> {
  const found = new Map<number, Parameter>();
  for (const { name, routes, shape } of specs) {
    const layer = layerOf(name)?.index;
    if (routes && shape.length === 2 && shape[0]! > 1 && layer !== undefined) found.set(layer, parameters.get(name)!);
  }
  return found;
}

export class RouteView {
  readonly #model: Model;
  readonly #programs: Programs<readonly number[]>;
  readonly #parts: { readonly batch: Batch; readonly program: Program; readonly layers: readonly number[] }[] = [];
  readonly #routers: Map<number, Parameter>;

  private constructor(model: Model) {
    this.#model = model;
    this.#programs = new Programs(model.gpu);
    this.#routers = routersOf(model);
  }

  /** Compiles what it needs. Throws UserError for a model without routers by softmax. */
  static async make(model: Model, batches: readonly Batch[]): Promise<RouteView> {
    const made = new RouteView(model);
    for (const [i, batch] of batches.entries()) {
      const { program, recorded } = await made.#programs.get(`batch ${i}`, (rec) => {
        const { hidden, routed } = model.record(rec, recordInputs(rec, batch));
        const isSoft = [...routed.values()].every(({ scoring }) => scoring === "softmax");
        if (!isTokens(batch) || routed.size === 0 || !isSoft)
          throw new UserError(
            `pathways are of mixtures of experts whose routers are a softmax over tokens, and this ${model.architecture.name} has none`,
            "leave them out",
          );
        for (const [layer, { logits }] of routed) rec.output(`shares ${layer}`, softmax(rec, logits));
        rec.output("hidden", hidden);
        return [...routed.keys()];
      });
      made.#parts.push({ batch, program, layers: recorded });
    }
    return made;
  }

  get bytes(): number {
    return this.#programs.slots.bytes + this.#programs.ownBytes;
  }

  /** Routes of all rows in order, and the routers' rows by layer. */
  async read(): Promise<{ routes: RowRoutes[]; embeddings: Float32Array[] }> {
    const routes: RowRoutes[] = [];
    for (const { batch, program, layers } of this.#parts) {
      if (!isTokens(batch)) continue;
      fillInputs(program, batch);
      program.run();
      const shares = await Promise.all(layers.map((layer) => program.read(`shares ${layer}`)));
      for (const [row, length] of batch.lengths.entries())
        routes.push({
          group: batch.tasks[row]!,
          layers: shares.map((values) => {
            const experts = values.length / (batch.rows * batch.length);
            const mean = new Float64Array(experts);
            for (let t = 0; t < length; t++)
              for (let e = 0; e < experts; e++) mean[e]! += values[(row * batch.length + t) * experts + e]! / length;
            return mean;
          }),
        });
    }
    const { gpu } = this.#model;
    const layers = this.#parts[0]?.layers ?? [];
    const rows = layers.flatMap((layer) => this.#routers.get(layer) ?? []);
    if (rows.length < layers.length || rows.some(({ dtype }) => dtype !== "f32"))
      throw new UserError("the routers of this model are no matrices in f32", "give --dtype f32");
    return { routes, embeddings: await Promise.all(rows.map(({ buffer, size }) => gpu.readFloats(buffer, size))) };
  }

  free(): void {
    this.#programs.free();
  }
}
