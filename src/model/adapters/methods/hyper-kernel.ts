/**
 * Generated kernels: every sample scales the output channels of frozen layers in a way of its own, that a small network
 * makes from what the sample is. After TAT, MICCAI 2025, https://github.com/Yaziwel/TAT
 *
 *   z = V mean(gelu(U h0 + a)) + b     y' = y + lambda * (G z + g) * y     lambda = 0 at first
 *
 * h0 is what enters the first layer, or the vector that a classifier reads; the mean is over the tokens of the sample.
 * A causal model's token knows the sample as far as it has come: its mean is over the tokens up to itself. The paper's
 * kernels are those of depthwise convolutions; a linear layer has one weight a channel. The format is our own.
 */
import { UserError } from "../../../errors.ts";
import { gelu } from "../../../tensor/ops/activation.ts";
import { add, mul } from "../../../tensor/ops/elementwise.ts";
import { embedding } from "../../../tensor/ops/embedding.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { rowsOf, type Tensor } from "../../../tensor/tensor.ts";
import type { ModelSizes } from "../../architecture.ts";
import { adapterType } from "../declared.ts";
import type { Pass } from "../live-adapter.ts";
import { meanOfSeen } from "../sample-code.ts";

const OPTIONS = {
  hyper_code: {
    type: "1 <= number.integer <= 512",
    default: 16,
    help: "numbers that a sample's kernels are generated from",
    value: "N",
  },
} as const;

/** Codes by passes through models. */
const codes = new WeakMap<object, Tensor>();

/** Codes of rows: of tokens, or of the samples of a classifier, whose tokens have the same; undefined of others. */
function codeOf({ rec, inputs, pass }: Pick<Pass, "rec" | "inputs" | "pass">, rows: number): Tensor | undefined {
  const code = codes.get(pass);
  const known = code ? rowsOf(code).rows : 0;
  if (rows === known) return code;
  const { batch } = inputs;
  if (!code || rows !== batch || "positions" in inputs) return undefined;
  const firsts = Int32Array.from({ length: batch }, (_, i) => (i * known) / batch);
  return embedding(rec, rec.constant(firsts, [batch], "first tokens"), code);
}

/** Values of a row of h0. */
const widthOf = ({ example, width }: ModelSizes): number => (example?.length === 1 ? example[0]! : width);

export const method = adapterType({
  name: "hyper-kernel",
  title: "Generated kernels",
  about: "scales the channels of frozen layers for every sample by what a small network makes of it",
  cite: "https://github.com/Yaziwel/TAT",
  options: OPTIONS,
  takes: ["linear"],
  fanInFanOut: true,
  parts: ["hyper_kernel.weight", "hyper_kernel.bias", "hyper_gate"],
  sharedParts: ["hyper.in.weight", "hyper.in.bias", "hyper.out.weight", "hyper.out.bias"],
  shared({ values: { hyper_code: code }, sizes, where }) {
    if (!sizes) throw new UserError(`${where}: generated kernels have no weights to fold into`);
    const width = widthOf(sizes);
    const [first, second] = [{ uniform: 1 / Math.sqrt(width) }, { uniform: 1 / Math.sqrt(code) }];
    return {
      "hyper.in.weight": { shape: [code, width], begins: first },
      "hyper.in.bias": { shape: [code], begins: first },
      "hyper.out.weight": { shape: [code, code], begins: second },
      "hyper.out.bias": { shape: [code], begins: second },
    };
  },
  tensors({ out }, { values: { hyper_code: code } }) {
    const begins = { uniform: 1 / Math.sqrt(code) };
    return {
      "hyper_kernel.weight": { shape: [out, code], begins },
      "hyper_kernel.bias": { shape: [out], begins },
      hyper_gate: { shape: [out], begins: "zeros" },
    };
  },
  note({ rec, inputs, pass, shared }, name, x) {
    if (name !== "hidden.0") return x;
    const said = gelu(rec, linear(rec, x, shared("hyper.in.weight"), { bias: shared("hyper.in.bias") }));
    const mean = meanOfSeen(rec, inputs, said, "hyper-kernel");
    codes.set(pass, linear(rec, mean, shared("hyper.out.weight"), { bias: shared("hyper.out.bias") }));
    return x;
  },
  linear(layer, x) {
    const { rec, module, target, tensor } = layer;
    const y = layer.product(x);
    const code = codeOf(layer, rowsOf(y).rows);
    if (!code)
      throw new UserError(
        `${module} does not read the tokens of a sample one after the other, and has no kernel for each`,
        "leave it out of --adapter-targets",
      );
    const kernel = linear(rec, code, tensor("hyper_kernel.weight"), { bias: tensor("hyper_kernel.bias") }); // (N, out)
    const gated = mul(rec, kernel, rec.reshape(tensor("hyper_gate"), [1, target.out]));
    return layer.finish(add(rec, y, mul(rec, gated, y)));
  },
});
