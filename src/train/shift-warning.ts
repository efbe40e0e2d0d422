/** `train --shift-warn`: says where the loss of steps rises as it does when the data changes. */
import type { Values } from "../method/options.ts";
import type { Log } from "../run/command-context.ts";
import type { Controller } from "../run/training/controller.ts";
import { ShiftDetector } from "../run/training/shift-detector.ts";
import type { TRAIN } from "./options.ts";

type Options = Pick<
  Values<typeof TRAIN>,
  "shift_warn" | "shift_window" | "shift_smoothing" | "shift_sigmas" | "shift_floor"
>;

/** Whom it tells. */
interface Told {
  warn(message: string): void;
  readonly log: Pick<Log, "event">;
}

/**
 * Warns once of every rise: what comes after it is what later losses are measured against. It hears every step before
 * the next one begins.
 */
export function shiftWarning(options: Options, { warn, log }: Told): Controller[] {
  if (!options.shift_warn) return [];
  const detector = new ShiftDetector(options);
  return [
    {
      name: "shift",
      heard({ step, metrics }) {
        const loss = metrics.loss!;
        const { threshold } = detector;
        const smoothed = detector.smoothed(loss);
        if (!detector.rises(loss)) return;
        detector.reset();
        log.event("shift", { step, loss, smoothed, threshold });
        warn(
          `step ${step}: the loss rose to ${loss.toPrecision(4)}, smoothed ${smoothed.toPrecision(4)}, beyond ${threshold.toPrecision(4)} of the last ${options.shift_window} steps: the data may have changed`,
        );
      },
      state: () => detector.state(),
      load: (state) => detector.load(state),
    },
  ];
}
