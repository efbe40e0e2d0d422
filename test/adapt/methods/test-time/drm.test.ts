/** Heads of domains at test time: what answers, who learns, and what stays. */
import { expect, test } from "bun:test";
import { HEADED, learnerOf, movingBatches, NORMED, scoresOf } from "../../../run/test-time/lab.ts";
import { sharedGpu } from "../../../support/gpu.ts";

const gpu = await sharedGpu();
type Lab = Awaited<ReturnType<typeof learnerOf>>;
const weightsOf = async ({ setting: { model } }: Lab) =>
  new Map(
    await Promise.all(
      [...model.parameters.values()].map(
        async ({ name, buffer, size }) => [name, await gpu.readFloats(buffer, size)] as const,
      ),
    ),
  );
const drm = (values: Readonly<Record<string, unknown>>, rate = 0.05) => learnerOf("drm", { net: HEADED, values, rate });

test("without sure rows nothing is learnt; the mean of the heads is gamma 0", async () => {
  const [batch] = movingBatches(1);
  const lab = await drm({ drm_beta: 1.1, drm_gamma: 0 });
  const [first, second] = await scoresOf(lab.learner, [batch!, batch!]);
  expect(second).toEqual(first!);
  expect(lab.learner.tells!()).toEqual({ learnt_answers: 0 });
  const weights = await weightsOf(lab);
  lab.free();
  // exp(log p) sums to 1.
  const total = Array.from(first!.subarray(0, 3), Math.exp).reduce((a, b) => a + b, 0);
  expect(total).toBeCloseTo(1, 5);
  expect([...weights.keys()]).toContain("domain_heads.1.bias");
});

test.each(["own", "shared", "mean", "mixture"])(
  "%s: heads alone move, and become surer of a batch",
  async (drm_teacher) => {
    const [batch] = movingBatches(1);
    const lab = await drm({ drm_beta: 0, drm_teacher, drm_steps: 2 }, 0.02);
    const before = await weightsOf(lab);
    const scores = await scoresOf(lab.learner, Array(6).fill(batch));
    const after = await weightsOf(lab);
    lab.free();
    for (const [name, values] of before) {
      const isHead = name.startsWith("classifier.") || name.startsWith("domain_heads.");
      // Running statistics of norms follow the rows.
      if (/running|num_batches/.test(name)) continue;
      if (isHead) expect([name, after.get(name)!]).not.toEqual([name, values]);
      else expect([name, after.get(name)!]).toEqual([name, values]);
    }
    const sureness = (found: Float32Array) => {
      const rows = Array.from({ length: found.length / 3 }, (_, i) => Math.max(...found.subarray(3 * i, 3 * i + 3)));
      return rows.reduce((a, b) => a + b, 0) / rows.length;
    };
    expect(sureness(scores.at(-1)!)).toBeGreaterThan(sureness(scores[0]!));
  },
);

test("a model of one head is refused", () => {
  expect(learnerOf("drm", { net: NORMED })).rejects.toThrow("the model has one head");
});
