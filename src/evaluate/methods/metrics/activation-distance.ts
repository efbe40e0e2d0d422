/**
 * How far a classifier's outputs are from those of a model that never saw the rows to forget. Golatkar et al., ECCV
 * 2020, https://arxiv.org/abs/2003.02960
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { mean } from "../../measures/means.ts";

export const method = defineMetric({
  name: "activation-distance",
  title: "Activation distance",
  about: "mean distance of the classes' probabilities from those of --gold",
  formula: "mean over rows of the Euclidean distance between the classes' probabilities of the model and of --gold",
  reads: "x and label of every row, for classifiers alone; --gold",
  cite: "arXiv:2003.02960",
  example: "bun run evaluate classifier/ --gold relearnt/ --data classes.jsonl --metric activation-distance",
  options: {},
  task: "classifier",
  needs: "probabilities",
  gold: "required",
  range: [0, 2],
  better: "lower",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: "a model that knows every answer is not one that never saw some rows",
  },
  value: (rows, { gold }) =>
    mean(
      rows.map(({ probabilities }, row) =>
        Math.hypot(...Array.from(probabilities!, (p, i) => p - gold![row]!.probabilities![i]!)),
      ),
    ),
});
