/** What is measured of routers, how experts are grouped by it, and how their neurons are put in one order. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collate } from "../../../src/data/batch.ts";
import { alignment, reordered } from "../../../src/merge/experts/align.ts";
import { groupExperts, memberWeights, randomGroups, rowProducts } from "../../../src/merge/experts/groups.ts";
import { mixtureOf } from "../../../src/merge/experts/mixture.ts";
import { readValues } from "../../../src/merge/experts/values.ts";
import type { Model } from "../../../src/model/model.ts";
import { measureActivationSquares } from "../../../src/run/activation-squares.ts";
import { openModel } from "../../../src/run/open-model.ts";
import { measureRouting } from "../../../src/run/tracing/routing.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { json, withLoaded, writeTiny } from "./models.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();
const BATCHES = [3, 7].map((length) =>
  collate(
    Array.from({ length: 2 }, (_, row) => {
      const ids = Int32Array.from({ length: length + row }, (_, i) => (31 * i + 7 * row + length) % 259);
      return [{ ids, labels: ids, group: 0, place: "" }];
    }),
  ),
);

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-routing-"));
  await writeTiny(folder, "mixtral", json("mixtral", { num_local_experts: 5, num_experts_per_tok: 2 }), 3);
  const qwen = { num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 6, shared_expert_intermediate_size: 8 };
  await writeTiny(folder, "qwen", json("qwen2_moe", qwen), 4);
  const sigmoid = { n_routed_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 6, first_k_dense_replace: 0 };
  await writeTiny(folder, "sigmoid", json("glm4_moe", { ...sigmoid, head_dim: 8 }), 5);
});
afterAll(() => rmSync(folder, { recursive: true }));

const withModel = <T>(name: string, use: (model: Model) => Promise<T>): Promise<T> =>
  withLoaded(join(folder, name), use);

describe("what is measured", () => {
  test.each([
    ["mixtral", "block_sparse_moe.experts.w1"],
    ["qwen", "mlp.experts.gate_proj"],
  ])("usage of %s is what its experts were given, without padding", (name, module) =>
    withModel(name, async (model) => {
      const found = await measureRouting(model, BATCHES, { signal });
      const given = await measureActivationSquares(model, BATCHES, { signal });
      for (const layer of [0, 1]) {
        const { counts } = given.get(`model.layers.${layer}.${module}`)!;
        const slots = 2 * BATCHES.reduce((sum, { lengths }) => sum + lengths.reduce((a, b) => a + b, 0), 0);
        expect([...found.get(layer)!.usage]).toEqual([...counts].map((count) => count / slots));
        const { mass, open: opened } = found.get(layer)!;
        expect(mass).toBeGreaterThan(0.4);
        expect(mass).toBeLessThan(1);
        expect(opened === undefined).toBe(name === "mixtral");
        if (opened !== undefined) expect(opened > 0 && opened < 1).toBe(true);
      }
    }),
  );

  test("routers that choose by sigmoid and a bias are refused", () =>
    withModel("sigmoid", async (model) => {
      const measuring = measureRouting(model, BATCHES, { signal });
      await expect(measuring).rejects.toThrow("the routers of a glm4_moe choose by more");
    }));
});

describe("grouping", () => {
  const usage = Float64Array.of(0.1, 0.4, 0.05, 0.3, 0.15);
  // Expert 0 is like 3, 2 is like 1, 4 is against both.
  const directions = [
    [0, 1],
    [1, 0],
    [2, 0.1],
    [0.2, 2],
    [-1, -0.5],
  ];
  const products = rowProducts(Float32Array.from(directions.flat()), 5);

  test("the most used lead, the others join those they are like, by hand", () => {
    expect(groupExperts({ usage, products, groups: 2 })).toEqual([
      { leader: 1, members: [1, 2] },
      { leader: 3, members: [0, 3, 4] },
    ]);
    expect(groupExperts({ usage, products, groups: 5 }).map(({ members }) => members)).toEqual([
      [0],
      [1],
      [2],
      [3],
      [4],
    ]);
    expect(groupExperts({ usage, products, groups: 1 })).toEqual([{ leader: 1, members: [0, 1, 2, 3, 4] }]);
  });

  test("an expert that is the same to the router as a leader joins it, however much it is used", () => {
    const twins = rowProducts(Float32Array.of(1, 0, 1, 0, 0, 1), 3);
    const found = groupExperts({ usage: Float64Array.of(0.5, 0.4, 0.1), products: twins, groups: 2 });
    expect(found.map(({ members }) => members)).toEqual([[0, 1], [2]]);
  });

  test("weights are shares of the group's use, or alike where nothing was used", () => {
    const [group] = groupExperts({ usage, products, groups: 2 });
    const weights = memberWeights(group!, usage);
    expect(weights[0]).toBeCloseTo(0.4 / 0.45, 12);
    expect(weights[0]! + weights[1]!).toBeCloseTo(1, 12);
    expect(memberWeights(group!, new Float64Array(5))).toEqual([0.5, 0.5]);
  });

  test("by chance every expert is in one group, and sizes differ by one at most", () => {
    const groups = randomGroups(usage, 2, [7]);
    expect(groups.flatMap(({ members }) => members).sort()).toEqual([0, 1, 2, 3, 4]);
    expect(groups.map(({ members }) => members.length).sort()).toEqual([2, 3]);
    for (const { leader, members } of groups) expect(Math.max(...members.map((e) => usage[e]!))).toBe(usage[leader]!);
    expect(randomGroups(usage, 2, [7])).toEqual(groups);
  });
});

describe("alignment", () => {
  test("finds the order in which an expert is another, and keeps its function", async () => {
    const opened = await openModel(join(folder, "mixtral"));
    const [one, two] = mixtureOf(opened).layers.get(0)!.experts;
    const inner = one!.gate.shape[0]!;
    const shuffle = Int32Array.from({ length: inner }, (_, i) => (5 * i + 3) % inner);
    const moved = Object.fromEntries(
      await Promise.all(
        (["gate", "up", "down"] as const).map(async (matrix) => {
          const entry = one![matrix];
          const values = reordered(await readValues(entry), entry.shape, matrix, shuffle);
          const bytes = new Uint8Array(values.buffer);
          const read = async (into: Uint8Array, offset: number) =>
            into.set(bytes.subarray(offset, offset + into.byteLength));
          return [matrix, { ...entry, read }] as const;
        }),
      ),
    ) as typeof one & object;
    const order = await alignment(gpu, one!, moved);
    for (const matrix of ["gate", "up", "down"] as const) {
      const back = reordered(await readValues(moved[matrix]), one![matrix].shape, matrix, order);
      expect(back).toEqual(await readValues(one![matrix]));
    }
    const other = await alignment(gpu, one!, two!);
    expect([...other].sort((a, b) => a - b)).toEqual(Array.from({ length: inner }, (_, i) => i));
    opened.checkpoint.close();
  });
});
