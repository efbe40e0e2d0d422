/** Exact selection by magnitude against a full sort. */
import { beforeAll, describe, expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { quickselect } from "../../../src/merge/selection/quickselect.ts";
import { ALL, type Cut, heldValues, NONE, taskVector } from "../../../src/merge/selection/ranked.ts";
import { topCuts } from "../../../src/merge/selection/top-k-selection.ts";
import { covers } from "../../support/covers.ts";
import { rounded } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { HANG_MS } from "../../support/hang.ts";
import { type JobInputs, withJob } from "../../support/job.ts";
import { normals, randomUnits, randomWords } from "../../support/random.ts";

covers("top-k-selection/count", "top-k-selection/locate", "top-k-selection/sample-magnitudes");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

const DISTRIBUTIONS: Record<string, (n: number, seed: number) => Float32Array> = {
  uniform: (n, seed) => Float32Array.from({ length: n }, randomUnits(seed)).map((u) => 2 * u - 1),
  "heavy-tailed": (n, seed) => {
    const unit = randomUnits(seed);
    return Float32Array.from({ length: n }, () => Math.tan(Math.PI * (unit() - 0.5)) ** 3);
  },
  "all equal": (n) => new Float32Array(n).fill(-0.375),
  "all zeros": (n) => new Float32Array(n).map((_, i) => (i % 3 === 0 ? -0 : 0)),
  "mostly zeros": (n, seed) => {
    const word = randomWords(seed);
    return normals(seed + 1, n).map((x) => (word() % 50 === 0 ? x : 0));
  },
  "few distinct": (n, seed) => {
    const word = randomWords(seed);
    return Float32Array.from({ length: n }, () => (((word() >>> 3) % 7) - 3) / 128);
  },
  "with infinities": (n, seed) => {
    const word = randomWords(seed);
    const signs = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    return normals(seed + 1, n).map((x) => (word() % 20 === 0 ? signs[word() % 2]! : x));
  },
  subnormal: (n, seed) => {
    const word = randomWords(seed);
    return new Float32Array(Uint32Array.from({ length: n }, () => (word() & 0x800003ff) >>> 0).buffer);
  },
};

const bitsOf = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.slice().buffer).map((word) => word & 0x7fffffff);

/** Where a full sort by (magnitude descending, index ascending) puts the top-th value. */
function sortedOrder(values: Float32Array): (top: number) => Cut {
  const bits = bitsOf(values);
  const order = Uint32Array.from({ length: bits.length }, (_, i) => i).sort((a, b) => bits[b]! - bits[a]! || a - b);
  return (top) => {
    if (top <= 0) return NONE;
    if (top >= bits.length) return ALL;
    const index = order[top - 1]!;
    return { bits: bits[index]!, index };
  };
}

const topsOf = (n: number): number[] => [
  ...new Set([0, 1, 2, Math.floor(n / 10), Math.floor(n / 2), Math.ceil(0.9 * n), n - 1, n].filter((k) => k <= n)),
];

/** Selects from plain f32 values in parts of `part` values, and from the task vector base + values - base. */
async function cutsOf(values: Float32Array, tops: readonly number[], inputs: Omit<JobInputs<unknown>, "models">) {
  const { found } = await withJob(gpu, { models: [values], ...inputs }, (job) =>
    topCuts(
      job,
      tops.map((top) => ({ ranked: taskVector(job, 0), top })),
    ),
  );
  return found;
}

async function plainCutsOf(values: Float32Array, tops: readonly number[], part: number) {
  const parts: { buffer: GPUBuffer; start: number; length: number; free(): void }[] = [];
  for (let start = 0; start < values.length; start += part) {
    const piece = values.slice(start, start + part);
    const padded = new Float32Array(Math.ceil(piece.length / 4) * 4).fill(3e38); // past the end anything may lie
    padded.set(piece);
    const held = gpu.upload(padded, "part");
    parts.push({ buffer: held.buffer, start, length: piece.length, free: () => held.free() });
  }
  const ranked = heldValues(values.length, parts);
  const { found } = await withJob(gpu, { models: [values] }, (job) =>
    topCuts(
      job,
      tops.map((top) => ({ ranked, top })),
    ),
  );
  for (const held of parts) held.free();
  return found;
}

describe.each(Object.keys(DISTRIBUTIONS))("of %s values", (name) => {
  const make = DISTRIBUTIONS[name]!;

  test.each([1, 3, 4, 5, 255, 257, 4095, 4096, 4097, 10_007, 65_537])("%d of them, like a sort", async (n) => {
    const values = make(n, n);
    const expected = sortedOrder(values);
    const tops = topsOf(n);
    const wanted = tops.map(expected);
    const zeros = new Float32Array(n);
    expect(await plainCutsOf(values, tops, n)).toEqual(wanted);
    // Adapters may flush subnormal numbers in the subtraction that makes a task vector.
    if (name !== "subnormal") expect(await cutsOf(values, tops, { base: zeros })).toEqual(wanted);
  });

  test("in several chunks, kept and loaded again", async () => {
    const n = 20_011;
    const values = make(n, 7);
    const tops = topsOf(n);
    const wanted = tops.map(sortedOrder(values));
    const chunks = { base: new Float32Array(n), shape: [n, 1], settings: { chunkValues: 4_999 } };
    expect(await plainCutsOf(values, tops, 3_001)).toEqual(wanted);
    if (name === "subnormal") return;
    expect(await cutsOf(values, tops, { ...chunks, passes: "many" })).toEqual(wanted);
    expect(await cutsOf(values, tops, { ...chunks, passes: "one" })).toEqual(wanted);
  });
});

describe("task vectors", () => {
  // Differences of coarse numbers are themselves coarse: many are equal, and the cut falls into a run of them.
  test.each(["BF16", "F16"] as const)("of %s models tie often and still match a sort", async (dtype) => {
    const n = 66_049;
    const base = rounded(normals(1, n, 0.02), dtype);
    const noise = normals(2, n, 0.0005);
    const model = rounded(
      base.map((x, i) => x + noise[i]!),
      dtype,
    );
    const delta = model.map((x, i) => Math.fround(x - base[i]!));
    expect(new Set(bitsOf(delta)).size).toBeLessThan(n / 4);
    const tops = topsOf(n);
    const wanted = tops.map(sortedOrder(delta));
    expect(await cutsOf(model, tops, { base, dtype })).toEqual(wanted);
    const chunks = { shape: [257, 257], settings: { chunkValues: 257 * 50 } };
    expect(await cutsOf(model, tops, { base, dtype, ...chunks, passes: "one" })).toEqual(wanted);
  });

  test("of several models are kept apart while they are loaded together", async () => {
    const n = 9_001;
    const base = normals(1, n);
    const models = [2, 3, 4].map((seed) => normals(seed, n, 0.1).map((x, i) => x + base[i]!));
    const inputs = { base, models, shape: [n, 1], passes: "one", settings: { chunkValues: 1_000 } } as const;
    const { found } = await withJob(gpu, inputs, (job) =>
      topCuts(
        job,
        models.map((_, k) => ({ ranked: taskVector(job, k), top: 100 * (k + 1) })),
      ),
    );
    const wanted = models.map((model, k) => sortedOrder(model.map((x, i) => Math.fround(x - base[i]!)))(100 * (k + 1)));
    expect(found).toEqual(wanted);
  });

  test("are ranked after rounding to the working type, in compatibility mode", async () => {
    const n = 5_003;
    const base = rounded(normals(1, n), "BF16");
    const model = rounded(normals(2, n), "BF16");
    const delta = rounded(
      model.map((x, i) => x - base[i]!),
      "BF16",
    );
    const tops = [1, 500, 2_500, n - 1];
    const found = await cutsOf(model, tops, {
      base,
      dtype: "BF16",
      workDtype: "BF16",
      settings: { compatRounding: true },
    });
    expect(found).toEqual(tops.map(sortedOrder(delta)));
  });
});

describe("a sample that misleads", () => {
  /** Kernels, by path, and parameters of what `work` ran. */
  async function runsOf(work: () => Promise<unknown>): Promise<{ path: string; params: Record<string, number> }[]> {
    const spy = spyOn(gpu, "run");
    try {
      await work();
      return spy.mock.calls.map(([{ label }, { params = {} }]) => ({ path: label.split("+")[0]!, params }));
    } finally {
      spy.mockRestore();
    }
  }

  const passesOf = async (work: () => Promise<unknown>): Promise<number> =>
    (await runsOf(work)).filter(({ path }) => path === "top-k-selection/count").length;

  /** The places that a selection among n values samples, found by ranking values whose bits are their own index. */
  async function sampledPlaces(n: number): Promise<Uint8Array> {
    const own = new Float32Array(Uint32Array.from({ length: n }, (_, i) => i).buffer);
    const runs = await runsOf(() => plainCutsOf(own, [n >> 1], n));
    const count = runs.find(({ path }) => path === "top-k-selection/sample-magnitudes")!.params.count!;
    const kernel = await gpu.kernel("top-k-selection/sample-magnitudes");
    using source = gpu.upload(new Float32Array([...own, 0, 0, 0]), "own index");
    using sample = gpu.buffer(4 * count, "sample");
    gpu.run(kernel, {
      bind: { source: source.buffer, sample: sample.buffer },
      params: { n, pitch: 0, slot: 0, count, offset: 0 },
      invocations: count,
    });
    const seen = new Uint8Array(n);
    for (const index of await gpu.readWords(sample.buffer, count)) seen[index] = 1;
    expect(seen.reduce((sum, one) => sum + one, 0)).toBeGreaterThan(0.9 * count);
    return seen;
  }

  test("looks at places all over the tensor", async () => {
    const n = 300_007;
    const seen = await sampledPlaces(n);
    const total = seen.reduce((sum, one) => sum + one, 0);
    for (let from = 0; from + 5_000 <= n; from += 5_000) {
      const found = seen.subarray(from, from + 5_000).reduce((sum, one) => sum + one, 0);
      expect(Math.abs(found - (total * 5_000) / n)).toBeLessThan((0.1 * (total * 5_000)) / n + 2);
    }
  });

  test("is rare: one counting pass is nearly always enough for ordinary values", async () => {
    const tops = [20, 20_000, 100_000, 199_000];
    let passes = 0;
    for (const seed of [1, 2, 3, 4, 5]) {
      const values = normals(seed, 200_003, 0.01);
      passes += await passesOf(() => plainCutsOf(values, tops, values.length));
    }
    expect(passes).toBeLessThanOrEqual(5 * tops.length + 2);
  });

  test.each([
    ["too small", 1e-3],
    ["too large", 1e3],
    ["all zero", 0],
  ])(
    "because all it sees is %s",
    async (_, scale) => {
      const n = 300_007;
      const seen = await sampledPlaces(n);
      const values = normals(3, n).map((x, i) => (seen[i] ? x * scale : x));
      const tops = [1, 1_000, 150_000, n - 1_000, n - 1];
      const passes = await passesOf(async () => {
        expect(await plainCutsOf(values, tops, n)).toEqual(tops.map(sortedOrder(values)));
      });
      expect(passes).toBeGreaterThan(2 * tops.length); // so bisection was at work
      expect(passes).toBeLessThanOrEqual(32 * tops.length);
    },
    20_000,
  );

  test("because what it does not see is one value", async () => {
    const n = 300_007;
    const seen = await sampledPlaces(n);
    const values = normals(3, n).map((x, i) => (seen[i] ? x : 0.5));
    const equal = values.reduce((count, x) => count + Number(x === 0.5), 0);
    const order = sortedOrder(values);
    const above = values.reduce((count, x) => count + Number(Math.abs(x) > 0.5), 0);
    const tops = [above, above + 1, above + equal, above + equal + 1, 20_000];
    expect(await plainCutsOf(values, tops, n)).toEqual(tops.map(order));
  }, 120_000);
});

describe("quickselect", () => {
  test("puts what a sort would at every place", () => {
    const words = fc.array(fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 0xffffffff })), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(words, fc.nat(), (list, at) => {
        const k = at % list.length;
        const values = Uint32Array.from(list);
        const sorted = values.slice().sort();
        expect(quickselect(values, k)).toBe(sorted[k]!);
        expect(values[k]).toBe(sorted[k]!);
        expect(values.slice().sort()).toEqual(sorted);
        for (let i = 0; i < k; i++) expect(values[i]!).toBeLessThanOrEqual(values[k]!);
        for (let i = k + 1; i < values.length; i++) expect(values[i]!).toBeGreaterThanOrEqual(values[k]!);
      }),
      { numRuns: 500 },
    );
  });

  test("takes sorted, reversed and constant lists in its stride", () => {
    const n = 1 << 20;
    const lists = [(i: number) => i, (i: number) => n - i, () => 7];
    const started = performance.now();
    for (const list of lists) {
      const values = Uint32Array.from({ length: n }, (_, i) => list(i));
      expect(quickselect(values, n >> 2)).toBe(list === lists[2] ? 7 : list === lists[0] ? n >> 2 : (n >> 2) + 1);
    }
    expect(performance.now() - started).toBeLessThan(HANG_MS); // quadratic would take an hour
  });
});
