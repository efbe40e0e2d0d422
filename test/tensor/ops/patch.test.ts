import { expect, test } from "bun:test";
import { mul } from "../../../src/tensor/ops/elementwise.ts";
import { patches } from "../../../src/tensor/ops/patch.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";

covers("patch/patches", "patch/patches-gradient");

const gpu = await sharedGpu();

test("images are cut as a convolution of stride `size` reads them", async () => {
  const [b, c, h, w, size] = [2, 3, 4, 6, 2];
  const data = Float32Array.from({ length: b * c * h * w }, (_, i) => i);
  const { outputs } = await runOp(gpu, {
    inputs: { x: { shape: [b, c, h, w], data } },
    build: (rec, { x }) => patches(rec, x!, { size }),
  });
  const expected: number[] = [];
  for (let image = 0; image < b; image++)
    for (let row = 0; row < h; row += size)
      for (let column = 0; column < w; column += size)
        for (let channel = 0; channel < c; channel++)
          for (let i = 0; i < size; i++)
            for (let j = 0; j < size; j++) expected.push(((image * c + channel) * h + row + i) * w + column + j);
  expect([...outputs.y!]).toEqual(expected);
});

test("images that do not divide are refused", () => {
  const inputs = { x: { shape: [1, 1, 5, 4], data: new Float32Array(20) } };
  expect(runOp(gpu, { inputs, build: (rec, { x }) => patches(rec, x!, { size: 2 }) })).rejects.toThrow(
    "images of (1, 1, 5, 4) do not divide into patches of 2",
  );
});

test("every pixel takes the gradient of its one place, also where two readings add up", async () => {
  const [b, c, h, w, size] = [2, 3, 4, 6, 2];
  const data = Float32Array.from({ length: b * c * h * w }, (_, i) => Math.sin(i));
  const cut = (x: Float64Array) => {
    const found: number[] = [];
    for (let tile = 0; tile < (b * h * w) / size ** 2; tile++)
      for (let channel = 0; channel < c; channel++)
        for (let i = 0; i < size; i++)
          for (let j = 0; j < size; j++) {
            const [image, within] = [Math.floor(tile / 6), tile % 6];
            const [row, column] = [size * Math.floor(within / 3) + i, size * (within % 3) + j];
            found.push(x[((image * c + channel) * h + row) * w + column]!);
          }
    return Float64Array.from(found);
  };
  const inputs = { x: { shape: [b, c, h, w], data } };
  await checkOp(gpu, "patches", {
    inputs,
    build: (rec, { x }) => patches(rec, x!, { size }),
    reference: ({ x }) => cut(x!),
  });
  await checkOp(gpu, "patches, twice", {
    inputs,
    build: (rec, { x }) => {
      const y = patches(rec, x!, { size });
      return mul(rec, y, patches(rec, x!, { size }));
    },
    reference: ({ x }) => cut(x!).map((v) => v * v),
  });
});
