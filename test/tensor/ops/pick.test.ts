import { expect, test } from "bun:test";
import { pick } from "../../../src/tensor/ops/pick.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("columns/pick");

const gpu = await sharedGpu();
const [R, C] = [37, 29];
const x = normals(1, R * C);

const cases = [
  { rows: Int32Array.of(3, 0, -1, 36), columns: Int32Array.from({ length: 28 }, (_, i) => 28 - i) },
  { rows: Int32Array.of(5, 4) },
  { columns: Int32Array.of(-1, 7, 2) },
];

test.each(cases)("rows and columns are taken, and gradients put back: %p", async ({ rows, columns }) => {
  const [own, across] = [
    rows ?? Int32Array.from({ length: R }, (_, i) => i),
    columns ?? Int32Array.from({ length: C }, (_, i) => i),
  ];
  const dy = normals(2, own.length * across.length);
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { x: { shape: [R, C], data: x, grad: true } },
    build: (rec, { x: given }) => ({ y: pick(rec, given!, { rows, columns }) }),
    seeds: { y: dy },
  });
  const wanted = new Float32Array(dy.length);
  const back = new Float32Array(R * C);
  for (const [i, r] of own.entries())
    for (const [k, c] of across.entries()) {
      if (r < 0 || c < 0) continue;
      wanted[i * across.length + k] = x[r * C + c]!;
      back[r * C + c] = dy[i * across.length + k]!;
    }
  expect([...outputs.y!]).toEqual([...wanted]);
  expect([...gradients.x!]).toEqual([...back]);
});

test("places outside, and places that come twice, are refused", async () => {
  const picked = (rows: Int32Array) =>
    runOp(gpu, {
      inputs: { x: { shape: [R, C], data: x } },
      build: (rec, { x: given }) => ({ y: pick(rec, given!, { rows }) }),
    });
  expect(picked(Int32Array.of(R))).rejects.toThrow("places are in it, and come once");
  expect(picked(Int32Array.of(1, 1))).rejects.toThrow("places are in it, and come once");
});
