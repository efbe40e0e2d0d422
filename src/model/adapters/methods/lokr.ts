/**
 * LoKr: the change is a Kronecker product, W + s (C x D), with C (a, c), D (b, d), a b outputs and c d inputs; a factor
 * is a low-rank product itself where that is smaller.
 *
 * Yeh et al. (LyCORIS), ICLR 2024, https://arxiv.org/abs/2309.14859, section 3; KronA,
 * https://arxiv.org/abs/2212.10650; in PEFT's form (peft/tuners/lokr): C is zero at first. The product is
 * made in a recording as large as the weight; `--recompute` keeps it for one layer at a time.
 */

import type { HostTensor } from "../../../checkpoint/adapter/format.ts";
import type { Values } from "../../../method/options.ts";
import { mul } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { Sides, TensorSpecs } from "../declaration.ts";
import { adapterType } from "../declared.ts";
import { RANK_KEYS, rankAndAlpha } from "../settings.ts";
import { twoFactors } from "../two-factors.ts";

const OPTIONS = {
  ...rankAndAlpha(8),
  decompose_both: {
    type: "boolean",
    default: false,
    help: "make the first factor low-rank, too, where that is smaller",
  },
  decompose_factor: {
    type: "number.integer >= -1",
    default: -1,
    help: "side of the first factor; -1: near the root of the weight's",
    value: "N",
  },
} as const;

/** Sides of C and D, and whether each is held whole. */
function factorsOf({ into, out }: Pick<Sides, "into" | "out">, values: Values<typeof OPTIONS>) {
  const { adapter_rank: rank, decompose_both: both, decompose_factor: factor } = values;
  const [[a, b], [c, d]] = [twoFactors(out, factor), twoFactors(into, factor)];
  return { a, b, c, d, wholeC: !(both && rank < Math.max(a, c) / 2), wholeD: rank >= Math.max(b, d) / 2 };
}

const drawn = (shape: readonly [number, number]) => ({ shape, begins: { uniform: 1 / Math.sqrt(shape[1]) } }) as const;

/** A factor as the type holds it: whole, or a product. */
function factor(rec: Recorder, tensor: (part: string) => Tensor, name: string, isWhole: boolean): Tensor {
  if (isWhole) return tensor(name);
  return linear(rec, tensor(`${name}_a`), tensor(`${name}_b`), { transposed: true });
}

/** The same of a file. */
function factorValues(tensor: (part: string) => HostTensor, name: string, isWhole: boolean): Float32Array {
  if (isWhole) return tensor(name).values;
  const [left, right] = [tensor(`${name}_a`), tensor(`${name}_b`)];
  const [rows = 0, rank = 0] = left.shape;
  const columns = right.shape[1]!;
  return Float32Array.from({ length: rows * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += left.values[row * rank + r]! * right.values[r * columns + column]!;
    return sum;
  });
}

export const method = adapterType({
  name: "lokr",
  title: "LoKr",
  about: "adds the Kronecker product of two small matrices",
  cite: "arXiv:2309.14859",
  options: OPTIONS,
  peftType: "LOKR",
  takes: ["linear"],
  parts: ["lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b"],
  keys: RANK_KEYS,
  patterned: { rank: "adapter_rank", alpha: "adapter_alpha" },
  config: () => ({ init_weights: true, module_dropout: 0, rank_dropout: 0, use_effective_conv2d: false }),
  tensors(target, { values }): TensorSpecs {
    const { a, b, c, d, wholeC, wholeD } = factorsOf(target, values);
    const rank = values.adapter_rank;
    const first: TensorSpecs = wholeC
      ? { lokr_w1: { shape: [a, c], begins: "zeros" } }
      : { lokr_w1_a: { shape: [a, rank], begins: "zeros" }, lokr_w1_b: drawn([rank, c]) };
    const second: TensorSpecs = wholeD
      ? { lokr_w2: drawn([b, d]) }
      : { lokr_w2_a: drawn([b, rank]), lokr_w2_b: drawn([rank, d]) };
    return { ...first, ...second };
  },
  linear(layer, x) {
    const { rec, target, tensor, values } = layer;
    const { a, b, c, d, wholeC, wholeD } = factorsOf(target, values);
    const left = rec.reshape(factor(rec, tensor, "lokr_w1", wholeC), [a, 1, c, 1]);
    const right = rec.reshape(factor(rec, tensor, "lokr_w2", wholeD), [1, b, 1, d]);
    const product = rec.reshape(mul(rec, left, right), [target.out, target.into]);
    return linear(rec, x, product, { scale: values.adapter_alpha / values.adapter_rank, add: layer.whole(x) });
  },
  fold({ into, out, transposed, tensor }, { values }) {
    const { b, c, d, wholeC, wholeD } = factorsOf({ into, out }, values);
    const [left, right] = [factorValues(tensor, "lokr_w1", wholeC), factorValues(tensor, "lokr_w2", wholeD)];
    const scale = values.adapter_alpha / values.adapter_rank;
    const change = (rows: Float32Array, first: number) => {
      for (let at = 0; at < rows.length; at += into) {
        const o = first + at / into;
        const [row, own] = [Math.floor(o / b) * c, (o % b) * d];
        for (let i = 0; i < into; i++) rows[at + i]! += scale * left[row + Math.floor(i / d)]! * right[own + (i % d)]!;
      }
    };
    return { weight: { change, transposed } };
  },
});
