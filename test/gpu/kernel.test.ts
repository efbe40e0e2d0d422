import { beforeAll, describe, expect, test } from "bun:test";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { SPAN, spanGroups } from "../../src/gpu/grid.ts";
import { type Kernel, layout } from "../../src/gpu/kernel.ts";
import { ownGpu, sharedGpu } from "../support/gpu.ts";

const HERE = "../test/gpu/kernels";

let gpu: Gpu;
let fill: Kernel;
let add: Kernel;

beforeAll(async () => {
  gpu = await sharedGpu();
  fill = await gpu.kernel(`${HERE}/fill`);
  add = await gpu.kernel(`${HERE}/add`);
});

describe("layout", () => {
  test("reads slots, access, parameters and the workgroup out of WGSL", () => {
    const code = `
      struct Params { n: u32, shift: i32, scale : f32, }
      struct Other { x: vec4f }
      @group(0) @binding(0) var<uniform> params: Params;
      @group(0)   @binding(7)
      var<storage, read> source: array<vec4f>;
      @group(0) @binding(2) var<storage,read_write> result: array<vec2u>;
      @group(0) @binding(4) var<storage> also_read: array<u32>;
      var<workgroup> sums: array<f32, 64>;
      @compute @workgroup_size(64, 1, 1) fn main() {}`;
    expect(layout(code, "k")).toEqual({
      bindings: [
        { name: "source", slot: 7, access: "read" },
        { name: "result", slot: 2, access: "read_write" },
        { name: "also_read", slot: 4, access: "read" },
      ],
      params: [
        { name: "n", type: "u32", offset: 0 },
        { name: "shift", type: "i32", offset: 4 },
        { name: "scale", type: "f32", offset: 8 },
      ],
      paramsSlot: 0,
      paramsBytes: 16,
      workgroup: 64,
    });
  });

  test("pads the uniform to 16 bytes and does without one", () => {
    const fields = Array.from({ length: 5 }, (_, i) => `p${i}: f32`).join(", ");
    expect(layout(`struct Params { ${fields} } @workgroup_size(1)`, "k").paramsBytes).toBe(32);
    const none = layout("@compute @workgroup_size(8) fn main() {}", "k");
    expect([none.params, none.paramsSlot, none.paramsBytes]).toEqual([[], undefined, 0]);
  });

  test("takes the workgroup from an override, or from the variant's constants", () => {
    const code = "override WIDE: u32 = 128; @compute @workgroup_size(WIDE) fn main() {}";
    expect(layout(code, "k").workgroup).toBe(128);
    expect(layout(code, "k", { WIDE: 32 }).workgroup).toBe(32);
    expect(() => layout("fn main() {}", "merge/none")).toThrow("merge/none: no @workgroup_size found");
  });
});

describe("binding by name", () => {
  test("packs u32, i32 and f32 parameters at any slot, whatever the order of the names", async () => {
    using source = gpu.upload(new Float32Array([1, 2, 3, 4, 5]), "source");
    using result = gpu.buffer(20, "result");
    gpu.run(add, {
      bind: { result: result.buffer, source: source.buffer },
      params: { real: 0.25, signed: -7, n: 5 },
      invocations: 5,
    });
    expect([...(await gpu.readFloats(result.buffer, 5))]).toEqual([-5.75, -4.75, -3.75, -2.75, -1.75]);
  });

  test("packs words above 2^31", async () => {
    using result = gpu.buffer(256, "result");
    gpu.run(fill, { bind: { result: result.buffer }, params: { n: 2, value: 0xfffffff0 }, invocations: 2 });
    expect([...(await gpu.readWords(result.buffer, 2))]).toEqual([0xfffffff0, 0xfffffffa]);
  });

  test("refuses missing and unknown names, naming the kernel", () => {
    using held = gpu.buffer(256, "held");
    const result = held.buffer;
    const params = { n: 1, value: 1 };
    expect(() => gpu.run(fill, { bind: {}, params })).toThrow(`${HERE}/fill: nothing bound to result`);
    expect(() => gpu.run(fill, { bind: { result, extra: result }, params })).toThrow(
      `${HERE}/fill: no binding is called extra`,
    );
    expect(() => gpu.run(fill, { bind: { result }, params: { n: 1 } })).toThrow(
      `${HERE}/fill: parameter value is missing`,
    );
    expect(() => gpu.run(fill, { bind: { result } })).toThrow(`${HERE}/fill: parameter n is missing`);
    expect(() => gpu.run(fill, { bind: { result }, params: { ...params, count: 3 } })).toThrow(
      `${HERE}/fill: unknown parameter count`,
    );
  });
});

describe("variants", () => {
  test("are compiled once and distinguished by flags and constants", async () => {
    const narrow = { constants: { WORKGROUP: 32 } };
    expect(await gpu.kernel(`${HERE}/fill`)).toBe(fill);
    expect(await gpu.kernel(`${HERE}/fill`, { flags: [], constants: {} })).toBe(fill);
    expect(await gpu.kernel(`${HERE}/fill`, narrow)).toBe(await gpu.kernel(`${HERE}/fill`, narrow));
    expect(await gpu.kernel(`${HERE}/fill`, narrow)).not.toBe(fill);
    expect((await gpu.kernel(`${HERE}/fill`, narrow)).layout.workgroup).toBe(32);
    const twice = await gpu.kernel(`${HERE}/add`, { flags: ["twice"] });
    expect(twice).not.toBe(add);
    expect(twice.label).toBe(`${HERE}/add+twice`);
    expect(add.layout.params.map(({ name }) => name)).toEqual(["n", "signed", "real"]);
    expect(twice.layout.params.map(({ name }) => name)).toEqual(["n", "signed", "real", "factor"]);
  });

  test("compute what their conditions say", async () => {
    const twice = await gpu.kernel(`${HERE}/add`, { flags: ["twice"] });
    using source = gpu.upload(new Float32Array([1, 2]), "source");
    using result = gpu.buffer(8, "result");
    gpu.run(twice, {
      bind: { source: source.buffer, result: result.buffer },
      params: { n: 2, signed: 1, real: 0.5, factor: 4 },
    });
    expect([...(await gpu.readFloats(result.buffer, 2))]).toEqual([10, 14]);
  });

  test("that do not compile give the compiler's message, with the place", async () => {
    const error = await gpu.kernel(`${HERE}/wrong-type`).catch((e) => e);
    expect(error).toBeInstanceOf(Error);
    expect(error.message).toStartWith(`${HERE}/wrong-type does not compile: `);
    expect(error.message).toContain("cannot assign 'f32' to 'u32'");
    expect(error.message).toMatch(/:\d+:\d+ error/);
    gpu.check(); // the shared device still works
  });

  test("that do not link name what is missing", async () => {
    await expect(gpu.kernel(`${HERE}/unknown-name`)).rejects.toThrow("unresolved identifier 'nowhere'");
    await expect(gpu.kernel("merge/no-such-kernel")).rejects.toThrow("no-such-kernel.wgsl");
  });
});

describe("recording", () => {
  test("keeps 600 dispatches of one submit apart", async () => {
    const count = 600; // more than twice the uniforms of one submit
    using result = gpu.buffer(256 * count, "results");
    for (let i = 0; i < count; i++) {
      const bind = { result: { buffer: result.buffer, offset: 256 * i, size: 256 } };
      gpu.run(fill, { bind, params: { n: 64, value: i }, invocations: 64 });
    }
    const words = await gpu.readWords(result.buffer, 64 * count);
    const wrong = words.findIndex((word, i) => word !== 10 * (i % 64) + Math.floor(i / 64));
    expect(wrong).toBe(-1);
  });

  test("runs dispatches, copies and writes in the order of the calls", async () => {
    using a = gpu.buffer(256, "a");
    using b = gpu.buffer(256, "b");
    const value = (v: number) => gpu.run(fill, { bind: { result: a.buffer }, params: { n: 1, value: v } });
    value(1);
    gpu.copy(a.buffer, 0, b.buffer, 0, 4);
    value(2);
    gpu.copy(a.buffer, 0, b.buffer, 4, 4);
    gpu.write(a.buffer, 0, new Uint8Array(new Uint32Array([3]).buffer));
    gpu.copy(a.buffer, 0, b.buffer, 8, 4);
    value(4);
    gpu.copy(a.buffer, 0, b.buffer, 12, 4);
    const before = gpu.readWords(b.buffer, 4);
    value(5);
    gpu.copy(a.buffer, 0, b.buffer, 0, 4);
    const after = gpu.readWords(b.buffer, 1);
    // Also when more reads are pending than there is staging memory.
    const many = Array.from({ length: 60 }, (_, i) => {
      value(100 + i);
      return gpu.readWords(a.buffer, 1);
    });
    value(0);
    expect([...(await before)]).toEqual([1, 2, 3, 4]);
    expect([...(await after)]).toEqual([5]);
    expect((await Promise.all(many)).map(([word]) => word)).toEqual(many.map((_, i) => 100 + i));
  });

  test("writes tails that are no whole words", async () => {
    using held = gpu.upload(new Uint8Array([1, 2, 3, 4, 5, 6, 7]), "bytes");
    expect([...(await gpu.read(held.buffer, 0, 7, (view) => view.slice()))]).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect([...(await gpu.read(held.buffer, 4, 3, (view) => view.slice()))]).toEqual([5, 6, 7]);
  });

  test.each([70_001, 131_071, 65_536])("folds %d workgroups over y", async (count) => {
    const single = await gpu.kernel(`${HERE}/fill`, { constants: { WORKGROUP: 1 } });
    using result = gpu.upload(new Uint32Array(count + 64).fill(7), "long");
    gpu.run(single, { bind: { result: result.buffer }, params: { n: count, value: 3 }, invocations: count });
    const words = await gpu.readWords(result.buffer, count + 64);
    expect(words.findIndex((word, i) => word !== (i < count ? 10 * i + 3 : 7))).toBe(-1);
  });

  test("spans of long tensors fit the grid's limits and cover everything", () => {
    for (const n4 of [0, 1, SPAN, SPAN + 1, 65_535 * SPAN, 65_535 * SPAN + 1, 2 ** 29, 2 ** 30 - 1]) {
      const [x, y] = spanGroups(n4);
      expect(x).toBeLessThanOrEqual(65_535);
      expect(y).toBeLessThanOrEqual(65_535);
      expect(x * y * SPAN).toBeGreaterThanOrEqual(n4);
      expect((x * y - y) * SPAN).toBeLessThanOrEqual(n4); // at most a row of workgroups too many
    }
  });
});

describe("timing", () => {
  test("adds up runs and seconds per kernel, where the adapter has timestamps", async () => {
    const { gpu } = await ownGpu({ profile: true });
    try {
      if (!gpu.device.features.has("timestamp-query")) {
        expect(gpu.timer).toBeUndefined();
        return;
      }
      const fill = await gpu.kernel(`${HERE}/fill`);
      const wide = await gpu.kernel(`${HERE}/fill`, { constants: { WORKGROUP: 32 } });
      const add = await gpu.kernel(`${HERE}/add`);
      using result = gpu.buffer(4 << 20, "result");
      using source = gpu.buffer(256, "source");
      const started = performance.now();
      for (let round = 0; round < 2; round++) {
        for (let i = 0; i < 20; i++) {
          gpu.run(fill, { bind: { result: result.buffer }, params: { n: 1 << 20, value: i }, invocations: 1 << 20 });
        }
        gpu.run(wide, { bind: { result: result.buffer }, params: { n: 32, value: 0 } });
        gpu.run(add, { bind: { result: result.buffer, source: source.buffer }, params: { n: 1, signed: 0, real: 0 } });
        await gpu.readWords(result.buffer, 1);
      }
      const elapsed = (performance.now() - started) / 1000;
      const times = await gpu.timer!.times();
      const runs = Object.fromEntries(times.map(({ kernel, runs }) => [kernel, runs]));
      expect(runs).toEqual({ [`${HERE}/fill`]: 42, [`${HERE}/add`]: 2 });
      expect(times[0]!.kernel).toBe(`${HERE}/fill`); // longest first
      const total = times.reduce((sum, { seconds }) => sum + seconds, 0);
      expect(total).toBeGreaterThan(0);
      expect(total).toBeLessThan(1.1 * elapsed + 0.01);
    } finally {
      gpu.close();
    }
  });
});
