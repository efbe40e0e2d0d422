/** How the tokenizers of two models differ, by their files. */

import type { Vocabulary } from "../../data/vocabulary.ts";
import type { NamedModel } from "../../model/names.ts";
import { counted } from "../plan/notes.ts";
import type { CheckProblem } from "./problem.ts";

/** A model and its vocabulary, undefined where no tokenizer.json can be read. */
export interface WithVocabulary {
  readonly model: NamedModel;
  readonly vocabulary: Vocabulary | undefined;
}

/**
 * Problems of merging `other` into a checkpoint that has the tokenizer of `one`; none when the vocabularies are equal.
 */
export function compareVocabularies(one: WithVocabulary, other: WithVocabulary): CheckProblem[] {
  const [first, model] = [one.model, other.model];
  const [ours, theirs] = [one.vocabulary, other.vocabulary];
  if (ours === undefined || theirs === undefined) return compareTokenizerFiles(first, model);
  let moved: string | undefined;
  let movedCount = 0;
  const added: string[] = [];
  let missing = 0;
  for (const [token, id] of theirs) {
    const here = ours.get(token);
    if (here === undefined) added.push(token);
    else if (here !== id) {
      movedCount++;
      moved ??= `${JSON.stringify(token)} is ${here} in ${first.ref} but ${id} in ${model.ref}`;
    }
  }
  for (const token of ours.keys()) if (!theirs.has(token)) missing++;
  const problems: CheckProblem[] = [];
  if (moved !== undefined) {
    const message = `${counted(movedCount, "token")} with another id: ${moved}`;
    problems.push({
      level: "error",
      message,
      hint: "rows of the embeddings mean different tokens; averaging them is noise",
    });
  }
  if (added.length > 0) {
    const some = added.slice(0, 3).map((token) => JSON.stringify(token));
    const more = added.length > 3 ? `, and ${added.length - 3} more` : "";
    const message = `${model.ref} has ${counted(added.length, "token")} that ${first.ref} lacks: ${some.join(", ")}${more}`;
    problems.push({
      level: "warning",
      message,
      hint: `the output has the tokenizer of ${first.ref}, so they are lost`,
    });
  }
  if (missing > 0) {
    const message = `${model.ref} lacks ${counted(missing, "token")} of ${first.ref}`;
    problems.push({ level: "warning", message, hint: "its rows for them, if it has any, were never trained" });
  }
  return problems;
}

/** Without a readable vocabulary on both sides, files that differ are all that can be said. */
function compareTokenizerFiles(first: NamedModel, model: NamedModel): CheckProblem[] {
  for (const name of ["tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model"]) {
    const [a, b] = [first.checkpoint.files.get(name), model.checkpoint.files.get(name)];
    if (a === undefined || b === undefined || Buffer.compare(a, b) === 0) continue;
    return [{ level: "warning", message: `${name} differs between ${first.ref} and ${model.ref}` }];
  }
  return [];
}
