/** Streams of tasks for tests of methods: a small network, and rows of numbers. */
import type { Stage, Stream } from "../../../src/adapt/continual/contract.ts";
import { StreamRows } from "../../../src/adapt/continual/rows.ts";
import { stagesOf } from "../../../src/adapt/continual/stages.ts";
import { Model } from "../../../src/model/model.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { NET, pairRows } from "./lab.ts";

/** A stream of tasks with so many rows each, of the classes that `labels` begin with, and its stages. */
export async function streamFor<V>(
  counts: readonly number[],
  values: V,
  { labels = counts.map(() => 0), net = NET }: { labels?: readonly number[]; net?: typeof NET } = {},
): Promise<{ stream: Stream<V>; stage(index: number): Stage }> {
  const gpu = await sharedGpu();
  const model = await Model.fresh(gpu, net, "net", { seed: 1 });
  const examples = counts.map((count, task) =>
    pairRows(task, count, { label: labels[task]! }).map(({ x, label }, row) => ({
      ...{ x: Float32Array.from(x), shape: [8], label, group: task, place: `task ${task}:${row + 1}` },
    })),
  );
  const rows = new StreamRows(examples.map((rows) => ({ kind: "examples", rows })));
  const tasks = counts.map((count, index) => ({
    ...{ index, name: `t${index}`, rows: count, classes: [labels[index]!, labels[index]! + 1] },
  }));
  const stages = stagesOf(tasks, false);
  const { signal } = new AbortController();
  const stream: Stream<V> = {
    ...{ gpu, model, values, tasks, rows, tokenizer: undefined, scenario: "domain", seed: 0, batchSize: 8 },
    ...{ signal, dry: false, resumed: false, given: net, info() {} },
    unlabelled: async () => rows,
    earlier: () => Promise.reject(new Error("no rows of another stream")),
  };
  return { stream, stage: (index) => stages[index]! };
}
