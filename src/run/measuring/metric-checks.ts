/**
 * What is refused of metrics before a model is opened: groups and models that they lack, and metrics that cannot share
 * a run.
 */
import type { GroupReference } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import type { Need } from "../scoring/scored-row.ts";
import { requireDifferent, requireGroup } from "./groups.ts";
import { type BoundMetric, type Metric, needsOf } from "./metric.ts";

/** Options that decide what a metric can be measured on. */
export interface MetricOptions {
  readonly gold?: string | undefined;
  readonly forget_group: string;
  readonly holdout_group: string;
  readonly offload?: boolean | undefined;
  readonly load_in?: string | undefined;
  readonly expert_store?: "memory" | "stream";
}

const CHOICE_NEEDS = new Set<Need>(["choice", "generated"]);

/** Throws UserError where a metric lacks a group or the gold model that it declares, or several cannot share a run. */
export function checkMetrics(
  metrics: readonly BoundMetric[],
  groups: readonly GroupReference[],
  options: MetricOptions,
): void {
  const names = groups.map(({ name }) => name);
  for (const { method } of metrics) {
    if (method.gold === "required" && options.gold === undefined)
      throw new UserError(
        `--metric ${method.name} compares with a model that never saw the rows to forget, and needs --gold`,
        "train one on the retain rows alone and give --gold MODEL",
      );
    checkRoles(method, groups, options);
    method.check?.(names);
  }
  const backward = metrics.find((metric) => needsOf([metric]).has("gradient"));
  if (backward && options.load_in !== undefined)
    throw new UserError(
      `--metric ${backward.method.name} takes gradients of all weights, and --load-in holds codes`,
      "leave out --load-in, or that metric",
    );
  const turns = options.offload ? "--offload" : options.expert_store === "stream" ? "--expert-store" : undefined;
  if (backward && turns)
    throw new UserError(
      `--metric ${backward.method.name} goes back through the layers, which ${turns} reads on the way forward alone`,
      `leave out ${turns}, or that metric`,
    );
  const chooser = metrics.find((metric) => needsOf([metric]).has("choice"));
  const other = chooser && metrics.find((metric) => needsOf([metric]).difference(CHOICE_NEEDS).size > 0);
  if (other)
    throw new UserError(
      `--metric ${chooser.method.name} scores the choices of a row, ${other.method.name} its own answer`,
      `run them apart, one evaluate with --metric ${chooser.method.name} and one with --metric ${other.method.name}`,
    );
  const judge = metrics.find((metric) => needsOf([metric]).has("preference"));
  const single = judge && metrics.find((metric) => !needsOf([metric]).has("preference"));
  if (single)
    throw new UserError(
      `--metric ${judge.method.name} reads two answers a row, ${single.method.name} a row's own answer`,
      `run them apart, one evaluate with --metric ${judge.method.name} and one with --metric ${single.method.name}`,
    );
}

/** Throws UserError where a group that the metric looks at is missing, or the groups that it compares are the same. */
function checkRoles({ name, roles = [] }: Metric, groups: readonly GroupReference[], options: MetricOptions): void {
  const names = groups.map((group) => group.name);
  const asker = `--metric ${name}`;
  for (const role of roles) {
    const taken = roles.filter((other) => other !== role).map((other) => options[`${other}_group`]);
    requireGroup(options[`${role}_group`], names, { asker, flag: `--${role}-group`, role, taken });
  }
  if (roles.length > 1)
    requireDifferent(groups, { forget: options.forget_group, holdout: options.holdout_group }, asker);
}
