/** Types of PEFT that are read as another type: what they fold to, and that LoRA's commands take them. */
import { expect, test } from "bun:test";
import { applyAdapter, mergeOnCpu } from "../../../src/checkpoint/adapter/adapter.ts";
import { translated } from "../../../src/checkpoint/adapter/translated.ts";
import { readAdapter } from "../../../src/checkpoint/adapter/value.ts";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { base, held, noise } from "./fixture.ts";

const P = "base_model.model.";
const [Q0, Q1] = ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"] as const;
const EMBED = "model.embed_tokens";
const merged = async (checkpoint: Checkpoint, name: string) => [...(await mergeOnCpu(checkpoint.tensors.get(name)!))];
const file = (config: Record<string, unknown>, tensors: Parameters<typeof held>[1], ref = "adapter") =>
  held(ref, tensors, { "adapter_config.json": config });

/** The tensors of AdaLoRA of one module. */
const svd = (module: string, rank: number, seed: number) => ({
  [`${P}${module}.lora_A`]: { shape: [rank, 4], values: noise(rank * 4, seed) },
  [`${P}${module}.lora_B`]: { shape: [3, rank], values: noise(3 * rank, seed + 1) },
  [`${P}${module}.lora_E`]: { shape: [rank, 1], values: noise(rank, seed + 2) },
});

/** W + s B (E A) in f64. */
const changed = (weight: readonly number[], rank: number, seed: number, scale: number) => {
  const [a, b, e] = [noise(rank * 4, seed), noise(3 * rank, seed + 1), noise(rank, seed + 2)];
  return weight.map((x, at) => {
    const [o, i] = [Math.floor(at / 4), at % 4];
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += b[o * rank + r]! * e[r]! * a[r * 4 + i]!;
    return x + scale * sum;
  });
};

const ADALORA = {
  peft_type: "ADALORA",
  ...{ r: 8, target_r: 2, init_r: 5, lora_alpha: 7, tinit: 0, beta1: 0.85 },
  // As PEFT writes which ranks are kept.
  rank_pattern: {
    [`${Q0}.lora_E`]: [true, false, true, true, false],
    [`${Q1}.lora_E`]: [true, false, false, false, false],
  },
  target_modules: ["q_proj"],
};

test("AdaLoRA: alpha / init_r B (E A) of the ranks that are left", async () => {
  const adapter = file(ADALORA, { ...svd(Q0, 3, 40), ...svd(Q1, 1, 50) });
  const told: string[] = [];
  const found = await applyAdapter(base(), adapter, { warn: (text) => told.push(text) });
  expect(told).toEqual([]);
  for (const [module, rank, seed] of [
    [Q0, 3, 40],
    [Q1, 1, 50],
  ] as const) {
    const wanted = changed(await merged(base(), `${module}.weight`), rank, seed, 7 / (5 + 1e-5));
    for (const [i, x] of (await merged(found, `${module}.weight`)).entries()) expect(x).toBeCloseTo(wanted[i]!, 6);
  }
  const value = readAdapter(await translated(adapter));
  expect([...value.modules.values()].map(({ rank }) => rank)).toEqual([3, 1]);
  expect(Object.keys(value.json)).not.toContain("init_r");
});

test("AdaLoRA without an alpha takes its rank, and a module that lost all ranks stays", async () => {
  const empty = {
    [`${P}${Q1}.lora_A`]: { shape: [0, 4], values: [] },
    [`${P}${Q1}.lora_B`]: { shape: [3, 0], values: [] },
    [`${P}${Q1}.lora_E`]: { shape: [0, 1], values: [] },
  };
  const found = await applyAdapter(base(), file({ ...ADALORA, lora_alpha: 0 }, { ...svd(Q0, 3, 40), ...empty }));
  const wanted = changed(await merged(base(), `${Q0}.weight`), 3, 40, 3 / (5 + 1e-5));
  for (const [i, x] of (await merged(found, `${Q0}.weight`)).entries()) expect(x).toBeCloseTo(wanted[i]!, 6);
  expect(await merged(found, `${Q1}.weight`)).toEqual(await merged(base(), `${Q1}.weight`));
});

test("LayerNorm tuning replaces norms", async () => {
  for (const middle of ["ln_tuning_layers", "ln_tuning_layers.default"]) {
    const tensors = { [`${P}model.norm.${middle}.weight`]: { shape: [4], values: [1, 2, 3, 4] } };
    const found = await applyAdapter(base(), file({ peft_type: "LN_TUNING", target_modules: ["norm"] }, tensors));
    expect(await merged(found, "model.norm.weight")).toEqual([1, 2, 3, 4]);
  }
});

test("trainable tokens replace rows, and leave a tie alone", async () => {
  const tensors = { [`${P}${EMBED}.trainable_tokens_delta`]: { shape: [2, 4], values: [1, 2, 3, 4, 5, 6, 7, 8] } };
  const config = { peft_type: "TRAINABLE_TOKENS", token_indices: [5, 0], target_modules: ["embed_tokens"] };
  const model = base({ tie_word_embeddings: true });
  const found = await applyAdapter(model, file(config, tensors));
  const wanted = await merged(model, `${EMBED}.weight`);
  wanted.splice(20, 4, 1, 2, 3, 4);
  wanted.splice(0, 4, 5, 6, 7, 8);
  expect(await merged(found, `${EMBED}.weight`)).toEqual(wanted);
  expect(found.tensors.has("lm_head.weight")).toBe(false);
});

test("P-tuning is prompt tuning, and cannot fold", async () => {
  const config = { peft_type: "P_TUNING", num_virtual_tokens: 2, encoder_hidden_size: 8 };
  const adapter = file(config, { prompt_embeddings: { shape: [2, 4] } });
  await expect(applyAdapter(base(), adapter)).rejects.toThrow(
    "Prompt tuning, which stands before every sequence and changes no weight",
  );
  const { live } = await applyAdapter(base(), adapter, { live: true });
  expect(JSON.parse(new TextDecoder().decode(live!.files.get("adapter_config.json"))).peft_type).toBe("PROMPT_TUNING");
});

test("files that are damaged are refused", async () => {
  const whole = svd(Q0, 3, 40);
  const { [`${P}${Q0}.lora_E`]: _, ...short } = whole;
  const refused = (tensors: Parameters<typeof held>[1], config: Record<string, unknown> = ADALORA) =>
    expect(applyAdapter(base(), file(config, tensors))).rejects;
  await refused(short).toThrow("not all of lora_A, lora_B and lora_E");
  await refused({ ...whole, [`${P}${Q0}.lora_E`]: { shape: [2, 1] } }).toThrow("do not go together");
  await refused(whole, { ...ADALORA, init_r: "5" }).toThrow("init_r");
  await refused({ [`${P}model.norm.weight`]: { shape: [4] } }, { peft_type: "LN_TUNING" }).toThrow("not a known LoRA");
  await expect(applyAdapter(base(), { ...file(ADALORA, whole), kind: "stream" })).rejects.toThrow("as a stream");
});
