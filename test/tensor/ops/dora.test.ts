import { test } from "bun:test";
import { rowNorm, scaleColumns } from "../../../src/tensor/ops/dora.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("dora/row-norm");

const gpu = await sharedGpu();

test.each([false, true])("lengths of the rows of W + s B A, W transposed: %p", async (transposed) => {
  const [o, i, r] = [7, 130, 3];
  await checkOp(gpu, "row lengths", {
    inputs: {
      w: { shape: transposed ? [i, o] : [o, i], data: normals(1, o * i), grad: false },
      a: { shape: [r, i], data: normals(2, r * i), grad: false },
      b: { shape: [o, r], data: normals(3, o * r), grad: false },
    },
    build: (rec, { w, a, b }) => rowNorm(rec, w!, { a: a!, b: b!, scale: 0.5, transposed }),
    reference: ({ w, a, b }) =>
      Float64Array.from({ length: o }, (_, row) => {
        let square = 0;
        for (let c = 0; c < i; c++) {
          let value = w![transposed ? c * o + row : row * i + c]!;
          for (let k = 0; k < r; k++) value += 0.5 * b![row * r + k]! * a![k * i + c]!;
          square += value * value;
        }
        return Math.sqrt(square);
      }),
  });
});

test("columns are scaled, with gradients to both", async () => {
  await checkOp(gpu, "scaled columns", {
    inputs: { x: { shape: [9, 5], data: normals(4, 45) }, s: { shape: [5], data: normals(5, 5) } },
    build: (rec, { x, s }) => scaleColumns(rec, x!, s!),
    reference: ({ x, s }) => x!.map((v, i) => v * s![i % 5]!),
  });
});
