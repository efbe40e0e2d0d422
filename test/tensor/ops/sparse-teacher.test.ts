import { describe, expect, test } from "bun:test";
import { divergence } from "../../../src/tensor/ops/divergence.ts";
import { buckets } from "../../../src/tensor/ops/sparse-teacher.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("sparse-teacher/buckets", "sparse-teacher/buckets-gradient");

const gpu = await sharedGpu();

/** k ids of 0..v-1 for every row, ascending. */
const someIds = (n: number, v: number, k: number) =>
  Int32Array.from({ length: n * k }, (_, i) => {
    const [row, j] = [Math.floor(i / k), i % k];
    return Math.min(v - k + j, Math.floor((j * v) / k) + (row % 2));
  });

describe("buckets", () => {
  test.each([
    [1, 1, 1],
    [3, 3, 1],
    [3, 255, 7],
    [2, 257, 256],
    [2, 257, 257],
  ])("%d rows of %d, %d chosen", async (n, v, k) => {
    const ids = someIds(n, v, k);
    for (const profile of [undefined, hardware]) {
      await checkOp(gpu, "buckets", {
        inputs: {
          logits: { shape: [n, v], data: normals(1, n * v, 2) },
          ids: { shape: [n, k], data: ids, dtype: "i32" },
        },
        build: (rec, { logits, ids }) => {
          const y = buckets(rec, logits!, ids!);
          return k < v ? y : rec.reshape(y, y.shape);
        },
        reference: ({ logits }) =>
          Float64Array.from({ length: n * (k + 1) }, (_, i) => {
            const [row, j] = [Math.floor(i / (k + 1)), i % (k + 1)];
            const z = logits!.subarray(row * v, (row + 1) * v);
            const own = ids.subarray(row * k, (row + 1) * k);
            if (j < k) return z[own[j]!]!;
            if (k === v) return -1e30;
            return Math.log(z.reduce((sum, x, id) => sum + (own.includes(id) ? 0 : Math.exp(x)), 0));
          }),
        ...(k === v ? { backward: Number.POSITIVE_INFINITY } : {}),
        ...(profile ? { profile } : {}),
      });
    }
  });

  const student = Float32Array.of(0.5, 0.2, 0.1, -0.3);
  const p = [0.643914, 0.236883];
  /** Forward KL against the teacher's two likeliest, its row of logits given. */
  const against = async (row: number[]) => {
    const { outputs } = await runOp(gpu, {
      inputs: {
        s: { shape: [1, 4], data: student, grad: true },
        ids: { shape: [1, 2], data: Int32Array.of(0, 1), dtype: "i32" },
        t: { shape: [1, 3], data: Float32Array.from(row) },
        l: { shape: [1], data: Int32Array.of(0), dtype: "i32" },
      },
      build: (rec, { s, ids, t, l }) => divergence(rec, buckets(rec, s!, ids!), t!, l!, { kind: "forward-kl" }),
    });
    return outputs.y![0]!;
  };

  test("the known value of a top-2 teacher with its tail in one bucket", async () => {
    const tail = 1 - p[0]! - p[1]!;
    expect(await against([Math.log(p[0]!), Math.log(p[1]!), Math.log(tail)])).toBeCloseTo(0.230441, 5);
  });

  test("and of one that counts what it did not keep as impossible", async () => {
    expect(await against([Math.log(p[0]!), Math.log(p[1]!), -1e30])).toBeCloseTo(0.549464, 5);
  });

  test.each(["forward-kl", "reverse-kl", "jsd", "skew-kl", "skew-rkl", "tvd"] as const)(
    "all of the vocabulary kept is the live teacher: %s",
    async (kind) => {
      const v = 41;
      const [s, t] = [normals(5, v, 2), normals(6, v, 2)];
      const inputs = {
        s: { shape: [1, v], data: s, grad: true },
        t: { shape: [1, v], data: t },
        l: { shape: [1], data: Int32Array.of(0), dtype: "i32" as const },
      };
      const seeds = { y: Float32Array.of(1) };
      const live = await runOp(gpu, {
        inputs,
        build: (rec, { s, t, l }) => divergence(rec, s!, t!, l!, { kind, a: 0.3 }),
        seeds,
      });
      const kept = await runOp(gpu, {
        inputs: {
          ...inputs,
          t: { shape: [1, v + 1], data: Float32Array.of(...t, -1e30) },
          ids: { shape: [1, v], data: Int32Array.from({ length: v }, (_, i) => i), dtype: "i32" },
        },
        build: (rec, { s, t, l, ids }) => divergence(rec, buckets(rec, s!, ids!), t!, l!, { kind, a: 0.3 }),
        seeds,
      });
      expect(kept.outputs.y![0]).toBeCloseTo(live.outputs.y![0]!, 5);
      for (const [i, g] of kept.gradients.s!.entries()) expect(Math.abs(g - live.gradients.s![i]!)).toBeLessThan(1e-6);
    },
  );
});
