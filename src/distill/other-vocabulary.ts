/**
 * The capability of a loss whose teacher may have another tokenizer: the teacher reads the student's texts in its own
 * tokens, and is compared where both have read the same text.
 */
import { batchKey } from "../data/batch.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { UserError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { fillInputs, recordInputs } from "../run/batch-programs.ts";
import { liveTeacher, type Teacher } from "../run/teachers/teacher.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import type { DistillCapability } from "./capability.ts";
import { readOnce } from "./read-once.ts";
import { otherTokens } from "./same-places.ts";
import type { TeacherReading } from "./teachers.ts";

/**
 * A model that reads the same texts through its own tokenizer. `read` gives the documents of a batch in its
 * tokens.
 */
export function foreignTeacher(model: Model, read: ReturnType<typeof otherTokens>): Teacher {
  const of = readOnce(read);
  return {
    ...liveTeacher(model, model.sizes.outputs),
    key: (batch) => batchKey(of(batch).batch),
    record(rec, _, batch) {
      const { hidden, head } = model.record(rec, recordInputs(rec, of(batch).batch, "teacher."));
      const n = batch.rows * batch.length;
      const places = rec.input("teacher.places", [n], "i32");
      const targets = rec.input("teacher.targets", [n], "i32");
      return {
        along: [embedding(rec, places, hidden), targets], // (N, C), zeros where there is no such place
        logits: (_, [seen]) => head(seen!),
        student: (_, logits) => logits,
        targets: ([, targets]) => targets!,
      };
    },
    fill(program, batch) {
      const other = of(batch);
      fillInputs(program, other.batch, "teacher.");
      program.write("teacher.places", other.places);
      program.write("teacher.targets", other.targets);
    },
  };
}

/** What is read of a teacher with another tokenizer. */
export interface OtherTools {
  readonly own: Tokenizer;
  readonly other: Tokenizer;
  /** Most tokens of a row of the other's. */
  readonly maxLength: number;
  /** The student's. */
  readonly outputs: number;
}

/** A reading of teachers by texts; both have a tokenizer. `made` gives the teacher of the loaded model. */
export const otherTools = (method: string, made: (tools: OtherTools) => (model: Model) => Teacher): TeacherReading => ({
  silent: [
    "a teacher with another tokenizer does not answer in the student's tokens",
    "let it write text with bun run sample, and bun run train on it",
  ],
  async compare(_, teacher, { ref, tools, sizes: own }) {
    const other = teacher.tools;
    if (!tools || !other) throw new UserError(`${method} is for language models`, "take another --method");
    if (!tools.tokenizer || !other.tokenizer)
      throw new UserError(
        `${tools.tokenizer ? teacher.ref : ref} has no tokenizer, and the same places of a text are found by those of both`,
        tools.tokenizer ? "add its tokenizer.json" : "add its tokenizer.json, or give --tokenizer",
      );
    const maxLength = other.encode.maxLength!;
    const { outputs } = own;
    return { outputs, teacher: made({ own: tools.tokenizer, other: other.tokenizer, maxLength, outputs }) };
  },
});

export const otherVocabulary: DistillCapability<Record<never, never>> = {
  name: "other-vocabulary",
  options: {},
  begin(_, { method, named }) {
    if (named[0] === "self")
      throw new UserError(`${method} is for a teacher with another tokenizer`, "name a model with --teacher");
    return {
      reading: otherTools(method, (tools) => {
        const read = otherTokens(tools);
        return (model) => foreignTeacher(model, read);
      }),
    };
  },
};
