/** `evaluate --dry-run`: what would be measured, on what. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { GroupReference } from "../data/groups.ts";
import { countData, type ScoringData } from "../run/scoring/read-rows.ts";
import { humanBytes } from "../text/format.ts";
import { table } from "../text/table.ts";
import type { BoundMetric } from "./contract.ts";

export interface Planned {
  readonly models: readonly { readonly role: string; readonly ref: string; readonly checkpoint: Checkpoint }[];
  readonly metrics: readonly BoundMetric[];
  readonly groups: readonly GroupReference[];
  /** As the first model reads it. */
  readonly data: ScoringData;
  /** The attack or probe, by kind. */
  readonly technique: Readonly<Record<string, string>>;
  /** What is written, and where: "the result to stdout". */
  readonly writes: readonly string[];
}

/** The plan for machines and for people: models, metrics and the rows of every group, all of which were checked. */
export function planOf(planned: Planned): { json: Record<string, unknown>; text: string } {
  const { groups, data, technique, writes } = planned;
  const models = planned.models.map(({ ref, role, checkpoint }) => ({
    model: ref,
    role,
    bytes: [...checkpoint.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0),
  }));
  const counts = countData(data, groups.length);
  const rows = groups.map(({ name }, i) => ({ group: name, ...counts[i]! }));
  const metrics = planned.metrics.map(({ method }) => method.name);
  const unit = data.kind === "text" ? "tokens that count" : "examples";
  const facts = [
    ...models.map(({ model, role, bytes }) => [role, `${model}, ${humanBytes(bytes)} of weights`]),
    ...rows.map(({ group, rows: n, counted }) => ["group", `${group}, ${n} rows, ${counted} ${unit}`]),
    ...Object.entries(technique),
    ...(metrics.length > 0 ? [["metrics", metrics.join(", ")]] : []),
    ["writes", writes.join(", ")],
  ];
  return { json: { models, metrics, groups: rows, ...technique, writes }, text: table(facts) };
}

/** What an evaluation writes, in words. */
export function writesOf({
  out,
  pass,
  dump,
}: {
  readonly out: string;
  readonly pass: boolean;
  readonly dump?: string | undefined;
}): string[] {
  const result = out !== "-" ? out : pass ? "stderr" : "stdout";
  return [
    ...(pass ? ["the model to stdout"] : []),
    ...(dump === undefined ? [] : [`logits to ${dump}`]),
    `the result to ${result}`,
  ];
}
