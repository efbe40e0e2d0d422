/** Entropy with a prior: its terms in float64, Tent without the prior, and no collapse with it. */
import { expect, test } from "bun:test";
import { classShares, shareDivergence, weighedEntropy } from "../../../../src/run/test-time/proportions.ts";
import { add } from "../../../../src/tensor/ops/elementwise.ts";
import { BATCH, CLASSES, learnerOf, movingBatches, rowsFor, scoresOf } from "../../../run/test-time/lab.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { checkOp } from "../../../support/program.ts";
import { normals } from "../../../support/random.ts";

const [N, K] = [7, 4];
const PRIOR = [0.5, 0.3, 0.2, 0];
const WEIGHTS = [0.1, 1, 0.5, 2];
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

test.each(["soft-count", "mean"] as const)("terms agree with their formulas in float64, by %s", async (kind) => {
  await checkOp(await sharedGpu(), `prior entropy ${kind}`, {
    inputs: { logits: { shape: [N, K], data: normals(3, N * K, 1.5) } },
    build: (rec, { logits }) =>
      add(rec, weighedEntropy(rec, logits!, WEIGHTS), shareDivergence(rec, classShares(rec, logits!, kind), PRIOR)),
    reference({ logits }) {
      const p = Array.from({ length: N }, (_, row) => {
        const e = Array.from({ length: K }, (_, c) => Math.exp(logits![row * K + c]!));
        return e.map((x) => x / sum(e));
      });
      const entropy = -sum(p.map((row) => sum(row.map((x, c) => WEIGHTS[c]! * x * Math.log(x))))) / N;
      const counts = PRIOR.map((_, c) => sum(p.map((row) => row[c]! / (kind === "mean" ? 1 : Math.max(...row)))));
      const shares = counts.map((x) => x / sum(counts));
      return Float64Array.of(entropy + sum(shares.map((r, c) => r * Math.log(r / Math.max(PRIOR[c]!, 1e-6)))));
    },
    backward: 2e-5,
  });
});

test("without the prior it is Tent, to the bit", async () => {
  const batches = movingBatches();
  const own = await learnerOf("prior-entropy", { values: { prior_weight: 0 }, rate: 0.02 });
  const tent = await learnerOf("tent", { rate: 0.02 });
  expect(await scoresOf(own.learner, batches)).toEqual(await scoresOf(tent.learner, batches));
  own.free();
  tent.free();
});

test("shares go to the prior, and entropy alone lets one class take all", async () => {
  const batch = rowsFor("shares", BATCH, 0.4);
  const run = async (values: Readonly<Record<string, unknown>>) => {
    const lab = await learnerOf("prior-entropy", { values, rate: 0.05 });
    const scores = (await scoresOf(lab.learner, Array(40).fill(batch))).at(-1)!;
    lab.free();
    const given = Array.from({ length: BATCH }, (_, i) => {
      const e = Array.from(scores.subarray(i * CLASSES, (i + 1) * CLASSES), Math.exp);
      return e.map((x) => x / sum(e));
    });
    return Array.from({ length: CLASSES }, (_, c) => sum(given.map((p) => p[c]!)) / BATCH);
  };
  const far = (shares: readonly number[], prior: readonly number[]) =>
    sum(shares.map((share, c) => Math.abs(share - prior[c]!)));
  const prior = [0.5, 0.25, 0.25];
  const [held, alone] = [await run({ prior_ratios: [2, 1, 1], prior_weight: 3 }), await run({ prior_weight: 0 })];
  expect(far(held, prior)).toBeLessThan(0.5 * far(alone, prior));
});

test("what is no prior is refused", () => {
  const refused = (values: Readonly<Record<string, unknown>>) => expect(learnerOf("prior-entropy", { values })).rejects;
  refused({ prior_ratios: [1, -1, 0] }).toThrow("are no shares");
  refused({ prior_ratios: [1, 1] }).toThrow("--prior-ratios has 2 numbers, and the model 3 classes");
  refused({ prior_weight: 0, prior_entropy_weight: 0 }).toThrow("leave nothing to learn");
});
