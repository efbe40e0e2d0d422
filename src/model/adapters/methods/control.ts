/**
 * Control: an input of its own for a denoiser that is frozen. What is asked for, one of K, goes with the row through a
 * narrow network beside the input and the first layer of every block:
 *
 *   y = W x + b + U silu(D x + C c + d),   U of zeros at first
 *
 * c is 1 at what is asked for and 0 elsewhere; where nothing is asked the layer is that of the base. `adapt nct` trains
 * it. The place of the control is that of Noise Consistency Training, 2025, https://arxiv.org/abs/2506.19741, which
 * leaves the form of the adapter open. PEFT has no such type.
 */
import { UserError } from "../../../errors.ts";
import { silu } from "../../../tensor/ops/activation.ts";
import { add } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { rowsOf } from "../../../tensor/tensor.ts";
import { adapterType } from "../declared.ts";

export const method = adapterType({
  name: "control",
  title: "Control",
  about: "an input of its own for a frozen denoiser: which of K things is asked for",
  cite: "arXiv:2506.19741",
  options: {
    control_size: { type: "number.integer >= 1", default: 2, help: "things that can be asked for", value: "K" },
    control_rank: { type: "number.integer >= 1", default: 16, help: "width of the narrow networks", value: "R" },
  },
  takes: ["linear"],
  usual: ({ module }) => /^input$|^layers\.\d+\.up$/.test(module),
  parts: ["control_down.weight", "control_down.bias", "control_in.weight", "control_up.weight"],
  tensors: ({ into, out }, { values: { control_size: size, control_rank: rank } }) => ({
    "control_down.weight": { shape: [rank, into], begins: { uniform: 1 / Math.sqrt(into) } },
    "control_down.bias": { shape: [rank], begins: "zeros" },
    "control_in.weight": { shape: [rank, size], begins: { normal: 1 } },
    "control_up.weight": { shape: [out, rank], begins: "zeros" },
  }),
  linear(layer, x) {
    const { rec, tensor, inputs, module } = layer;
    const control = "control" in inputs ? inputs.control : undefined;
    const y = layer.whole(x);
    if (!control) return y;
    if (rowsOf(x).rows !== control.shape[0])
      throw new UserError(
        `${module} does not read the rows one by one, and has no control for each`,
        "leave it out of --adapter-targets",
      );
    const asked = linear(rec, control, tensor("control_in.weight")); // (B, rank)
    const low = linear(rec, x, tensor("control_down.weight"), { bias: tensor("control_down.bias"), add: asked });
    return add(rec, y, linear(rec, silu(rec, low), tensor("control_up.weight")));
  },
});
