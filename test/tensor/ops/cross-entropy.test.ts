import { describe, expect, test } from "bun:test";
import { crossEntropy, scoreTokens } from "../../../src/tensor/ops/cross-entropy.ts";
import { chunkRows, headLoss } from "../../../src/tensor/ops/head-loss.ts";
import { linear } from "../../../src/tensor/ops/linear.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp as check, hardware, type OpCheck, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("cross-entropy/cross-entropy", "cross-entropy/cross-entropy-gradient");

const gpu = await sharedGpu();

/** With the kernels of this adapter, and with those of a real GPU. */
async function checkOp(on: typeof gpu, name: string, op: OpCheck): Promise<void> {
  await check(on, name, op);
  await check(on, name, { ...op, profile: hardware });
}

function reference(x: Float64Array, targets: Int32Array, v: number, smoothing: number, z: number): Float64Array {
  return Float64Array.from(targets, (target, row) => {
    if (target < 0) return 0;
    const logits = x.subarray(row * v, (row + 1) * v);
    const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const lse = most + Math.log(logits.reduce((a, b) => a + Math.exp(b - most), 0));
    const mean = logits.reduce((a, b) => a + b, 0) / v;
    return (1 - smoothing) * (lse - logits[target]!) + smoothing * (lse - mean) + z * lse * lse;
  });
}

test.each([
  [1, 1],
  [3, 3],
  [1, 255],
  [3, 257],
  [9, 1000],
])("%d rows of %d logits, smoothed, with z-loss", async (n, v) => {
  for (const [smoothing, z] of [
    [0, 0],
    [0.1, 0],
    [0.2, 0.01],
  ] as const) {
    const targets = Int32Array.from({ length: n }, (_, i) => (i === 1 ? -100 : (i * 7) % v));
    await checkOp(gpu, "cross-entropy", {
      inputs: {
        logits: { shape: [n, v], data: normals(n, n * v, 3) },
        targets: { shape: [n], data: targets, dtype: "i32" },
      },
      build: (rec, { logits, targets }) => crossEntropy(rec, logits!, targets!, { smoothing, zLoss: z }),
      reference: ({ logits }) => reference(logits!, targets, v, smoothing, z),
      // With one output there is nothing to lose.
      ...(v === 1 ? { forward: 1e-3, backward: Number.POSITIVE_INFINITY } : {}),
    });
  }
});

test("large logits keep their loss", async () => {
  const logits = Float32Array.of(1e4, 0, -1e4, 30, 0, 0);
  const { outputs } = await runOp(gpu, {
    inputs: { x: { shape: [2, 3], data: logits }, t: { shape: [2], data: Int32Array.of(1, 0), dtype: "i32" } },
    build: (rec, { x, t }) => crossEntropy(rec, x!, t!),
  });
  expect(outputs.y![0]).toBe(1e4);
  expect(outputs.y![1]! / (2 * Math.exp(-30))).toBeLessThan(1.1e6); // f32 cannot tell 1 + 2e-13 from 1
});

test("large and masked logits keep their gradient", async () => {
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      x: { shape: [2, 3], data: Float32Array.of(1e4, 1e4, Number.NEGATIVE_INFINITY, 3, -3.4e38, 3), grad: true },
      t: { shape: [2], data: Int32Array.of(1, 0), dtype: "i32" },
    },
    build: (rec, { x, t }) => crossEntropy(rec, x!, t!),
    seeds: { y: Float32Array.of(1, 1) },
  });
  expect([...outputs.y!]).toEqual([expect.closeTo(Math.LN2, 6), expect.closeTo(Math.LN2, 6)]);
  expect([...gradients.x!]).toEqual([0.5, -0.5, 0, -0.5, 0, 0.5].map((d) => expect.closeTo(d, 6)));
});

test("the most likely output is the lowest of equals, with its probability", async () => {
  const logits = Float32Array.of(1, 5, 5, 0, 2, 2, 2, 2);
  const rec = new Recorder(profileOf(gpu), { training: false });
  const scored = scoreTokens(rec, rec.input("x", [2, 4]), rec.input("t", [2], "i32"));
  rec.output("argmax", scored.argmax);
  rec.output("confidence", scored.confidence);
  const program = await Program.compile(gpu, rec);
  program.write("x", logits);
  program.write("t", Int32Array.of(0, 3));
  program.run();
  expect([...(await program.readWords("argmax"))]).toEqual([1, 0]);
  const sum = 2 + Math.exp(-4) + Math.exp(-5);
  expect([...(await program.read("confidence"))]).toEqual([expect.closeTo(1 / sum, 6), expect.closeTo(0.25, 6)]);
  program.free();
});

describe.each([undefined, hardware])("profile %#", (profile) => {
  test.each([
    [1, 1, 3],
    [3, 3, 3],
    [2, 255, 8],
    [3, 257, 0.01],
    [9, 1000, 3],
  ])("mean and variance of the log-probabilities of %d rows of %d logits, spread %d", async (n, v, spread) => {
    const x = normals(5, n * v, spread).map((value) => value + 40);
    if (v > 3) x[2] = Number.NEGATIVE_INFINITY;
    const { outputs } = await runOp(gpu, {
      inputs: {
        x: { shape: [n, v], data: x },
        t: { shape: [n], data: Int32Array.from({ length: n }, (_, i) => (i === 1 ? -100 : 0)), dtype: "i32" },
      },
      build: (rec, { x, t }) => {
        const { nll, moments } = scoreTokens(rec, x!, t!, { moments: true });
        return { nll, moments: moments! };
      },
      training: false,
      ...(profile ? { profile } : {}),
    });
    for (let row = 0; row < n; row++) {
      const logits = Float64Array.from(x.subarray(row * v, (row + 1) * v));
      const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      const lse = most + Math.log(logits.reduce((sum, z) => sum + Math.exp(z - most), 0));
      const expected = (f: (logP: number) => number) =>
        logits.reduce((sum, z) => sum + (Number.isFinite(z) ? Math.exp(z - lse) * f(z - lse) : 0), 0);
      const mean = expected((logP) => logP);
      const variance = expected((logP) => (logP - mean) ** 2);
      expect(Math.abs(outputs.moments![2 * row]! - mean)).toBeLessThan(1e-5 * (1 + Math.abs(mean)));
      expect(Math.abs(outputs.moments![2 * row + 1]! - variance)).toBeLessThan(2e-5 * variance + 1e-9);
      expect(Math.abs(outputs.nll![row]! - (row === 1 ? 0 : lse - logits[0]!))).toBeLessThan(1e-4);
    }
  });
});

test("logits in chunks give the loss and gradients of logits as a whole, in less memory", async () => {
  const [n, c, v] = [200, 12, 300];
  const run = (budget?: number) =>
    runOp(gpu, {
      inputs: {
        hidden: { shape: [n, c], data: normals(1, n * c), grad: true },
        head: { shape: [v, c], data: normals(2, v * c), grad: true },
        targets: {
          shape: [n],
          data: Int32Array.from({ length: n }, (_, i) => (i % 5 === 0 ? -100 : i % v)),
          dtype: "i32",
        },
      },
      build: (rec, { hidden, head, targets }) =>
        headLoss(rec, {
          hidden: hidden!,
          head: (rows) => linear(rec, rows, head!),
          width: v,
          targets: targets!,
          ...(budget ? { budget } : {}),
        }),
      seeds: { y: normals(3, n) },
    });
  const [whole, cut] = [await run(), await run(4 * v * 64)];
  expect(cut.outputs.y).toEqual(whole.outputs.y!);
  expect(cut.gradients.hidden).toEqual(whole.gradients.hidden!);
  const most = whole.gradients.head!.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  for (const [i, g] of cut.gradients.head!.entries())
    expect(Math.abs(g - whole.gradients.head![i]!) / most).toBeLessThan(1e-6);

  const planned = async (budget: number) => {
    const rec = new Recorder(profileOf(gpu));
    const hidden = rec.input("hidden", [n, c]);
    hidden.needsGrad = true;
    const head = rec.input("head", [v, c]);
    const nll = headLoss(rec, {
      hidden,
      head: (rows) => linear(rec, rows, head),
      width: v,
      targets: rec.input("t", [n], "i32"),
      budget,
    });
    rec.backward([[nll, rec.input("dy", [n])]]);
    rec.output("dx", rec.incoming(hidden)!);
    const program = await Program.compile(gpu, rec);
    const { bytes } = program.plan;
    program.free();
    return bytes;
  };
  const chunk = 4 * v * 64;
  expect(await planned(4 * v * n)).toBeGreaterThanOrEqual(4 * v * n);
  expect(await planned(chunk)).toBeLessThan(2.5 * chunk);
});

test("chunks have whole blocks of 64 rows within the budget", () => {
  expect(chunkRows(150_000, undefined, 128 * 2 ** 20)).toBe(192);
  expect(chunkRows(512, 2 ** 27)).toBe(65_536);
  expect(chunkRows(1e9)).toBe(64);
});
