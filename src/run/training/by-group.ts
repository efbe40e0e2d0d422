/**
 * An objective taken apart by the groups of its rows: each group is a part, whose loss is the mean over its own rows.
 * All parts have the programs of the whole; a part is run with the labels of other rows left out, and not at all on
 * micro-batches that have none of its rows. What is reported is the mean over all rows, as without groups, and each
 * group's own loss.
 */
import { type Batch, isTokens } from "../../data/batch.ts";
import { IGNORED } from "../../data/rows.ts";
import { targetsOf } from "../../data/targets.ts";
import type { Objective } from "./objective.ts";

/** The batch with the labels of the rows of one group alone. */
function withoutOthers(batch: Batch, group: number): Batch {
  const { rows, tasks } = batch;
  const width = batch.labels.length / rows;
  const labels = batch.labels.map((label, i) => (tasks[Math.floor(i / width)] === group ? label : IGNORED));
  const own: Batch = isTokens(batch) ? { ...batch, labels } : { ...batch, labels };
  return { ...own, counted: targetsOf(own).filter((target) => target >= 0).length };
}

/** `groups` are the names of the groups of data, in the order of their positions. */
export function byGroup(objective: Objective<Batch>, groups: readonly string[]): Objective<Batch> {
  const known = new WeakMap<Batch, Map<string, Batch>>();
  const of = (batch: Batch, group: string): Batch => {
    const parts = known.get(batch) ?? new Map<string, Batch>();
    known.set(batch, parts);
    const own = parts.get(group) ?? withoutOthers(batch, groups.indexOf(group));
    parts.set(group, own);
    return own;
  };
  const counted = (batch: Batch, group: string) => objective.counted(of(batch, group), "");
  return {
    ...objective,
    parts: groups,
    grouped: true,
    counted,
    record: (rec, batch) => objective.record(rec, batch, ""),
    fill: (program, batch, total, group) => objective.fill(program, of(batch, group), total, ""),

    report(metrics, batches) {
      const counts = new Map(
        groups.map((group) => [group, batches.reduce((sum, batch) => sum + counted(batch, group), 0)] as const),
      );
      const all = [...counts.values()].reduce((a, b) => a + b, 0);
      const whole: Record<string, number> = {};
      const own: Record<string, number> = {};
      for (const [key, value] of Object.entries(metrics)) {
        const [group, name] = [key.slice(0, key.indexOf("/")), key.slice(key.indexOf("/") + 1)];
        whole[name] = (whole[name] ?? 0) + (value * counts.get(group)!) / Math.max(1, all);
        if (name === "loss") own[`loss_${group}`] = value;
      }
      return { ...(objective.report?.(whole, batches) ?? whole), ...own };
    },
  };
}
