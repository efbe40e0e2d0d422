import { expect, test } from "bun:test";
import { patches } from "../../../src/tensor/ops/patch.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";

covers("patch/patches");

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
