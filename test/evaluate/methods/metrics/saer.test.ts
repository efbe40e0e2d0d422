/** Semantic-aware error rate: its parts in plain arithmetic, and by the states of a model. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { method } from "../../../../src/evaluate/methods/metrics/saer.ts";
import type { ScoredRow } from "../../../../src/run/scoring/scored-row.ts";
import { editsBetween, mixedErrorRate, unitsOf } from "../../../../src/text/mixed-errors.ts";
import { runScript } from "../../../support/command.ts";
import { metricDetails, metricValue, scoredRow } from "../../../support/scored-rows.ts";

test("units are words, and characters of scripts without spaces, span by span", () => {
  expect(unitsOf("I don’t 喜欢 this 天気, OK")).toEqual(["i", "don’t", "喜", "欢", "this", "天", "気", "ok"]);
  expect(editsBetween([..."kitten"], [..."sitting"])).toBe(3);
  expect(editsBetween([], ["a", "b"])).toBe(2);
  expect(mixedErrorRate("we go 今天", "we went 今")).toBe(2 / 4);
  expect(mixedErrorRate("", "a")).toBeNaN();
});

const row = (expected: string, found: string, likeness: number): ScoredRow =>
  scoredRow({ generated: { expected, found, likeness } });
const value = (rows: readonly ScoredRow[], saer_weight: number) =>
  metricValue(method, rows, undefined, { saer_weight });

test("0 where both texts are the same; with weight 0 the mixed error rate; a synonym costs less than its edits", () => {
  expect(value([row("a big dog", "a big dog", 1)], 0.5)).toBe(0);
  const synonym = row("a big dog", "a large dog", 0.9);
  expect(value([synonym], 0)).toBeCloseTo(1 / 3, 12);
  expect(value([synonym], 0.5)).toBeCloseTo((1 / 3 + 0.1) / 2, 12);
  expect(value([synonym], 0.5)).toBeLessThan(value([synonym], 0));
  const rows = [synonym, row("x y", "z", 0.2), scoredRow()];
  expect(metricDetails(method, rows)).toEqual({ form: (1 / 3 + 1) / 2, meaning: expect.closeTo((0.1 + 0.8) / 2, 12) });
});

let folder = "";
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-saer-"));
  const tiny = {
    ...{ model_type: "llama", hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2 },
    ...{ vocab_size: 264, max_position_embeddings: 32 },
  };
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(tiny));
  writeFileSync(
    join(folder, "mlp.json"),
    '{"model_type": "mlp", "input_size": 2, "hidden_sizes": [2], "num_labels": 2}',
  );
  const rows = ["a b", "c d"].map((text, i) => JSON.stringify({ prompt: `${i}>`, completion: text }));
  writeFileSync(join(folder, "rows.jsonl"), rows.join("\n"));
  writeFileSync(join(folder, "x.jsonl"), '{"x": [0, 1], "label": 1}\n{"x": [1, 1], "label": 0}\n');
  const made = "--data rows.jsonl --batch-size 2 --lr 0.02 -q";
  expect((await run("train", `--init tiny.json --tokenizer byte ${made} --steps 60 -o knows/`)).err).toBe("");
  expect((await run("train", `--init tiny.json --tokenizer byte ${made} --steps 1 -o fresh/`)).err).toBe("");
  expect((await run("train", "--init mlp.json --data x.jsonl --steps 1 -q -o mlp/")).err).toBe("");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a model that answers rightly has none, one that does not has both parts, and repeats give the same", async () => {
  const line = "knows fresh --encoder fresh --data rows.jsonl --metric saer --max-tokens 4 --bootstrap 0 --json -q";
  const { text, err } = await run("evaluate", line);
  expect(err).toBe("");
  const rows: { model: string; metric: string; value: number }[] = JSON.parse(text).rows;
  const of = (model: string, metric: string) => rows.find((one) => one.model === model && one.metric === metric)?.value;
  expect([of("knows", "saer"), of("knows", "saer form"), of("knows", "saer meaning")]).toEqual([0, 0, 0]);
  const [form = 0, meaning = 0] = [of("fresh", "saer form"), of("fresh", "saer meaning")];
  expect(Math.min(form, meaning)).toBeGreaterThan(0);
  expect(of("fresh", "saer")).toBeCloseTo((form + meaning) / 2, 9);
  expect((await run("evaluate", line)).text).toBe(text);
});

test.each([
  ["", "--metric saer compares meanings by the states of a model, and there is none"],
  [" --encoder mlp", "--metric saer is not for mlp"],
])("with the encoder%s it is refused", async (encoder, message) => {
  const { code, err } = await run("evaluate", `fresh --data rows.jsonl --metric saer${encoder} -q`);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});
