/**
 * Bottleneck adapters: what attention and MLP add to the residual goes through a narrow layer that is added to it,
 * h + U f(D h + d) + u, with U and u zero at first.
 *
 * Houlsby et al., ICML 2019, https://arxiv.org/abs/1902.00751, figure 2. D is drawn as that of LoRA's A; the norms stay
 * frozen, where the paper trains them too. PEFT has no such type: the format is our own.
 */
import { gelu, relu } from "../../../tensor/ops/activation.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { adapterType } from "../declared.ts";

const OUTPUTS =
  /(^|\.)(o_proj|out_proj|out_lin|down_proj|lin2|attn\.c_proj|mlp\.c_proj|attention\.dense|dense_4h_to_h|output\.dense|mlp\.fc2)$/;

export const method = adapterType({
  name: "bottleneck",
  title: "Bottleneck adapters",
  about: "adds a narrow two-layer network after attention and after the MLP",
  cite: "arXiv:1902.00751",
  options: {
    bottleneck: { type: "number.integer >= 1", default: 64, help: "width of the narrow layer", value: "N" },
    bottleneck_activation: { type: "'relu' | 'gelu'", default: "gelu", help: "between its two layers" },
  },
  takes: ["linear"],
  fanInFanOut: true,
  usual: ({ module }) => OUTPUTS.test(module),
  parts: ["adapter_down.weight", "adapter_down.bias", "adapter_up.weight", "adapter_up.bias"],
  tensors: ({ out }, { values: { bottleneck } }) => ({
    "adapter_down.weight": { shape: [bottleneck, out], begins: { uniform: 1 / Math.sqrt(out) } },
    "adapter_down.bias": { shape: [bottleneck], begins: "zeros" },
    "adapter_up.weight": { shape: [out, bottleneck], begins: "zeros" },
    "adapter_up.bias": { shape: [out], begins: "zeros" },
  }),
  linear(layer, x) {
    const { rec, tensor, values } = layer;
    const h = layer.product(x); // (N, out)
    const low = linear(rec, h, tensor("adapter_down.weight"), { bias: tensor("adapter_down.bias") }); // (N, bottleneck)
    const bent = values.bottleneck_activation === "relu" ? relu(rec, low) : gelu(rec, low);
    const more = linear(rec, bent, tensor("adapter_up.weight"), { bias: tensor("adapter_up.bias"), add: h });
    return layer.finish(more);
  },
});
