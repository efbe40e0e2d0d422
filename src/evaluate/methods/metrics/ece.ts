/**
 * Expected calibration error: how far confidence is from accuracy, over 15 bins of equal width. Guo et al., ICML 2017,
 * https://arxiv.org/abs/1706.04599
 */
import { defineMetric } from "../../../run/measuring/metric.ts";

const BINS = 15;

export const method = defineMetric({
  name: "ece",
  title: "Expected calibration error",
  about: "distance between confidence and accuracy, over 15 bins",
  formula:
    "outputs are sorted into 15 bins by the probability of the most likely one; the mean over outputs of |share that is right - mean probability| of their bin",
  reads: "the tokens that count of every row; of a classifier x and label",
  cite: "arXiv:1706.04599",
  options: {},
  range: [0, 1],
  better: "lower",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value(rows) {
    const bins = Array.from({ length: BINS }, () => ({ confidence: 0, right: 0 }));
    let count = 0;
    for (const { targets, argmax, confidence } of rows) {
      for (const [i, target] of targets.entries()) {
        // Bins are open below and closed above, so that 1 falls into the last.
        const bin = bins[Math.min(BINS - 1, Math.max(0, Math.ceil(confidence[i]! * BINS) - 1))]!;
        bin.confidence += confidence[i]!;
        bin.right += argmax[i] === target ? 1 : 0;
        count++;
      }
    }
    return bins.reduce((sum, bin) => sum + Math.abs(bin.confidence - bin.right), 0) / count;
  },
});
