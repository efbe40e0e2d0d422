/**
 * RMT: a mean teacher by symmetric cross-entropy, a contrastive pull towards the source's prototypes, and replay of
 * source rows. Döbler et al., CVPR 2023, https://arxiv.org/abs/2211.13081
 *
 *   loss      l_t mean of SCE(q, p(x)) / 2 + SCE(q, p(view of x)) / 2, q the teacher's answer to x
 *             l_c contrastive loss of three features of each row: the nearest prototype, h(x) and h(view of x), through
 *             a projection of two layers; the others of a row are its positives
 *             l_s cross-entropy of labelled source rows, as many as the batch has
 *   teacher   theta_T <- m theta_T + (1 - m) theta
 *   before    on source rows SCE(teacher, student) at a rate that grows to lr, so that the optimizer's states and the
 *             gap of the teacher are those of a stream
 *
 * The answers are those of both: the sum of their logits.
 */
import { stackExamples } from "../../../data/batch.ts";
import { Random } from "../../../data/random.ts";
import { UserError } from "../../../errors.ts";
import { type Setting, testTimeMethod } from "../../../run/test-time/contract.ts";
import { symmetricCrossEntropy, viewContrast } from "../../../run/test-time/losses.ts";
import {
  nearestPrototypes,
  prototypesOf,
  readPrototypes,
  savePrototypes,
} from "../../../run/test-time/source-prototypes.ts";
import { type LossGiven, Student } from "../../../run/test-time/student.ts";
import { TEACHER } from "../../../run/test-time/teacher-options.ts";
import { relu } from "../../../tensor/ops/activation.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { add, scale } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { mean } from "../../../tensor/ops/reduce.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";

/** d -> width -> width, as PyTorch begins linear layers. */
function projector({ gpu, seed }: Setting, from: number, width: number): Parameter[] {
  const layer = (name: string, into: number): Parameter[] => {
    const random = new Random(seed, "rmt", name);
    const bound = 1 / Math.sqrt(into);
    return [["weight", [width, into]] as const, ["bias", [width]] as const].map(([part, shape]) => {
      const parameter = new Parameter(gpu, `projector.${name}.${part}`, shape);
      parameter.write(Float32Array.from({ length: parameter.size }, () => bound * (2 * random.uniform() - 1)));
      return parameter;
    });
  };
  return [...layer("0", from), ...layer("1", width)];
}

/** Views of the rows through the projector. */
function projected(rec: Recorder, x: Tensor, [w0, b0, w1, b1]: readonly Parameter[]): Tensor {
  const of = (parameter: Parameter | undefined) => rec.parameter(parameter!);
  const inner = relu(rec, linear(rec, x, of(w0), { bias: of(b0) }));
  return linear(rec, inner, of(w1), { bias: of(b1) });
}

export const method = testTimeMethod({
  name: "rmt",
  title: "RMT",
  about: "a robust mean teacher with prototypes and rows of the source",
  cite: "arXiv:2211.13081",
  options: {
    ...TEACHER,
    self_weight: { type: "number >= 0", default: 1, help: "weight of the teacher's answers" },
    contrast_weight: { type: "number >= 0", default: 1, help: "weight of the pull to prototypes; 0 needs none" },
    replay_weight: { type: "number >= 0", default: 1, help: "weight of labelled source rows" },
    source_free: { type: "boolean", default: false, help: "learn from no source row during the stream" },
    prototypes: {
      type: "string",
      help: "prototypes that --save-prototypes wrote; those of --source rows when left out",
      value: "FILE",
    },
    save_prototypes: {
      type: "string",
      writes: "tensors",
      help: "write the prototypes of --source to this file",
      value: "FILE.safetensors",
    },
    contrast_temperature: { type: "number > 0", default: 0.1, help: "of the contrastive loss" },
    projection: { type: "number.integer >= 1", default: 128, help: "width of the projection", value: "N" },
    warmup_rows: {
      type: "number.integer >= 0",
      default: 50_000,
      help: "source rows of the warm-up before the stream, where there are any",
      value: "N",
    },
  },
  trains: "all",
  rate: 1e-3,
  check(values, { hasSource }) {
    const { contrast_weight: contrast, replay_weight: replay, source_free: isFree, prototypes } = values;
    if (!hasSource && ((contrast > 0 && prototypes === undefined) || (replay > 0 && !isFree)))
      throw new UserError(
        "rmt reads source rows for prototypes and replay",
        "give --source rows.jsonl; or --source-free with --prototypes FILE, or with --contrast-weight 0",
      );
    if (!hasSource && values.save_prototypes !== undefined)
      throw new UserError("--save-prototypes writes the means of source rows", "give --source rows.jsonl");
  },
  async begin(setting) {
    const { values, source, batchSize, rate } = setting;
    const { contrast_weight: contrast, teacher_momentum: momentum } = values;
    const replay = values.source_free ? 0 : values.replay_weight;
    const { prototypes: file, save_prototypes: target } = values;
    const found = () => (file === undefined ? prototypesOf(setting) : readPrototypes(setting, file));
    const prototypes = contrast > 0 ? await found() : undefined;
    if (target !== undefined) await savePrototypes(await prototypesOf(setting), target);
    const net = prototypes ? projector(setting, prototypes.width, values.projection) : [];
    const student: Student = await Student.make(setting, ({ teacher }) => ({
      loss(rec, given: LossGiven) {
        const { pass, rows, number, labels, sees } = given;
        const own = pass("x");
        const theirs = pass("x", teacher().wearing).logits;
        const self = symmetricCrossEntropy(rec, theirs, own.logits);
        if (!sees("view")) return mean(rec, self);
        const other = pass("view");
        const both = add(rec, self, symmetricCrossEntropy(rec, theirs, other.logits));
        let loss = scale(rec, mean(rec, both), values.self_weight / 2);
        if (prototypes) {
          const near = number("prototypes", [rows("x"), prototypes.width]);
          const views = [near, own.hidden, other.hidden].map((part) => projected(rec, part, net));
          const pulled = viewContrast(rec, views, values.contrast_temperature);
          loss = add(rec, loss, scale(rec, mean(rec, pulled), contrast));
        }
        if (sees("source")) {
          const found = mean(rec, crossEntropy(rec, pass("source").logits, labels("source")));
          loss = add(rec, loss, scale(rec, found, replay));
        }
        return loss;
      },
      extra: net,
      teacher: true,
    }));
    const warmups = source ? Math.floor(values.warmup_rows / batchSize) : 0;
    const warm = source?.drawing("warm-up");
    for (let step = 1; step <= warmups; step++) {
      setting.signal.throwIfAborted();
      await student.step({ views: { x: stackExamples(warm!(batchSize)) }, rate: (rate * step) / warmups });
      await student.teacher.follow(momentum);
    }
    student.mark();
    let draw = source?.drawing("replay");
    return {
      async predict({ batch }) {
        const found = await student.answers.of(batch, ["student", "teacher"]);
        const [own, teacher] = [found.get("student")!, found.get("teacher")!];
        return { scores: own.logits.map((x, i) => x + teacher.logits[i]!), features: own.hidden };
      },
      async learn({ batch, rows, index }, { features }) {
        const near = prototypes && nearestPrototypes(prototypes, features!);
        await student.step({
          views: {
            x: batch,
            view: setting.augment(rows, `${index} learnt`),
            ...(replay > 0 && draw ? { source: stackExamples(draw(batch.rows)) } : {}),
          },
          ...(near ? { numbers: { prototypes: near } } : {}),
        });
        await student.teacher.follow(momentum);
      },
      reset() {
        student.reset();
        draw = source?.drawing("replay");
      },
      finish: () => student.teacher.give(),
      free() {
        student.free();
        for (const parameter of net) parameter.free();
      },
    };
  },
});
