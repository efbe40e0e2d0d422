import { expect, test } from "bun:test";
import fc from "fast-check";
import { accumulation, continualMetrics, type Score, type ScoreMatrix } from "../../../src/run/continual/matrix.ts";

const HAND: ScoreMatrix = {
  after: [
    [0.9, 0.3, 0.2],
    [0.7, 0.8, 0.4],
    [0.5, 0.6, 0.7],
  ],
  before: [0.1, 0.2, 0.1],
  joint: [0.95, 0.9, 0.85],
  general: { before: 0.8, after: 0.6 },
  better: "higher",
};

const rounded = (found: object) =>
  Object.fromEntries(Object.entries(found).map(([name, value]) => [name, Number(value.toFixed(12))]));

test("a matrix worked by hand", () => {
  expect(rounded(continualMetrics(HAND))).toEqual({
    average: 0.6, // (0.5 + 0.6 + 0.7) / 3
    forgetting: 0.3, // ((0.9 - 0.5) + (0.8 - 0.6)) / 2
    backward_transfer: -0.3,
    forward_transfer: 0.2, // ((0.3 - 0.2) + (0.4 - 0.1)) / 2
    learning: 0.8, // (0.9 + 0.8 + 0.7) / 3
    intransigence: 0.1, // ((0.95 - 0.9) + (0.9 - 0.8) + (0.85 - 0.7)) / 3
    general_retention: 0.75,
    vertical_forgetting: 0.2,
  });
});

test("the best score counts for forgetting, not the one right after the task", () => {
  const after = [
    [0.5, 0, 0],
    [0.8, 0.6, 0],
    [0.7, 0.6, 0.9],
  ];
  const found = continualMetrics({ after, better: "higher" });
  expect(found.forgetting).toBeCloseTo(0.05, 12);
  expect(found.backward_transfer).toBeCloseTo(0.1, 12);
});

test("a loss has the same differences with the other sign", () => {
  const negative = (row: readonly Score[]) => row.map((score) => -score!);
  const { general_retention: _, average, learning, ...differences } = continualMetrics(HAND);
  const lower = continualMetrics({
    after: HAND.after.map(negative),
    before: negative(HAND.before!),
    joint: negative(HAND.joint!),
    general: { before: -0.8, after: -0.6 },
    better: "lower",
  });
  expect(rounded(lower)).toMatchObject(rounded(differences));
  expect(lower.average).toBeCloseTo(-average!, 12);
  expect(lower.learning).toBeCloseTo(-learning!, 12);
  const loss = continualMetrics({ after: [[1]], general: { before: 2, after: 4 }, better: "lower" });
  expect([loss.general_retention, loss.vertical_forgetting]).toEqual([0.5, 2]);
});

test("under way, only tasks so far count", () => {
  const found = continualMetrics({ ...HAND, after: HAND.after.slice(0, 2) });
  expect(rounded(found)).toMatchObject({
    average: 0.75, // (0.7 + 0.8) / 2
    forgetting: 0.2,
    backward_transfer: -0.2,
    forward_transfer: 0.1,
    learning: 0.85,
  });
});

test("one task has neither forgetting nor transfer, and what was not measured is left out", () => {
  expect(continualMetrics({ after: [[0.5, 0.1]], better: "higher" })).toEqual({ average: 0.5, learning: 0.5 });
  expect(continualMetrics({ after: [], better: "higher" })).toEqual({});
  const growing = [
    [0.9, null],
    [0.6, 0.8],
  ];
  const found = continualMetrics({ after: growing, before: [null, null], better: "higher" });
  expect(Object.keys(found)).toEqual(["average", "forgetting", "backward_transfer", "learning"]);
  expect(found.forgetting).toBeCloseTo(0.3, 12);
  expect(
    continualMetrics({
      after: [
        [0.9, 0.1],
        [null, 0.8],
      ],
      better: "higher",
    }),
  ).not.toContainKey("forgetting");
});

test("a head that grows: scores that could not be taken before a task are no best scores", () => {
  const after = [
    [0.9, null, null],
    [0.8, 0.7, null],
    [0.6, 0.5, 0.9],
  ];
  expect(continualMetrics({ after, better: "higher" }).forgetting).toBeCloseTo((0.3 + 0.2) / 2, 12);
});

test("without a task that is scored better earlier or later, backward transfer is forgetting with the other sign", () => {
  const score = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 6 }), fc.array(score, { minLength: 36, maxLength: 36 }), (tasks, values) => {
      // Scores of a task fall from where it is learnt, and are 0 before.
      const after = Array.from({ length: tasks }, (_, i) =>
        Array.from({ length: tasks }, (_, j) => (i < j ? 0 : values[j]! / (1 + i - j))),
      );
      const found = continualMetrics({ after, better: "higher" });
      expect(found.forgetting).toBeCloseTo(-found.backward_transfer!, 12);
      expect(found.average! - found.learning!).toBeCloseTo((found.backward_transfer! * (tasks - 1)) / tasks, 12);
    }),
  );
});

test("a ragged matrix is refused", () => {
  expect(() => continualMetrics({ after: [[1, 2], [1]], better: "higher" })).toThrow("row 1 has 1 scores");
  expect(() => continualMetrics({ after: [[1], [1]], better: "higher" })).toThrow("2 tasks were learnt");
  expect(() => continualMetrics({ after: [[1]], joint: [1, 2], better: "higher" })).toThrow("row joint has 2");
});

test("accumulation, retention and their geometric mean", () => {
  const found = accumulation([0.5, 0.7], [0.15]);
  expect(rounded(found)).toEqual({ accumulation: 0.6, retention: 0.15, balance: 0.3 });
});
