/**
 * Prototype-sample relation distillation: features by a supervised contrastive loss, a prototype for every class, and
 * of old classes the ranking of the new samples around their prototypes, which is kept in place of old rows:
 *
 *   L = L_SC + alpha L_P + beta mean_k KL(softmax_i(<c_k, z_i> / tau) before || now)
 *
 * over old classes k and rows i of the batch; before is the model at the end of the task before.
 *
 * Asadi et al., ICML 2023, https://arxiv.org/abs/2303.14771. A prototype is a row of the head, of unit length, and z a
 * row of what the head reads, of unit length; so the result is a plain classifier, whose argmax is that of <c_k, z>.
 * With --view-shift or --view-noise the contrastive loss sees every row twice, once as it is and once changed; without,
 * positives are the others of a class in the batch. The paper's projection is left out. Memory: a copy of what is
 * trained.
 */
import { UserError } from "../../../errors.ts";
import type { Model } from "../../../model/model.ts";
import { contrastive, positivesOf, unitRows } from "../../../run/training/contrastive.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { checkChangeable, fillChanged, otherView, recordChanged } from "../../continual/changed-rows.ts";
import { continualMethod, type Stage, type Stream, type Term } from "../../continual/contract.ts";
import { expectWhole } from "../../continual/first-phase.ts";
import { OldWeights } from "../../continual/old-weights.ts";
import { contrastiveViews, onEveryRow, prototypePull, relationDrift } from "../../continual/prototype-losses.ts";

/** The weight of the head, a row per class, and its bias. Throws UserError where none is trained. */
function headOf({ architecture, sizes, parameters, adapter }: Model) {
  const isHead = ({ name, shape }: Parameter) =>
    /(^|\.)(classifier|score|out_proj|head)\.weight$/.test(name) && shape.length === 2 && shape[0] === sizes.outputs;
  const weight = [...parameters.values()].findLast(isHead);
  if (architecture.task !== "classifier" || !weight)
    throw new UserError(
      "prd keeps a prototype for every class, and this model is no classifier",
      "for a language model take er or ewc",
    );
  if (!weight.trainable || adapter)
    throw new UserError(
      `prd trains ${weight.name}, whose rows are the prototypes`,
      "train the whole model, or the head among others",
    );
  return { weight, bias: parameters.get(weight.name.replace(/weight$/, "bias")) };
}

/** Makes the rows of the head its prototypes: of unit length, without a bias. */
async function settle(model: Model, { weight, bias }: ReturnType<typeof headOf>): Promise<void> {
  const rows = await model.gpu.readFloats(weight.buffer, weight.size);
  const width = weight.shape[1]!;
  for (let at = 0; at < rows.length; at += width) {
    const row = rows.subarray(at, at + width);
    const length = Math.hypot(...row);
    if (length > 0) for (const [i, value] of row.entries()) row[i] = value / length;
  }
  weight.write(rows);
  bias?.write(new Float32Array(bias.size));
}

interface Values {
  readonly alpha: number;
  readonly beta: number;
  readonly contrast: number;
  readonly relation: number;
  readonly view_shift: number;
  readonly view_noise: number;
}

/** Names the inputs of the second view. */
const SECOND = "second view ";

/** The contrastive loss of a batch, of one or two views of its rows. */
function contrastOf({ values, rows, model, seed }: Stream<Values>): Term {
  const changes = { shift: values.view_shift, noise: values.view_noise };
  const views = changes.shift > 0 || changes.noise > 0 ? 2 : 1;
  return {
    name: "contrast",
    weight: 1,
    record: (rec, { batch }) => {
      const n = batch.refs.length;
      const positives = rec.input("prd positives", [views * n, views * n]);
      return {
        along: views === 2 ? [recordChanged(rec, model, batch, SECOND)] : [],
        rows(rec, given) {
          expectWhole(given, n, "prd");
          const z = unitRows(rec, given.hidden);
          const [second] = given.along;
          if (!second) return contrastive(rec, z, positives, values.contrast);
          return contrastiveViews(rec, z, unitRows(rec, second), positives, values.contrast);
        },
      };
    },
    fill(program, batch) {
      const labels = batch.refs.map((ref) => rows.labelOf(ref)!);
      program.write("prd positives", positivesOf(views === 2 ? [...labels, ...labels] : labels));
      if (views === 2) fillChanged(program, batch, otherView(batch, changes, seed, "prd view"), SECOND);
    },
  };
}

/** The three losses of a stage. */
function termsOf(stream: Stream<Values>, stage: Stage, head: Parameter, old: OldWeights | undefined): Term[] {
  const { values, tasks, model } = stream;
  const prototypes = (rec: Recorder): Tensor => unitRows(rec, rec.parameter(head));
  const classes = new Set(stage.old.flatMap((task) => tasks[task]!.classes));
  const shares = Float32Array.from({ length: model.sizes.outputs }, (_, k) => (classes.has(k) ? 1 / classes.size : 0));
  const contrast = contrastOf(stream);
  const pull: Term = {
    name: "prototype",
    weight: values.alpha,
    record: () => ({
      along: [],
      rows: (rec, { hidden, targets }) => prototypePull(rec, unitRows(rec, hidden), prototypes(rec), targets),
    }),
  };
  if (!old || classes.size === 0) return [contrast, pull];
  const relation: Term = {
    name: "relation",
    weight: values.beta,
    record: (rec, { inputs, batch }) => ({
      along: [old.record(rec, inputs).hidden],
      rows(rec, given) {
        expectWhole(given, batch.refs.length, "prd");
        const now = { z: unitRows(rec, given.hidden), prototypes: prototypes(rec) };
        const before = {
          z: unitRows(rec, given.along[0]!),
          prototypes: rec.standingIn(old.of, () => prototypes(rec)),
        };
        const share = rec.constant(shares, [shares.length], "shares of old classes");
        return onEveryRow(rec, relationDrift(rec, now, before, share, values.relation), batch.refs.length);
      },
    }),
  };
  return [contrast, pull, relation];
}

export const method = continualMethod({
  name: "prd",
  title: "Prototype-sample relation distillation",
  about:
    "contrastive features with a prototype per class; keeps how new samples rank around old prototypes, and no old row",
  cite: "arXiv:2303.14771",
  options: {
    alpha: { type: "number >= 0", default: 2, value: "A", help: "weight of what draws prototypes to their classes" },
    beta: { type: "number >= 0", default: 4, value: "B", help: "weight of the relations of old prototypes" },
    contrast: { type: "number > 0", default: 0.1, value: "TAU", help: "temperature of the contrastive loss" },
    relation: { type: "number > 0", default: 0.1, value: "TAU", help: "temperature of the relations" },
    view_shift: {
      type: "number.integer >= 0",
      default: 0,
      value: "N",
      help: "a second view of every image, moved by up to N pixels each way, in the contrastive loss",
    },
    view_noise: {
      type: "number >= 0",
      default: 0,
      value: "STD",
      help: "a second view of every row, with normal noise of this standard deviation",
    },
  },
  begin(stream) {
    const { model, rows, values } = stream;
    const head = headOf(model);
    if (values.view_shift > 0) checkChangeable(rows, "--view-shift", true);
    if (values.view_noise > 0) checkChangeable(rows, "--view-noise", false);
    let old: OldWeights | undefined;
    return {
      stage: (stage) => ({ labels: 0, terms: termsOf(stream, stage, head.weight, old) }),
      async learned() {
        if (!stream.dry) await settle(model, head);
        old ??= new OldWeights(model);
        old.take();
      },
      state: () => ({ isOld: old !== undefined }),
      load(state) {
        if ((state as { isOld: boolean }).isOld) old = new OldWeights(model);
      },
      kept: () => old?.kept ?? [],
      memory: () => ({ old_weights: old?.bytes ?? 0 }),
      free: () => old?.free(),
    };
  },
});
