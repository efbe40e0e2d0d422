/** QFA: which bits a training draws, what a step trains, and that one file is a model at every choice of bits. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { type Batch, collate } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { drawBits, spreadBits, tilted } from "../../../src/model/adapters/bit-draws.ts";
import { method } from "../../../src/model/adapters/methods/qfa.ts";
import { Model } from "../../../src/model/model.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { adapterDraws } from "../../../src/run/training/rules/adapter-draws.ts";
import { Trainer } from "../../../src/run/training/trainer.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { randomUnits } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const BITS = [2, 3, 4];
const [RANK, STEPS, SEED] = [2, 4, 1];
const BATCH = collate(
  [
    [1, 5, 7, 2, 9, 36],
    [4, 8, 15, 16, 23, 30],
  ].map((row, i) => [{ ids: Int32Array.from(row), labels: Int32Array.from(row), group: 0, place: `${i}` }]),
);
const fresh = (values: Readonly<Record<string, unknown>> = {}) =>
  Model.fresh(gpu, TINY_TEXT.llama!, "llama", {
    seed: 4,
    adapter: { type: bindDefaults(method, { adapter_rank: RANK, qfa_group: 16, ...values }), seed: 1 },
  });

/** How many of so many means fall into each eighth of the range from 2 to 4. */
function histogram(means: readonly number[]): number[] {
  const counts = new Array<number>(8).fill(0);
  for (const m of means) counts[Math.min(7, Math.floor(((m - 2) / 2) * 8))]!++;
  return counts;
}

test("mean bits come up about alike from 2 to 4, where layers that draw alone never leave the middle", () => {
  const [steps, layers] = [1600, 28];
  const meanOf = (places: readonly number[]) => places.reduce((sum, place) => sum + BITS[place]!, 0) / layers;
  const drawn = (step: number) => drawBits({ step, steps, seed: 3 }, layers, BITS);
  const all = Array.from({ length: steps }, (_, i) => meanOf(drawn(i + 1)));
  for (const count of histogram(all)) {
    expect(count).toBeGreaterThan(0.6 * (steps / 8));
    expect(count).toBeLessThan(1.4 * (steps / 8));
  }
  const next = randomUnits(9);
  const alone = histogram(all.map(() => meanOf(Array.from({ length: layers }, () => Math.floor(3 * next())))));
  expect([alone[0], alone[7], alone[3]! + alone[4]! > 0.8 * steps]).toEqual([0, 0, true]);
  expect([drawn(7), drawn(8)]).toEqual([drawn(7), drawn(8)]);
  expect(drawn(7)).not.toEqual(drawn(8));
});

test("a tilt has the mean that is asked for, ends included; bits spread evenly keep one", () => {
  for (const m of [2, 2.1, 3, 3.7, 4]) {
    const p = tilted(BITS, m);
    expect(p.reduce((sum, share, k) => sum + share * BITS[k]!, 0)).toBeCloseTo(m, 6);
  }
  expect(tilted([2, 4, 8], 4.5).reduce((a, b) => a + b)).toBeCloseTo(1, 12);
  expect(spreadBits(4, BITS, 2.5)).toEqual([2, 3, 2, 3]);
  expect(spreadBits(4, BITS, 4)).toEqual([4, 4, 4, 4]);
  expect(spreadBits(6, [2, 8], 4).reduce((a, b) => a + b) / 6).toBe(4);
});

test("a step trains one LoRA of every layer, that of the bits drawn, and the base keeps every byte", async () => {
  const model = await fresh();
  const held = [...model.parameters.values()];
  const bytes = () => Promise.all(held.map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  const base = await bytes();
  const trained = model.trainable();
  const values = () => Promise.all(trained.map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  const trainer = await Trainer.make<Batch>({
    ...{ gpu, parameters: trained, objective: crossEntropyObjective(model), seed: SEED, clip: 0 },
    ...{ optimizer: bindDefaults(adamw), decays: () => true },
    updates: adapterDraws(model, STEPS, SEED),
  });
  const layers = trained.filter(({ name }) => name.endsWith("qfa_A")).map(({ name }) => name.slice(0, -"_A".length));
  let before = await values();
  const seen = new Set<number>();
  for (let step = 1; step <= STEPS; step++) {
    await (await trainer.step(step, 0.01, [BATCH])).result;
    const drawn = drawBits({ step, steps: STEPS, seed: SEED }, layers.length, BITS);
    const now = await values();
    for (const [i, { name, shape }] of trained.entries()) {
      const isA = name.endsWith("_A");
      const width = shape[1]!;
      const blockOf = (at: number) => Math.floor((isA ? Math.floor(at / width) : at % width) / RANK);
      const moved = new Set([...now[i]!.keys()].filter((at) => now[i]![at] !== before[i]![at]).map(blockOf));
      expect([...moved]).toEqual([drawn[layers.indexOf(name.slice(0, -2))]!]);
    }
    for (const place of drawn) seen.add(place);
    before = now;
  }
  expect(seen.size).toBeGreaterThan(1); // moments of one width are there while another is trained
  expect(await bytes()).toEqual(base);
  trainer.free();
  model.free();
});

test("the config says the bits of every layer; what is no width is refused", async () => {
  const at = async (values: Readonly<Record<string, unknown>>) => {
    const model = await fresh(values);
    const logits = await logitsOf(gpu, model, BATCH);
    const { layer_bits: bits } = JSON.parse(model.adapter!.config) as { layer_bits: Record<string, number> };
    model.free();
    return { logits, bits: Object.values(bits) };
  };
  const plain = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 4 });
  const wanted = await logitsOf(gpu, plain, BATCH);
  plain.free();
  const errors: number[] = [];
  for (const [mean, bits] of [
    [2, [2, 3, 8]],
    [3, [2, 3, 8]],
    [8, [8, 3, 2]],
  ] as const) {
    const found = await at({ qfa_bits: bits, qfa_mean: mean });
    expect(found.bits.every((b) => b === mean)).toBe(true);
    errors.push(Math.hypot(...found.logits.map((x, i) => x - wanted[i]!)));
  }
  expect(errors[0]).toBeGreaterThan(1.5 * errors[1]!);
  expect(errors[1]).toBeGreaterThan(10 * errors[2]!);
  expect((await at({ qfa_bits: [2, 3], qfa_mean: 2.5 })).bits.slice(0, 4)).toEqual([2, 3, 2, 3]);
  expect(fresh({ qfa_bits: [1, 3] })).rejects.toThrow("1,3 bits; a width is a whole number from 2 to 8");
  expect(fresh({ qfa_mean: 5 })).rejects.toThrow("--qfa-mean 5: bits of layers are 2, 3, 4");
});
