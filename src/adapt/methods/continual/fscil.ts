/**
 * Few-shot class-incremental learning: a first task of many rows, then tasks of few rows with new classes. A class has
 * a prototype of length 1, and a row gets the class of the largest cosine.
 *
 *   logits = sigma <f, w_c>,  f what the head reads, of length 1;  w_c the mean of f over the rows of c, of length 1
 *
 * Switches of Roy et al., TMLR 2024, https://arxiv.org/abs/2403.14392: on the first task a supervised contrastive loss,
 * pseudo-classes and a rotation head; prototypes that are as far apart as can be and given to classes before they are
 * learnt; on the rows of later tasks slow steps, of all weights or of a part that matters little so far. The first
 * task may begin with a phase without labels, in which a row and a changed view of it are drawn together and all others
 * apart (Chen et al., ICML 2020, https://arxiv.org/abs/2002.05709, without its projection). With all of them off and a
 * first task that is not trained, the encoder stays as it came.
 *
 * Prototypes become the rows of the head after each task, without a bias; so the result is a plain classifier, whose
 * argmax is that of the cosines. A class that comes again keeps its prototype; the rows of classes to come are 0.
 */
import { UserError } from "../../../errors.ts";
import { matrixOf } from "../../../run/fisher/unit-products.ts";
import { contrastive, positivesOf, unitRows } from "../../../run/training/contrastive.ts";
import { type UnitScale, UnitScales } from "../../../run/training/rules/unit-scales.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { add } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { checkChangeable } from "../../continual/changed-rows.ts";
import {
  continualMethod,
  type RecordedTerm,
  type Stage,
  type StageWork,
  type Stream,
  type Term,
} from "../../continual/contract.ts";
import { alike, expectWhole, withPhase } from "../../continual/first-phase.ts";
import { type Head, lastLayer } from "../../continual/last-layer.ts";
import { stacked } from "../../continual/prototype-losses.ts";
import { Prototypes } from "../../continual/prototypes.ts";
import { type PseudoKind, pseudoCount, pseudoPrototypes, pseudoTerm } from "../../continual/pseudo-classes.ts";
import { simplex } from "../../continual/simplex.ts";
import { SubNet } from "../../continual/subnet.ts";
import { classesOf } from "../../continual/teacher.ts";
import { turnHead, turnTerm } from "../../continual/turn-head.ts";

interface Values {
  readonly prototypes: "mean" | "etf";
  readonly train_base: boolean;
  readonly contrast_weight: number;
  readonly contrast: number;
  readonly increment_rate: number;
  readonly cosine_scale: number;
  readonly pseudo: "none" | PseudoKind;
  readonly rotation_weight: number;
  readonly subnet: number;
  readonly subnet_rows: number;
  readonly self_supervised: number;
  readonly view_shift: number;
  readonly view_noise: number;
}

/** Outputs that a row of the stage may be given in training. */
const visibleOf = ({ tasks, scenario }: Stream<Values>, stage: Stage): readonly number[] =>
  classesOf(tasks, scenario === "task" ? stage.tasks : [...stage.old, ...stage.tasks]);

/**
 * Cross-entropy of scaled cosines with prototypes, (outputs, C) of length 1; `more` are those of pseudo-classes, which
 * are behind the outputs.
 */
function cosineLoss(
  stream: Stream<Values>,
  stage: Stage,
  prototypes: (rec: Recorder) => Tensor,
  more?: Parameter,
): RecordedTerm["rows"] {
  const { outputs } = stream.model.sizes;
  const hidden = new Float32Array(outputs + (more?.shape[0] ?? 0)).fill(-1e9, 0, outputs);
  for (const label of visibleOf(stream, stage)) hidden[label] = 0;
  return (rec, { hidden: features, targets }) => {
    const own = prototypes(rec);
    const all = more ? stacked(rec, own, unitRows(rec, rec.parameter(more))) : own;
    const scaled = linear(rec, unitRows(rec, features), all, { scale: stream.values.cosine_scale });
    const mask = rec.constant(hidden, [1, hidden.length], "hidden classes");
    return crossEntropy(rec, add(rec, scaled, mask), targets);
  };
}

const cosineTerm = (rows: RecordedTerm["rows"]): Term => ({
  name: "cosine",
  weight: 1,
  record: () => ({ along: [], rows }),
});

/** Supervised contrastive loss of the rows of a batch. */
const contrasts = ({ rows, values }: Stream<Values>): Term => ({
  name: "contrast",
  weight: values.contrast_weight,
  record: (rec, { batch: { refs } }) => ({
    along: [rec.input("fscil positives", [refs.length, refs.length])],
    rows(rec, given) {
      expectWhole(given, refs.length, "fscil");
      return contrastive(rec, unitRows(rec, given.hidden), given.along[0]!, values.contrast);
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

/** What the first stage trains; `extra` is its own, and the learner frees it. */
function firstWork(stream: Stream<Values>, stage: Stage, prototypes: (rec: Recorder) => Tensor): StageWork {
  const { values, tasks } = stream;
  const { pseudo: kind, rotation_weight } = values;
  const classes = classesOf(tasks, stage.tasks);
  const more = kind === "none" ? undefined : pseudoPrototypes(stream, pseudoCount(kind, classes.length));
  const turns = rotation_weight > 0 ? turnHead(stream) : undefined;
  const rows = cosineLoss(stream, stage, prototypes, more);
  const terms = [cosineTerm(rows), contrasts(stream)];
  if (kind !== "none") terms.push(pseudoTerm(stream, { kind, classes, rows }));
  if (turns) terms.push(turnTerm(stream, turns, rotation_weight));
  const work = { labels: 0, terms, extra: [more, turns].flatMap((parameter) => parameter ?? []) };
  if (values.self_supervised === 0) return work;
  const changes = { shift: values.view_shift, noise: values.view_noise };
  return withPhase(work, values.self_supervised, alike(stream, { changes, tau: values.contrast }));
}

/** The step of each weight in later stages: slow, of the part that may move. */
async function slowSteps({ gpu, model, values, seed }: Stream<Values>, subnet: SubNet | undefined) {
  const rate = values.increment_rate;
  const scales: UnitScale[] = [];
  for (const parameter of model.trainable()) {
    const rows = matrixOf(parameter.shape).rows;
    if (subnet) scales.push({ parameter, along: "value", factors: await subnet.factors(parameter, rate) });
    else scales.push({ parameter, along: "row", factors: new Float32Array(rows).fill(rate) });
  }
  return new UnitScales(gpu, scales, { name: "increments", apply: "update", seed });
}

/** The training of a stage; none where the encoder stays. */
async function workOf(
  stream: Stream<Values>,
  stage: Stage,
  { head, prototypes, subnet }: { head: Head; prototypes: Prototypes; subnet: SubNet | undefined },
): Promise<StageWork> {
  const { values } = stream;
  const isFirst = stage.old.length === 0;
  if (isFirst ? !values.train_base : values.increment_rate === 0) return { still: true };
  const chosen = (rec: Recorder) => rec.constant(prototypes.values, head.weight.shape, "prototypes");
  const learnt = (rec: Recorder) => unitRows(rec, rec.parameter(head.weight));
  if (isFirst) return firstWork(stream, stage, values.prototypes === "mean" ? learnt : chosen);
  const work = { labels: 0, terms: [cosineTerm(cosineLoss(stream, stage, chosen))] };
  if (values.increment_rate === 1 && !subnet) return work;
  return { ...work, updates: [await slowSteps(stream, subnet)] };
}

/** Throws UserError for switches of a training that is not there, and for rows that cannot be changed so. */
function checkSwitches({ values, rows }: Stream<Values>): void {
  const asked = [
    { flag: `--pseudo ${values.pseudo}`, is: values.pseudo !== "none", ofImages: values.pseudo === "rotate" },
    { flag: "--rotation-weight", is: values.rotation_weight > 0, ofImages: true },
    { flag: "--self-supervised", is: values.self_supervised > 0, ofImages: values.view_shift > 0 },
  ].filter(({ is }) => is);
  for (const { flag, ofImages } of asked) {
    if (!values.train_base)
      throw new UserError(
        `${flag} trains on the first task, and --no-train-base leaves it out`,
        "leave one of them out",
      );
    checkChangeable(rows, flag, ofImages);
  }
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
    pseudo: {
      type: "'none' | 'rotate' | 'mix'",
      default: "none",
      help: "classes that are made for the first task: images turned by quarters, or rows of two classes in halves",
    },
    rotation_weight: {
      type: "number >= 0",
      default: 0,
      value: "W",
      help: "weight of telling by how many quarters images of the first task are turned",
    },
    subnet: {
      type: "0 < number <= 1",
      default: 1,
      value: "F",
      help: "share of every weight's values that move in later tasks: those on which the first one hangs least",
    },
    subnet_rows: {
      type: "number.integer >= 1",
      default: 200,
      value: "N",
      help: "rows of the first task on which that is measured",
    },
    self_supervised: {
      type: "0 <= number < 1",
      default: 0,
      value: "F",
      help: "share of the first task's steps, its first ones, that learn without labels: a row is like a changed view of it",
    },
    view_shift: {
      type: "number.integer >= 0",
      default: 0,
      needs: "self_supervised",
      value: "N",
      help: "the view is an image that is moved by up to N pixels each way",
    },
    view_noise: {
      type: "number >= 0",
      default: 0,
      needs: "self_supervised",
      value: "STD",
      help: "the view has normal noise of this standard deviation",
    },
  },
  check({ subnet, increment_rate, self_supervised, view_shift, view_noise }) {
    if (self_supervised > 0 && view_shift === 0 && view_noise === 0)
      throw new UserError(
        "--self-supervised learns by changed views of rows, and nothing says how they change",
        "give --view-noise, or of images --view-shift",
      );
    if (subnet < 1 && increment_rate === 0)
      throw new UserError(
        "--subnet says what moves in later tasks, and nothing does at an --increment-rate of 0",
        "give --increment-rate 1",
      );
  },
  async begin(stream) {
    const { tasks, values, dry, resumed } = stream;
    checkSwitches(stream);
    const head = await lastLayer(stream, "fscil");
    const prototypes = prototypesOf(stream);
    const isChosen = values.prototypes === "etf";
    const subnet = values.subnet < 1 ? new SubNet(stream) : undefined;
    let extra: readonly Parameter[] = [];
    const freeExtra = () => {
      for (const parameter of extra) parameter.free();
      extra = [];
    };
    if (isChosen && !dry && !resumed) await prototypes.assign([0]);
    return {
      async stage(stage) {
        freeExtra();
        const work = await workOf(stream, stage, { head, prototypes, subnet });
        extra = work.extra ?? [];
        return work;
      },
      async learned(stage) {
        freeExtra();
        if (dry) return;
        const old = classesOf(tasks, stage.old);
        if (!isChosen) await prototypes.measure(stage.tasks, old);
        prototypes.write(head);
        if (stage.index === 0) await subnet?.choose(stage, { share: values.subnet, rows: values.subnet_rows });
        const next = stage.isLast ? [] : [stage.index + 1];
        if (isChosen) await prototypes.assign(next);
        else if (values.increment_rate > 0)
          await prototypes.measure(next, classesOf(tasks, [...stage.old, ...stage.tasks]));
      },
      state: () => prototypes.state(),
      load: (state) => prototypes.load(state),
      kept: () => [...prototypes.kept, ...(subnet?.kept ?? [])],
      memory: (): Record<string, number> => (subnet ? { subnet: subnet.bytes } : {}),
      free() {
        freeExtra();
        subnet?.free();
      },
    };
  },
});
