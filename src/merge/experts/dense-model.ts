/** A dense model whose feed-forward networks become experts. */
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { open } from "../../checkpoint/open.ts";
import { type ModelReference, openable, referenceKey } from "../../checkpoint/reference.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import { UserError } from "../../errors.ts";
import type { Architecture, Json, ModelSizes } from "../../model/architecture.ts";
import { configOf, describeConfig } from "../../model/description.ts";
import { denseName, MATRICES, type Matrix } from "./form.ts";

export interface DenseModel {
  /** As the user wrote it. */
  readonly ref: string;
  readonly checkpoint: Checkpoint;
  readonly json: Json;
  readonly type: string;
  readonly architecture: Architecture;
  readonly config: unknown;
  readonly sizes: ModelSizes;
}

/** Opens every reference once. The caller closes what is opened. */
export class DenseModels {
  readonly #opened = new Map<string, DenseModel>();
  readonly #warn: (text: string) => void;

  constructor(warn: (text: string) => void) {
    this.#warn = warn;
  }

  async open(reference: ModelReference): Promise<DenseModel> {
    const key = referenceKey(reference);
    const known = this.#opened.get(key);
    if (known) return known;
    const checkpoint = await open(openable(reference), { warn: this.#warn });
    const { json, architecture, config, sizes } = await describeConfig(configOf(checkpoint), checkpoint.ref).catch(
      (error: unknown) => {
        checkpoint.close();
        throw error;
      },
    );
    const model = { ref: checkpoint.ref, checkpoint, json, type: architecture.name, architecture, config, sizes };
    this.#opened.set(key, model);
    // A result takes tensors in its own order, and gates look at the base before.
    if (isStream(checkpoint)) for (const name of checkpoint.tensors.keys()) checkpoint.retain(name);
    return model;
  }

  get opened(): readonly DenseModel[] {
    return [...this.#opened.values()];
  }

  close(): void {
    for (const { checkpoint } of this.#opened.values()) checkpoint.close();
  }
}

const ONE_EXPERT = (layer: number, matrix: Matrix) => `model.layers.${layer}.mlp.experts.0.${matrix}_proj.weight`;

/** A matrix of a layer's feed-forward network, (inner, C) or (C, inner). Throws UserError where it is missing. */
export function matrixOf({ checkpoint, ref, type }: DenseModel, layer: number, matrix: Matrix): TensorEntry {
  const name = type === "olmoe" ? ONE_EXPERT(layer, matrix) : denseName(layer, matrix);
  const entry = checkpoint.tensors.get(name);
  if (entry) return entry;
  throw new UserError(`${ref} has no tensor ${name}`, "does config.json belong to these weights?");
}

/** Names of all matrices of the feed-forward networks. */
export const matrixNames = (model: DenseModel): ReadonlySet<string> =>
  new Set(
    Array.from({ length: model.sizes.layers }, (_, layer) =>
      MATRICES.map((matrix) => matrixOf(model, layer, matrix).name),
    ).flat(),
  );

/** Width between the matrices of the feed-forward network. */
export const innerOf = (model: DenseModel): number => matrixOf(model, 0, "gate").shape[0]!;

/**
 * Throws UserError unless the model's feed-forward networks can stand in for those of the base: as many layers, of the
 * same width. `inner` is the width inside that all experts have.
 */
export function expectSizes(model: DenseModel, base: DenseModel, inner: number | undefined): void {
  const differs = (what: string, own: number, other: number) =>
    new UserError(
      `${model.ref} has ${what} ${own}, and ${base.ref} has ${other}`,
      "experts of one mixture are of one size: a router chooses between matrices of the same shape, layer by layer",
    );
  if (model.sizes.width !== base.sizes.width) throw differs("a hidden_size of", model.sizes.width, base.sizes.width);
  if (model.sizes.layers !== base.sizes.layers) throw differs("layers:", model.sizes.layers, base.sizes.layers);
  const own = innerOf(model);
  if (inner !== undefined && own !== inner) throw differs("an intermediate_size of", own, inner);
  for (let layer = 0; layer < model.sizes.layers; layer++)
    for (const matrix of MATRICES) {
      const { name, shape } = matrixOf(model, layer, matrix);
      const wanted = matrix === "down" ? [model.sizes.width, own] : [own, model.sizes.width];
      if (shape.join() !== wanted.join())
        throw new UserError(
          `${model.ref}: ${name} is (${shape.join(", ")}), expected (${wanted.join(", ")})`,
          "does config.json belong to these weights?",
        );
    }
}

const SAMPLE = 2 ** 18; // bytes

/** Whether two models have the same feed-forward networks, read until the first difference. */
export async function sameExperts(one: DenseModel, other: DenseModel): Promise<boolean> {
  if (one === other) return true;
  for (let layer = 0; layer < one.sizes.layers; layer++)
    for (const matrix of MATRICES) {
      const [a, b] = [matrixOf(one, layer, matrix), matrixOf(other, layer, matrix)];
      if (a.dtype !== b.dtype || a.patch || b.patch) return false;
      for (let at = 0; at < a.bytes; at += SAMPLE) {
        const size = Math.min(SAMPLE, a.bytes - at);
        const [left, right] = [new Uint8Array(size), new Uint8Array(size)];
        await Promise.all([a.read(left, at), b.read(right, at)]);
        if (!Buffer.from(left.buffer).equals(Buffer.from(right.buffer))) return false;
      }
    }
  return true;
}
