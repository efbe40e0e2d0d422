/** What the probe of forgetting by paradigm counts, and the batches of its training by rewards. */
import { describe, expect, test } from "bun:test";
import type { Answering } from "../../../src/evaluate/forgetting/answering.ts";
import { forgettingOf, movedShare } from "../../../src/evaluate/forgetting/paradigms.ts";
import { groupAdvantages, rewardedBatches } from "../../../src/evaluate/forgetting/rewarded-batches.ts";
import { isRight, type TaskRow } from "../../../src/evaluate/forgetting/tasks.ts";

const END = 9;
const rows = Array.from({ length: 6 }, (_, i): TaskRow => {
  const [prompt, answer] = [
    [i, i + 1],
    [i, END],
  ];
  const ids = Int32Array.of(...prompt, ...answer);
  return {
    prompt,
    answer,
    sequence: { ids, labels: ids.map((id, t) => (t < 2 ? -100 : id)), group: 0, place: `${i}` },
  };
});

test("answers are right with the same tokens, whether they end or not", () => {
  expect([[3, END], [3], [3, 4], [], [END]].map((said) => isRight(said, rows[3]!, [END]))).toEqual(
    [true, true, false, false, false], // biome-ignore format: a list
  );
});

test("forgetting is the change of each task but the last since it was learned", () => {
  const matrix = [[0.9, 0.2, 0], [0.5, 0.8, 0.1], [0.6, 0.4, 1]]; // biome-ignore format: a matrix
  const { average, forgetting } = forgettingOf(matrix);
  expect(average).toBeCloseTo((0.6 + 0.4 + 1) / 3, 12);
  expect(forgetting).toBeCloseTo((0.6 - 0.9 + 0.4 - 0.8) / 2, 12);
});

test("a weight has moved that left what bfloat16 tells apart there", () => {
  const place = 2 ** -7;
  const before = Float32Array.of(1, 1, -1, 4, 0, 0);
  const after = Float32Array.of(1 + 0.9 * place, 1 + 1.1 * place, -1, 4 + 4.4 * place, 0, 1e-9);
  expect(movedShare(before, after)).toBe(3 / 6);
});

describe("batches of rewards", () => {
  /** Answers by their number in the group; says what it was asked. */
  const answering = (
    said: (row: TaskRow, i: number) => readonly number[],
    logProb: (ids: readonly number[]) => number,
  ) =>
    ({
      sample: async (all: readonly TaskRow[], group: number) =>
        all.flatMap((row) =>
          Array.from({ length: group }, (_, i) => {
            const ids = said(row, i);
            return { ids, logProbs: ids.map(() => logProb(ids) / ids.length), text: "", truncated: false };
          }),
        ),
      logProbs: async (_: unknown, answers: readonly (readonly number[])[]) => answers.map(logProb),
    }) as unknown as Answering;
  const setup = { rows, prompts: 2, group: 4, ends: [END], pad: 0, longest: 5, seed: 1, name: "task" };
  const weights = async (own: Answering, more = {}) => {
    const source = rewardedBatches({ ...setup, answering: own, ...more });
    const { batch } = await source.next();
    return { source, weights: batch.documents.map(({ sequence }) => sequence.weight!), batch };
  };

  test("weigh nothing where all answers of a group are right, or none is", async () => {
    for (const said of [(row: TaskRow) => row.answer, () => [7]]) {
      const { weights: own, source } = await weights(answering(said, () => -1));
      expect(own).toEqual(Array(8).fill(0));
      expect([source.variance(), source.rollouts()]).toEqual([0, 8]);
    }
  });

  test("weigh answers by their advantage, each as much whatever its length", async () => {
    const said = ({ answer }: TaskRow, i: number) => (i === 0 ? answer : i === 1 ? [7, 7, 7] : [7]);
    const { weights: own, source, batch } = await weights(answering(said, () => -1));
    const advantages = groupAdvantages([1, 0, 0, 0]);
    const lengths = [2, 3, 1, 1];
    const tokens = 2 * 7;
    for (const [i, weight] of own.entries())
      expect(weight).toBeCloseTo((advantages[i % 4]! * tokens) / (8 * lengths[i % 4]!), 9);
    expect(batch.counted).toBe(tokens);
    expect(source.variance()).toBeCloseTo(0.25 * 0.75, 12);
  });

  test("take what answers gained over the model as it was off the reward", async () => {
    const said = (_: TaskRow, i: number) => [i, END];
    const own = answering(said, ([first]) => -first!);
    const reference = { answering: answering(said, () => -2), weight: 0.5 };
    const { batch, weights: found } = await weights(own, { reference });
    const place = (i: number) => Number(batch.documents[i]!.sequence.place);
    for (let p = 0; p < 2; p++) {
      const rewards = [0, 1, 2, 3].map((i) => (i === place(4 * p) ? 1 : 0) - 0.5 * (-i + 2));
      const expected = groupAdvantages(rewards).map((a) => (a * 16) / (8 * 2));
      expect(found.slice(4 * p, 4 * p + 4)).toEqual(expected.map((x) => expect.closeTo(x, 9)));
    }
  });

  test("go through all prompts before one comes again", async () => {
    const source = rewardedBatches({ ...setup, answering: answering(() => [7], () => -1) }); // biome-ignore format: short
    const places: string[] = [];
    for (let i = 0; i < 3; i++)
      places.push(
        ...(await source.next()).batch.documents.filter((_, at) => at % 4 === 0).map(({ sequence }) => sequence.place),
      );
    expect(places.toSorted()).toEqual(["0", "1", "2", "3", "4", "5"]);
  });
});
