/** Whether two models have the same tokens, and over how many of them they can be compared. */
import { UserError } from "../errors.ts";
import { has, methodsFor } from "../method/capability.ts";
import { liveTeacher } from "../run/teachers/teacher.ts";
import { otherVocabulary } from "./other-vocabulary.ts";
import type { TeacherReading } from "./teachers.ts";

export interface Speaker {
  readonly ref: string;
  /** Rows of its head; some may be padding. */
  readonly outputs: number;
  readonly files: ReadonlyMap<string, Uint8Array> | undefined;
}

/** Tokens of tokenizer.json by id, those that it lists. */
function tokensOf(files: Speaker["files"]): Map<number, string> | undefined {
  const bytes = files?.get("tokenizer.json");
  if (!bytes) return undefined;
  const found = new Map<number, string>();
  try {
    const json = JSON.parse(new TextDecoder().decode(bytes));
    const vocab = json.model?.vocab ?? {};
    if (Array.isArray(vocab)) for (const [id, [token]] of vocab.entries()) found.set(id, token);
    else for (const [token, id] of Object.entries(vocab)) found.set(id as number, token);
    for (const { id, content } of json.added_tokens ?? []) found.set(id, content);
  } catch {
    return undefined;
  }
  return found;
}

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
  const [ours, theirs] = [tokensOf(student.files), tokensOf(teacher.files)];
  const refuse = async (message: string): Promise<never> => {
    const others = await methodsFor("distill", (method) => has(method, otherVocabulary));
    throw new UserError(
      message,
      `take --method ${others}, or let the teacher write text with bun run sample, and bun run train on it`,
    );
  };
  if (ours && theirs) {
    for (const [id, token] of ours) {
      const other = theirs.get(id);
      if (other !== undefined && other !== token)
        return refuse(
          `token ${id} is ${JSON.stringify(token)} to ${student.ref} and ${JSON.stringify(other)} to ${teacher.ref}`,
        );
    }
    const beyond = new Set([...ours.keys(), ...theirs.keys()].filter((id) => id >= common));
    if (student.outputs !== teacher.outputs && beyond.size > 0)
      return refuse(
        `${student.ref} has ${student.outputs} outputs, ${teacher.ref} ${teacher.outputs}, and ${beyond.size} tokens lie beyond ${common}`,
      );
  } else if (student.outputs !== teacher.outputs) {
    throw new UserError(
      `${student.ref} has ${student.outputs} outputs, ${teacher.ref} ${teacher.outputs}, and one of them has no tokenizer to compare`,
      "add tokenizer.json to both, so that padding can be told from tokens",
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
