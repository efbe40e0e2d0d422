import { expect, test } from "bun:test";
import { impossibleValues } from "../../src/model/config-values.ts";

const SOUND = {
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 100,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
};
const hidden = "c: hidden_size must be a positive whole number; it is ";

test.each<[object, string[]]>([
  [{}, []],
  [{ num_attention_heads: 0 }, ["c: num_attention_heads must be a positive whole number; it is 0"]],
  [{ hidden_size: -64 }, [`${hidden}-64`]],
  [{ hidden_size: 64.5 }, [`${hidden}64.5`]],
  [{ hidden_size: "64" }, [`${hidden}"64"`]],
  [{ num_hidden_layers: 1e9 }, ["c: num_hidden_layers must be at most 1000; it is 1000000000"]],
  [{ rms_norm_eps: -1e-6 }, ["c: rms_norm_eps must be a number of at least 0; it is -0.000001"]],
  [{ rope_theta: 0 }, ["c: rope_theta must be a number above 0; it is 0"]],
  [{ hidden_size: 66 }, ["c: hidden_size 66 is no multiple of the 4 heads of num_attention_heads"]],
  [{ hidden_size: 66, head_dim: 16 }, []],
  [{ num_key_value_heads: 3 }, ["c: num_attention_heads 4 is no multiple of the 3 heads of num_key_value_heads"]],
  [{ text_config: { n_head: 0 } }, ["c: text_config: n_head must be a positive whole number; it is 0"]],
  [{ num_experts: 0, num_local_experts: 0, n_inner: null, intermediate_size: [64, 128] }, []],
])("%j", (changes, found) => {
  expect(impossibleValues({ ...SOUND, ...changes }, "c")).toEqual(found);
});
