/** gpt-oss: experts with biases and a clamped gate, attention with sinks. https://arxiv.org/abs/2508.10925 */
import { clampedGate } from "../../tensor/ops/activation.ts";
import { combine, dispatch, expertBias } from "../../tensor/ops/moe.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, ParameterSpec } from "../architecture.ts";
import { causalDecoder, type FeedForward } from "../blocks/causal-decoder.ts";
import { linearSpecs } from "../blocks/decoder.ts";
import { decoderConfig, decoderImplied, fullEvery, layerTypes } from "../blocks/decoder-config.ts";
import { expectExperts, routeTokens, type SparseConfig } from "../blocks/experts.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader } from "../config.ts";

/** Gates are at most this, ups between it and its negative. */
const LIMIT = 7;

/** Experts lie in one tensor, (E, in, out), gates and ups in turn. */
const feedForward: FeedForward<SparseConfig> = {
  specs(c, prefix) {
    const at = `${prefix}.mlp`;
    const stack = (name: string, into: number, out: number): ParameterSpec[] => [
      { name: `${at}.experts.${name}`, shape: [c.experts, into, out], init: { std: c.std }, stack: "in-out" },
      { name: `${at}.experts.${name}_bias`, shape: [c.experts, out], init: "zeros" },
    ];
    return [
      ...linearSpecs(`${at}.router`, c.experts, c.width, c.std, true).map((spec) => ({
        ...spec,
        routes: "parameter" as const,
      })),
      ...stack("gate_up_proj", c.width, 2 * c.inner),
      ...stack("down_proj", c.inner, c.width),
    ];
  },
  forward(net, c, prefix, layer, h, add) {
    const { rec } = net;
    const at = `${prefix}.mlp`;
    const logits = net.note(`router.${layer}`, net.linear(h, `${at}.router`)); // (N, E)
    const { weights, plan } = routeTokens(net, c, layer, logits);
    const through = (x: Tensor, name: string) => {
      const y = net.experts(x, `${at}.experts.${name}`, plan, { transposed: true });
      return expertBias(rec, y, net.weight(`${at}.experts.${name}_bias`), plan);
    };
    const inner = clampedGate(rec, through(dispatch(rec, h, plan), "gate_up_proj"), LIMIT); // (N * k, inner)
    return combine(rec, through(inner, "down_proj"), weights, plan, add ? { add } : {});
  },
};

export const method: Architecture<SparseConfig> = {
  name: "gpt_oss",
  title: "gpt-oss",
  about: "experts with biases and a clamped gate, attention with sinks, every second layer a window",
  cite: "arXiv:2508.10925",
  options: {},
  className: "GptOssForCausalLM",
  ...causalDecoder(feedForward, {
    implied: (c) => ({ ...decoderImplied(c), num_local_experts: c.experts, num_experts_per_tok: c.perToken }),
  }),

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("swiglu_limit", LIMIT);
    const bias = c.flag("attention_bias", true);
    const window = c.count("sliding_window", 128);
    const decoder = decoderConfig(json, where, {
      bias: { qkv: bias, o: bias, mlp: true },
      sinks: true,
      tied: false,
      eps: 1e-5,
      defaults: { head_dim: 64, num_key_value_heads: 8, max_position_embeddings: 131_072 },
      kinds(sizes) {
        const rope = rotary(c, { ...sizes, theta: 150_000 });
        return layerTypes(c, sizes.layers, fullEvery(2)).map((type) =>
          type === "full_attention" ? { rope } : { rope, window },
        );
      },
      keys: { attention_bias: bias },
    });
    const perToken = c.count("num_experts_per_tok", 4);
    c.only("experts_per_token", perToken);
    const experts = c.count("num_local_experts", 128);
    return expectExperts({ ...decoder, experts, perToken, expertInner: decoder.inner, normalize: true }, where);
  },
};
