/** Ranges of blocks, and the search through the script. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Model } from "../../../../src/model/model.ts";
import { coarseRanges, halvesOf, kindsOf, weightsOf } from "../../../../src/run/fisher/layer-ranges.ts";
import { runScript } from "../../../support/command.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { TINY_ENCODERS, TINY_TEXT } from "../../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-ranges-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const run = (name: string, line: string) => runScript(name, line.split(" "), folder);

describe("ranges", () => {
  const spans = (ranges: readonly { first: number; end: number }[]) => ranges.map(({ first, end }) => [first, end]);

  test("halves of a stack, and their halves", () => {
    expect(spans(coarseRanges(8))).toEqual([
      [0, 4],
      [2, 6],
      [4, 8],
    ]);
    expect(spans(coarseRanges(3))).toEqual([
      [0, 2],
      [1, 3],
    ]);
    expect(spans(coarseRanges(1))).toEqual([[0, 1]]);
    expect(spans(halvesOf({ first: 2, end: 5, modules: "both" }))).toEqual([
      [2, 4],
      [4, 5],
    ]);
    expect(halvesOf({ first: 2, end: 3, modules: "both" })).toEqual([]);
    expect(kindsOf({ first: 2, end: 5, modules: "both" }).map(({ modules }) => modules)).toEqual(["attention", "ffn"]);
  });

  test.each([
    ["llama", TINY_TEXT.llama!, "model.layers.1", "self_attn", ["mlp"]],
    ["gpt2", TINY_TEXT.gpt2!, "transformer.h.1", "attn", ["mlp"]],
    ["bert", TINY_ENCODERS.bert!, "bert.encoder.layer.1", "attention", ["intermediate", "output"]],
  ] as const)(
    "of a %s: patterns name the weights of attention and network",
    async (_, config, block, attention, ffn) => {
      const model = await Model.fresh(await sharedGpu(), { ...config, num_hidden_layers: 2, n_layer: 2 }, "model", {
        seed: 1,
      });
      const one = { first: 1, end: 2 } as const;
      expect(weightsOf(model, { ...one, modules: "attention" }).patterns).toEqual([`${block}.${attention}.*`]);
      expect(weightsOf(model, { ...one, modules: "ffn" }).patterns).toEqual(ffn.map((name) => `${block}.${name}.*`));
      const both = weightsOf(model, { ...one, modules: "both" });
      expect(both.weights.every(({ name }) => name.startsWith(`${block}.`))).toBe(true);
      const matched = [...model.parameters.keys()].filter((name) =>
        both.patterns.some((pattern) => name.startsWith(pattern.slice(0, -1))),
      );
      expect(both.weights.map(({ name }) => name)).toEqual(matched);
    },
  );
});

test("the search tries seven ranges, names the best of them, and train takes its patterns", async () => {
  const rows = (step: number) =>
    Array.from({ length: 10 }, (_, i) => ({ input_ids: Array.from({ length: 6 }, (_, k) => (7 * i + step * k) % 40) }));
  for (const [name, step] of [["task", 3] as const, ["known", 1] as const])
    writeFileSync(
      join(folder, `${name}.jsonl`),
      rows(step)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(""),
    );
  writeFileSync(join(folder, "llama.json"), JSON.stringify({ ...TINY_TEXT.llama!, num_hidden_layers: 4 }));
  const base = "train --init llama.json --data known.jsonl --steps 2 --lr 0.01 -q -o base.safetensors";
  expect((await run("train", base.slice(6))).err).toBe("");
  const probe =
    "base.safetensors --data task.jsonl --data known.jsonl --probe layer-range --layer-range-steps 2 --layer-range-lr 0.01";
  const { text, code } = await run("evaluate", `${probe} --layer-range-general known --json -q`);
  expect(code).toBe(0);
  interface Node {
    readonly first: number;
    readonly end: number;
    readonly modules: string;
    readonly task: number;
    readonly general: number;
    readonly score: number;
    readonly patterns: readonly string[];
  }
  const [{ best, nodes }] = (JSON.parse(text) as { rows: [{ best: Node; nodes: Node[] }] }).rows;
  expect(nodes).toHaveLength(7);
  expect(nodes.map(({ modules }) => modules)).toEqual([...Array(5).fill("both"), "attention", "ffn"]);
  for (const { task, general, score } of nodes)
    expect(score).toBeCloseTo((Math.exp(-task) + Math.exp(-general)) / 2, 10);
  expect(best.score).toBe(Math.max(...nodes.map(({ score }) => score)));
  expect(new Set(nodes.map(({ task }) => task)).size).toBe(7);
  const only = best.patterns.map((pattern) => `--train-only ${pattern}`).join(" ");
  const train = `base.safetensors --data task.jsonl --steps 1 ${only} -q --save-every 0 -o tuned.safetensors`;
  expect((await run("train", train)).err).toBe("");
  for (const [wrong, message] of [
    ["", "name their group, --layer-range-general NAME"],
    ["--layer-range-general known --metric loss", "--metric has no effect"],
    ["--layer-range-general known --data base=task.jsonl", "there are 3"],
  ] as const)
    expect((await run("evaluate", `${probe} ${wrong}`.trim())).err).toContain(message);
});
