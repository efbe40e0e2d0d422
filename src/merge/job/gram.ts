/** Inner products of the inputs of a tensor: what every method that works in their span needs to know of them. */
import { LANES, REDUCE_SPAN, spanGroups } from "../../gpu/grid.ts";
import { inFlag } from "../../tensor/load.ts";
import type { TensorInputs } from "./tensor-inputs.ts";

export interface GramOptions {
  /** Of the differences from the base. */
  readonly delta?: boolean;
  /** The base counts as an input too, as the first. */
  readonly withBase?: boolean;
}

/** The K x K matrix of inner products, in f64. Partial sums are f32, each over at most 256 values. One pass. */
export async function gramOf(inputs: TensorInputs, { delta, withBase }: GramOptions): Promise<number[][]> {
  const from = withBase ? 0 : inputs.first;
  const slots = Array.from({ length: inputs.slots - from }, (_, i) => from + i);
  const pairs: [number, number][] = [];
  for (let i = 0; i < slots.length; i++) for (let j = i + 1; j < slots.length; j++) pairs.push([i, j]);
  if (slots.length === 1) pairs.push([0, 0]);
  const kernel = await inputs.gpu.kernel("merge/dots", {
    flags: [...inFlag(inputs.dtype), ...(delta ? ["delta"] : [])],
  });
  const sums = pairs.map(() => [0, 0, 0]);
  await inputs.reduce(kernel, {
    runs: pairs.length,
    count: ({ n4 }) => 4 * LANES * Math.ceil(n4 / REDUCE_SPAN),
    dispatch: (chunk, partials, pair) => {
      const [i, j] = pairs[pair]!;
      return {
        bind: { stack: chunk.stack, partials },
        params: { n4: chunk.n4, pitch: chunk.pitch, a: slots[i]!, b: slots[j]!, origin: 0 },
        groups: spanGroups(chunk.n4, REDUCE_SPAN),
      };
    },
    fold: (partials, _, pair) => {
      const sum = sums[pair]!;
      for (let s = 0; s < partials.length; s += 4) for (let c = 0; c < 3; c++) sum[c]! += partials[s + c]!;
    },
  });
  const gram = slots.map(() => slots.map(() => 0));
  for (const [p, [i, j]] of pairs.entries()) {
    const [aa, ab, bb] = sums[p] as [number, number, number];
    gram[i]![i] = aa;
    gram[j]![j] = bb;
    gram[i]![j] = ab;
    gram[j]![i] = ab;
  }
  return gram;
}
