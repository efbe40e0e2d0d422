/**
 * Rows as facts to be traced: a prompt that names a subject, and its answer. `subject` of a row of prompt and
 * completion is the text of the subject, which counts wherever it occurs in the prompt; without it the subject is the
 * whole prompt.
 */
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import { type EncodeOptions, encodeRow } from "../../data/sequences.ts";
import { permutation } from "../../data/shuffle.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";

export interface Fact {
  /** Prompt and answer. */
  readonly ids: Int32Array;
  /** Tokens of the prompt. */
  readonly prompt: number;
  /** Places of the answer's tokens, ascending; none of them is 0. */
  readonly answer: readonly number[];
  /** Places of the subject's tokens, ascending; all in the prompt. */
  readonly subject: readonly number[];
  /** Where the row was read, and which one of its group it is. */
  readonly place: string;
  readonly index: number;
}

/**
 * The facts of a group. Throws UserError for a row without prompt or answer, and for a prompt that does not name its
 * subject.
 */
export async function loadFacts(group: GroupReference, encode: Omit<EncodeOptions, "group">): Promise<Fact[]> {
  const facts: Fact[] = [];
  for await (const located of readRows(group)) {
    const { row, place } = located;
    const { ids, labels } = encodeRow(located, encode)[0]!;
    const answer = Array.from(labels.keys()).filter((i) => i > 0 && labels[i]! >= 0);
    const prompt = labels.findIndex((label) => label >= 0);
    if (prompt < 1)
      throw new UserError(
        `${place}: tracing follows a prompt to its answer, and the row has no ${answer.length === 0 ? "answer" : "prompt"}`,
        "rows hold prompt and completion, and may say what part of the prompt is the subject",
      );
    const { subject } = row.extra;
    const asked = ids.subarray(0, prompt);
    const text = row.form === "completion" ? row.prompt : "";
    const found =
      subject === undefined
        ? range(shared(encode.tokenizer, "", asked), prompt)
        : typeof subject === "string" && subject !== ""
          ? subjectTokens(encode.tokenizer, asked, text, subject)
          : [];
    if (found.length === 0)
      throw new UserError(
        `${place}: the prompt does not name ${subject === undefined ? "a subject" : `its subject ${JSON.stringify(subject)}`}`,
        row.form === "messages"
          ? "subjects are found in prompts of plain text: --columns prompt=question,completion=answer reads such rows"
          : "write the subject letter by letter as the prompt has it, or leave it out to blur the whole prompt",
      );
    facts.push({ ids, prompt, answer, subject: found, place, index: facts.length });
  }
  return facts;
}

/** Some of the facts, drawn by seed, in their order. A smaller draw is part of a larger one. */
export const drawFacts = (facts: readonly Fact[], count: number, seed: number): Fact[] =>
  Array.from(permutation(facts.length, seed, 0, "facts to trace").slice(0, count).sort(), (i) => facts[i]!);

const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

/** How many tokens the beginning of a text shares with the whole; one that reaches over its end is not among them. */
function shared(tokenizer: Tokenizer | undefined, beginning: string, ids: Int32Array): number {
  const own = tokenizer?.encode(beginning, { special: "before" }) ?? new Int32Array();
  const differs = own.findIndex((id, i) => id !== ids[i]);
  return differs < 0 ? own.length : differs;
}

/** Places of all tokens that hold a letter of the subject. */
function subjectTokens(tokenizer: Tokenizer | undefined, ids: Int32Array, prompt: string, subject: string): number[] {
  const places = new Set<number>();
  for (let at = prompt.indexOf(subject); at >= 0; at = prompt.indexOf(subject, at + subject.length)) {
    const first = shared(tokenizer, prompt.slice(0, at), ids);
    const end = Math.max(first + 1, shared(tokenizer, prompt.slice(0, at + subject.length), ids));
    for (const place of range(first, Math.min(end, ids.length))) places.add(place);
  }
  return [...places].sort((a, b) => a - b);
}
