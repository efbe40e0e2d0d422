/** Every golden folder of the repository through the runner, and the runner's own comparison. */
import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { sharedGpu } from "../support/gpu.ts";
import { hardware } from "../support/program.ts";
import { LossGoldens } from "./formats/loss.ts";
import { type GoldenOutput, MergeGoldens } from "./formats/merge.ts";
import { relativeError } from "./formats/tensors.ts";
import { checkTrain, trainCases } from "./formats/train.ts";
import { openGoldens } from "./run.ts";

const gpu = await sharedGpu();
const folder = (name: string) => join(import.meta.dir, name);

for (const [name, count] of [
  ["merge", 55],
  ["train", 6],
  ["loss", 23],
] as const) {
  const goldens = (await openGoldens(folder(name)))!;
  describe(name, () => {
    afterAll(() => goldens.close());
    test(`${count} cases in the format ${name}`, () => {
      expect([goldens.format, goldens.cases.size]).toEqual([name, count]);
    });
    test.each([...goldens.cases])("%s", async (_, check) => expect(await check(gpu)).toEqual([]), 60_000);
  });
}

describe("train, activations computed again on the way back", () => {
  const names = trainCases(folder("train"));
  test.each(names)("%s", async (name) => {
    expect(await checkTrain(join(folder("train"), name), gpu, { recompute: true })).toEqual([]);
  });
});

describe("loss, as on a real GPU", async () => {
  const goldens = await LossGoldens.open(folder("loss"));
  test.each(goldens.cases.map((one) => [one.name, one] as const))("%s", async (_, one) => {
    expect(await goldens.check(one, gpu, hardware)).toEqual([]);
  });
});

describe("the comparison itself", () => {
  const goldens = new MergeGoldens(folder("merge"));
  afterAll(() => goldens.close());
  const changed = (output: GoldenOutput, name: string, change: (bytes: Uint8Array) => void): GoldenOutput =>
    new Map(
      [...output].map(([key, tensor]) => {
        if (key !== name) return [key, tensor];
        const bytes = tensor.bytes.slice();
        change(bytes);
        return [key, { ...tensor, bytes }];
      }),
    );

  test("of merges sees one value off, a missing tensor and a biased mask", async () => {
    const output = await goldens.run("linear-2-f32", { gpu });
    const name = "model.layers.0.mlp.up_proj.weight";
    const off = changed(output, name, (bytes) => {
      const values = new Float32Array(bytes.buffer);
      values[7]! += 4e-6 * Math.max(...values.map(Math.abs));
    });
    const [count, first] = await goldens.accept("linear-2-f32", off);
    expect(count).toBe("1 elements are off");
    expect(first).toStartWith(`${name}[7] is `);
    const fewer = new Map([...output].filter(([key]) => key !== name));
    expect(await goldens.accept("linear-2-f32", fewer)).toEqual([`${name} is missing`]);
    const same = await goldens.run("dare_linear-1", { gpu, seed: 1 });
    expect((await goldens.accept("dare_linear-1", Array<GoldenOutput>(32).fill(same))).length).toBeGreaterThan(10);
  });

  test("of values sees one that is off, one that is no number, and another length", () => {
    expect(relativeError([1, 2, 4], [1, 2, 4])).toBe(0);
    expect(relativeError([1, 2.5, 4], [1, 2, 4])).toBeCloseTo(0.125);
    expect(relativeError([1, Number.NaN, 4], [1, 2, 4])).toBe(Number.POSITIVE_INFINITY);
    expect(relativeError([1, 2], [1, 2, 4])).toBe(Number.POSITIVE_INFINITY);
  });

  test("of losses sees a wrong parameter", async () => {
    const losses = await LossGoldens.open(folder("loss"));
    const skew = losses.cases.find(({ name }) => name.startsWith("skew_kl"))!;
    const problems = await losses.check({ ...skew, parameters: { alpha: 0.11 } }, gpu);
    expect(problems.length).toBe(2);
  });

  test("a folder in no known format is not one", async () => {
    expect(await openGoldens(folder("formats"))).toBeUndefined();
  });
});

test("the runner prints how many cases are within tolerance", async () => {
  const run = Bun.spawnSync([process.execPath, join(import.meta.dir, "run.ts"), folder("loss")]);
  expect(run.stdout.toString()).toEndWith("loss: 23 of 23 within tolerance\n");
  expect(run.exitCode).toBe(0);
  const none = Bun.spawnSync([process.execPath, join(import.meta.dir, "run.ts"), folder("formats")]);
  expect(none.stderr.toString()).toContain("is in no known format");
  expect(none.exitCode).toBe(2);
});
