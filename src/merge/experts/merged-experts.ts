/** Experts and router rows that are means of others, as tensors in the making. */
import { encodeFloats } from "../../checkpoint/decode.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { alignment, reordered } from "./align.ts";
import type { Matrix } from "./form.ts";
import type { Group } from "./groups.ts";
import type { MixtureLayer } from "./mixture.ts";
import { computed, copied, infoOf, type MadeTensor, readValues } from "./values.ts";

/** Orders of members' neurons, computed once for a layer and forgotten when another layer is asked for. */
export class Alignments {
  readonly #gpu: (() => Promise<Gpu>) | undefined;
  #layer = -1;
  #known = new Map<string, Int32Array>();

  /** Without a GPU neurons stay where they are. */
  constructor(gpu: (() => Promise<Gpu>) | undefined) {
    this.#gpu = gpu;
  }

  async order(layer: number, parts: MixtureLayer, leader: number, member: number): Promise<Int32Array | undefined> {
    if (!this.#gpu || leader === member) return undefined;
    if (layer !== this.#layer) [this.#layer, this.#known] = [layer, new Map()];
    const key = `${leader} ${member}`;
    const order =
      this.#known.get(key) ?? (await alignment(await this.#gpu(), parts.experts[leader]!, parts.experts[member]!));
    this.#known.set(key, order);
    return order;
  }
}

export interface MergedPlace {
  readonly layer: number;
  readonly parts: MixtureLayer;
  readonly group: Group;
  /** Of the members, summing to 1. */
  readonly weights: readonly number[];
}

/** The weighted mean of a matrix over a group, aligned to its leader, in f64. */
export async function meanMatrix(
  { layer, parts, group, weights }: MergedPlace,
  matrix: Matrix,
  alignments: Alignments,
): Promise<Float32Array> {
  const sum = new Float64Array(parts.experts[group.leader]![matrix].shape.reduce((a, b) => a * b));
  for (const [i, member] of group.members.entries()) {
    if (weights[i] === 0) continue;
    const entry = parts.experts[member]![matrix];
    const order = await alignments.order(layer, parts, group.leader, member);
    const values = await readValues(entry);
    const placed = order ? reordered(values, entry.shape, matrix, order) : values;
    for (let at = 0; at < placed.length; at++) sum[at]! += weights[i]! * placed[at]!;
  }
  return Float32Array.from(sum);
}

/**
 * A group's matrix under a name of the result; `place` is asked for when it is written. A group of one keeps its bytes.
 */
export function meanTensor(
  name: string,
  { parts, matrix }: { readonly parts: MixtureLayer; readonly matrix: Matrix },
  place: () => MergedPlace,
  alignments: Alignments,
): MadeTensor {
  const { dtype, shape } = parts.experts[0]![matrix];
  return {
    ...infoOf(name, dtype, shape),
    async *pieces() {
      const found = place();
      const [only, ...others] = found.group.members;
      if (others.length === 0) yield* copied(parts.experts[only!]![matrix], name, dtype).pieces();
      else yield encodeFloats(await meanMatrix(found, matrix, alignments), dtype);
    },
  };
}

/** A layer's router with `groups` rows: the weighted means of the members' rows. */
export function meanRouter(parts: MixtureLayer, groups: number, places: () => readonly MergedPlace[]): MadeTensor {
  const { name, dtype, shape } = parts.router;
  const width = shape[1]!;
  return computed(name, dtype, [groups, width], async () => {
    const rows = await readValues(parts.router);
    const merged = new Float32Array(groups * width);
    for (const [g, { group, weights }] of places().entries())
      for (let c = 0; c < width; c++)
        merged[g * width + c] = group.members.reduce((sum, e, i) => sum + weights[i]! * rows[e * width + c]!, 0);
    return merged;
  });
}
