import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { BufferPool, sizeClass } from "../../src/gpu/buffer.ts";
import { type Device, SHARED_MEMORY } from "../../src/gpu/device.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { loadRange } from "../../src/tensor/load.ts";
import { entryOf } from "../support/entry.ts";
import { ownGpu, sharedGpu } from "../support/gpu.ts";
import { randomPatterns } from "../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

describe("size classes", () => {
  test("hold what was asked for, waste a quarter at most, and are few", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 32 }), (bytes) => {
        const size = sizeClass(bytes);
        expect(size).toBeGreaterThanOrEqual(bytes);
        expect(size).toBeLessThanOrEqual(Math.max(256, 1.25 * bytes));
        expect(size % 64).toBe(0);
        expect(sizeClass(size)).toBe(size);
        expect(sizeClass(bytes + 1)).toBeGreaterThanOrEqual(size);
      }),
      { numRuns: 2000 },
    );
    expect(new Set(Array.from({ length: 10_000 }, (_, i) => sizeClass(1024 + i))).size).toBeLessThanOrEqual(16);
  });

  test("do not pass a limit of the adapter that the request keeps", () => {
    const binding = 2 ** 31 - 4;
    const largest = 2 ** 32 - 1;
    const device = {
      adapter: { limits: { maxStorageBufferBindingSize: binding, maxBufferSize: largest } },
      device: { createBuffer: ({ size }: { size: number }) => ({ size, destroy() {} }) },
    } as unknown as Device;
    const pool = new BufferPool(device);
    expect(pool.take(binding - 100, "a").buffer.size).toBe(binding);
    expect(pool.take(binding + 4, "b").buffer.size).toBe(sizeClass(binding + 4));
    expect(pool.take(largest - 99, "c").buffer.size).toBe(2 ** 32 - 4);
    expect(pool.take(1000, "d").buffer.size).toBe(1024);
    expect(() => pool.take(2 ** 32, "logits")).toThrow(
      "logits: 4294967296 bytes exceed this adapter's largest buffer (4294967295)",
    );
  });
});

describe("the pool", () => {
  let own: Gpu;
  beforeAll(async () => {
    own = (await ownGpu()).gpu;
  });
  afterAll(() => own.close());

  test("reuses what was given back, per size class, and counts", () => {
    const pool = own.pool;
    const first = pool.take(1000, "first");
    const second = pool.take(1000, "second");
    expect(first.bytes).toBe(1000);
    expect([pool.lent, pool.allocated, pool.peak]).toEqual([2048, 2048, 2048]);
    expect(first.buffer).not.toBe(second.buffer);
    first.free();
    first.free(); // twice is once
    expect([pool.lent, pool.allocated]).toEqual([1024, 2048]);
    const third = pool.take(800, "third");
    const fourth = pool.take(1024, "fourth");
    expect(third.buffer).not.toBe(first.buffer);
    expect(fourth.buffer).toBe(first.buffer);
    {
      using scoped = pool.take(1024, "scoped");
      expect(scoped.buffer.size).toBe(1024);
      expect(pool.lent).toBe(1024 + 896 + 1024 + 1024);
    }
    expect(pool.lent).toBe(1024 + 896 + 1024);
    second.free();
    third.free();
    fourth.free();
    expect([pool.lent, pool.allocated, pool.peak]).toEqual([0, 3968, 3968]);
    pool.trim();
    expect([pool.lent, pool.allocated, pool.peak]).toEqual([0, 0, 3968]);
    expect(pool.take(1000, "fresh").buffer).not.toBe(first.buffer);
  });

  test("keeps what is on loan when trimmed", async () => {
    using held = own.upload(new Uint32Array([1, 2, 3]), "held");
    own.pool.trim();
    expect([...(await own.readWords(held.buffer, 3))]).toEqual([1, 2, 3]);
  });
});

describe("transfers", () => {
  // All classes of staging memory, and one above them.
  const SIZES = [4, 1000, 60_000, 70_000, 1 << 20, 3_000_001];

  test("100 reads at a time give each its own data", async () => {
    const sources = Array.from({ length: 100 }, (_, i) => {
      const bytes = SIZES[i % SIZES.length]!;
      const data = new Uint8Array(randomPatterns(i, Math.ceil(bytes / 4)).buffer).subarray(0, bytes);
      return { data, held: gpu.upload(data, `source ${i}`) };
    });
    const reads = sources.map(({ data, held }) =>
      gpu.read(held.buffer, 0, data.byteLength, async (view) => {
        await Promise.resolve();
        return Buffer.compare(view, data);
      }),
    );
    for (const { held } of sources) held.free(); // reuse is in stream order
    expect(new Set(await Promise.all(reads))).toEqual(new Set([0]));
  });

  test("60 loads at a time from slow files arrive where they belong", async () => {
    const count = 60;
    const slots = Array.from({ length: count }, (_, i) => {
      const values = new Float32Array(randomPatterns(1000 + i, 40_000 + 3 * i).buffer).map((x) =>
        Number.isNaN(x) ? 1 : x,
      );
      const entry = entryOf(`w${i}`, "F32", [values.length], values);
      const read = async (into: Uint8Array, offset: number) => {
        await Bun.sleep((i * 7) % 5);
        await entry.read(into, offset);
      };
      return { entry: { ...entry, read }, values, target: gpu.buffer(4 * values.length + 16, `target ${i}`) };
    });
    await Promise.all(
      slots.map(({ entry, values, target }) => loadRange(gpu, entry, 0, values.length, "F32", target.buffer, 0)),
    );
    for (const { values, target } of slots) {
      const found = await gpu.readFloats(target.buffer, values.length);
      expect(Buffer.compare(new Uint8Array(found.buffer), new Uint8Array(values.buffer))).toBe(0);
      target.free();
    }
  });

  test("uploads are padded with zeros, whatever their memory held before", async () => {
    for (const fill of [0xff, 0xee]) {
      const upload = await gpu.uploads.take(100_000);
      upload.view.fill(fill);
      upload.free();
    }
    const uploads = await Promise.all([1, 2, 3, 4].map(() => gpu.uploads.take(70_005)));
    for (const upload of uploads) {
      expect(upload.view.byteLength).toBe(70_016);
      expect([...upload.view.subarray(70_005)]).toEqual(new Array(11).fill(0));
    }
    for (const upload of uploads) upload.free();
  });

  test("memory that the host fills in place is read by what was recorded before and after", async () => {
    const { shared } = gpu;
    const { type, features } = gpu.adapter;
    expect(shared !== undefined).toBe(type === "cpu" && features.includes(SHARED_MEMORY));
    if (!shared) return;
    const bytes = 400_000;
    const filled = (value: number) => shared.fill(bytes, "filled", async (view) => void view.fill(value, 0, bytes));
    const kept = Array.from({ length: 12 }, (_, i) => gpu.buffer(bytes, `kept ${i}`));
    for (const [i, { buffer }] of kept.entries()) {
      using stack = await filled(i + 1); // given back while the copy is recorded, and filled again for the fifth
      gpu.copy(stack.buffer, 0, buffer, 0, bytes);
    }
    for (const [i, { buffer, free }] of kept.entries()) {
      const whole = await gpu.read(buffer, 0, bytes, (view) => Buffer.compare(view, new Uint8Array(bytes).fill(i + 1)));
      expect(whole).toBe(0);
      free();
    }
    const failing = shared.fill(bytes, "failing", () => Promise.reject(new Error("the file ends early")));
    await expect(failing).rejects.toThrow("the file ends early");
    using again = await filled(9);
    expect([...new Uint8Array((await gpu.readWords(again.buffer, 1)).buffer)]).toEqual([9, 9, 9, 9]);
  });

  test("a failing consumer gives its staging memory back", async () => {
    using held = gpu.upload(new Uint32Array([1, 2, 3, 4]), "held");
    for (let i = 0; i < 40; i++) {
      const read = gpu.read(held.buffer, 0, 16, () => {
        throw new Error(`consumer ${i}`);
      });
      await expect(read).rejects.toThrow(`consumer ${i}`);
    }
    expect([...(await gpu.readWords(held.buffer, 4))]).toEqual([1, 2, 3, 4]);
  });

  test("memory does not grow over 4,000 rounds of dispatch and read", async () => {
    const script = fileURLToPath(new URL("./rounds.ts", import.meta.url));
    const child = Bun.spawn([process.execPath, script], { stdout: "pipe", stderr: "inherit" });
    const { rss, pool, staging } = JSON.parse(await new Response(child.stdout).text());
    expect(await child.exited).toBe(0);
    expect([pool, staging]).toEqual([0, 0]);
    // Bind groups that are not released are 40 MB by then, buffers 50 MB.
    expect(rss / 2 ** 20).toBeLessThan(16);
  }, 120_000);
});
