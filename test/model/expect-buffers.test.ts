/** Weights above the adapter's largest buffer are refused before a value is read, in a plan as in a run. */
import { expect, test } from "bun:test";
import { dryDevice } from "../../src/gpu/dry-device.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { Model } from "../../src/model/model.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_EXPERTS } from "../support/tiny-models.ts";

const { adapter } = await sharedGpu();

/** A device that computes nothing, of an adapter whose largest buffer has so many bytes. */
const dry = (maxBufferSize: number) =>
  new Gpu(dryDevice({ ...adapter, limits: { ...adapter.limits, maxBufferSize } }), false);

// The largest weights are stacks of 4 experts (40, 24): 15,360 bytes in f32.
const JSON_OF = TINY_EXPERTS.mixtral!;
const made = (most: number, options: object = {}) => Model.fresh(dry(most), JSON_OF, "m", { seed: 1, ...options });
const STACK = "model.layers.0.block_sparse_moe.experts.w1 (4, 40, 24)";

test("a stack of experts that fits is taken, and one byte less refuses it", async () => {
  (await made(15_360)).free();
  await expect(made(15_359)).rejects.toThrow(
    `${STACK} takes 15.4 kB in f32, and the largest buffer of this adapter is 15.4 kB`,
  );
});

test("in bf16 it takes half, but its gradient does not", async () => {
  (await made(15_000, { dtype: "bf16", freeze: () => true })).free();
  await expect(made(15_000, { dtype: "bf16" })).rejects.toThrow(
    `the gradient of ${STACK} takes 15.4 kB, and the largest buffer of this adapter is 15.0 kB`,
  );
  await expect(made(15_000)).rejects.toMatchObject({
    hint: "hold it in half of that: --dtype bf16, or take another adapter with --device; doctor lists them",
  });
  await expect(made(7000)).rejects.toMatchObject({ hint: "take another adapter with --device; doctor lists them" });
});

test("what is trained beside it may be larger than it alone", async () => {
  const lora = { rank: 2, alpha: 4, seed: 1 };
  (await made(15_000, { dtype: "bf16", lora })).free();
});
