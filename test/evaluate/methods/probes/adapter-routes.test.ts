/** Shares of the experts that groups take, on adapters whose routers are known. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { collate, stackExamples } from "../../../../src/data/batch.ts";
import { groupShares } from "../../../../src/evaluate/methods/probes/adapter-routes.ts";
import { bindDefaults } from "../../../../src/method/bind.ts";
import { method as l2m } from "../../../../src/model/adapters/methods/l2m.ts";
import { method as mixer } from "../../../../src/model/adapters/methods/lora-mixer.ts";
import { Model } from "../../../../src/model/model.ts";
import { adapterRoutes } from "../../../../src/run/tracing/adapter-routes.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { logitsOf } from "../../../support/logits.ts";
import { TINY_TEXT } from "../../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const how = { ref: "model", groups: 2, signal: new AbortController().signal, done: () => {} };

const row = (group: number, ...ids: number[]) => [
  { ids: Int32Array.from(ids), labels: Int32Array.from(ids), group, place: "" },
];
const BATCH = collate([row(0, 1, 5, 7, 2), row(1, 9, 3), row(1, 4, 4, 8)], { buckets: "none" });

test("tokens of every layer, without padding", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "model", {
    seed: 3,
    adapter: { type: bindDefaults(mixer, { adapter_rank: 2, mixer_experts: 3 }), seed: 1, targets: ["q_proj"] },
  });
  // Of equal logits the first is taken.
  for (const router of model.trainable().filter(({ name }) => name.endsWith("_router")))
    router.write(new Float32Array(router.size));
  const found = await adapterRoutes(model, [BATCH, BATCH], how);
  expect([...found.keys()]).toEqual(["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"]);
  for (const { groups } of found.values())
    expect(groups.map((counts) => [...counts])).toEqual([
      [8, 0, 0],
      [10, 0, 0],
    ]);
  const [first, second] = groupShares(found, ["a", "b"]);
  expect([first!.own, second!.own, second!.experts]).toEqual([1, 0, [1, 0, 0]]);
  model.free();
});

test("rows of a pool go by their keys", async () => {
  const json = { model_type: "mlp", input_size: 2, hidden_sizes: [5], num_labels: 3 };
  const model = await Model.fresh(gpu, json, "mlp", {
    seed: 3,
    adapter: { type: bindDefaults(l2m, { adapter_rank: 2, l2m_slots: 3 }), seed: 1 },
  });
  const keys = model.trainable().find(({ name }) => name.endsWith("l2m_key"))!;
  keys.write(Float32Array.of(1, 0, 0, 1, -1, 0));
  const points = [
    [2, 0.1, 0],
    [-3, 1, 1],
    [0.2, 5, 1],
    [0, 1, 1],
  ] as const;
  const batch = stackExamples(
    points.map(([x, y, group]) => ({ x: Float32Array.of(x, y), shape: [2], label: 0, group })),
  );
  const found = await adapterRoutes(model, [batch], how);
  expect(found.get("texts")!.groups.map((counts) => [...counts])).toEqual([
    [1, 0, 0],
    [0, 2, 1],
  ]);
  expect(groupShares(found, ["a", "b"]).map(({ own }) => own)).toEqual([1, 2 / 3]);
  expect((await logitsOf(gpu, model, batch)).length).toBe(12);
  model.free();
});

test("a model without a router is refused", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "model", { seed: 3 });
  await expect(adapterRoutes(model, [BATCH], how)).rejects.toThrow("model has no adapter with a router");
  model.free();
});
