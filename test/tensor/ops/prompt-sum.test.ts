import { expect, test } from "bun:test";
import { scale } from "../../../src/tensor/ops/elementwise.ts";
import { promptSum } from "../../../src/tensor/ops/prompt-sum.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("embedding/prompt-sum");

const gpu = await sharedGpu();

test("rows that begin sum their tokens without padding, rows that go on keep what they held", async () => {
  const [batch, length, width] = [3, 5, 67];
  const x = normals(1, batch * length * width, 1);
  const held = normals(2, batch * width, 1);
  const positions = Int32Array.of(0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 0, 1, -1, -1, -1);
  const { outputs } = await runOp(gpu, {
    inputs: {
      x: { shape: [batch * length, width], data: x },
      sums: { shape: [batch, width], data: held },
      positions: { shape: [batch * length], data: positions },
    },
    build: (rec, { x, sums, positions }) => ({ y: scale(rec, promptSum(rec, x!, sums!, positions!), 2) }),
    training: false,
  });
  const wanted = (row: number, channel: number): number => {
    if (positions[row * length]! !== 0) return held[row * width + channel]!;
    let sum = 0;
    for (let at = row * length; at < (row + 1) * length; at++) if (positions[at]! >= 0) sum += x[at * width + channel]!;
    return sum;
  };
  for (let i = 0; i < batch * width; i++)
    expect(outputs.y![i]! / 2).toBeCloseTo(wanted(Math.floor(i / width), i % width), 5);
});
