import { describe, expect, test } from "bun:test";
import { gather } from "../../../src/tensor/ops/gather.ts";
import { logSoftmax } from "../../../src/tensor/ops/softmax.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("gather/gather", "gather/gather-gradient");

const gpu = await sharedGpu();

describe.each([undefined, hardware])("profile %#", (profile) => {
  const chosen = profile ? { profile } : {};

  test.each([
    [1, 1, 1],
    [3, 3, 5],
    [2, 255, 1],
    [255, 2, 3],
    [3, 257, 4],
  ])("of %d rows of %d, %d each; twice from one place, and from none", async (n, c, k) => {
    const places = Int32Array.from({ length: n * k }, (_, i) => ((i * 7919 + 3) % (c + 2)) - 1);
    if (k > 1) places[1] = places[0]!;
    await checkOp(gpu, "gather", {
      inputs: {
        x: { shape: [n, c], data: normals(1, n * c, 1) },
        place: { shape: [n, k], data: places, dtype: "i32" },
      },
      build: (rec, { x, place }) => gather(rec, x!, place!),
      reference: ({ x }) => Float64Array.from(places, (p, i) => (p >= 0 && p < c ? x![Math.floor(i / k) * c + p]! : 0)),
      ...chosen,
    });
  });

  test("of a logarithm of softmax it is the log-probability of labels, with its gradient", async () => {
    const { outputs, gradients } = await runOp(gpu, {
      inputs: {
        x: { shape: [1, 3], data: Float32Array.of(1, 2, 3), grad: true },
        label: { shape: [1, 1], data: Int32Array.of(1), dtype: "i32" },
      },
      build: (rec, { x, label }) => gather(rec, logSoftmax(rec, x!), label!),
      seeds: { y: Float32Array.of(1) },
      ...chosen,
    });
    expect(outputs.y![0]).toBeCloseTo(-1.4076059, 6);
    const expected = [-0.0900306, 0.7552715, -0.6652409];
    for (const [i, g] of expected.entries()) expect(gradients.x![i]).toBeCloseTo(g, 6);
  });
});
