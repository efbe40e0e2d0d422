/** A warning where the loss rises, once for each rise. */
import { expect, test } from "bun:test";
import { shiftWarning } from "../../src/train/shift-warning.ts";

const OPTIONS = { shift_warn: true, shift_window: 3, shift_smoothing: 0.5, shift_sigmas: 3, shift_floor: 0.005 };

test("a rise is said and logged once, with its figures; then what came is what is usual", () => {
  const told: string[] = [];
  const events: unknown[] = [];
  const context = {
    warn: (message: string) => void told.push(message),
    log: { event: (name: string, fields?: object) => void events.push({ name, ...fields }) },
  };
  const [controller] = shiftWarning(OPTIONS, context);
  const losses = [1, 1, 1, 1, 3, 3, 3, 3, 3, 1];
  for (const [i, loss] of losses.entries())
    controller!.heard!({ step: i + 1, lr: 1, metrics: { loss }, gradNorm: 1, size: 1, counted: 1 });
  expect(told).toEqual([
    "step 5: the loss rose to 3.000, smoothed 2.000, beyond 1.015 of the last 3 steps: the data may have changed",
  ]);
  expect(events).toEqual([{ name: "shift", step: 5, loss: 3, smoothed: 2, threshold: expect.closeTo(1.015, 9) }]);
  expect(shiftWarning({ ...OPTIONS, shift_warn: false }, context)).toEqual([]);
});
