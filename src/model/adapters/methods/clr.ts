/**
 * Channel-wise lightweight reprogramming: a frozen layer's output channels each go through a small kernel of their own,
 * and norms are the task's. Ge et al., ICCV 2023, https://arxiv.org/abs/2307.11386
 *
 *   y'_i = sum over m < K of w_m y_(i + m - K + 1)       every channel for itself; the last tap is the token itself
 *
 * The paper's kernels are K x K over an image of channels that convolutions give. Over the tokens of a causal language
 * model the analogue has one axis and sees no later token; classifiers of texts, images and vectors have K = 1, a
 * factor of every channel. Kernels begin as the identity, so that a new adapter changes nothing.
 */
import { UserError } from "../../../errors.ts";
import { causalConv } from "../../../tensor/ops/causal-conv.ts";
import { mul } from "../../../tensor/ops/elementwise.ts";
import { rowsOf } from "../../../tensor/tensor.ts";
import type { ParameterSpec } from "../../architecture.ts";
import type { Setup } from "../declaration.ts";
import { adapterType } from "../declared.ts";

const OPTIONS = {
  clr_kernel: {
    type: "number.integer >= 1",
    help: "tokens that a channel's kernel sees, its own the last; 3 for language models and 1 for others when left out",
    value: "K",
  },
} as const;

const KERNEL = 3;

/** K. Throws UserError for a kernel over the tokens of a model that is not causal. */
function kernelOf({ values, sizes, where }: Pick<Setup<typeof OPTIONS>, "values" | "sizes" | "where">): number {
  const causal = sizes !== undefined && sizes.maxPositions > 0 && sizes.text === undefined;
  const kernel = values.clr_kernel ?? (causal ? KERNEL : 1);
  if (kernel > 1 && !causal)
    throw new UserError(
      `${where}: a kernel of ${kernel} tokens is for causal language models`,
      "a kernel of 1 scales every channel",
    );
  return kernel;
}

/** The identity: 1 for the token itself. */
const identity = (out: number, kernel: number): Float32Array =>
  Float32Array.from({ length: out * kernel }, (_, i) => (i % kernel === kernel - 1 ? 1 : 0));

/** Modules of vectors alone, beside no matrix: norms. */
function normModules(specs: readonly ParameterSpec[]): string[] {
  const modules = Map.groupBy(
    specs.filter(({ name, buffer }) => /\.(weight|bias)$/.test(name) && !buffer),
    ({ name }) => name.replace(/\.(weight|bias)$/, ""),
  );
  return [...modules].flatMap(([module, own]) => {
    const hasGain = own.some(({ name }) => name.endsWith(".weight"));
    return hasGain && own.every(({ shape }) => shape.length === 1) ? [module] : [];
  });
}

export const method = adapterType({
  name: "clr",
  title: "Channel-wise reprogramming",
  about: "a small kernel over the last tokens for every output channel of frozen layers, with norms of its own",
  cite: "arXiv:2307.11386",
  options: OPTIONS,
  takes: ["linear"],
  fanInFanOut: true,
  parts: ["clr_w"],
  whole: normModules,
  recurrent: (values, sizes) => kernelOf({ values, sizes, where: "clr" }) > 1,
  tensors: ({ out }, setup) => {
    const kernel = kernelOf(setup);
    return { clr_w: { shape: [out, kernel], begins: { values: identity(out, kernel) } } };
  },
  linear(layer, x) {
    const { rec, inputs, module, target } = layer;
    const w = layer.tensor("clr_w"); // (out, K)
    const kernel = w.shape[1]!;
    const y = layer.product(x);
    if (kernel === 1) return layer.finish(mul(rec, y, rec.reshape(w, [1, target.out])));
    if (!("positions" in inputs) || rowsOf(y).rows !== inputs.batch * inputs.length)
      throw new UserError(
        `${module} does not read the tokens of a row one after the other, and has no kernel over them`,
        "leave it out of the targets, or take a kernel of 1",
      );
    const { batch, positions, cache } = inputs;
    const tail = cache?.kept(`clr.${module}`, [batch, kernel - 1, target.out]);
    return layer.finish(causalConv(rec, y, w, { batch, positions, tail, activation: "none" }));
  },
});
