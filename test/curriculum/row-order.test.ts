/** The order of rows through a training: what it measures, logs and saves. */
import { expect, test } from "bun:test";
import type { OrderingMethod } from "../../src/curriculum/contract.ts";
import { method as quality } from "../../src/curriculum/methods/orderings/quality.ts";
import { RowOrder } from "../../src/curriculum/row-order.ts";
import { rowsOf } from "../../src/curriculum/source.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

const model = await Model.fresh(await sharedGpu(), TINY_TEXT.llama!, "tiny", { seed: 1 });
const row = (length: number, prompt: number) => {
  const ids = Int32Array.from({ length }, (_, i) => 3 + (i % 7));
  return { ids, labels: ids.map((id, i) => (i < prompt ? -100 : id)), group: 0, place: `row of ${prompt}` };
};
const rows = rowsOf(["all"], [row(8, 1), row(8, 8), row(8, 3)], 0);

/** An order that shows what the ordering is given. */
function watched(needs: "scores" | "live") {
  const seen: number[][] = [];
  const method: OrderingMethod = {
    ...quality,
    needs,
    rows({ scores, lengths }) {
      seen.push(Array.from(scores));
      return Uint32Array.from({ length: lengths.length }, (_, i) => i);
    },
  };
  const events: Record<string, unknown>[] = [];
  const order = new RowOrder({
    ordering: bindDefaults(method),
    rows,
    model,
    batches: 4,
    batchSize: 2,
    seed: 0,
    context: {
      signal: new AbortController().signal,
      log: { run: "", start() {}, event: (name, fields) => events.push({ name, ...fields }) },
    },
  });
  return { order, seen, events };
}

test("rows of which no token counts have an unknown loss, also after a resume", async () => {
  const { order, seen, events } = watched("scores");
  await order.rows(0, 1);
  expect(seen[0]!.map(Number.isNaN)).toEqual([false, true, false]);
  expect(events).toEqual([{ name: "pass", epoch: 0, rows: 3, done: 0.25 }]);
  const saved = JSON.parse(JSON.stringify(order.state()));
  const again = watched("scores");
  again.order.load(saved);
  await again.order.rows(1, 2);
  expect(again.seen).toEqual(seen);
  await order.free();
  await again.order.free();
});

test("losses of the start are measured once, those of the model as it is before every pass", async () => {
  for (const needs of ["scores", "live"] as const) {
    const { order, seen } = watched(needs);
    await order.rows(0, 0);
    const weight = model.parameters.get("model.norm.weight")!;
    weight.write(new Float32Array(weight.size).fill(3));
    await order.rows(1, 2);
    weight.write(new Float32Array(weight.size).fill(1));
    if (needs === "scores") expect(seen[1]).toEqual(seen[0]!);
    else expect(seen[1]![0]).not.toBeCloseTo(seen[0]![0]!, 3);
    await order.free();
  }
});
