/**
 * How far a classifier's features have collapsed to the means of their classes, and these to a simplex that its head
 * shares. Papyan, Han and Donoho, PNAS 2020, https://arxiv.org/abs/2008.08186; under mixup: Fisher et al., Pushing
 * Boundaries: Mixup's Influence on Neural Collapse, 2024, https://arxiv.org/abs/2402.06171
 */
import { UserError } from "../../../errors.ts";
import { calibrationError } from "../../../run/measuring/calibration.ts";
import { ClassView, expectClasses, headRows, saidOf } from "../../../run/probing/class-view.ts";
import { neuralCollapse } from "../../../run/probing/neural-collapse.ts";
import { defineTrainingProbe, EVERY_PROBE_LAW } from "../../training-probe.ts";

export const method = defineTrainingProbe({
  name: "neural-collapse",
  title: "Neural collapse",
  about: "collapse of a classifier's features to class means (NC1 to NC4), and calibration",
  cite: "arXiv:2402.06171",
  options: {},
  laws: EVERY_PROBE_LAW,

  async begin({ model, batches }) {
    expectClasses(model, "--probe neural-collapse");
    const classes = new Set(batches.flatMap(({ labels }) => [...labels]));
    if (classes.size < 2)
      throw new UserError("--probe neural-collapse: the rows that are looked at have one class", "raise --probe-rows");
    const view = new ClassView(model);
    await view.prepare(batches);
    return {
      bytes: view.bytes,
      async look() {
        const seen = await view.read(batches);
        const said = saidOf(seen.logits, model.sizes.outputs);
        const head = await headRows(model, seen.width);
        const { nc3, ...found } = neuralCollapse(seen, { said: said.map(({ label }) => label), head });
        const right = said.map(({ label, confidence }, row) => ({ confidence, right: label === seen.labels[row] }));
        const accuracy = right.filter((one) => one.right).length / right.length;
        return { numbers: { ...found, ...(nc3 === undefined ? {} : { nc3 }), ece: calibrationError(right), accuracy } };
      },
      free: () => view.free(),
    };
  },
});
