import { expect, test } from "bun:test";
import { layerRates } from "../../../src/run/training/layer-rates.ts";

const names = ["model.embed_tokens.weight", "model.layers.0.a.weight", "model.layers.2.b.weight", "model.norm.weight"];
const modelOf = (all: readonly string[]) =>
  ({
    architecture: { name: "some" },
    parameters: new Map(all.map((name) => [name, { name }])),
    trainable: () => all.map((name) => ({ name })),
  }) as never;

test("rates fall from the head to the embeddings, and what is not of the model has 1", () => {
  const rate = layerRates(0.5, modelOf(names));
  expect([...names, "align.value.weight"].map((name) => rate({ name }))).toEqual([1 / 16, 1 / 8, 1 / 2, 1, 1]);
});

test("a model without blocks is refused", () => {
  expect(() => layerRates(0.5, modelOf(["classifier.weight"]))).toThrow("some has no blocks");
});
