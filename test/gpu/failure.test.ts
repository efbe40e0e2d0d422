/** What the device reports becomes an exception that names the kernel. Each test breaks its own device. */
import { expect, test } from "bun:test";
import { UserError } from "../../src/errors.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { loadRange } from "../../src/tensor/load.ts";
import { entryOf } from "../support/entry.ts";
import { ownGpu } from "../support/gpu.ts";

const FILL = "../test/gpu/kernels/fill";

const failure = async (work: () => unknown): Promise<Error> => {
  try {
    await work();
  } catch (error) {
    return error as Error;
  }
  throw new Error("expected a failure");
};

const lose = async (gpu: Gpu) => {
  gpu.device.destroy();
  await gpu.device.lost;
};

test("a binding larger than its buffer fails the next read, naming kernel and buffer", async () => {
  const { gpu } = await ownGpu();
  const fill = await gpu.kernel(FILL);
  using held = gpu.buffer(256, "too small");
  gpu.run(fill, { bind: { result: { buffer: held.buffer, offset: 0, size: 4096 } }, params: { n: 1, value: 1 } });
  const error = await failure(() => gpu.readWords(held.buffer, 1));
  expect(error.message).toContain(`GPU error, last kernel ${FILL}`);
  expect(error.message).toContain('Binding size (4096) is larger than the size (256) of [Buffer "too small"]');
  // It stays failed: later numbers could not be trusted.
  expect(() => gpu.run(fill, { bind: { result: held.buffer }, params: { n: 1, value: 1 } })).toThrow(error.message);
  expect((await failure(() => gpu.readWords(held.buffer, 1))).message).toBe(error.message);
  gpu.close();
});

test("a destroyed buffer fails the next read, naming kernel and buffer", async () => {
  const { gpu } = await ownGpu();
  const fill = await gpu.kernel(FILL);
  const gone = gpu.device.createBuffer({ size: 256, usage: 0x80, label: "gone" });
  using other = gpu.buffer(256, "other");
  gone.destroy();
  gpu.run(fill, { bind: { result: gone }, params: { n: 1, value: 1 } });
  const error = await failure(() => gpu.readWords(other.buffer, 1));
  expect(error.message).toContain(`last kernel ${FILL}`);
  expect(error.message).toContain('[Buffer "gone"] used in submit while destroyed');
  gpu.close();
});

test("a lost device fails everything that is pending and everything after, with a hint", async () => {
  const { gpu } = await ownGpu();
  const fill = await gpu.kernel(FILL);
  using held = gpu.buffer(1 << 20, "held");
  const run = () => gpu.run(fill, { bind: { result: held.buffer }, params: { n: 64, value: 1 } });
  run();
  // More than the rings hold, so that some wait for a place in them when the device goes.
  const pending = Array.from({ length: 40 }, () => failure(() => gpu.readWords(held.buffer, 64)));
  await lose(gpu);
  for (const error of await Promise.all(pending)) {
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toStartWith(`The GPU device was lost while running ${FILL}: `);
    expect(error.message).toMatch(/: device was destroyed\.?$/i); // each provider has words of its own
    expect((error as UserError).hint).toBe(
      "the driver was reset or ran out of memory; run it again, or with --device cpu",
    );
    expect((error as UserError).exitCode).toBe(1);
  }
  const message = `The GPU device was lost while running ${FILL}`;
  expect(run).toThrow(message);
  expect(() => gpu.copy(held.buffer, 0, held.buffer, 512, 4)).toThrow(message);
  expect(() => gpu.write(held.buffer, 0, new Uint8Array(4))).toThrow(message);
  expect((await failure(() => gpu.readWords(held.buffer, 1))).message).toStartWith(message);
  expect((await failure(() => gpu.kernel("../test/gpu/kernels/add"))).message).toStartWith(message);
  gpu.close(); // and does not throw
});

test("a device that ran out of memory is one line with a hint", async () => {
  const { gpu } = await ownGpu();
  const error = new Error('no memory for [Buffer "w"]\n - While calling [Device].CreateBuffer');
  error.name = "GPUOutOfMemoryError"; // as the standard has it; no driver runs out of memory to order
  gpu.device.onuncapturederror?.({ error } as unknown as GPUUncapturedErrorEvent);
  const found = (await failure(() => gpu.kernel(FILL))) as UserError;
  expect([found.name, found.message, found.hint, found.exitCode]).toEqual([
    "UserError",
    'The GPU ran out of memory before it ran a kernel: no memory for [Buffer "w"]',
    "use smaller batches, end other programs that use the GPU, or run it with --device cpu",
    1,
  ]);
  gpu.close();
});

test("a lost device leaves no upload waiting", async () => {
  const { gpu } = await ownGpu();
  const values = new Float32Array(100_000);
  using target = gpu.buffer(4 * values.length, "target");
  const { promise: reading, resolve: read } = Promise.withResolvers<void>();
  const entry = { ...entryOf("w", "F32", [values.length], values), read: () => reading };
  const loads = Array.from({ length: 40 }, () =>
    failure(() => loadRange(gpu, entry, 0, values.length, "F32", target.buffer, 0)),
  );
  await Bun.sleep(20); // the first ones have their staging memory and read their file
  await lose(gpu);
  read();
  for (const error of await Promise.all(loads)) expect(error.message).toStartWith("The GPU device was lost");
  gpu.close();
});
