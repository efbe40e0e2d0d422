/** PyTorch's generator: published words and values, and projections of VeRA that a file leaves out. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../../src/checkpoint/adapter/adapter.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { mersenneTwister, uniformFrom } from "../../../src/model/adapters/torch-random.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { held } from "../../checkpoint/adapter/fixture.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-torch-"));
afterAll(() => rmSync(made, { recursive: true }));

test("the words of mt19937", () => {
  const word = mersenneTwister(5489);
  for (let i = 1; i < 10_000; i++) word();
  expect(word()).toBe(4123659995); // what the C++ standard says of the 10000th
  expect(mersenneTwister(2 ** 32 + 7)()).toBe(mersenneTwister(7)());
});

test.each([
  [0, [0.4963, 0.7682, 0.0885, 0.132, 0.3074]],
  [42, [0.8823, 0.915, 0.3829, 0.9593, 0.3904, 0.6009]],
] as const)("what torch.rand prints after torch.manual_seed(%d)", (seed, wanted) => {
  const word = mersenneTwister(seed);
  expect(wanted.map(() => Number(((word() & 0xffffff) / 2 ** 24).toFixed(4)))).toEqual([...wanted]);
});

test("the weight of nn.Linear(2, 2) after torch.manual_seed(0)", () => {
  const found = uniformFrom(mersenneTwister(0), 4, 1 / Math.SQRT2);
  for (const [i, x] of [-0.0053, 0.3793, -0.582, -0.5204].entries()) expect(found[i]!).toBeCloseTo(x, 4);
});

test("a file of VeRA without projections runs and folds with those of its key", async () => {
  const json = TINY_TEXT.llama!;
  const fresh = await Model.fresh(gpu, json, "base", { seed: 4 });
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(fresh, `${join(made, "base")}/`, { files, lineage: [] });
  fresh.free();
  const base = await open(join(made, "base"));
  const [q, down] = ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"] as const;
  const sides = (module: string) => base.tensors.get(`${module}.weight`)!.shape as [number, number];
  const rank = 3;
  const [[qOut, qIn], [downOut, downIn]] = [sides(q), sides(down)];
  expect(qIn).not.toBe(downIn);
  const [into, out] = [Math.max(qIn, downIn), Math.max(qOut, downOut)];
  // A (3, widest input) first, then B (widest output, 3), one word a value.
  const word = mersenneTwister(11);
  const draw = (count: number, fan: number) => {
    const bound = Math.sqrt(6 / fan);
    return Array.from({ length: count }, () => ((word() & 0xffffff) / 2 ** 24) * 2 * bound - bound);
  };
  const projections = {
    "base_model.vera_A": { shape: [rank, into], values: draw(rank * into, into) },
    "base_model.vera_B": { shape: [out, rank], values: draw(out * rank, rank) },
  };
  const own = Object.fromEntries(
    [q, down].flatMap((module, i) => [
      [`base_model.model.${module}.vera_lambda_b`, { shape: [sides(module)[0]], values: normals(i, sides(module)[0]) }],
      [`base_model.model.${module}.vera_lambda_d`, { shape: [rank], values: normals(i + 5, rank) }],
    ]),
  );
  const config = { peft_type: "VERA", r: rank, projection_prng_key: 11, target_modules: ["q_proj", "down_proj"] };
  const short = held("short", own, { "adapter_config.json": { ...config, save_projection: false } });
  const whole = held(
    "whole",
    { ...own, ...projections },
    { "adapter_config.json": { ...config, save_projection: true } },
  );
  const ids = Int32Array.of(1, 5, 7, 2, 9, 36, 0, 3);
  const batch = collate([[{ ids, labels: ids, group: 0, place: "" }]], { buckets: "none" });
  const type = bindDefaults(await loadMethod("adapter", "vera"));
  const said: Float32Array[] = [];
  for (const file of [whole, short]) {
    const live = await Model.load(gpu, base, { adapter: { type, seed: 1, from: file } });
    said.push(await logitsOf(gpu, live, batch));
    live.free();
    const folded = await Model.load(gpu, await applyAdapter(base, file));
    said.push(await logitsOf(gpu, folded, batch));
    folded.free();
  }
  const plain = await Model.load(gpu, base);
  const before = await logitsOf(gpu, plain, batch);
  plain.free();
  for (const logits of said) for (const [i, x] of logits.entries()) expect(x).toBeCloseTo(said[0]![i]!, 4);
  expect(Math.max(...before.map((x, i) => Math.abs(x - said[0]![i]!)))).toBeGreaterThan(0.01);
  const other = held("other", own, {
    "adapter_config.json": { ...config, projection_prng_key: null, save_projection: false },
  });
  const drawn = await Model.load(gpu, await applyAdapter(base, other)); // PEFT's key where none is said is 0
  expect(Math.max(...(await logitsOf(gpu, drawn, batch)).map((x, i) => Math.abs(x - said[0]![i]!)))).toBeGreaterThan(
    0.01,
  );
  drawn.free();
  const bad = held("bad", own, {
    "adapter_config.json": { ...config, projection_prng_key: -1, save_projection: false },
  });
  await expect(applyAdapter(base, bad)).rejects.toThrow("projection_prng_key is -1");
  base.close();
});
