/** What training.json of a stream may say. */
import { expect, test } from "bun:test";
import { streamStateOf } from "../../../src/adapt/continual/state.ts";
import type { SavedRun } from "../../../src/run/training/found-state.ts";

const STATE = {
  stage: 1,
  scores: { before: [{ loss: 2, counted: 3 }], after: [[{ loss: 1, accuracy: 0.5, counted: 3 }]], general: [[]] },
  method: null,
  rows: ["1 2"],
};

const saved = (row: object | undefined): SavedRun => {
  const training = { step: 0, order: {}, states: {} };
  const progress = { version: 3 as const, settings: {}, inputs: [], training, ...row };
  return JSON.parse(JSON.stringify({ progress, folder: "run.state/last" })) as SavedRun;
};

const asked = (row: object | undefined) => streamStateOf(saved(row), 2).catch(({ message }: Error) => message);

test("says where a stream stands", async () => {
  expect(await asked({ row: { steps: 4, state: STATE } })).toEqual(STATE);
});

test.each([
  [undefined, "run.state/last is the state of one training, not of a stream"],
  [{ steps: 4, state: { ...STATE, stage: 2 } }, "its stream stands: stage 2 of 2"],
  [{ steps: 4, state: { ...STATE, stage: -1 } }, "stage must be non-negative (was -1)"],
  [{ steps: 4, state: { ...STATE, scores: { ...STATE.scores, before: [{ loss: "2" }] } } }, "scores.before[0]"],
  [{ steps: 4, state: null }, "its stream stands: must be an object (was null)"],
])("%j is refused", async (row, message) => {
  expect(await asked(row === undefined ? undefined : { row })).toContain(message);
});
