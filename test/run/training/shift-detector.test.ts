/** Rises of a loss: false alarms, formulas in plain arithmetic, and what is taken in. */
import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { ShiftDetector } from "../../../src/run/training/shift-detector.ts";

const VALUES = { shift_window: 20, shift_smoothing: 0.2, shift_sigmas: 3, shift_floor: 0.005 };

test("a loss that falls and then varies around a mean gives no alarm, whatever the seed", () => {
  for (let seed = 0; seed < 50; seed++) {
    const random = new Random("stationary", seed);
    const detector = new ShiftDetector(VALUES);
    for (let step = 0; step < 500; step++) {
      const loss = 0.5 + 2 * Math.exp(-step / 40) + 0.1 * random.normal();
      expect([seed, step, detector.rises(loss)]).toEqual([seed, step, false]);
    }
  }
});

test("the threshold is mean and deviations of the last losses; a rise is compared smoothed, and not taken in", () => {
  const detector = new ShiftDetector({ ...VALUES, shift_window: 4, shift_smoothing: 0.5, shift_sigmas: 2 });
  for (const loss of [100, 1, 3, 1]) {
    expect(detector.threshold).toBe(Number.POSITIVE_INFINITY);
    expect(detector.rises(loss)).toBe(false);
  }
  // The window moves on: 1, 3, 1, 3 have the mean 2 and the deviation 1.
  expect(detector.rises(3)).toBe(false);
  expect(detector.threshold).toBeCloseTo(4, 12);
  // s: 100, 50.5, 26.75, 13.875, 8.4375; with 1 it is 4.71875, beyond 4, though 1 itself is not.
  expect(detector.smoothed(1)).toBeCloseTo(4.71875, 12);
  const before = detector.state();
  expect(detector.rises(1)).toBe(true);
  expect(detector.state()).toEqual(before);
  const other = new ShiftDetector(VALUES);
  other.load(before);
  expect(other.state()).toEqual(before);
  expect(() => other.load({ window: "x" })).toThrow("cannot be read");
});

test("losses that do not vary have the least deviation", () => {
  const detector = new ShiftDetector({ ...VALUES, shift_window: 2, shift_smoothing: 1, shift_floor: 0.5 });
  for (const loss of [1, 1]) detector.rises(loss);
  expect(detector.rises(2.4)).toBe(false);
  detector.reset();
  for (const loss of [1, 1]) detector.rises(loss);
  expect(detector.rises(2.6)).toBe(true);
});
