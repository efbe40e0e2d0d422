/** Rows of several groups with one prompt: a question, and an answer to it in the words of each group. */
import type { Sequence } from "../data/sequences.ts";
import { promptOf } from "../run/generating/answers.ts";

export interface Question {
  readonly prompt: Int32Array;
  /** By group; undefined where a group has none. */
  readonly answers: readonly (Sequence | undefined)[];
  /** Which of so many equal parts of all questions it is in, by its shortest answer. */
  readonly bucket: number;
}

/** The question of every row. The n-th row of a group with a prompt answers the n-th question with it. */
export function questionsOf(
  sequences: readonly Sequence[],
  {
    groups,
    buckets,
    promptTokens,
  }: { readonly groups: number; readonly buckets: number; readonly promptTokens: number },
): Map<Sequence, Question> {
  const seen = new Map<string, number>();
  const found = new Map<string, { prompt: Int32Array; answers: (Sequence | undefined)[] }>();
  const keys = sequences.map((sequence) => {
    const prompt = promptOf(sequence, promptTokens);
    const own = prompt.join(",");
    const times = seen.get(`${sequence.group} ${own}`) ?? 0;
    seen.set(`${sequence.group} ${own}`, times + 1);
    const key = `${times} ${own}`;
    const question = found.get(key) ?? { prompt, answers: new Array<Sequence | undefined>(groups).fill(undefined) };
    question.answers[sequence.group] = sequence;
    found.set(key, question);
    return key;
  });
  const shortest = (answers: readonly (Sequence | undefined)[]) =>
    answers.reduce((least, answer) => Math.min(least, answer?.ids.length ?? least), Number.POSITIVE_INFINITY);
  const sorted = [...found].toSorted(([, a], [, b]) => shortest(a.answers) - shortest(b.answers));
  const whole = new Map(
    sorted.map(([key, question], i) => [key, { ...question, bucket: Math.floor((i * buckets) / sorted.length) }]),
  );
  return new Map(sequences.map((sequence, i) => [sequence, whole.get(keys[i]!)!]));
}
