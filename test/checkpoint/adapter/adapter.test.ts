import { describe, expect, test } from "bun:test";
import path from "node:path";
import { applyAdapter, isAdapter, mergeOnCpu } from "../../../src/checkpoint/adapter/adapter.ts";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { open, openPlain } from "../../../src/checkpoint/open.ts";
import { lowRankOf } from "../../support/lora.ts";
import { base, held, lora, noise, product, transpose } from "./fixture.ts";

const GOLDEN = path.join(import.meta.dir, "../../golden/train");
const Q0 = "model.layers.0.self_attn.q_proj";
const Q1 = "model.layers.1.self_attn.q_proj";

const merged = (checkpoint: Checkpoint, name: string): Promise<Float32Array> =>
  mergeOnCpu(checkpoint.tensors.get(name)!);

function expectClose(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-6): void {
  expect(found.length).toBe(expected.length);
  for (let i = 0; i < found.length; i++) expect(Math.abs(found[i]! - expected[i]!)).toBeLessThanOrEqual(tolerance);
}

const added = (weight: ArrayLike<number>, delta: ArrayLike<number>, scale: number): number[] =>
  Array.from(weight, (value, i) => value + scale * delta[i]!);

for (const name of ["lora-basic", "lora-dora"]) {
  test(`${name} merges to what PEFT merges to`, async () => {
    const { tolerance, merged_tensors: names } = await Bun.file(path.join(GOLDEN, name, "case.json")).json();
    const checkpoint = await open(`${path.join(GOLDEN, "lora-base")}+${path.join(GOLDEN, name)}`);
    const plain = await openPlain(path.join(GOLDEN, "lora-base"));
    const expected = await openPlain(path.join(GOLDEN, name, "expected.safetensors"));
    const patched = [...checkpoint.tensors.values()].filter(({ patch }) => patch !== undefined);
    expect(patched.map((entry) => entry.name).sort()).toEqual([...names].sort());
    for (const tensor of names as string[]) {
      const reference = await merged(expected, `merged.${tensor}`);
      const largest = reference.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expectClose(await merged(checkpoint, tensor), reference, tolerance.merged_rel_to_tensor_max * largest);
      const before = await merged(plain, tensor);
      expect(before.some((value, i) => Math.abs(value - reference[i]!) > 1e-3 * largest)).toBe(true);
    }
    for (const opened of [checkpoint, plain, expected]) opened.close();
  });
}

describe("scale", () => {
  const tensors = {
    [`base_model.model.${Q0}.lora_A.weight`]: { shape: [2, 4] },
    [`base_model.model.${Q0}.lora_B.weight`]: { shape: [3, 2] },
    [`base_model.model.${Q1}.lora_A.weight`]: { shape: [4, 4] },
    [`base_model.model.${Q1}.lora_B.weight`]: { shape: [3, 4] },
  };
  const scales = async (config: Record<string, unknown>) => {
    const result = await applyAdapter(base(), lora(tensors, config));
    return [Q0, Q1].map((module) => lowRankOf(result.tensors.get(`${module}.weight`)).scale);
  };

  test("is alpha / r with the rank of the tensor, alpha / sqrt(r) for rsLoRA", async () => {
    expect(await scales({})).toEqual([3, 1.5]);
    expect(await scales({ use_rslora: true })).toEqual([6 / Math.SQRT2, 3]);
  });

  test("takes alpha from the first pattern that fits the end of the module's name", async () => {
    expect(await scales({ alpha_pattern: { q_proj: 8, [Q1]: 100 } })).toEqual([4, 2]);
    expect(await scales({ alpha_pattern: { [Q1]: 100, q_proj: 8 } })).toEqual([4, 25]);
    expect(await scales({ alpha_pattern: { "layers\\.1\\..*q_proj": 8, proj: 100 } })).toEqual([3, 2]);
    expect(await scales({ alpha_pattern: { "^model.layers.(0|7).self_attn.q_proj": 8 } })).toEqual([4, 1.5]);
  });

  test("a rank other than the config's gives a warning, one that rank_pattern explains does not", async () => {
    const told: string[] = [];
    await applyAdapter(base(), lora(tensors), { warn: (message) => told.push(message) });
    expect(told).toEqual([`${Q1} has rank 4 in adapter, its config says 2; the tensors count`]);
    told.length = 0;
    await applyAdapter(base(), lora(tensors, { rank_pattern: { "1.self_attn.q_proj": 4 } }), {
      warn: (message) => told.push(message),
    });
    expect(told).toEqual([]);
  });
});

describe("layouts", () => {
  const [a, b, weight] = [noise(8, 21), noise(6, 22), noise(12, 23)];
  const delta = product(b, a, 2); // (3, 4)

  test("fan_in_fan_out adds the transposed change to weights stored (in, out)", async () => {
    const gpt2 = held("gpt2", {
      "transformer.h.0.attn.c_attn.weight": { shape: [4, 3], values: transpose(weight, 4) },
    });
    const adapter = lora(
      {
        "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight": { shape: [2, 4], values: a },
        "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight": { shape: [3, 2], values: b },
      },
      { fan_in_fan_out: true },
    );
    const found = await merged(await applyAdapter(gpt2, adapter), "transformer.h.0.attn.c_attn.weight");
    expectClose(found, transpose(added(weight, delta, 3), 4));

    const short = held("gpt2", { "h.0.attn.c_attn.weight": { shape: [4, 3], values: transpose(weight, 4) } });
    expectClose(await merged(await applyAdapter(short, adapter), "h.0.attn.c_attn.weight"), found);
  });

  test("an embedding's change is (B A) transposed, tensor names without .weight", async () => {
    const adapter = lora({
      "base_model.model.model.embed_tokens.lora_embedding_A": { shape: [2, 6], values: noise(12, 4) },
      "base_model.model.model.embed_tokens.lora_embedding_B": { shape: [4, 2], values: noise(8, 5) },
    });
    const model = base({ tie_word_embeddings: false });
    const before = await merged(model, "model.embed_tokens.weight");
    const change = transpose(product(noise(8, 5), noise(12, 4), 2), 6); // (6, 4)
    expectClose(
      await merged(await applyAdapter(model, adapter), "model.embed_tokens.weight"),
      added(before, change, 3),
    );
  });

  test("a convolution is a matrix of (out, in * height * width)", async () => {
    const model = held("vision", { "conv.weight": { shape: [3, 1, 2, 2], values: weight } });
    const adapter = lora({
      "base_model.model.conv.lora_A.weight": { shape: [2, 1, 2, 2], values: a },
      "base_model.model.conv.lora_B.weight": { shape: [3, 2, 1, 1], values: b },
    });
    expectClose(await merged(await applyAdapter(model, adapter), "conv.weight"), added(weight, delta, 3));
  });

  test("every form of key means the same", async () => {
    const forms: [string, string, string][] = [
      ["base_model.model.", ".lora_A.weight", ".lora_B.weight"],
      ["base_model.model.", ".lora_A.default.weight", ".lora_B.default.weight"],
      ["", ".lora_A.weight", ".lora_B.weight"],
      ["", ".lora_A", ".lora_B"],
    ];
    for (const [prefix, suffixA, suffixB] of forms) {
      const adapter = lora({
        [prefix + Q0 + suffixA]: { shape: [2, 4], values: a },
        [prefix + Q0 + suffixB]: { shape: [3, 2], values: b },
      });
      const before = await merged(base(), `${Q0}.weight`);
      expectClose(await merged(await applyAdapter(base(), adapter), `${Q0}.weight`), added(before, delta, 3));
    }
  });
});

describe("DoRA", () => {
  const rowNorms = (weight: Float32Array, width: number) =>
    Array.from({ length: weight.length / width }, (_, r) => Math.hypot(...weight.subarray(r * width, (r + 1) * width)));

  test("a fresh adapter (B = 0, magnitude = row norms) changes nothing, also on transposed weights", async () => {
    for (const transposed of [false, true]) {
      const weight = noise(12, 9);
      const model = held("m", {
        "w.weight": { shape: transposed ? [4, 3] : [3, 4], values: transposed ? transpose(weight, 4) : weight },
      });
      const adapter = lora(
        {
          "w.lora_A.weight": { shape: [2, 4] },
          "w.lora_B.weight": { shape: [3, 2], values: [0, 0, 0, 0, 0, 0] },
          "w.lora_magnitude_vector": { shape: [3], values: rowNorms(weight, 4) },
        },
        { use_dora: true, fan_in_fan_out: transposed },
      );
      expectClose(await merged(await applyAdapter(model, adapter), "w.weight"), await merged(model, "w.weight"), 3e-7);
    }
  });

  test("rows of the result are as long as the magnitude says; a row of zeros stays zero", async () => {
    const model = held("m", { "w.weight": { shape: [3, 4], values: [...noise(8, 3), 0, 0, 0, 0] } });
    const adapter = lora(
      {
        "w.lora_A.weight": { shape: [2, 4] },
        "w.lora_B.weight": { shape: [3, 2], values: [1, 2, 3, 4, 0, 0] },
        "w.lora_magnitude_vector.default.weight": { shape: [3], values: [2, 5, 7] },
      },
      { use_dora: true },
    );
    expectClose(rowNorms(await merged(await applyAdapter(model, adapter), "w.weight"), 4), [2, 5, 0], 1e-5);
  });
});

test("two adapters in turn add both changes, and DoRA with another on the same weight is refused", async () => {
  const one = {
    [`${Q0}.lora_A.weight`]: { shape: [2, 4], values: noise(8, 1) },
    [`${Q0}.lora_B.weight`]: { shape: [3, 2], values: noise(6, 2) },
  };
  const two = {
    [`${Q0}.lora_A.weight`]: { shape: [1, 4], values: noise(4, 3) },
    [`${Q0}.lora_B.weight`]: { shape: [3, 1], values: noise(3, 4) },
  };
  const dora = { ...one, [`${Q0}.lora_magnitude_vector`]: { shape: [3] } };
  const before = await merged(base(), `${Q0}.weight`);
  const result = await applyAdapter(await applyAdapter(base(), lora(one)), lora(two, { r: 1 }));
  expect(result.tensors.get(`${Q0}.weight`)!.patch).toMatchObject({ rank: 3, scale: 1 });
  const expected = added(
    added(before, product(noise(6, 2), noise(8, 1), 2), 3),
    product(noise(3, 4), noise(4, 3), 1),
    6,
  );
  expectClose(await merged(result, `${Q0}.weight`), expected);
  expect(result.ref).toBe("base+adapter+adapter");

  const refusal = `late and an adapter before it both change ${Q0}.weight, and one of them is DoRA`;
  const first = await applyAdapter(base(), lora(one));
  await expect(applyAdapter(first, lora(dora, { use_dora: true }, "late"))).rejects.toThrow(refusal);
  const second = await applyAdapter(base(), lora(dora, { use_dora: true }));
  await expect(applyAdapter(second, lora(one, {}, "late"))).rejects.toThrow(refusal);
});

test("the result is rounded once to the base's dtype", async () => {
  const model = held("m", { "w.weight": { shape: [1, 1], values: [1], dtype: "BF16" } });
  const small = (alpha: number) =>
    lora(
      { "w.lora_A": { shape: [2, 1], values: [1, 0] }, "w.lora_B": { shape: [1, 2], values: [1, 0] } },
      { lora_alpha: alpha },
    );
  const twice = await applyAdapter(await applyAdapter(model, small(2 ** -8)), small(2 ** -8));
  expect([...(await merged(await applyAdapter(model, small(2 ** -8)), "w.weight"))]).toEqual([1]); // 1 + 2^-9
  expect([...(await merged(await applyAdapter(model, small(3 * 2 ** -8)), "w.weight"))]).toEqual([1 + 2 ** -7]);
  expect([...(await merged(twice, "w.weight"))]).toEqual([1]); // 1 + 2^-8 is a tie, to even
});

test("an adapter is known by its config or its tensors", () => {
  expect(isAdapter(lora({}))).toBe(true);
  expect(isAdapter(held("a", { "x.lora_A.weight": { shape: [1, 1] } }))).toBe(true);
  expect(isAdapter(base())).toBe(false);
});

test("closing the result closes both", async () => {
  const closed: string[] = [];
  const tracked = (checkpoint: Checkpoint): Checkpoint => ({ ...checkpoint, close: () => closed.push(checkpoint.ref) });
  (await applyAdapter(tracked(base()), tracked(lora({})))).close();
  expect(closed.sort()).toEqual(["adapter", "base"]);
});
