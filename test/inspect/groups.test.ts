/** Names in groups, and the choice of names. */
import { describe, expect, test } from "bun:test";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import { groupTensors, nameFilter, spellNumbers } from "../../src/inspect/groups.ts";

const info = (name: string, shape: number[] = [2], dtype: Dtype = "F32") => ({ name, shape, dtype, bytes: 8 });
const patterns = (tensors: ReturnType<typeof info>[]) =>
  groupTensors(tensors).map(({ pattern, members }) => `${pattern} x${members.length}`);

describe("groups", () => {
  test("layers are one group per kind, in the order of their first members", () => {
    const names = ["emb.weight", "l.0.a", "l.0.b", "l.1.a", "l.1.b", "l.2.a", "l.2.b", "norm.weight"];
    expect(patterns(names.map((name) => info(name)))).toEqual([
      "emb.weight x1",
      "l.{0..2}.a x3",
      "l.{0..2}.b x3",
      "norm.weight x1",
    ]);
  });

  test("experts have two numbers, of which only those that vary are in braces", () => {
    const names = [0, 1].flatMap((l) => [0, 1, 2].map((e) => `l.${l}.experts.${e}.up`));
    expect(patterns(names.map((name) => info(name)))).toEqual(["l.{0..1}.experts.{0..2}.up x6"]);
    expect(patterns([info("l.0.experts.0.up"), info("l.0.experts.1.up")])).toEqual(["l.0.experts.{0..1}.up x2"]);
  });

  test("another shape or type is another group", () => {
    const found = patterns([info("l.0.w"), info("l.1.w", [3]), info("l.2.w"), info("l.3.w", [2], "BF16")]);
    expect(found).toEqual(["l.{0,2}.w x2", "l.1.w x1", "l.3.w x1"]);
  });

  test("names that could confuse a terminal are escaped", () => {
    expect(patterns([info("l.0.\u001b[2J"), info("l.1.\u001b[2J")])).toEqual(['l.{0..1}."\\u001b[2J" x2']);
  });

  test("numbers with gaps", () => {
    expect(spellNumbers([3, 0, 1, 7, 2])).toBe("0..3,7");
    expect(spellNumbers([5])).toBe("5");
  });
});

test("names are chosen by globs or by a part", () => {
  expect(nameFilter(undefined)("x")).toBe(true);
  expect(nameFilter("mlp")("model.layers.0.mlp.up_proj.weight")).toBe(true);
  expect(nameFilter("mlp")("model.norm.weight")).toBe(false);
  expect(nameFilter("*.mlp.*")("model.layers.0.mlp.up_proj.weight")).toBe(true);
  expect(nameFilter("mlp.*")("model.layers.0.mlp.up_proj.weight")).toBe(false);
  expect(nameFilter("*.{q,k}_proj.weight")("l.0.k_proj.weight")).toBe(true);
});
