/**
 * Methods of distillation for language models on Markov languages (test/experiments/distill-languages.ts): losses on
 * texts not seen.
 *
 * 16 texts, seeds 1 to 3. The labels alone end at 3.84 to 4.15 (they are learnt by heart; uniform is 2.48), the
 * teacher's distribution takes 1.65 to 1.89 off that, labels with its last hidden states 1.63 to 1.93, what it writes
 * 1.83 to 2.11, its sorted probabilities beside the labels 0.83 to 1.21. JSD on texts half of which the student wrote
 * itself leaves 0.65 to 0.79 of reverse KL on its own texts, on the given ones 0.83 to 1.11.
 *
 * The teacher's last attention maps, at weight 10, take 1.52 to 1.87 off the labels' loss on 16 texts; on 64, where the
 * labels end at 2.11 to 2.30 and last hidden states help by 0.06 at most, still 0.27 to 0.46 at weight 1. It is what
 * the teacher sees that helps: maps of an untrained one are no better than none on 64 texts (0.01 to 0.04 worse). Of a
 * teacher with twice the heads, whose means over heads are compared, 0.15 to 0.29; by squared error, at weight 10, 0.26
 * to 0.42.
 *
 * A new language, seeds 1 to 3. Logit swapping loses 0.95 to 1.23 less of the old than labels do, and is 0.14 to 0.19
 * better on the new than KL to the original; on the new it is within 0.01 of labels or better. Self-distillation, at
 * weight 10, is 0.08 to 0.17 better on the new than going on alone; at the paper's weight 1 by 0.0 to 0.1. That it
 * stays nearer the original weights, as the paper's theory has it, was not found: 9.2 to 9.7 away against 8.8 to 9.6.
 */
import { beforeAll, describe, expect, test } from "bun:test";
import { sharedGpu } from "../support/gpu.ts";
import { littleText, newLanguage } from "./distill-languages.ts";

describe("16 texts for the student, 1024 for the teacher", () => {
  let found: Awaited<ReturnType<typeof littleText>>;
  beforeAll(async () => {
    found = await littleText(await sharedGpu(), 1);
  }, 180_000);

  test.each(["kd", "hidden", "attention", "seqKd"] as const)("%s beats the labels alone", (name) => {
    expect(found[name].loss).toBeLessThan(found.labels.loss - 0.7);
    expect(found[name].forward).toBeLessThan(0.6 * found.labels.forward);
  });

  test("uld, which knows no token from another, tells the student how certain to be", () => {
    expect(found.uld.loss).toBeLessThan(found.labels.loss - 0.5);
    expect(found.uld.forward).toBeLessThan(0.8 * found.labels.forward);
    expect(found.uld.loss).toBeGreaterThan(found.kd.loss + 0.2);
  });

  test("where the teacher looks helps with more texts too, where an untrained one looks does not", () => {
    const { labels, attention, untrained } = found.more;
    expect(attention.loss).toBeLessThan(labels.loss - 0.15);
    expect(untrained.loss).toBeGreaterThan(attention.loss + 0.15);
    expect(untrained.loss).toBeGreaterThan(labels.loss - 0.1);
  });

  test("texts that the teacher writes are worth more than its word on the same few", () => {
    expect(found.seqKd.loss).toBeLessThan(found.kd.loss - 0.08);
  });

  test("on its own texts the student agrees with the teacher when it was taught on them", () => {
    expect(found.onPolicy.own).toBeLessThan(0.9 * found.offPolicy.own);
    expect(found.onPolicy.loss).toBeLessThan(found.offPolicy.loss - 0.1);
  });
});

describe("24 texts of a new language", () => {
  let found: Awaited<ReturnType<typeof newLanguage>>;
  beforeAll(async () => {
    found = await newLanguage(await sharedGpu(), 2);
  }, 120_000);

  test("lssd keeps more of the old than the labels, and learns more of the new than KL to the original", () => {
    expect(found.swapped.old).toBeLessThan(found.further.old - 0.5);
    expect(found.swapped.fresh).toBeLessThan(found.original.fresh - 0.08);
    expect(found.swapped.fresh).toBeLessThan(found.further.fresh + 0.05);
  });

  test("self-further learns the new better than going on does", () => {
    expect(found.self.fresh).toBeLessThan(found.further.fresh - 0.03);
  });
});
