/** Products of blocks against plain loops; their gradients are those of moe.ts. */
import { expect, test } from "bun:test";
import { blockProduct, timesBlocks } from "../../../src/tensor/ops/blocks.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();

async function run(shapes: readonly (readonly number[])[], op: (rec: Recorder, ...x: Tensor[]) => Tensor) {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const values = shapes.map((shape, i) =>
    normals(
      i + 1,
      shape.reduce((a, b) => a * b, 1),
    ),
  );
  const made = shapes.map((shape, i) => new Parameter(gpu, `p${i}`, shape));
  for (const [i, parameter] of made.entries()) parameter.write(values[i]!);
  rec.output("y", op(rec, ...made.map((parameter) => rec.parameter(parameter))));
  const program = await Program.compile(gpu, rec);
  program.run();
  const y = (await program.read("y")) as Float32Array;
  program.free();
  for (const parameter of made) parameter.free();
  return { y, values };
}

const close = (found: Float32Array, wanted: readonly number[]) => {
  expect(found.length).toBe(wanted.length);
  for (const [i, x] of wanted.entries()) expect(found[i]!).toBeCloseTo(x, 4);
};

test("matrix by matrix", async () => {
  const [e, m, k, n] = [3, 2, 4, 5];
  const { y, values } = await run(
    [
      [e, m, k],
      [e, k, n],
    ],
    (rec, a, b) => blockProduct(rec, a!, b!),
  );
  const [a, b] = values;
  const wanted = Array.from({ length: e * m * n }, (_, at) => {
    const [row, column] = [Math.floor(at / n), at % n];
    const block = Math.floor(row / m);
    let sum = 0;
    for (let i = 0; i < k; i++) sum += a![row * k + i]! * b![(block * k + i) * n + column]!;
    return sum;
  });
  close(y, wanted);
});

test("rows times a block-diagonal matrix", async () => {
  const [rows, e, k, n] = [5, 3, 4, 2];
  const { y, values } = await run(
    [
      [rows, e * k],
      [e, k, n],
    ],
    (rec, x, r) => timesBlocks(rec, x!, r!),
  );
  const [x, r] = values;
  const wanted = Array.from({ length: rows * e * n }, (_, at) => {
    const [row, rest] = [Math.floor(at / (e * n)), at % (e * n)];
    const [block, column] = [Math.floor(rest / n), rest % n];
    let sum = 0;
    for (let i = 0; i < k; i++) sum += x![row * e * k + block * k + i]! * r![(block * k + i) * n + column]!;
    return sum;
  });
  close(y, wanted);
});
