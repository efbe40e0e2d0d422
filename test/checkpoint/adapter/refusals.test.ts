import { expect, test } from "bun:test";
import fc from "fast-check";
import { applyAdapter, isAdapter } from "../../../src/checkpoint/adapter/adapter.ts";
import { UserError } from "../../../src/errors.ts";
import { HANG_MS } from "../../support/hang.ts";
import { base, type Given, held, lora } from "./fixture.ts";

const Q0 = "model.layers.0.self_attn.q_proj";
const good: Record<string, Given> = {
  [`base_model.model.${Q0}.lora_A.weight`]: { shape: [2, 4] },
  [`base_model.model.${Q0}.lora_B.weight`]: { shape: [3, 2] },
};

const refusal = async (tensors: Record<string, Given>, config: Record<string, unknown> = {}, model = base()) => {
  const error = await applyAdapter(model, lora(tensors, config)).then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
};

test("the adapter of these tests is fine as it is", async () => {
  expect((await applyAdapter(base(), lora(good))).tensors.get(`${Q0}.weight`)!.patch).toBeDefined();
});

test("tensors without a config are refused", async () => {
  await expect(applyAdapter(base(), held("a", good))).rejects.toThrow(
    "a has adapter tensors but no adapter_config.json",
  );
});

test("other kinds of adapters and variants are refused by name", async () => {
  const kinds = { HRA: "HRA", XLORA: "X-LoRA", C3A: "C3A", NEW_ONE: "NEW_ONE" };
  for (const [peft_type, kind] of Object.entries(kinds)) {
    expect(await refusal(good, { peft_type })).toBe(
      `adapter is an adapter of the kind ${kind}, which is not read here; expected LoRA`,
    );
  }
  const cases = {
    alora_invocation_tokens: [1],
    arrow_config: { a: 1 },
    kasa_config: { a: 1 },
    use_bdlora: { a: 1 },
    use_qalora: true,
    layer_replication: [[0, 2]],
  };
  for (const [field, value] of Object.entries(cases)) {
    expect(await refusal(good, { [field]: value })).toBe(`adapter uses ${field}, which cannot be applied here`);
  }
});

test("adapters whose training changed the base are refused, initialisations that did not are fine", async () => {
  for (const init of ["pissa", "pissa_niter_16", "olora", "corda", "lora_ga", "loftq"]) {
    expect(await refusal(good, { init_lora_weights: init })).toBe(
      `adapter was initialised by ${init}, which changed its base: it does not fit the original base`,
    );
  }
  for (const init of [true, false, "gaussian", "eva", "orthogonal"]) {
    await applyAdapter(base(), lora(good, { init_lora_weights: init }));
  }
});

test("adapters of other tools and kinds are refused by name, with a config or without", async () => {
  const mlx = { fine_tune_type: "lora", num_layers: 8, lora_parameters: { rank: 8, scale: 20 } };
  const tensors = { [`${Q0}.lora_a`]: { shape: [4, 2] }, [`${Q0}.lora_b`]: { shape: [2, 3] } };
  const told = (kind: string) => `m is an adapter of the kind ${kind}, which is not read here; expected LoRA`;
  const config = (value: unknown) => ({ "adapter_config.json": value });
  await expect(applyAdapter(base(), held("m", tensors, config(mlx)))).rejects.toThrow(told("MLX lora"));
  await expect(applyAdapter(base(), held("m", tensors))).rejects.toThrow(told("MLX LoRA"));
  const { fine_tune_type: _, ...older } = mlx;
  await expect(applyAdapter(base(), held("m", tensors, config(older)))).rejects.toThrow(told("MLX LoRA"));
  const gguf = held("m", { "blk.0.attn_q.weight.lora_a": { shape: [2, 4] } });
  await expect(applyAdapter(base(), gguf)).rejects.toThrow(told("GGUF LoRA"));
  const names = {
    hra_u: "HRA",
    c3a_kernel: "C3A",
    "shira_weight.default": "SHiRA",
  };
  const read = { ia3_l: "IA3", hada_w1_a: "LoHa", "lokr_w2.default": "LoKr", vera_lambda_b: "VeRA", lora_E: "AdaLoRA" };
  for (const [name, kind] of Object.entries(names)) {
    const adapter = held("m", { [`base_model.model.${Q0}.${name}`]: { shape: [3] } });
    expect(isAdapter(adapter)).toBeTrue();
    await expect(applyAdapter(base(), adapter)).rejects.toThrow(told(kind));
  }
  for (const [name, kind] of Object.entries(read))
    await expect(applyAdapter(base(), held("m", { [`${Q0}.${name}`]: { shape: [3] } }))).rejects.toThrow(
      `m has tensors of ${kind} but no adapter_config.json`,
    );
  expect(isAdapter(base())).toBeFalse();
});

test("patterns that a backtracking engine follows for ever are matched at once", async () => {
  const start = performance.now();
  const hostile = { [`${".*".repeat(15)}Q`]: 4, "(([a-z_.]|[0-9])*)*!": 4, "(x+x+)+y": 4 };
  await applyAdapter(base(), lora(good, { rank_pattern: hostile, alpha_pattern: hostile }));
  expect(performance.now() - start).toBeLessThan(HANG_MS);
});

test("an alpha of 0 gives a warning", async () => {
  const told: string[] = [];
  await applyAdapter(base(), lora(good, { lora_alpha: 0 }), { warn: (message) => told.push(message) });
  expect(told).toEqual([
    "adapter: lora_alpha is 0 in adapter_config.json: its low-rank changes are multiplied by 0 and have no effect",
  ]);
});

test("unknown tensors are refused, never left out", async () => {
  const message = (name: string) => `adapter: ${name} is not a known LoRA tensor`;
  for (const name of [
    `base_model.model.${Q0}.lora_diag`,
    `base_model.model.${Q0}.lora_A.bias`,
    `base_model.model.${Q0}.weight`,
    `base_model.model.${Q0}.base_layer.weight`,
    `base_model.model.${Q0}.bias`,
    "something",
    "__proto__",
  ]) {
    expect(await refusal(JSON.parse(JSON.stringify(good).replace(/\}$/, `,"${name}":{"shape":[3]}}`)))).toBe(
      message(name),
    );
  }
  expect(await refusal({ "m.experts.base_layer.lora_A.weight": { shape: [2, 4] } })).toBe(
    "adapter: m.experts.base_layer.lora_A.weight adapts a parameter, but adapter_config.json has no target_parameters",
  );
});

test("an adapter of another base is refused with the closest name", async () => {
  const far = JSON.parse(JSON.stringify(good).replaceAll("layers.0.self_attn", "layers.7.self_attn"));
  expect(await refusal(far)).toBe(
    `adapter changes model.layers.7.self_attn.q_proj.weight, which base does not have; the closest is ${Q0}.weight`,
  );
  const nothingLikeIt = { "zz.lora_A": { shape: [1, 1] }, "zz.lora_B": { shape: [1, 1] } };
  expect(await refusal(nothingLikeIt)).toBe("adapter changes zz.weight, which base does not have");
});

test("shapes that do not fit are refused with both", async () => {
  const wide = { ...good, [`base_model.model.${Q0}.lora_A.weight`]: { shape: [2, 5] } };
  expect(await refusal(wide)).toBe(
    `lora_A (2, 5) and lora_B (3, 2) of ${Q0} in adapter do not fit ${Q0}.weight, which is (3, 4)`,
  );
  const ranks = { ...good, [`base_model.model.${Q0}.lora_B.weight`]: { shape: [3, 1] } };
  expect(await refusal(ranks)).toContain("lora_A (2, 4) and lora_B (3, 1)");
  const none = { ...good, [`base_model.model.${Q0}.lora_A.weight`]: { shape: [0, 4] } };
  expect(await refusal(none)).toContain("lora_A (0, 4)");
  expect(await refusal(good, { fan_in_fan_out: true })).toContain("do not fit");
  expect(await refusal({ "model.norm.weight": { shape: [5] } }, { modules_to_save: ["norm"] })).toBe(
    "adapter: model.norm.weight is (5), but model.norm.weight in the base is (4)",
  );
  const magnitude = { ...good, [`base_model.model.${Q0}.lora_magnitude_vector`]: { shape: [4] } };
  expect(await refusal(magnitude, { use_dora: true })).toBe(
    `lora_magnitude_vector (4) of ${Q0} in adapter does not fit ${Q0}.weight, which has 3 outputs`,
  );
});

test("transposed shapes hint at fan_in_fan_out", async () => {
  const model = held("m", { "w.weight": { shape: [4, 3] } });
  const adapter = lora({ "w.lora_A": { shape: [2, 4] }, "w.lora_B": { shape: [3, 2] } });
  const error = (await applyAdapter(model, adapter).catch((thrown) => thrown)) as UserError;
  expect(error.hint).toBe("try fan_in_fan_out true in adapter_config.json");
});

test("incomplete and doubled factors are refused", async () => {
  const { [`base_model.model.${Q0}.lora_B.weight`]: b, ...onlyA } = good;
  expect(await refusal(onlyA)).toBe(`${Q0} in adapter has lora_A but no lora_B`);
  expect(await refusal({ [`${Q0}.lora_B`]: b! })).toBe(`${Q0} in adapter has lora_B but no lora_A`);
  expect(await refusal({ [`${Q0}.lora_magnitude_vector`]: { shape: [3] } })).toBe(
    `${Q0} in adapter has neither lora_A nor lora_B`,
  );
  expect(await refusal({ ...good, [`${Q0}.lora_A`]: { shape: [2, 4] } })).toBe(
    `adapter has two tensors for ${Q0}.lora_A`,
  );
  expect(await refusal(good, { use_dora: true })).toBe(
    `${Q0} in adapter has no lora_magnitude_vector, but use_dora is set`,
  );
});

test("values that are not numbers and bases that are not floats are refused", async () => {
  const nan = {
    ...good,
    [`base_model.model.${Q0}.lora_B.weight`]: { shape: [3, 2], values: [1, 2, Number.NaN, 4, 5, 6] },
  };
  expect(await refusal(nan)).toBe(`adapter: base_model.model.${Q0}.lora_B.weight holds NaN or infinity`);
  const model = base();
  const entry = model.tensors.get(`${Q0}.weight`)!;
  const quantized = {
    ...model,
    tensors: new Map([...model.tensors, [entry.name, { ...entry, dtype: "U8" as const }]]),
  };
  expect(await refusal(good, {}, quantized)).toBe(`${Q0}.weight is U8 and adapter adapts it, expected floats`);
});

test("a bias of B without a bias to add it to is refused", async () => {
  const model = held("m", { "w.weight": { shape: [3, 4] } });
  const tensors = {
    "w.lora_A": { shape: [2, 4] },
    "w.lora_B.weight": { shape: [3, 2] },
    "w.lora_B.bias": { shape: [3] },
  };
  expect(await refusal(tensors, { lora_bias: true }, model)).toBe(
    "adapter has a lora_B bias for w, but that layer of m has no bias to add it to",
  );
});

test("fields of the config are checked", async () => {
  const where = "adapter: adapter_config.json";
  expect(await refusal(good, { r: "8" })).toBe(`${where}: r is "8", expected a number`);
  expect(await refusal(good, { r: 0 })).toBe(`${where}: r is 0, expected a whole number from 1`);
  expect(await refusal(good, { bias: "some" })).toBe(`${where}: bias is "some", expected none, all or lora_only`);
  expect(await refusal(good, { modules_to_save: "head" })).toBe(
    `${where}: modules_to_save is "head", expected a list of names`,
  );
  expect(await refusal(good, { alpha_pattern: { "(": 1 } })).toStartWith(
    `${where}: alpha_pattern: the pattern "(" cannot be used: a group has no end`,
  );
  expect(await refusal(good, { rank_pattern: { "(a)\\1": 1 } })).toBe(
    `${where}: rank_pattern: the pattern "(a)\\\\1" cannot be used: it has a reference back`,
  );
  expect(await refusal(good, { alpha_pattern: { q: -1 } })).toBe(
    `${where}: alpha_pattern gives -1 for q, expected a number above 0`,
  );
  await expect(applyAdapter(base(), held("a", good, { "adapter_config.json": "[1]" }))).rejects.toThrow(
    "a: adapter_config.json is not a JSON object",
  );
  await expect(applyAdapter(base(), held("a", good, { "adapter_config.json": "{" }))).rejects.toThrow(
    "a: adapter_config.json is not JSON",
  );
});

test("a module that is targeted but has no tensors gives a warning", async () => {
  const told: string[] = [];
  await applyAdapter(base(), lora(good, { target_modules: ["q_proj"] }), { warn: (message) => told.push(message) });
  expect(told).toEqual(["adapter targets model.layers.1.self_attn.q_proj.weight but has no tensors for it"]);
});

test("whatever a config says, the adapter is applied or refused in words", async () => {
  const fields = ["r", "lora_alpha", "bias", "rank_pattern", "alpha_pattern", "modules_to_save", "target_modules",
    "trainable_token_indices", "init_lora_weights", "use_dora", "fan_in_fan_out", "peft_type", "layer_replication"]; // biome-ignore format: a list
  const config = fc.dictionary(fc.constantFrom(...fields), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4 });
  await fc.assert(
    fc.asyncProperty(config, async (fields) => {
      try {
        await applyAdapter(base(), lora(good, fields));
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
      }
    }),
    { numRuns: 500, seed: 7 },
  );
});
