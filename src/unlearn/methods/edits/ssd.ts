/**
 * Selective synaptic dampening: weights that matter much more to the forget set than to all data are shrunk; two
 * passes, no optimizer. Foster et al., AAAI 2024, https://arxiv.org/abs/2308.07707
 *
 *   selected  F_i > alpha A_i        theta_i <- min(lambda A_i / F_i, 1) theta_i
 *
 * F and A are the importances to the forget set and to all data, which contains it: A = share F + (1 - share) R with R
 * the retain set's and share the forget set's part of the rows. So F / A is below 1 / share, and a larger alpha selects
 * nothing.
 */

import { UserError } from "../../../errors.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import { sameClaim } from "../../../method/laws.ts";
import { type Importance, measureImportance } from "../../../run/fisher/importance.ts";
import { Program, profileOf } from "../../../tensor/program.ts";
import { Recorder } from "../../../tensor/recorder.ts";
import { stretches } from "../../../tensor/stretches.ts";
import { defineEdit, EDIT_LAWS } from "../../contract.ts";
import { loadImportance } from "../../importance.ts";
import { MEASURE } from "../../importance-options.ts";

/** alpha when none is given: 10, or half of what would select nothing. */
export const usualAlpha = (share: number): number => Math.min(10, 0.5 / share);

export const method = defineEdit({
  name: "ssd",
  title: "Selective synaptic dampening",
  about: "shrinks the weights that matter most to the forget set; two passes over the data and no optimizer",
  cite: "arXiv:2308.07707",
  laws: sameClaim(EDIT_LAWS, true),
  options: {
    alpha: {
      type: "number > 0",
      help: "how many times as important; 10, or half of all rows / forget rows, when left out",
    },
    lambda: { type: "number >= 0", default: 1, help: "strength; smaller dampens more" },
    ...MEASURE,
    importance: {
      type: "string",
      help: "importances of all data, from `unlearn importance`, instead of --retain",
      value: "FILE",
    },
  },
  alone: ({ importance }) => importance !== undefined,
  rows: ({ fisher }) => (fisher === "sample" ? 1 : undefined),
  async edit({ model, forget, retain, values, signal, warn, done }) {
    const { lambda, label_free: labelFree, importance } = values;
    const { gpu } = model;
    const total = forget.length + retain.length;
    let ready = 0;
    const tick = () => done(++ready / total);
    const own = await measureImportance(model, forget, { labelFree, signal, done: tick });
    const all: Importance =
      importance === undefined
        ? await measureImportance(model, retain, { labelFree, signal, done: tick })
        : await loadImportance(model, importance);
    if (own.batch !== all.batch && all.batch > 0)
      warn(
        `importances to the forget set are of gradients of ${own.batch} rows, those to the others of ${all.batch}; they compare at one size only: use --fisher sample for both, or a smaller --batch-size`,
      );
    // A file of all data holds the forget set already.
    const share = importance === undefined ? own.rows / (own.rows + all.rows) : 0;
    const part = importance === undefined ? share : own.rows / Math.max(own.rows, all.rows);
    const alpha = values.alpha ?? usualAlpha(part);
    if (alpha >= 1 / part)
      warn(
        `alpha ${alpha} is not below ${(1 / part).toPrecision(3)}, all rows over those to forget: with --fisher sample nothing can be selected`,
      );
    const counter = gpu.upload(new Uint32Array(4), "selected weights");
    const rec = new Recorder(profileOf(gpu), { training: false });
    const parameters = model.trainable();
    const coarse = parameters.find(({ dtype }) => dtype !== "f32");
    if (coarse) throw new UserError(`${coarse.name} is held in ${coarse.dtype}`, "leave out --dtype bf16");
    for (const parameter of parameters) {
      const { name, shape, size, buffer } = parameter;
      const forget = rec.state(`forget ${name}`, shape, own.of.get(parameter)!.buffer);
      const others = rec.state(`all ${name}`, shape, all.of.get(parameter)!.buffer);
      const weight = rec.state(name, shape, buffer);
      const count = rec.state("count", [1], counter.buffer, "u32");
      for (const { count: n, of } of stretches(rec, size))
        rec.step({
          kernel: "unlearn/dampen",
          bind: { forget: of(forget), all: of(others), weight: of(weight), count },
          params: { n, alpha, lambda, share },
          groups: spanGroups(n),
        });
    }
    const program = await Program.compile(gpu, rec);
    program.run();
    const [selected] = await gpu.readWords(counter.buffer, 1);
    program.free();
    counter.free();
    own.free();
    all.free();
    const weights = parameters.reduce((sum, { size }) => sum + size, 0);
    const fraction = selected! / weights;
    if (selected === 0) warn(`alpha ${alpha} selects no weight: the model is as it was; give a smaller --alpha`);
    else if (fraction > 0.15)
      warn(
        `alpha ${alpha} selects ${(100 * fraction).toFixed(1)} % of the weights; expect damage, or give a larger --alpha`,
      );
    return { alpha, selected: selected!, weights, share: fraction };
  },
});
