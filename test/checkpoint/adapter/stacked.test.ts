/** Adapters of stacked experts (`target_parameters`) against PEFT's formula, written out in float64. */
import { describe, expect, test } from "bun:test";
import { applyAdapter, mergeOnCpu, patchedValues } from "../../../src/checkpoint/adapter/adapter.ts";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { loadRange } from "../../../src/tensor/load.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { type Given, held, lora, noise } from "./fixture.ts";

const E = 3;
const C = 5; // width
const I = 4; // width between an expert's matrices
const R = 2;
const SCALE = 3; // of the fixture: alpha 6 over rank 2
const AT = "model.layers.0.mlp.experts";

/** Values of a tensor of the fixture, which is `at`th of its checkpoint. */
const values = (shape: readonly number[], at: number) =>
  noise(
    shape.reduce((a, b) => a * b, 1),
    at + 1,
  );

/**
 * einsum("o r e, e r i -> e i o") of A reshaped to (E, r, x) and B to (y, r, E), as PEFT computes the change of a
 * parameter that is read as (E, in, out); the change is (E, x, y).
 */
function change(a: Float32Array, b: Float32Array, x: number): (e: number, i: number, o: number) => number {
  return (e, i, o) => {
    let sum = 0;
    for (let r = 0; r < R; r++) sum += b[(o * R + r) * E + e]! * a[(e * R + r) * x + i]!;
    return SCALE * sum;
  };
}

const pair = (key: string, x: number, y: number): Record<string, Given> => ({
  [`base_model.model.${key}.lora_A.weight`]: { shape: [E * R, x] },
  [`base_model.model.${key}.lora_B.weight`]: { shape: [y, E * R] },
});

const BOTH = { target_parameters: ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"] };

const oneByOne = (c = C, inner = I, model_type = "qwen3_moe"): Checkpoint =>
  held(
    "base",
    Object.fromEntries(
      Array.from({ length: E }, (_, e) => [
        [`${AT}.${e}.gate_proj.weight`, { shape: [inner, c] }],
        [`${AT}.${e}.up_proj.weight`, { shape: [inner, c] }],
        [`${AT}.${e}.down_proj.weight`, { shape: [c, inner] }],
      ]).flat(),
    ),
    { "config.json": { model_type } },
  );

/** Compares every expert's matrices with base + wanted(expert, out, in). */
async function check(
  base: Checkpoint,
  adapted: Checkpoint,
  wanted: { readonly gateUp: (e: number, o: number, i: number) => number; readonly down: typeof wanted.gateUp },
  [c, inner]: readonly [number, number] = [C, I],
) {
  const of = async (name: string) => [
    await mergeOnCpu(base.tensors.get(name)!),
    await mergeOnCpu(adapted.tensors.get(name)!),
  ];
  const compare = async (name: string, columns: number, by: (o: number, i: number) => number) => {
    const [old, found] = await of(name);
    for (const [at, x] of found!.entries())
      expect(x).toBeCloseTo(old![at]! + by(Math.floor(at / columns), at % columns), 5);
  };
  for (let e = 0; e < E; e++) {
    await compare(`${AT}.${e}.gate_proj.weight`, c, (o, i) => wanted.gateUp(e, o, i));
    await compare(`${AT}.${e}.up_proj.weight`, c, (o, i) => wanted.gateUp(e, inner + o, i));
    await compare(`${AT}.${e}.down_proj.weight`, inner, (o, i) => wanted.down(e, o, i));
  }
}

const NONE = () => 0;

describe("on experts that the base has one by one", () => {
  test("gate_up_proj is the inner of two, and its rows are gate's, then up's", async () => {
    const given = { ...pair(`${AT}.base_layer`, C, 2 * I), ...pair(AT, I, C) };
    const base = oneByOne();
    const adapted = await applyAdapter(base, lora(given, BOTH));
    const gateUp = change(values([E * R, C], 0), values([2 * I, E * R], 1), C);
    const down = change(values([E * R, I], 2), values([C, E * R], 3), I);
    await check(base, adapted, { gateUp: (e, o, i) => gateUp(e, i, o), down: (e, o, i) => down(e, i, o) });
  });

  test("one alone has no inner", async () => {
    const base = oneByOne();
    const adapted = await applyAdapter(base, lora(pair(AT, I, C), { target_parameters: ["experts.down_proj"] }));
    const down = change(values([E * R, I], 0), values([C, E * R], 1), I);
    await check(base, adapted, { gateUp: NONE, down: (e, o, i) => down(e, i, o) });
  });

  test("as PEFT up to 0.18 wrote them, inputs and outputs are changed over", async () => {
    const base = oneByOne();
    const given = { ...pair(`${AT}.base_layer`, 2 * I, C), ...pair(AT, C, I) };
    const adapted = await applyAdapter(base, lora(given, BOTH));
    const gateUp = change(values([E * R, 2 * I], 0), values([C, E * R], 1), 2 * I);
    const down = change(values([E * R, C], 2), values([I, E * R], 3), C);
    await check(base, adapted, { gateUp: (e, o, i) => gateUp(e, o, i), down: (e, o, i) => down(e, o, i) });
  });

  test("where a matrix is square, the version that wrote it decides", async () => {
    const [c, base] = [I, oneByOne(I, I)];
    const settings = { target_parameters: ["experts.down_proj"] };
    const apply = (more: object) => applyAdapter(base, lora(pair(AT, c, c), { ...settings, ...more }));
    const down = change(values([E * R, c], 0), values([c, E * R], 1), c);
    await check(base, await apply({ peft_version: "0.19.1" }), { gateUp: NONE, down: (e, o, i) => down(e, i, o) }, [
      c,
      I,
    ]);
    await check(base, await apply({ peft_version: "0.18.0" }), { gateUp: NONE, down: (e, o, i) => down(e, o, i) }, [
      c,
      I,
    ]);
    expect(apply({})).rejects.toThrow(
      `${AT}.down_proj in adapter: which of its sides are inputs cannot be told of a square matrix without peft_version`,
    );
  });

  test("another adapter on top adds its own", async () => {
    const base = oneByOne();
    const one = lora(pair(AT, I, C), { target_parameters: ["experts.down_proj"] });
    const twice = await applyAdapter(await applyAdapter(base, one), one);
    const down = change(values([E * R, I], 0), values([C, E * R], 1), I);
    await check(base, twice, { gateUp: NONE, down: (e, o, i) => 2 * down(e, i, o) });
  });
});

describe("on a stack (E, in, out), as gpt-oss has it", () => {
  const stacked = (dtype: "F32" | "BF16" = "F32") =>
    held("base", { [`${AT}.down_proj`]: { shape: [E, I, C], dtype } }, { "config.json": { model_type: "gpt_oss" } });
  const adapter = lora(pair(AT, I, C), { target_parameters: ["mlp.experts.down_proj"] });

  test("on the host, and in ranges on the GPU, once and twice", async () => {
    const base = stacked();
    const once = await applyAdapter(base, adapter);
    const twice = await applyAdapter(once, adapter);
    const down = change(values([E * R, I], 0), values([C, E * R], 1), I);
    const plain = values([E, I, C], 0);
    const gpu = await sharedGpu();
    for (const [times, { tensors }] of [once, twice].entries()) {
      const entry = tensors.get(`${AT}.down_proj`)!;
      const wanted = plain.map((x, at) => {
        const [e, i, o] = [Math.floor(at / (I * C)), Math.floor(at / C) % I, at % C];
        return x + (times + 1) * down(e, i, o);
      });
      for (const [at, x] of (await patchedValues(entry)).entries()) expect(x).toBeCloseTo(wanted[at]!, 5);
      using into = gpu.buffer(256, "range");
      await loadRange(gpu, entry, 7, 30, "F32", into.buffer, 0);
      for (const [at, x] of (await gpu.readFloats(into.buffer, 30)).entries())
        expect(x).toBeCloseTo(wanted[7 + at]!, 5);
    }
  });
});

test("what does not fit is refused", async () => {
  const refused = async (given: Record<string, Given>, config: object, base = oneByOne()) => {
    try {
      await applyAdapter(base, lora(given, { ...config }));
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(await refused(pair(AT, I + 1, C), { target_parameters: ["experts.down_proj"] })).toBe(
    `lora_A (6, 5) and lora_B (5, 6) of ${AT}.down_proj in adapter do not fit 3 experts of (5, 4)`,
  );
  expect(await refused(pair(`${AT}.base_layer`, C, 2 * I), { target_parameters: ["experts.down_proj"] })).toBe(
    `adapter: ${AT}.base_layer adapts a parameter that target_parameters of adapter_config.json does not name`,
  );
  const dora = { [`base_model.model.${AT}.lora_magnitude_vector`]: { shape: [C] } };
  expect(await refused({ ...pair(AT, I, C), ...dora }, { target_parameters: ["experts.down_proj"] })).toBe(
    `${AT}.down_proj in adapter has tensors besides lora_A and lora_B, which PEFT has not for a parameter`,
  );
  expect(
    await refused(pair(AT, I, C), { target_parameters: ["experts.down_proj"] }, oneByOne(C, I, "llama")),
  ).toContain(`adapter changes ${AT}.down_proj, which base does not have`);
});
