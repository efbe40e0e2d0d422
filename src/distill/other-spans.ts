/**
 * The capability of a loss whose teacher may have another tokenizer, and is compared span by span: the probabilities of
 * the tokens of a span are merged into those of one row of either model.
 */
import { batchKey, isTokens } from "../data/batch.ts";
import { targetsOf } from "../data/targets.ts";
import { UserError } from "../errors.ts";
import type { Model, Recorded } from "../model/model.ts";
import { fillInputs, recordInputs } from "../run/batch-programs.ts";
import { liveTeacher, type Teacher } from "../run/teachers/teacher.ts";
import { neg, stopGradient } from "../tensor/ops/elementwise.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { headLoss } from "../tensor/ops/head-loss.ts";
import { rowSum } from "../tensor/ops/reduce.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { DistillCapability } from "./capability.ts";
import { otherTools } from "./other-vocabulary.ts";
import { readOnce } from "./read-once.ts";
import { otherSpans, type SpanMerge } from "./same-places.ts";
import { type SameTexts, sameTexts } from "./same-texts.ts";

/**
 * Logarithm of the probability that rows give to their targets, summed over the rows of each span: hidden states (R,
 * C), targets (R), rest (N, most) -> (N).
 */
function sumOfRest(
  rec: Recorder,
  { hidden, head, width, targets }: Pick<Recorded, "hidden" | "head"> & { width: number; targets: Tensor },
  rest: Tensor,
): Tensor {
  const losses = headLoss(rec, { hidden, head, width, targets }); // (R)
  const [rows = 0] = losses.shape;
  const [n = 0, most = 0] = rest.shape;
  const taken = embedding(rec, rec.reshape(rest, [n * most]), rec.reshape(losses, [rows, 1]));
  return neg(rec, rowSum(rec, rec.reshape(taken, [n, most])));
}

/** A model that reads the same texts through its own tokenizer. `read` gives the spans of a batch. */
export function spanTeacher(
  model: Model,
  read: ReturnType<typeof otherSpans>,
  matched: SameTexts | undefined,
  student: { readonly outputs: number },
): Teacher {
  const of = readOnce(read);
  return {
    ...liveTeacher(model, model.sizes.outputs),
    key: (batch) => `${batchKey(of(batch).batch)} ${of(batch).most}`,
    record(rec, _, batch) {
      const other = of(batch);
      const { hidden, head } = model.record(rec, recordInputs(rec, other.batch, "teacher."));
      const n = batch.rows * batch.length;
      const places = rec.input("teacher.places", [n], "i32");
      const targets = rec.input("teacher.targets", [n], "i32");
      const next = rec.input("teacher.next", [other.batch.rows * other.batch.length], "i32");
      const rest = rec.input("teacher.rest", [n, other.most], "i32");
      const said = stopGradient(rec, sumOfRest(rec, { hidden, head, width: model.sizes.outputs, targets: next }, rest));
      return {
        along: [embedding(rec, places, hidden), targets, said], // (N, C), zeros where there is no such place
        beside(own) {
          const targets = rec.input("own.next", [n], "i32");
          const ownRest = rec.input("own.rest", [n, other.most], "i32");
          return [sumOfRest(rec, { ...own, width: student.outputs, targets }, ownRest)];
        },
        logits: (_, [seen]) => head(seen!),
        student: (_, logits) => logits,
        targets: ([, targets]) => targets!,
        spans: ([, , other, own]) => ({ factors: { own: own!, other: other! }, matched }),
      };
    },
    fill(program, batch) {
      if (!isTokens(batch)) throw new Error("a batch of examples has no texts");
      const other = of(batch);
      fillInputs(program, other.batch, "teacher.");
      program.write("teacher.places", other.places);
      program.write("teacher.targets", other.targets);
      program.write("teacher.next", targetsOf(other.batch));
      program.write("teacher.rest", other.otherRest);
      program.write("own.next", targetsOf(batch));
      program.write("own.rest", other.ownRest);
    },
  };
}

const OPTIONS = {
  merge: {
    type: "'observed' | 'bayesian'",
    default: "observed",
    help: "a span of several tokens is the first one's distribution times the later tokens, or the last one's after the earlier",
  },
  hybrid: {
    type: "boolean",
    default: true,
    help: "compare tokens with the same text directly, and by rank only the others",
  },
} as const;

export const otherSpansOf: DistillCapability<typeof OPTIONS, { merge: SpanMerge; hybrid: boolean }> = {
  name: "other-spans",
  options: OPTIONS,
  begin({ merge, hybrid }, { method, named }) {
    if (named[0] === "self")
      throw new UserError(`${method} is for a teacher with another tokenizer`, "name a model with --teacher");
    return {
      reading: otherTools(method, ({ own, other, maxLength, outputs }) => {
        const read = otherSpans({ own, other, maxLength }, merge);
        const match = (theirs: number) => sameTexts({ tokenizer: own, outputs }, { tokenizer: other, outputs: theirs });
        return (model) => spanTeacher(model, read, hybrid ? match(model.sizes.outputs) : undefined, { outputs });
      }),
    };
  },
};
