import { expect, test } from "bun:test";
import { dropout } from "../../../src/tensor/ops/dropout.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";

covers("dropout/dropout");

const gpu = await sharedGpu();
const ones = new Float32Array(20_000).fill(1);

const run = (key: string, seed: number, training = true) =>
  runOp(gpu, {
    inputs: { x: { shape: [20_000], data: ones, grad: training } },
    build: (rec, { x }) =>
      training ? dropout(rec, x!, { p: 0.25, key }) : rec.reshape(dropout(rec, x!, { p: 0.25, key }), [20_000]),
    ...(training ? { seeds: { y: ones } } : {}),
    values: { seed },
    training,
  }).catch((error) => error as Error);

test("a quarter is dropped, the rest grows, the gradient has the same mask", async () => {
  const found = await run("layer 1", 3);
  if (found instanceof Error) throw found;
  const { outputs, gradients } = found;
  const kept = outputs.y!.filter((x) => x !== 0);
  expect(Math.abs(kept.length / 20_000 - 0.75)).toBeLessThan(4 * Math.sqrt((0.75 * 0.25) / 20_000));
  expect(kept.every((x) => x === Math.fround(4 / 3))).toBe(true);
  expect(gradients.x).toEqual(outputs.y!);
});

test("the mask is a function of key and seed", async () => {
  const masks = await Promise.all([run("a", 1), run("a", 1), run("a", 2), run("b", 1)]);
  const [one, again, other, key] = masks.map((found) => {
    if (found instanceof Error) throw found;
    return found.outputs.y!;
  });
  expect(again).toEqual(one!);
  expect(other).not.toEqual(one!);
  expect(key).not.toEqual(one!);
});
