/**
 * Few-shot class-incremental learning: a first task of many rows, then tasks of few rows with new classes. A class has
 * a prototype of length 1, and a row gets the class of the largest cosine.
 *
 *   logits = sigma <f, w_c>,  f what the head reads, of length 1;  w_c the mean of f over the rows of c, of length 1
 *
 * Three switches of Roy et al., TMLR 2024, https://arxiv.org/abs/2403.14392: a supervised contrastive loss on the first
 * task, prototypes that are as far apart as can be and given to classes before they are learnt, and slow steps on the
 * rows of later tasks. With all of them off and a first task that is not trained, the encoder stays as it came.
 *
 * Prototypes become the rows of the head after each task, without a bias; so the result is a plain classifier, whose
 * argmax is that of the cosines. A class that comes again keeps its prototype; the rows of classes to come are 0.
 */
import { UserError } from "../../../errors.ts";
import { matrixOf } from "../../../run/fisher/unit-products.ts";
import { UnitScales } from "../../../run/training/rules/unit-scales.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { add } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { continualMethod, type Stage, type Stream, type Term } from "../../continual/contract.ts";
import { type Head, lastLayer } from "../../continual/last-layer.ts";
import { contrastive, positivesOf, unitRows } from "../../continual/prototype-losses.ts";
import { Prototypes } from "../../continual/prototypes.ts";
import { simplex } from "../../continual/simplex.ts";
import { classesOf } from "../../continual/teacher.ts";

interface Values {
  readonly prototypes: "mean" | "etf";
  readonly train_base: boolean;
  readonly contrast_weight: number;
  readonly contrast: number;
  readonly increment_rate: number;
  readonly cosine_scale: number;
}

/** Outputs that a row of the stage may be given in training. */
const visibleOf = ({ tasks, scenario }: Stream<Values>, stage: Stage): readonly number[] =>
  classesOf(tasks, scenario === "task" ? stage.tasks : [...stage.old, ...stage.tasks]);

/** Cross-entropy of scaled cosines with prototypes, (outputs, C) of length 1. */
function cosines(stream: Stream<Values>, stage: Stage, prototypes: (rec: Recorder) => Tensor): Term {
  const hidden = new Float32Array(stream.model.sizes.outputs).fill(-1e9);
  for (const label of visibleOf(stream, stage)) hidden[label] = 0;
  return {
    name: "cosine",
    weight: 1,
    record: () => ({
      along: [],
      rows(rec, { hidden: features, targets }) {
        const scaled = linear(rec, unitRows(rec, features), prototypes(rec), { scale: stream.values.cosine_scale });
        const mask = rec.constant(hidden, [1, hidden.length], "hidden classes");
        return crossEntropy(rec, add(rec, scaled, mask), targets);
      },
    }),
  };
}

/** Supervised contrastive loss of the rows of a batch. */
const contrasts = ({ rows, values }: Stream<Values>): Term => ({
  name: "contrast",
  weight: values.contrast_weight,
  record: (rec, { batch: { refs } }) => ({
    along: [rec.input("fscil positives", [refs.length, refs.length])],
    rows(rec, { hidden, along: [positives] }) {
      if (hidden.shape[0] !== refs.length)
        throw new UserError(
          `fscil compares all ${refs.length} rows of a batch, which are too many`,
          "lower --batch-size",
        );
      return contrastive(rec, unitRows(rec, hidden), positives!, values.contrast);
    },
  }),
  fill: (program, { refs }) => program.write("fscil positives", positivesOf(refs.map((ref) => rows.labelOf(ref)!))),
});

/** Prototypes that no class has yet: none, or vectors as far apart as can be. Throws UserError for too many classes. */
function prototypesOf(stream: Stream<Values>): Prototypes {
  const { values, seed } = stream;
  const { outputs, width } = stream.model.sizes;
  if (values.prototypes === "mean") return new Prototypes(stream);
  if (outputs < 2 || width < outputs - 1)
    throw new UserError(
      `--prototypes etf needs at least ${outputs - 1} features for ${outputs} classes, and the head reads ${width}`,
      "take --prototypes mean",
    );
  return new Prototypes(stream, simplex(outputs, width, seed));
}

/** The training of a stage; none where the encoder stays. */
function workOf(stream: Stream<Values>, stage: Stage, { weight }: Head, prototypes: Prototypes) {
  const { gpu, model, values, seed } = stream;
  const isFirst = stage.old.length === 0;
  if (isFirst ? !values.train_base : values.increment_rate === 0) return { still: true } as const;
  const chosen = (rec: Recorder) => rec.constant(prototypes.values, weight.shape, "prototypes");
  const learnt = (rec: Recorder) => unitRows(rec, rec.parameter(weight));
  const cosine = cosines(stream, stage, isFirst && values.prototypes === "mean" ? learnt : chosen);
  const terms = isFirst ? [cosine, contrasts(stream)] : [cosine];
  if (isFirst || values.increment_rate === 1) return { labels: 0, terms };
  const scales = model.trainable().map((parameter) => ({
    ...{ parameter, along: "row" as const },
    factors: new Float32Array(matrixOf(parameter.shape).rows).fill(values.increment_rate),
  }));
  return { labels: 0, terms, updates: [new UnitScales(gpu, scales, { name: "increments", apply: "update", seed })] };
}

export const method = continualMethod({
  name: "fscil",
  title: "Few-shot class-incremental learning",
  about: "a prototype per class and the largest cosine; after the first task the encoder stays, or moves slowly",
  cite: "arXiv:2403.14392",
  options: {
    prototypes: {
      type: "'mean' | 'etf'",
      default: "mean",
      help: "means of features, or vectors as far apart as can be, given to classes before they are learnt",
    },
    train_base: {
      type: "boolean",
      default: true,
      help: "train on the first task; otherwise the encoder stays as it came",
    },
    contrast_weight: {
      type: "number >= 0",
      default: 0,
      value: "W",
      help: "weight of the contrastive loss of the first task",
    },
    contrast: { type: "number > 0", default: 0.1, value: "TAU", help: "temperature of the contrastive loss" },
    increment_rate: {
      type: "0 <= number <= 1",
      default: 0,
      value: "RHO",
      help: "share of the learning rate in later tasks; 0 leaves the encoder as the first task made it",
    },
    cosine_scale: { type: "number > 0", default: 16, value: "SIGMA", help: "factor of the cosines in training" },
  },
  async begin(stream) {
    const { tasks, values, dry, resumed } = stream;
    const head = await lastLayer(stream, "fscil");
    const prototypes = prototypesOf(stream);
    const isChosen = values.prototypes === "etf";
    if (isChosen && !dry && !resumed) await prototypes.assign([0]);
    return {
      stage: (stage) => workOf(stream, stage, head, prototypes),
      async learned(stage) {
        if (dry) return;
        const old = classesOf(tasks, stage.old);
        if (!isChosen) await prototypes.measure(stage.tasks, old);
        prototypes.write(head);
        const next = stage.isLast ? [] : [stage.index + 1];
        if (isChosen) await prototypes.assign(next);
        else if (values.increment_rate > 0)
          await prototypes.measure(next, classesOf(tasks, [...stage.old, ...stage.tasks]));
      },
      state: () => prototypes.state(),
      load: (state) => prototypes.load(state),
      kept: () => prototypes.kept,
    };
  },
});
