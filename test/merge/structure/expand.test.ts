/** A model with copies of blocks that add nothing computes what the model does. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { blockList } from "../../../src/merge/structure/expand.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { sharedGpu } from "../../support/gpu.ts";
import {
  TINY_DECODERS,
  TINY_DELTA,
  TINY_ENCODERS,
  TINY_EXAMPLES,
  TINY_EXPERTS,
  TINY_NEOX,
  TINY_TEXT,
} from "../../support/tiny-models.ts";
import { configOf, logitsOf, mergedBy, network } from "./networks.ts";

setDefaultTimeout(120_000); // the machine may be busy

const gpu = await sharedGpu();

/** The config as newer versions of transformers write it, block by block. */
async function listed(json: Json): Promise<Json> {
  const architecture = await loadMethod("architecture", String(json.model_type).replaceAll("_", "-"));
  return { ...json, ...architecture.implied?.(architecture.config(json, "config.json")) };
}

const DECODERS = { ...TINY_TEXT, ...TINY_NEOX, ...TINY_DECODERS, ...TINY_DELTA, ...TINY_EXPERTS };

describe("the logits are those of the model:", () => {
  test.each(Object.keys(DECODERS))("%s", async (name) => {
    const json = await listed(DECODERS[name]!);
    if (json.model_type === "mlp") return;
    const model = await network(gpu, json, 3);
    const expand = () => mergedBy(gpu, "expand", { models: [model], values: { layers: "0-1" } });
    if (json.norm_placement === "post") {
      expect(expand).toThrow("is no sum of attention and a network");
      return;
    }
    const { checkpoint } = await expand();
    const [found, wanted] = [await logitsOf(gpu, checkpoint), await logitsOf(gpu, model)];
    expect(wanted.every(Number.isFinite)).toBe(true);
    expect(found).toEqual(wanted);
    const config = configOf(checkpoint);
    expect(config.num_hidden_layers ?? config.n_layer).toBe(Number(json.num_hidden_layers ?? json.n_layer) + 2);
  });
});

test("blocks are named one by one and by ranges", () => {
  expect(blockList("5, 0-2", 6)).toEqual([0, 1, 2, 5]);
  expect(() => blockList("6", 6)).toThrow("--layers 6: there is no block 6");
  expect(() => blockList("2-1", 6)).toThrow("2-1 is no block, and no range");
  expect(() => blockList("1,0-1", 6)).toThrow("block 1 comes twice");
});

test("refused by name: blocks that are normalised after the addition, and rules on a block's number", async () => {
  const expand = (json: Json) => async () =>
    mergedBy(gpu, "expand", { models: [await network(gpu, json, 1)], values: { layers: "0" } });
  expect(expand(TINY_ENCODERS.bert!)).toThrow("block 0 of m1 is no sum of attention and a network");
  expect(expand(TINY_EXAMPLES.mlp!)).toThrow("expand needs one stack of blocks");
  expect(expand(TINY_DECODERS.gemma2!)).toThrow("says by its number what a block is");
});
