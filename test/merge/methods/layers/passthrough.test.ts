/** Passthrough: copies bit by bit, or scales. */
import { expect, test } from "bun:test";
import { method } from "../../../../src/merge/methods/layers/passthrough.ts";
import { expectWithin, rounded } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { withJob } from "../../../support/job.ts";
import { normals } from "../../../support/random.ts";

test("copies in the same type, converts to another, scales", async () => {
  const gpu = await sharedGpu();
  const model = normals(1, 5000);
  model[3] = -0;
  const run = (scale: number | undefined, outDtype: "F32" | "BF16") =>
    withJob(gpu, { models: [model], values: { scale: [scale] }, outDtype }, (job) => method.merge(job));
  const { written } = await run(undefined, "F32");
  expect(new Uint32Array(written.buffer)).toEqual(new Uint32Array(model.buffer));
  expect((await run(undefined, "BF16")).written).toEqual(rounded(model, "BF16"));
  expectWithin(
    (await run(0.3, "F32")).written,
    model.map((x) => 0.3 * x),
    () => 3e-7,
  );
});
