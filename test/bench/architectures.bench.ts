/**
 * A training step (forward, backward, AdamW) of every architecture that writes text, beside that of a Llama of the same
 * sizes, and beside its share of the arithmetic.
 *
 *   bun test/bench/architectures.bench.ts [--device NAME] [--rounds N] [name...]
 *
 * Hidden 256, 4 layers, 8 heads, vocabulary 512, 2 rows of 128 tokens; experts are 4, of which 2 answer. The models
 * take turns, since the speed of a shared machine drifts, and the least of each counts. The share is the number of
 * weights in products that a token takes part in, over Llama's.
 */
import { collate } from "../../src/data/batch.ts";
import { openGpu } from "../../src/gpu/gpu.ts";
import { loadMethods } from "../../src/method/registry.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { table } from "../../src/text/table.ts";
import { trainerOf } from "./small-training.ts";

const argv = process.argv.slice(2);
const option = (name: string): string | undefined => {
  const at = argv.indexOf(name);
  return at < 0 ? undefined : argv.splice(at, 2)[1];
};
const device = option("--device");
const ROUNDS = Number(option("--rounds") ?? 5);
const [ROWS, LENGTH, CHOSEN, EXPERTS] = [2, 128, 2, 4];

const SIZES = {
  ...{ hidden_size: 256, intermediate_size: 688, num_hidden_layers: 4, num_attention_heads: 8, vocab_size: 512 },
  ...{ num_key_value_heads: 8, max_position_embeddings: 256, sliding_window: 64, head_dim: 32 },
  ...{ n_embd: 256, n_inner: 1032, n_layer: 4, n_head: 8, n_positions: 256 },
};
/** Experts of half the width of Llama's feed-forward network, so that those of a token make one. */
const ROUTED = { moe_intermediate_size: 344, num_experts_per_tok: CHOSEN, num_experts: EXPERTS };
const LOCAL = { intermediate_size: 344, num_experts_per_tok: CHOSEN, num_local_experts: EXPERTS };
const GROUPED = {
  ...{ moe_intermediate_size: 344, num_experts_per_tok: CHOSEN, n_routed_experts: EXPERTS, n_shared_experts: null },
  ...{ first_k_dense_replace: 0, n_group: 1, topk_group: 1 },
};
const LATENT = {
  ...{ q_lora_rank: null, kv_lora_rank: 64, qk_nope_head_dim: 32, qk_rope_head_dim: 16, v_head_dim: 32, head_dim: 16 },
};
const DELTA = {
  ...{ linear_num_key_heads: 4, linear_num_value_heads: 8, linear_key_head_dim: 32, linear_value_head_dim: 32 },
};
const OWN: Readonly<Record<string, Json>> = {
  mixtral: LOCAL,
  gpt_oss: LOCAL,
  olmoe: { intermediate_size: 344, num_experts_per_tok: CHOSEN, num_experts: EXPERTS },
  qwen2_moe: { ...ROUTED, shared_expert_intermediate_size: 344 },
  qwen3_moe: ROUTED,
  glm4_moe: GROUPED,
  deepseek_v2: { ...GROUPED, ...LATENT },
  deepseek_v3: { ...GROUPED, ...LATENT, q_lora_rank: 128 },
  gpt_neox: { intermediate_size: 1032 },
  qwen3_next: { ...ROUTED, ...DELTA, shared_expert_intermediate_size: 344 },
  qwen3_5_text: DELTA,
  qwen3_5_moe_text: { ...ROUTED, ...DELTA, shared_expert_intermediate_size: 344 },
};

const ids = (row: number) => Int32Array.from({ length: LENGTH }, (_, i) => (row * 7919 + i * i * 31 + i) % 512);
const batch = collate(
  Array.from({ length: ROWS }, (_, row) => [{ ids: ids(row), labels: ids(row), group: 0, place: `${row}` }]),
);
const gpu = await openGpu({ device });

/** Weights in products of one token: the head, and of experts the share that answers. */
function productsOf(model: Model): number {
  let sum = 0;
  const tied = ![...model.parameters.keys()].some((name) => /lm_head|embed_out/.test(name));
  for (const { name, shape } of model.parameters.values()) {
    const count = shape.reduce((a, b) => a * b, 1);
    if (shape.length < 2) continue;
    const experts = /experts/.test(name) && !/shared/.test(name);
    const positions = /wpe/.test(name);
    const table = /embed_tokens|embed_in|wte/.test(name);
    sum += positions || (table && !tied) ? 0 : count * (experts ? CHOSEN / EXPERTS : 1);
  }
  return sum;
}

const all = (await loadMethods("architecture")).filter(({ task }) => task === "causal-lm");
const names = all.map(({ name }) => name).filter((name) => argv.length === 0 || argv.includes(name));
const models = await Promise.all(
  ["llama", ...names.filter((name) => name !== "llama")].map(async (name) => {
    const json = { ...SIZES, ...OWN[name], model_type: name };
    const model = await Model.fresh(gpu, json, name, { seed: 0 });
    const trainer = await trainerOf(gpu, model, crossEntropyObjective(model));
    return { name, trainer, products: productsOf(model), least: Number.POSITIVE_INFINITY };
  }),
);
for (let round = 0; round <= ROUNDS; round++)
  for (const one of models) {
    const start = performance.now();
    await (await one.trainer.step(round + 1, 1e-3, [batch])).result;
    if (round > 0) one.least = Math.min(one.least, performance.now() - start); // the first compiles
  }
const [llama] = models;
const rows = models.map(({ name, least, products }) => {
  const [time, share] = [least / llama!.least, products / llama!.products];
  return [name, `${least.toFixed(0)} ms`, time.toFixed(2), share.toFixed(2), (time / share).toFixed(2)];
});
process.stdout.write(
  `${table([["architecture", "step", "time / Llama", "arithmetic", "time / arithmetic"], ...rows])}\n`,
);
process.exit(0);
