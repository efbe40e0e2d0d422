import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { type Gpu, openGpu } from "../../../../src/gpu/gpu.ts";
import { method as fisher, fisherShares } from "../../../../src/merge/methods/averages/fisher.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { covers } from "../../../support/covers.ts";
import { writeCheckpoint } from "../../checkpoint-file.ts";
import { mergeArrays, mergeOne } from "../../merge-arrays.ts";

covers("merge/fisher", "merge/squares");

let gpu: Gpu;
const folder = mkdtempSync(path.join(os.tmpdir(), "fisher-"));
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => {
  gpu.close();
  rmSync(folder, { recursive: true });
});

const SHAPE = [5, 51];
const random = (seed: number) => Float32Array.from(randomArray(255, normal(seed)));
const positive = (seed: number, scale = 1) => random(seed).map((value) => scale * value ** 2);
const models = [random(1), random(2), random(3)];

/** Writes statistics of `w` for each model; returns the per-model options. */
function statistics(list: readonly ArrayLike<number>[], more: Record<string, unknown>[] = []) {
  return list.map((values, k) => {
    const stats = path.join(folder, `${crypto.randomUUID()}.safetensors`);
    writeCheckpoint(stats, { w: { shape: SHAPE, values } });
    return { stats, ...more[k] };
  });
}

function reference(f: readonly ArrayLike<number>[], shares: readonly number[], floor: number, i: number): number {
  let [sum, total] = [0, 0];
  for (const [k, model] of models.entries()) {
    const g = shares[k]! * (f[k]![i]! + floor);
    sum += g * model[i]!;
    total += g;
  }
  return sum / total;
}

const norm = (values: ArrayLike<number>) => Math.sqrt(Array.from(values).reduce((sum, x) => sum + x * x, 0));

describe("fisher", () => {
  test("averages value by value by the statistics, in one chunk or several", async () => {
    const f = [positive(4), positive(5, 1e-9), positive(6, 100)];
    for (const balance of [false, true]) {
      const shares = f.map((values) => (balance ? 1 / norm(values) : 1));
      const options = { values: { balance }, perModel: statistics(f) };
      const found = await mergeOne(gpu, fisher, { shape: SHAPE, models }, options);
      for (const [i, value] of found.entries()) expect(value).toBeCloseTo(reference(f, shares, 1e-6, i), 4);
      const chunked = await mergeOne(gpu, fisher, { shape: SHAPE, models }, { ...options, chunkValues: 110 });
      for (const [i, value] of chunked.entries()) expect(value).toBeCloseTo(found[i]!, 5);
    }
  });

  test("statistics of stacked experts belong to the experts", async () => {
    const f = [positive(7), positive(8)]; // (5 experts, 3, 17) each
    const perModel = f.map((values) => {
      const stats = path.join(folder, `${crypto.randomUUID()}.safetensors`);
      writeCheckpoint(stats, { "model.layers.0.mlp.experts.up_proj": { shape: [5, 3, 17], values } });
      return { stats };
    });
    const part = (values: Float32Array, expert: number) => values.subarray(51 * expert, 51 * (expert + 1));
    const name = (expert: number) => `model.layers.0.mlp.experts.${expert}.up_proj.weight`;
    const tensors = [0, 1, 4].map((expert) => ({
      name: name(expert),
      shape: [3, 17],
      models: models.slice(0, 2).map((values) => part(values, expert)),
    }));
    const { values } = await mergeArrays(gpu, fisher, tensors, { values: { balance: false }, perModel });
    for (const [t, expert] of [0, 1, 4].entries())
      for (const [i, value] of values.get(name(expert))!.entries()) {
        const [a, b] = f.map((all) => part(all, expert)[i]! + 1e-6) as [number, number];
        const [x, y] = tensors[t]!.models.map((model) => model[i]!) as [number, number];
        expect(value).toBeCloseTo((a * x + b * y) / (a + b), 4);
      }
  });

  test("says which statistics match no tensor, and which tensors have none", async () => {
    const perModel = models.slice(0, 2).map((_, k) => {
      const stats = path.join(folder, `part-${k}.safetensors`);
      writeCheckpoint(stats, {
        w: { shape: SHAPE, values: positive(k) },
        ...(k === 1 && { "other.experts.up": { shape: [3], values: [1, 2, 3] } }),
      });
      return { stats };
    });
    const two = models.slice(0, 2);
    const tensors = ["w", "v"].map((name) => ({ name, shape: SHAPE, models: two }));
    const told: string[] = [];
    await mergeArrays(gpu, fisher, tensors, { perModel, remark: (what, tensor) => told.push(`${what}: ${tensor}`) });
    expect(told.toSorted()).toEqual([
      `${path.join(folder, "part-1.safetensors")} has statistics of what is not merged: other.experts.up`,
      "averaged plainly, since not every model has statistics of it: v",
    ]);
  });

  test("equal constant statistics give the weighted average", async () => {
    const flat = new Float32Array(255).fill(0.25);
    const perModel = statistics([flat, flat, flat], [{ weight: 1 }, { weight: 2 }, { weight: 1 }]);
    const found = await mergeOne(gpu, fisher, { shape: SHAPE, models }, { perModel });
    for (const [i, value] of found.entries()) {
      expect(value).toBeCloseTo((models[0]![i]! + 2 * models[1]![i]! + models[2]![i]!) / 4, 5);
    }
  });

  test("models without information do not count when the floor is 0", async () => {
    const zero = new Float32Array(255);
    const perModel = statistics([positive(4), zero, zero]);
    const found = await mergeOne(gpu, fisher, { shape: SHAPE, models }, { values: { floor: 0 }, perModel });
    expect(found).toEqual(models[0]!);
    const none = statistics([zero, zero, zero]);
    const plain = await mergeOne(gpu, fisher, { shape: SHAPE, models }, { values: { floor: 0 }, perModel: none });
    for (const [i, value] of plain.entries()) {
      expect(value).toBeCloseTo((models[0]![i]! + models[1]![i]! + models[2]![i]!) / 3, 5);
    }
  });

  test("scaling one model's statistics by c and its weight by 1/c changes nothing without balance", async () => {
    const f = [positive(4), positive(5), positive(6)];
    const values = { balance: false, floor: 0 };
    const one = await mergeOne(gpu, fisher, { shape: SHAPE, models }, { values, perModel: statistics(f) });
    const scaled = [f[0]!, f[1]!.map((x) => 64 * x), f[2]!];
    const perModel = statistics(scaled, [{ weight: 1 }, { weight: 1 / 64 }, { weight: 1 }]);
    expect(await mergeOne(gpu, fisher, { shape: SHAPE, models }, { values, perModel })).toEqual(one);
  });

  test("reads and writes 16-bit types, over more than one span", async () => {
    const size = 8195;
    const tuned = [1, 2].map((seed) => Float32Array.from(randomArray(size, normal(seed))));
    const f = [3, 4].map((seed) => Float32Array.from(randomArray(size, normal(seed)), (x) => x * x));
    const perModel = f.map((values, k) => {
      const stats = path.join(folder, `wide-${k}.safetensors`);
      writeCheckpoint(stats, { w: { shape: [size], values } });
      return { stats };
    });
    for (const dtype of ["BF16", "F16"] as const) {
      const options = { inDtype: dtype, outDtype: dtype, values: { balance: false }, perModel };
      const found = await mergeOne(gpu, fisher, { shape: [size], models: tuned }, options);
      for (const [i, value] of found.entries()) {
        const [a, b] = [f[0]![i]! + 1e-6, f[1]![i]! + 1e-6];
        const want = (a * tuned[0]![i]! + b * tuned[1]![i]!) / (a + b);
        expect(Math.abs(value - want)).toBeLessThan(
          2 ** -6 * Math.max(1, Math.abs(tuned[0]![i]!), Math.abs(tuned[1]![i]!)),
        );
      }
    }
  });

  test("equal models keep their bits", async () => {
    const perModel = statistics([positive(4), positive(5), positive(6)]);
    const same = [models[0]!, models[0]!, models[0]!];
    expect(await mergeOne(gpu, fisher, { shape: SHAPE, models: same }, { perModel })).toEqual(models[0]!);
  });

  test("balance looks at all tensors together", async () => {
    const files = [4, 6].map((seed, k) => {
      const stats = path.join(folder, `two-${k}.safetensors`);
      writeCheckpoint(stats, {
        w: { shape: SHAPE, values: positive(seed) },
        v: { shape: [255], values: positive(seed + 1, k === 0 ? 1 : 30) },
      });
      return { stats };
    });
    const tensors = [
      { name: "w", shape: SHAPE, models: models.slice(0, 2) },
      { name: "v", shape: [255], models: models.slice(0, 2) },
    ];
    const { values } = await mergeArrays(gpu, fisher, tensors, { perModel: files });
    const norms = [
      Math.hypot(norm(positive(4)), norm(positive(5))),
      Math.hypot(norm(positive(6)), norm(positive(7, 30))),
    ];
    const g = (i: number) => [positive(4)[i]! / norms[0]!, positive(6)[i]! / norms[1]!] as const;
    for (const [i, value] of values.get("w")!.entries()) {
      const [a, b] = g(i);
      const want = (a * models[0]![i]! + b * models[1]![i]!) / (a + b);
      if (a + b > 1e-5) expect(value).toBeCloseTo(want, 2);
    }
  });

  test("a tensor without statistics is the plain average; a file with none is refused", async () => {
    const perModel = statistics([positive(4), positive(5), positive(6)]);
    const tensors = [
      { name: "w", shape: SHAPE, models },
      { name: "other", shape: [255], models },
    ];
    const remarks: string[] = [];
    const remark = (what: string, name: string) => remarks.push(`${name}: ${what}`);
    const { values } = await mergeArrays(gpu, fisher, tensors, { perModel, remark });
    expect(remarks).toEqual(["other: averaged plainly, since not every model has statistics of it"]);
    for (const [i, value] of values.get("other")!.entries()) {
      expect(value).toBeCloseTo((models[0]![i]! + models[1]![i]! + models[2]![i]!) / 3, 5);
    }
    const alone = [{ name: "other", shape: [255], models }];
    const list = perModel.map(({ stats }) => stats).join(", ");
    await expect(mergeArrays(gpu, fisher, alone, { perModel })).rejects.toThrow(
      `No tensor has statistics in all of ${list}`,
    );
  });

  test("statistics of another shape are refused", async () => {
    const perModel = statistics([positive(4), positive(5), positive(6)]);
    const tensor = { shape: [51, 5], models };
    await expect(mergeOne(gpu, fisher, tensor, { perModel })).rejects.toThrow(
      `w is (51, 5) in the models but (5, 51) in ${perModel[0]!.stats}`,
    );
  });

  test("shares are relative to the largest", () => {
    expect(fisherShares([1, 1], [0.25, 0.5])).toEqual([1, 0.5]);
    expect(fisherShares([1, 4], undefined)).toEqual([0.25, 1]);
    expect(fisherShares([0, 0], undefined)).toEqual([0, 0]);
  });
});
