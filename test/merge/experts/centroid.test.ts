/** Routers from clusters of states, in whole models. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createWriter } from "../../../src/checkpoint/write/write.ts";
import { collate, type TokenBatch } from "../../../src/data/batch.ts";
import { Random } from "../../../src/data/random.ts";
import { centroidGates } from "../../../src/merge/experts/centroid-gates.ts";
import { DenseModels } from "../../../src/merge/experts/dense-model.ts";
import { chooseForm } from "../../../src/merge/experts/forms.ts";
import { planMixture } from "../../../src/merge/experts/plan.ts";
import { writeMade } from "../../../src/merge/experts/values.ts";
import { Model } from "../../../src/model/model.ts";
import { sphericalClusters } from "../../../src/run/spherical-clusters.ts";
import { tokenInputs } from "../../../src/run/tracing/layer-inputs.ts";
import { measureRouting } from "../../../src/run/tracing/routing.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { json, SIZES, withLoaded, writeTiny } from "./models.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();
const EXPERTS = 4;

/** Rows of a domain: of three tokens. */
function domain(first: number): TokenBatch {
  const random = new Random("domain", first);
  return collate(
    Array.from({ length: 8 }, () => {
      const ids = Int32Array.from({ length: 16 }, () => first + random.below(3));
      return [{ ids, labels: ids, group: 0, place: "" }];
    }),
  );
}
const DOMAINS = [domain(40), domain(180)];

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-centroid-"));
  await writeTiny(folder, "base", json("llama"), 3);
  const models = new DenseModels(() => {});
  const base = await models.open({ path: join(folder, "base") });
  const model = await Model.load(gpu, base.checkpoint, { freeze: () => true });
  const settings = { experts: EXPERTS, input: "ffn", most: 4096, seed: 1, signal } as const;
  const gates = await centroidGates(model, DOMAINS, settings);
  model.free();
  const expert = { model: base, noise: 0, scale: 1 };
  const plan = await planMixture({
    ...{
      form: chooseForm(undefined, [{ ref: "base", type: "llama" }], 0),
      base,
      perToken: 1,
      dtype: undefined,
      seed: 0,
    },
    ...{ experts: Array.from({ length: EXPERTS }, () => expert), shared: [] },
    rows: () => ({ router: (layer) => gates[layer]!, sharedGate: () => new Float32Array() }),
  });
  const writer = await createWriter(join(folder, "mixture/"), {
    tensors: plan.tensors,
    files: plan.files,
    lineage: [],
  });
  await writeMade(writer, plan.tensors, signal, () => {});
  await writer.finish();
  models.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

const withModel = <T>(name: string, use: (model: Model) => Promise<T>): Promise<T> =>
  withLoaded(join(folder, name), use);

test("with one expert per token the load is the clusters' sizes, in every layer", async () => {
  const layers = Array.from({ length: SIZES.num_hidden_layers }, (_, layer) => layer);
  const inputs = await withModel("base", (model) =>
    tokenInputs(model, DOMAINS, { input: "ffn", layers, most: 4096, signal }),
  );
  const found = await withModel("mixture", (model) => measureRouting(model, DOMAINS, { signal }));
  for (const layer of layers) {
    const x = inputs.get(layer)!;
    const { sizes } = sphericalClusters(x, { experts: EXPERTS, width: SIZES.hidden_size, key: [1, layer] });
    const tokens = x.length / SIZES.hidden_size;
    expect([...found.get(layer)!.usage].map((share) => Math.round(share * tokens))).toEqual([...sizes]);
  }
});

test("experts tell two domains apart without any training", () =>
  withModel("mixture", async (model) => {
    const [one, other] = await Promise.all([
      measureRouting(model, [DOMAINS[0]!], { signal }),
      measureRouting(model, [DOMAINS[1]!], { signal }),
    ]);
    // Share of tokens that are told from their expert alone; by chance a half.
    const purity = [...one!.get(0)!.usage].reduce(
      (sum, share, e) => sum + Math.max(share, other!.get(0)!.usage[e]!) / 2,
      0,
    );
    expect(purity).toBeGreaterThan(0.75);
  }));
