import { expect, test } from "bun:test";
import { rowGram } from "../../../src/tensor/ops/row-gram.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("row-gram/inner-products", "row-gram/product-gradient");

const gpu = await sharedGpu();

test("vectors of each row times one another, and the gradient to both", async () => {
  const [n, m, c] = [3, 4, 5];
  const x = normals(1, n * m * c, 1);
  const d = normals(2, n * m * m, 1);
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { x: { shape: [n, m, c], data: x, grad: true } },
    build: (rec, { x: given }) => rowGram(rec, given!),
    seeds: { y: d },
  });
  const at = (row: number, i: number, k: number) => x[(row * m + i) * c + k]!;
  const gradient = new Float64Array(n * m * c);
  for (let row = 0; row < n; row++)
    for (let i = 0; i < m; i++)
      for (let j = 0; j < m; j++) {
        const place = (row * m + i) * m + j;
        let sum = 0;
        for (let k = 0; k < c; k++) {
          sum += at(row, i, k) * at(row, j, k);
          gradient[(row * m + i) * c + k]! += d[place]! * at(row, j, k);
          gradient[(row * m + j) * c + k]! += d[place]! * at(row, i, k);
        }
        expect(outputs.y![place]).toBeCloseTo(sum, 4);
      }
  for (const [i, wanted] of gradient.entries()) expect(gradients.x![i]).toBeCloseTo(wanted, 4);
});
