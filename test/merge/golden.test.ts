/** Every merge recipe of mergekit's golden folder against the numbers that mergekit wrote. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../src/gpu/gpu.ts";
import { accept, CASES, closeInputs, type GoldenOutput, hasMethod, runCase } from "./golden.ts";

/** Seeds of a random case: enough for a normal mean of every element. */
const SEEDS = 32;

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => {
  gpu?.close();
  closeInputs();
});

describe("mergekit's numbers", () => {
  test("there are 55 cases", () => expect(CASES.length).toBe(55));

  for (const { id, method, variant } of CASES) {
    if (variant === "random") {
      test.skipIf(!hasMethod(method))(
        `${id}, over ${SEEDS} seeds`,
        async () => {
          const outputs: GoldenOutput[] = [];
          for (let seed = 1; seed <= SEEDS; seed++) outputs.push(await runCase(id, { gpu, seed }));
          expect(await accept(id, outputs)).toEqual([]);
        },
        60_000,
      );
    } else {
      test.skipIf(!hasMethod(method))(
        id,
        async () => expect(await accept(id, await runCase(id, { gpu }))).toEqual([]),
        60_000,
      );
    }
  }
});

describe("the comparison itself", () => {
  const changed = (output: GoldenOutput, name: string, change: (bytes: Uint8Array) => void): GoldenOutput =>
    new Map(
      [...output].map(([key, tensor]) => {
        if (key !== name) return [key, tensor];
        const bytes = tensor.bytes.slice();
        change(bytes);
        return [key, { ...tensor, bytes }];
      }),
    );

  test("sees one value off, a missing tensor and a biased mask", async () => {
    const output = await runCase("linear-2-f32", { gpu });
    const name = "model.layers.0.mlp.up_proj.weight";
    const off = changed(output, name, (bytes) => {
      const values = new Float32Array(bytes.buffer);
      values[7]! += 4e-6 * Math.max(...values.map(Math.abs));
    });
    const [count, first] = await accept("linear-2-f32", off);
    expect(count).toBe("1 elements are off");
    expect(first).toStartWith(`${name}[7] is `);
    const fewer = new Map([...output].filter(([key]) => key !== name));
    expect(await accept("linear-2-f32", fewer)).toEqual([`${name} is missing`]);
    const same = await runCase("dare_linear-1", { gpu, seed: 1 });
    expect((await accept("dare_linear-1", Array<GoldenOutput>(32).fill(same))).length).toBeGreaterThan(10);
  });
});
