/** Whether two models speak of the same tokens, and over how many of them they can be compared. */
import { UserError } from "../errors.ts";

export interface Speaker {
  readonly ref: string;
  /** Rows of its head; some may be padding. */
  readonly outputs: number;
  readonly files: ReadonlyMap<string, Uint8Array> | undefined;
}

/** Tokens of tokenizer.json by id, as far as it tells. */
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
 * Outputs that student and teacher share: all of them, or those before the padding rows of the wider one. Throws UserError when their
 * tokenizers give ids different meanings, and when widths differ and nothing says that only padding does.
 */
export function commonVocabulary(student: Speaker, teacher: Speaker, info: (text: string) => void): number {
  const common = Math.min(student.outputs, teacher.outputs);
  const [ours, theirs] = [tokensOf(student.files), tokensOf(teacher.files)];
  const advice = "take --method uld, or let the teacher write text with bun run sample, and bun run train on it";
  if (ours && theirs) {
    for (const [id, token] of ours) {
      const other = theirs.get(id);
      if (other !== undefined && other !== token)
        throw new UserError(
          `token ${id} is ${JSON.stringify(token)} to ${student.ref} and ${JSON.stringify(other)} to ${teacher.ref}`,
          advice,
        );
    }
    const beyond = new Set([...ours.keys(), ...theirs.keys()].filter((id) => id >= common));
    if (student.outputs !== teacher.outputs && beyond.size > 0)
      throw new UserError(
        `${student.ref} has ${student.outputs} outputs, ${teacher.ref} ${teacher.outputs}, and ${beyond.size} tokens lie beyond ${common}`,
        advice,
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
