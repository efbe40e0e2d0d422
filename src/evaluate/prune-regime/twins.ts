/**
 * Two networks of one: it is pruned by the magnitude of its weights, layer by layer, and trained again twice, in two
 * orders of the rows. GPU memory: marks of all pruned weights. Host memory: four copies of the trained weights.
 */
import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Model } from "../../model/model.ts";
import { layerOf } from "../../model/names.ts";
import { putWeights, readWeights, type Weights } from "../../run/probing/host-weights.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { dropMarked, markLowest } from "../../tensor/weight-selection.ts";

/** Matrices of linear layers: of blocks, or all but the last where the model has no blocks. */
function prunedOf(model: Model): Parameter[] {
  const trained = new Set(model.trainable());
  const linear = model.specs.filter(({ linear, shape }) => linear && shape.length === 2);
  const inBlocks = linear.filter(({ name }) => layerOf(name) !== undefined);
  const chosen = inBlocks.length > 0 ? inBlocks : linear.length > 1 ? linear.slice(0, -1) : linear;
  return chosen.flatMap(({ name }) => {
    const parameter = model.parameters.get(name);
    return parameter && trained.has(parameter) ? [parameter] : [];
  });
}

export class Twins implements Disposable {
  readonly #model: Model;
  readonly #pruned: readonly Parameter[];
  readonly #marks = new Map<Parameter, PooledBuffer>();
  readonly #dense: Weights;

  private constructor(model: Model, dense: Weights) {
    this.#model = model;
    this.#pruned = prunedOf(model);
    this.#dense = dense;
    for (const parameter of this.#pruned)
      this.#marks.set(parameter, model.gpu.buffer(4 * parameter.size, `marks of ${parameter.name}`));
  }

  /** Throws UserError for a model that has nothing to prune, or statistics that another pass would have to find. */
  static async of(model: Model, ref: string): Promise<Twins> {
    if (model.running().length > 0)
      throw new UserError(
        `${ref} has batch norms, whose statistics between two models --probe prune-regime does not know`,
        "leave it out",
      );
    const made = new Twins(model, await readWeights(model));
    if (made.#pruned.length === 0)
      throw new UserError(`${ref} has no linear layers that could be pruned`, "leave it out");
    return made;
  }

  [Symbol.dispose](): void {
    for (const marks of this.#marks.values()) marks.free();
  }

  /** Puts the dense weights back, but for those of least magnitude in each layer: `density` of it stays. */
  async prune(density: number): Promise<void> {
    const { gpu } = this.#model;
    putWeights(this.#model, this.#dense);
    for (const parameter of this.#pruned) {
      const [rows = 1, columns = 1] = parameter.shape;
      using ones = gpu.upload(new Float32Array(columns).fill(1), "factors of inputs");
      const layer = { gpu, rows, columns, weight: parameter };
      await markLowest(layer, ones.buffer, { of: "matrix", share: 1 - density }, this.#marks.get(parameter)!.buffer);
    }
    await this.hold();
  }

  /** Sets pruned weights to 0 again. */
  async hold(): Promise<void> {
    const { gpu } = this.#model;
    for (const parameter of this.#pruned) {
      const [rows = 1, columns = 1] = parameter.shape;
      await dropMarked({ gpu, rows, columns, weight: parameter }, this.#marks.get(parameter)!.buffer);
    }
  }
}

/** Puts the weights at t between two sets in their place. */
export function putBetween(model: Model, first: Weights, second: Weights, t: number): void {
  const between = new Map(
    [...first].map(([parameter, a]) => {
      const b = second.get(parameter)!;
      return [parameter, a.map((x, i) => (1 - t) * x + t * b[i]!)] as const;
    }),
  );
  putWeights(model, between);
}
