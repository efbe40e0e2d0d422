/**
 * Runs as one object for other programs: what they were, where they ended, the options in which they differ, their
 * tables.
 */
import { differences, metricsOf, type Run, statusOf } from "./read.ts";
import { lastOf } from "./tables.ts";

/** What JSON can hold; a field that the log lacks is left out. */
export function toSummary(runs: readonly Run[]) {
  return {
    runs: runs.map((run) => {
      const { start, end } = run;
      const curves = metricsOf([run]);
      return {
        name: run.name,
        file: run.file,
        run: start.run,
        script: start.script,
        method: start.method,
        status: statusOf(run),
        time: start.time,
        version: start.version,
        device: start.device,
        seed: start.seed,
        options: start.options,
        step: run.step,
        seconds: run.seconds,
        /** The last known value of each curve; null where none is a number. */
        last: Object.fromEntries(curves.map((metric) => [metric, lastOf(run, metric) ?? null])),
        tables: run.tables,
        out: end?.out,
        error: end?.error,
        warnings: run.warnings,
        bad_lines: run.bad,
      };
    }),
    /** Values in the order of `runs`; null where a run has none. */
    differences: differences(runs).map(({ option, values }) => ({
      option,
      values: values.map((value) => value ?? null),
    })),
  };
}
