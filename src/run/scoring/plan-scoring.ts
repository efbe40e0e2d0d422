/**
 * What scoring rows takes of a GPU's memory, found out on a device that computes nothing: the code that scores runs on
 * the largest batch, up to the first result that it asks for.
 */
import { tokensIn } from "../../data/batch.ts";
import type { Example } from "../../data/examples.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Question, ScoringData } from "./read-rows.ts";

/** A batch of `rows` of the longest item, or of as many as there are. */
function largest<T>(items: readonly T[], lengthOf: (item: T) => number, rows: number): T[] {
  if (items.length === 0) return [];
  const longest = items.reduce((a, b) => (lengthOf(b) > lengthOf(a) ? b : a));
  return Array.from({ length: Math.min(rows, items.length) }, () => longest);
}

const tokensOf = ({ ids }: Sequence | Question): number => ids.length;

/** The parts of data that are scored one after the other, each cut to its largest batch of `rows`. */
export function largestBatches(data: ScoringData, rows: number): ScoringData[] {
  if (data.kind === "examples") {
    return [{ kind: "examples", examples: largest<Example>(data.examples, tokensIn, rows) }];
  }
  const { sequences, questions = [], alternatives } = data;
  // How far an answer may go is decided by the longest that is expected.
  const expected = questions.reduce((most, one) => (one.expected.length > most.length ? one.expected : most), "");
  const asked = largest(questions, tokensOf, rows).map((question) => ({ ...question, expected }));
  const texts = [sequences, alternatives?.sequences ?? []].map((each) => largest(each, tokensOf, rows));
  const { choices: _, questions: __, alternatives: ___, ...rest } = data;
  return [
    ...texts.filter((each) => each.length > 0).map((each) => ({ ...rest, sequences: each })),
    ...(questions.length > 0 ? [{ ...rest, sequences: [], questions: asked }] : []),
  ];
}
