/**
 * Expected calibration error: how far confidence is from accuracy, over 15 bins of equal width. Guo et al., ICML 2017,
 * https://arxiv.org/abs/1706.04599
 */
import { calibrationError } from "../../../run/measuring/calibration.ts";
import { defineMetric } from "../../../run/measuring/metric.ts";

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
  value: (rows) =>
    calibrationError(
      rows.flatMap(({ targets, argmax, confidence }) =>
        Array.from(targets, (target, i) => ({ confidence: confidence[i]!, right: argmax[i] === target })),
      ),
    ),
});
