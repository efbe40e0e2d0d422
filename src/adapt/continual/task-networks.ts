/**
 * A sub-network for each task, all in one set of weights: a mask says which of them a task has. A weight belongs to the
 * task that first had it and stays as that one left it; later tasks may have it, too. What is not masked (biases,
 * norms, embeddings, heads) is kept for each task apart.
 *
 * Held: a copy of the masked weights, a bit for each of them and task, and the other trained weights times tasks.
 */

import { isHead } from "../../model/adapters/targets.ts";
import type { Model } from "../../model/model.ts";
import { BitMask } from "../../run/sparsity/bit-mask.ts";
import type { SparseLayer } from "../../run/training/rules/sparse-training.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { HostTensor } from "./contract.ts";
import { OldWeights } from "./old-weights.ts";

/** The trained matrices of linear layers and experts, or of an adapter of them; heads are not among them. */
export function maskable(model: Model): Parameter[] {
  const specs = new Map(model.specs.map((spec) => [spec.name, spec]));
  return model.trainable().filter(({ name, shape }) => {
    if (shape.length < 2 || isHead({ module: name.replace(/\.weight$/, "") })) return false;
    const spec = specs.get(name);
    if (!spec) return model.adapter !== undefined;
    return !spec.whole && !spec.table && (spec.linear || spec.parts !== undefined || spec.stack !== undefined);
  });
}

export class TaskNetworks {
  readonly layers: readonly SparseLayer[];
  readonly #model: Model;
  readonly #union: OldWeights;
  /** By task, by layer. */
  readonly #masks: readonly (readonly BitMask[])[];
  readonly #others: readonly OldWeights[];

  /** Begins with the model's weights, none of which belongs to a task. */
  constructor(model: Model, tasks: number) {
    const masked = maskable(model);
    this.#model = model;
    this.#union = new OldWeights(model, "union", masked);
    this.#union.take();
    const rest = [...model.trainable().filter((parameter) => !masked.includes(parameter)), ...model.running()];
    const each = Array.from({ length: tasks }, (_, t) => t);
    this.#others = each.map((t) => new OldWeights(model, `task${t}`, rest));
    this.#masks = each.map(() => masked.map(({ size }) => new BitMask(size)));
    this.layers = masked.map((parameter) => ({
      parameter,
      mask: new BitMask(parameter.size),
      taken: new BitMask(parameter.size),
      fired: new BitMask(parameter.size),
    }));
  }

  /** Gives the model the weights of the masks that are set up for the next task. */
  async begin(): Promise<void> {
    for (const { parameter, mask } of this.layers) await this.#show(parameter, mask);
  }

  /** Keeps what a task has learnt. */
  async keep(task: number): Promise<void> {
    this.#others[task]!.take();
    const { gpu } = this.#model;
    for (const [l, { parameter, mask, taken }] of this.layers.entries()) {
      const [now, union] = [await bytesOf(this.#model, parameter), await bytesOf(this.#model, this.#held(parameter))];
      const width = widthOf(parameter);
      for (const i of mask.places()) if (!taken.has(i)) union.set(now.subarray(i * width, (i + 1) * width), i * width);
      gpu.write(this.#held(parameter).buffer, 0, union);
      this.#masks[task]![l]!.words.set(mask.words);
      taken.add(mask);
    }
  }

  /** Gives the model the sub-network of a task that is kept. */
  async wear(task: number): Promise<void> {
    this.#others[task]!.give();
    for (const [l, { parameter }] of this.layers.entries()) await this.#show(parameter, this.#masks[task]![l]!);
  }

  /** Weights of a task, and those of all tasks so far that no other had before. */
  counts(task: number): { readonly weights: number; readonly all: number } {
    const sum = (masks: readonly BitMask[]) => masks.reduce((total, { count }) => total + count, 0);
    return { weights: sum(this.#masks[task]!), all: sum(this.layers.map(({ taken }) => taken)) };
  }

  #held(parameter: Parameter): Parameter {
    return this.#union.of.get(parameter)!;
  }

  async #show(parameter: Parameter, mask: BitMask): Promise<void> {
    const bytes = await bytesOf(this.#model, this.#held(parameter));
    const width = widthOf(parameter);
    for (let i = 0; i < parameter.size; i++) if (!mask.has(i)) bytes.fill(0, i * width, (i + 1) * width);
    this.#model.gpu.write(parameter.buffer, 0, bytes);
  }

  /** To be saved with a run; masks as words of bits. */
  get kept(): (Parameter | HostTensor)[] {
    const bits = (name: string, { words }: BitMask): HostTensor => ({
      ...{ name, shape: [words.length] },
      values: new Float32Array(words.buffer, words.byteOffset, words.length),
    });
    const now = this.layers.flatMap(({ parameter: { name }, mask, taken, fired }) => [
      bits(`mask.${name}`, mask),
      bits(`taken.${name}`, taken),
      bits(`fired.${name}`, fired),
    ]);
    const masks = this.#masks.flatMap((own, t) =>
      own.map((mask, l) => bits(`mask${t}.${this.layers[l]!.parameter.name}`, mask)),
    );
    return [...this.#union.kept, ...this.#others.flatMap(({ kept }) => kept), ...now, ...masks];
  }

  get bytes(): number {
    return [this.#union, ...this.#others].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  free(): void {
    for (const held of [this.#union, ...this.#others]) held.free();
  }
}

const widthOf = ({ dtype }: Parameter): number => (dtype === "f32" ? 4 : 2);

/** The bytes of a weight as they lie, in whole words. */
const bytesOf = ({ gpu }: Model, { buffer, bytes }: Parameter): Promise<Uint8Array> =>
  gpu.read(buffer, 0, Math.ceil(bytes / 4) * 4, (view) => view.slice());
