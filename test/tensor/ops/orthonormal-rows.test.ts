/** Orthonormal rows, and leading subspaces, against float64. */
import { expect, test } from "bun:test";
import { svd } from "../../../src/tensor/linear-algebra/svd.ts";
import { leadingRows, orthonormalRows } from "../../../src/tensor/ops/orthonormal-rows.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

covers("orthonormal-rows/orthonormal-rows");

const gpu = await sharedGpu();

async function ran(record: (rec: Recorder) => Tensor): Promise<Float32Array> {
  const rec = new Recorder(profileOf(gpu), { training: false });
  rec.output("y", record(rec));
  const program = await Program.compile(gpu, rec);
  program.run();
  const found = await program.read("y");
  program.free();
  return found;
}
/** (r, n): inner products of its rows with those of another. */
const products = (a: ArrayLike<number>, b: ArrayLike<number>, r: number, n: number) =>
  Array.from({ length: r * r }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a[Math.floor(at / r) * n + k]! * b[(at % r) * n + k]!;
    return sum;
  });

test.each([
  [1, 3],
  [5, 5],
  [17, 70],
  [70, 201],
])("(%d, %d): a basis, row by row", async (r, n) => {
  const x = normals(1, r * n);
  const y = await ran((rec) => orthonormalRows(rec, rec.constant(x, [r, n], "x")));
  for (const [at, found] of products(y, y, r, n).entries())
    expect(Math.abs(found - (Math.floor(at / r) === at % r ? 1 : 0))).toBeLessThan(2e-5);
  // Each row is within those of x up to it: the triangle above is empty, the diagonal positive.
  for (const [at, found] of products(x, y, r, n).entries()) {
    const [i, j] = [Math.floor(at / r), at % r];
    if (j > i) expect(Math.abs(found)).toBeLessThan(1e-4);
    if (j === i) expect(found).toBeGreaterThan(0);
  }
});

test("rows within the others are 0, and the projector of the rest is idempotent", async () => {
  const x = normals(2, 4 * 9);
  for (let k = 0; k < 9; k++) x[2 * 9 + k] = 3 * x[k]! - x[9 + k]!;
  const y = await ran((rec) => orthonormalRows(rec, rec.constant(x, [4, 9], "x")));
  expect(y.slice(18, 27).every((value) => value === 0)).toBe(true);
  const gram = products(y, y, 4, 9);
  for (const i of [0, 1, 3]) expect(gram[5 * i]).toBeCloseTo(1, 5);
});

test.each([true, false])("the leading subspace of a matrix with a gap, left: %p", async (left) => {
  const [m, n, r] = left ? [12, 30, 3] : [30, 12, 3];
  const side = left ? m : n;
  // Three directions of sizes 9, 7, 5 over noise.
  const noise = normals(3, m * n);
  const u = normals(4, m * r);
  const v = normals(5, n * r);
  const a = Float32Array.from(noise, (x, at) => {
    let sum = 0.05 * x;
    for (let k = 0; k < r; k++) sum += (9 - 2 * k) * u[Math.floor(at / n) * r + k]! * v[(at % n) * r + k]!;
    return sum;
  });
  const basis = await ran((rec) =>
    leadingRows(rec, rec.constant(a, [m, n], "a"), rec.constant(normals(6, r * side), [r, side], "start"), {
      left,
      iterations: 3,
    }),
  );
  const found = svd(a, m, n);
  const vectors = left ? found.u : found.v;
  // Every singular vector lies within the basis.
  for (let k = 0; k < r; k++) {
    let inside = 0;
    for (let i = 0; i < r; i++) {
      let dot = 0;
      for (let j = 0; j < side; j++) dot += basis[i * side + j]! * vectors[j * (vectors.length / side) + k]!;
      inside += dot * dot;
    }
    expect(inside).toBeGreaterThan(0.9999);
  }
});

test("a matrix of zeros has no directions", async () => {
  const zeros = new Float32Array(4 * 6);
  const basis = await ran((rec) =>
    leadingRows(rec, rec.constant(zeros, [4, 6], "a"), rec.constant(normals(6, 2 * 4), [2, 4], "start"), {
      left: true,
      iterations: 2,
    }),
  );
  expect([...basis].every((x) => x === 0)).toBe(true);
});
