/**
 * How far a classifier's features have collapsed to the means of their classes, on all rows: NC1 to NC4, calibration,
 * and what becomes of mixed rows. Fisher et al., Pushing Boundaries: Mixup's Influence on Neural Collapse, 2024,
 * https://arxiv.org/abs/2402.06171; Papyan, Han and Donoho, PNAS 2020, https://arxiv.org/abs/2008.08186
 */
import { UserError } from "../../../errors.ts";
import { calibrationError } from "../../../run/measuring/calibration.ts";
import { ClassView, headRows, saidOf } from "../../../run/probing/class-view.ts";
import { mixedFeatures } from "../../../run/probing/mixed-rows.ts";
import { classMeans, neuralCollapse } from "../../../run/probing/neural-collapse.ts";
import { lookAt, refuseMeasures } from "../../look-at.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "neural-collapse",
  title: "Neural collapse",
  about: "collapse of a classifier's features to class means (NC1 to NC4), calibration, and features of mixed rows",
  cite: "arXiv:2402.06171",
  metrics: [],
  task: "classifier",
  options: {
    neural_collapse_batch: { type: "number.integer >= 1", default: 64, help: "rows of a batch", value: "N" },
    neural_collapse_mixup: {
      type: "number.integer >= 0",
      default: 0,
      help: "pairs of rows whose mixtures are looked at, at nine shares each; 0: none",
      value: "N",
    },
  },
  laws: { reproducible: true, companions: true },

  check: (info) => refuseMeasures("neural-collapse", info),

  async run(setup) {
    const { neural_collapse_batch: size, neural_collapse_mixup: pairs } = setup.values;
    const rows = await lookAt(setup, { size }, async ({ model, ref }, batches) => {
      const view = new ClassView(model);
      try {
        const seen = await view.read(batches);
        const means = classMeans(seen);
        if (means.classes.length < 2)
          throw new UserError(`all rows are of class ${means.classes[0]}`, "give rows of two classes or more");
        const said = saidOf(seen.logits, model.sizes.outputs);
        const head = await headRows(model, seen.width);
        if (pairs > 0 && !head)
          throw new UserError(
            `the head of ${ref} is no matrix, to which mixtures could be compared`,
            "leave --neural-collapse-mixup out",
          );
        const found = neuralCollapse(seen, { said: said.map(({ label }) => label), head });
        const right = said.map(({ label, confidence }, row) => ({ confidence, right: label === seen.labels[row] }));
        const mixed =
          pairs > 0 && head ? await mixedFeatures(view, batches, { pairs, seed: setup.seed, head, means }) : {};
        return { model: ref, ...found, ece: calibrationError(right), ...mixed };
      } finally {
        view.free();
      }
    });
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const cells = rows.map((row) => columns.map((column) => new Map(Object.entries(row)).get(column)));
    return { table: [columns, ...cells], json: { rows } };
  },
});
