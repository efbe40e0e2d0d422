/** What Gemma 2 and 3 share. https://arxiv.org/abs/2408.00118, https://arxiv.org/abs/2503.19786 */
import { decodeFloats, encodeFloats } from "../../checkpoint/decode.ts";
import type { ConfigReader } from "../config.ts";
import type { DecoderOwn } from "./decoder-config.ts";

/** sqrt(width) in the dtype that config.json gives the weights, as Gemma's embedding was trained with. */
function embeddingScale(c: ConfigReader): number {
  const exact = Float32Array.of(Math.sqrt(c.count("hidden_size")));
  const name = c.text("dtype") ?? c.text("torch_dtype");
  const dtype = name === "bfloat16" ? "BF16" : name === "float16" ? "F16" : "F32";
  return decodeFloats(encodeFloats(exact, dtype), dtype)[0]!;
}

/** Traits of both; `caps` are those of a config that does not say. Throws UserError. */
export function gemma(c: ConfigReader, caps: { readonly scores?: number; readonly logits?: number }) {
  const above = { least: 0, open: true };
  const cap = (key: string, fallback: number | undefined) =>
    c.isNull(key) || (fallback === undefined && !c.has(key)) ? undefined : c.number(key, fallback, above);
  const bias = c.flag("attention_bias", false);
  const scalar = c.number("query_pre_attn_scalar", 256, above);
  const found = {
    scores: cap("attn_logit_softcapping", caps.scores),
    logits: cap("final_logit_softcapping", caps.logits),
  };
  c.only("hidden_activation", "gelu_pytorch_tanh");
  c.has("hidden_act"); // of older files, and not what decides
  return {
    bias: { qkv: bias, o: bias, mlp: false },
    norm: "rms-plus-one",
    norms: {
      attention: { before: "input_layernorm", after: "post_attention_layernorm" },
      feedForward: { before: "pre_feedforward_layernorm", after: "post_feedforward_layernorm" },
    },
    activation: "gelu-tanh",
    attentionScale: scalar ** -0.5,
    caps: found,
    multipliers: { embedding: embeddingScale(c), residual: 1, logits: 1 },
    tied: true,
    keys: {
      hidden_activation: "gelu_pytorch_tanh",
      attention_bias: bias,
      query_pre_attn_scalar: scalar,
      attn_logit_softcapping: found.scores ?? null,
      final_logit_softcapping: found.logits ?? null,
    },
  } as const satisfies DecoderOwn;
}
