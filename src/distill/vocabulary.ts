/** Whether two models have the same tokens, and over how many of them they can be compared. */
import { type Speaker, tokenClash } from "../data/same-tokens.ts";
import { UserError } from "../errors.ts";
import { has, methodsFor } from "../method/capability.ts";
import { liveTeacher } from "../run/teachers/teacher.ts";
import { otherVocabulary } from "./other-vocabulary.ts";
import type { TeacherReading } from "./teachers.ts";

/**
 * Outputs that student and teacher share: all of them, or those before the padding rows of the wider one. Throws
 * UserError when their tokenizers give ids different meanings, and when widths differ and nothing says that only
 * padding does.
 */
export async function commonVocabulary(
  student: Speaker,
  teacher: Speaker,
  info: (text: string) => void,
): Promise<number> {
  const common = Math.min(student.outputs, teacher.outputs);
  const clash = tokenClash(student, teacher);
  if (clash?.kind === "unknown")
    throw new UserError(clash.message, "add tokenizer.json to both, so that padding can be told from tokens");
  if (clash) {
    const others = await methodsFor("distill", (method) => has(method, otherVocabulary));
    throw new UserError(
      clash.message,
      `take --method ${others}, or let the teacher write text with bun run sample, and bun run train on it`,
    );
  }
  if (student.outputs !== teacher.outputs)
    info(
      `the vocabularies of ${student.outputs} and ${teacher.outputs} share ${common} outputs; the others are padding`,
    );
  return common;
}

/**
 * Reads a teacher over the student's own vocabulary, or its classes. `states`: hidden states are compared, so that
 * classes may differ.
 */
export const sameVocabulary = (states: boolean): TeacherReading => ({
  async compare({ info }, { checkpoint, sizes }, { ref, tools, sizes: own }) {
    const teacher = { ref: checkpoint.ref, outputs: sizes.outputs, files: checkpoint.files };
    if (!tools && !states && sizes.outputs !== own.outputs)
      throw new UserError(
        `${ref} has ${own.outputs} classes, the teacher ${teacher.ref} ${sizes.outputs}`,
        `set num_labels in config.json, or compare hidden states: ${await methodsFor("distill", (method) => method.states !== undefined)}`,
      );
    const outputs = tools
      ? await commonVocabulary({ ref, outputs: own.outputs, files: tools.files }, teacher, info)
      : own.outputs;
    return { outputs, teacher: liveTeacher };
  },
});
