/** `evaluate --dry-run`: what would be measured, on what, and what it takes of memory. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Batch } from "../data/batch.ts";
import type { GroupReference } from "../data/groups.ts";
import { asFarAsItGoes } from "../gpu/dry-device.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { hostMemory, hostMemoryText } from "../run/host-memory.ts";
import type { CombinedWith, ModelLoader } from "../run/measuring/loaded-model.ts";
import type { BoundMetric } from "../run/measuring/metric.ts";
import type { MixedWith } from "../run/measuring/mixed-model.ts";
import { gradientNorms } from "../run/scoring/gradient-norms.ts";
import { largestBatches } from "../run/scoring/plan-scoring.ts";
import { countData, type Reader, type ScoringData } from "../run/scoring/read-rows.ts";
import type { Need } from "../run/scoring/scored-row.ts";
import { humanBytes } from "../text/format.ts";
import { table } from "../text/table.ts";
import { LogitDump } from "./dump.ts";

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
  readonly memory: PlannedMemory;
}

/** What the evaluation holds, in bytes. */
export interface PlannedMemory {
  readonly gpu: number;
  readonly host: number;
  /** Whether more comes on top that is not planned: what a technique trains and traces. */
  readonly isLeast: boolean;
}

export interface MemoryQuestion {
  readonly gpu: Gpu;
  readonly loader: ModelLoader;
  readonly opened: readonly {
    readonly checkpoint: Checkpoint;
    readonly reader: Reader;
    readonly bits: number | undefined;
    readonly data: ScoringData;
    readonly mixed?: MixedWith | undefined;
    readonly combined?: CombinedWith | undefined;
    readonly draft?: Checkpoint | undefined;
    readonly encoder?: Checkpoint | undefined;
  }[];
  readonly needs: ReadonlySet<Need>;
  readonly rows: number;
  readonly signal: AbortSignal;
  /** Top k of the logits that are written, or 0 for all of them; undefined: none are. */
  readonly dumpTop: number | undefined;
  readonly isLeast: boolean;
}

/** Loads every model on a device that computes nothing, and scores the largest batch as far as it goes. */
export async function plannedMemory(question: MemoryQuestion): Promise<PlannedMemory> {
  const { gpu, loader, opened, needs, rows, signal, dumpTop, isLeast } = question;
  let largest = 0;
  let kept = 0;
  for (const [i, { checkpoint, reader, bits, data, mixed, combined, draft, encoder }] of opened.entries()) {
    const loaded = await loader.load(checkpoint, { bits, reader, mixed, combined, draft, encoder });
    const { model, tools } = loaded;
    largest = Math.max(largest, ...[...model.parameters.values()].map(({ size }) => size));
    const dump = i === 0 && dumpTop !== undefined ? new LogitDump(model, dumpTop) : undefined;
    const visit = dump && ((batch: Batch) => dump.add(batch));
    for (const part of largestBatches(data, rows)) await asFarAsItGoes(() => loaded.score([], { data: part, visit }));
    if (needs.has("gradient") && data.kind === "text")
      for (const part of largestBatches(data, 1).slice(0, 1))
        if (part.kind === "text")
          await asFarAsItGoes(() => gradientNorms(model, part.sequences, tools?.tokenizer?.pad ?? 0, signal));
    kept += SCORED_BYTES * countData(data, groupsIn(data)).reduce((sum, { counted }) => sum + counted, 0);
    if (dump) kept += dumpedBytes(data, model.sizes.outputs, dumpTop!);
    await loaded.free();
  }
  return { gpu: gpu.pool.peak, host: hostMemory(gpu, largest, "loads", kept), isLeast };
}

/** What is kept of a token that counts until the metrics are computed: target, loss, best guess and its confidence. */
const SCORED_BYTES = 16;

const groupsIn = (data: ScoringData): number =>
  1 + (data.kind === "examples" ? data.examples : data.sequences).reduce((most, { group }) => Math.max(most, group), 0);

/** Logits of all rows, which stay on the host until they are written. */
function dumpedBytes(data: ScoringData, outputs: number, top: number): number {
  const tokens =
    data.kind === "examples" ? data.examples.length : data.sequences.reduce((sum, { ids }) => sum + ids.length, 0);
  return tokens * 4 * (top > 0 ? 2 * Math.min(top, outputs) + 1 : outputs);
}

/** The plan for machines and for people: models, metrics and the rows of every group, all of which were checked. */
export function planOf(planned: Planned): { json: Record<string, unknown>; text: string } {
  const { groups, data, technique, writes, memory } = planned;
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
    [
      "GPU memory",
      `${memory.isLeast ? "at least " : ""}${humanBytes(memory.gpu)}${memory.isLeast ? ", without what the technique itself takes" : ""}`,
    ],
    ["host memory", hostMemoryText(memory.host)],
    ["writes", writes.join(", ")],
  ];
  const { gpu: gpu_memory, host: host_memory } = memory;
  return {
    json: { models, metrics, groups: rows, ...technique, gpu_memory, host_memory, writes },
    text: table(facts),
  };
}

/** What an evaluation writes, in words. */
export function writesOf({
  out,
  pass,
  dump,
  files = [],
}: {
  readonly out: string;
  readonly pass: boolean;
  readonly dump?: string | undefined;
  /** Of the technique. */
  readonly files?: readonly { readonly path: string }[];
}): string[] {
  const result = out !== "-" ? out : pass ? "stderr" : "stdout";
  return [
    ...(pass ? ["the model to stdout"] : []),
    ...(dump === undefined ? [] : [`logits to ${dump}`]),
    ...files.map(({ path }) => `tensors to ${path}`),
    `the result to ${result}`,
  ];
}
