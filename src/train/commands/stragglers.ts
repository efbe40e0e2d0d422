/**
 * `train stragglers`: how long coded and plain ways to share gradients take with workers that are slow now and then.
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { table } from "../../text/table.ts";
import type { STRAGGLERS } from "../coded/options.ts";
import type { SchemeName, SchemeSettings } from "../coded/schemes.ts";
import { compareSchemes } from "../coded/stragglers.ts";

const told = (scheme: SchemeName, { stragglers, window, burst, distinct }: SchemeSettings): string => {
  if (scheme === "plain") return "";
  return scheme === "gc" ? `s ${stragglers}` : `W ${window}, B ${burst}, lambda ${distinct}`;
};

export async function stragglers(context: Context<typeof STRAGGLERS>): Promise<Outcome> {
  const { workers, jobs, slow: times, slow_begin: begin, slow_stay: stay, overhead, spread } = context.options;
  const found = compareSchemes({ begin, stay, times, overhead, spread }, { workers, jobs, seed: context.seed });
  const plain = found[0]!.time;
  const rows = found.map(({ scheme, settings, load, delay, time, done }) => [
    scheme,
    told(scheme, settings),
    load.toFixed(3),
    `${delay}`,
    `${done}/${jobs}`,
    time.toFixed(2),
    (time / plain).toFixed(3),
  ]);
  context.print(table([["scheme", "settings", "load", "delay", "exact", "time", "over plain"], ...rows]));
  context.json({
    workers,
    jobs,
    schemes: found.map(({ settings, ...one }) => ({ ...one, ...settings, over_plain: one.time / plain })),
  });
  return {};
}
