/** Weight matching: orders that leave the function as it is, and finding them again. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { assignGroups, familiesOf, matchWeights } from "../../../src/merge/structure/align-weights.ts";
import { permuted } from "../../../src/merge/structure/permutations.ts";
import type { Json } from "../../../src/model/architecture.ts";
import type { NamedModel } from "../../../src/model/names.ts";
import { type Anatomy, anatomyOf, groupOf, spacesBeside } from "../../../src/model/structure/anatomy.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals, randomWords } from "../../support/random.ts";
import {
  TINY_DECODERS,
  TINY_DELTA,
  TINY_ENCODERS,
  TINY_EXAMPLES,
  TINY_EXPERTS,
  TINY_NEOX,
  TINY_TEXT,
} from "../../support/tiny-models.ts";
import { apart, logitsOf, named, network, valuesOf } from "./networks.ts";

setDefaultTimeout(120_000); // the machine may be busy

const gpu = await sharedGpu();

function shuffled(n: number, word: () => number): Int32Array {
  const order = Int32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = word() % (i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** A random order of every space; heads stay with the heads of keys and values that they read. */
function randomOrders(anatomy: Anatomy, seed: number): Map<string, Int32Array> {
  const word = randomWords(seed);
  const orders = new Map<string, Int32Array>();
  for (const { id, units } of anatomy.spaces.values())
    if (!id.startsWith("heads@")) orders.set(id, shuffled(units, word));
  for (const { id, units } of anatomy.spaces.values()) {
    if (!id.startsWith("heads@")) continue;
    const group = groupOf(anatomy, id);
    const groups = orders.get(id.replace("heads", "kv"));
    if (group === undefined || !groups) orders.set(id, shuffled(units, word));
    else
      orders.set(
        id,
        Int32Array.from([...groups].flatMap((from) => [...shuffled(group, word)].map((i) => from * group + i))),
      );
  }
  return orders;
}

const { "clip of the whole, GELU": twoTowers, ...KNOWN } = TINY_EXAMPLES;
/** Layers that feed back into each other have no order that a file tells. */
const EXAMPLES = Object.fromEntries(Object.entries(KNOWN).filter(([, json]) => json.model_type !== "equilibrium"));

const MODELS: Readonly<Record<string, Json>> = {
  ...{
    ...TINY_TEXT,
    ...TINY_NEOX,
    ...TINY_DECODERS,
    ...TINY_ENCODERS,
    ...TINY_EXPERTS,
    ...TINY_DELTA,
    ...EXAMPLES,
  },
  mlp: { model_type: "mlp", input_size: 7, hidden_sizes: [12, 9], num_labels: 3 },
  "grouped heads, fused": {
    ...{ model_type: "phi3", hidden_size: 32, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 8 },
    ...{ num_key_value_heads: 4, vocab_size: 50, max_position_embeddings: 64, initializer_range: 0.3 },
  },
  "grouped heads with a norm over all": {
    ...{ model_type: "olmo2", hidden_size: 32, intermediate_size: 24, num_hidden_layers: 1, num_attention_heads: 8 },
    ...{ num_key_value_heads: 4, vocab_size: 50, max_position_embeddings: 64, initializer_range: 0.3 },
  },
};

describe.each(Object.keys(MODELS))("%s", (name) => {
  test("computes the same in any order of its parts, and is put back exactly", async () => {
    const checkpoint = await network(gpu, MODELS[name]!, 3);
    const model = named(checkpoint);
    const anatomy = anatomyOf(model);
    const uncertain = new Set(anatomy.unknown.flatMap((unknown) => spacesBeside(unknown, anatomy)));
    const known = [...anatomy.spaces.keys()].filter((id) => id !== "width" || anatomy.unknown.length === 0);
    const spaces = new Set(known.filter((id) => !uncertain.has(id)));
    expect(spaces.size).toBeGreaterThan(0);
    const orders = new Map([...randomOrders(anatomy, 5)].filter(([id]) => spaces.has(id)));
    const other: NamedModel = permuted(model, anatomy, () => orders, spaces);
    const before = await logitsOf(gpu, checkpoint);
    const after = await logitsOf(gpu, { ...checkpoint, tensors: other.tensors });
    expect(apart(after, before)).toBeLessThan(1e-4);

    const found = new Map<string, Int32Array>();
    await matchWeights(gpu, [model, other], anatomy, familiesOf(anatomy, spaces), found);
    const back = permuted(other, anatomy, () => found, spaces);
    const wrong: string[] = [];
    for (const [tensor, entry] of model.tensors)
      if (Buffer.compare(await valuesOf(entry), await valuesOf(back.tensors.get(tensor)!)) !== 0) wrong.push(tensor);
    expect(wrong).toEqual([]);
  });
});

test("parts of a model of two towers are not guessed", async () => {
  const anatomy = anatomyOf(named(await network(gpu, twoTowers!, 3)));
  const uncertain = anatomy.unknown.flatMap((name) => spacesBeside(name, anatomy));
  expect([...anatomy.spaces.keys()].filter((id) => !uncertain.includes(id))).toEqual([]);
});

test("groups: the best of all allowed orders, by trying each", () => {
  const orders = (n: number): number[][] =>
    n === 0 ? [[]] : orders(n - 1).flatMap((one) => Array.from({ length: n }, (_, at) => one.toSpliced(at, 0, n - 1)));
  for (let seed = 0; seed < 6; seed++) {
    const [count, group] = [3, 2];
    const units = count * group;
    const gains = Float64Array.from(normals(seed, units * units, 1));
    const outer = Float64Array.from(normals(seed + 100, count * count, 1));
    const total = (order: ArrayLike<number>, groups: ArrayLike<number>) =>
      Array.from(order).reduce((sum, unit, place) => sum + gains[place * units + unit]!, 0) +
      Array.from(groups).reduce((sum, unit, place) => sum + outer[place * count + unit]!, 0);
    let best = Number.NEGATIVE_INFINITY;
    for (const groups of orders(count))
      for (const inner of orders(group).flatMap((a) =>
        orders(group).flatMap((b) => orders(group).map((c) => [a, b, c])),
      )) {
        const order = groups.flatMap((from, place) => inner[place]!.map((i) => from * group + i));
        best = Math.max(best, total(order, groups));
      }
    const found = assignGroups(gains, outer, group);
    expect(total(found.order, found.groups)).toBeCloseTo(best, 10);
  }
});
