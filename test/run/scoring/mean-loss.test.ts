import { expect, test } from "bun:test";
import { countedLoss, meanLoss } from "../../../src/run/scoring/mean-loss.ts";

const losses = { targets: [4, -100, 7, -100, -100], nll: [1, 0, 3, 0, 0] };

test("the mean is over the places that count", () => {
  expect(meanLoss(losses)).toBe(2);
  expect(meanLoss(losses, 1, 4)).toBe(3);
  expect(countedLoss(losses)).toEqual({ sum: 4, counted: 2 });
});

test("where nothing counts the loss is unknown, not 0", () => {
  expect(meanLoss(losses, 3)).toBeNaN();
  expect(meanLoss({ targets: [], nll: [] })).toBeNaN();
  expect(countedLoss(losses, 3)).toEqual({ sum: 0, counted: 0 });
});
