/** Teachers that read another prompt: what lies beside what, and a model that forgets by prompts alone. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collate } from "../../src/data/batch.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { behindOthers } from "../../src/distill/other-prompts.ts";
import { runScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

test("the answer's tokens lie beside each other behind prompts of other lengths", () => {
  const row = (place: string, prompt: readonly number[], answer: readonly number[]): Sequence => ({
    ...{ ids: Int32Array.of(...prompt, ...answer), group: 0, place },
    labels: Int32Array.of(...prompt.map(() => -100), ...answer),
  });
  const rows = [row("a", [1, 2, 3], [7, 8]), row("b", [4, 5], [9]), row("c", [6, 6], [7, 7, 7])];
  const batch = collate(rows.map((sequence) => [sequence]));
  const prompts = new Map([
    ["a", Int32Array.of(11)],
    ["c", Int32Array.of(12, 13, 14, 15)],
  ]);
  const { batch: seen, places } = behindOthers(prompts, { promptTokens: 8 })(batch);
  const textOf = (i: number) => [...seen.ids.subarray(i * seen.length, i * seen.length + seen.lengths[i]!)];
  expect([0, 1, 2].map(textOf)).toEqual([
    [11, 7, 8],
    [4, 5, 9],
    [12, 13, 14, 15, 7, 7, 7],
  ]);
  // What foretells an answer's token in the one foretells it in the other.
  for (const [i, { ids, labels }] of rows.entries())
    for (let t = 0; t + 1 < ids.length; t++) {
      const place = places[i * batch.length + t]!;
      if (labels[t + 1]! < 0) continue;
      expect(seen.ids[place + 1]!).toBe(ids[t + 1]!);
      expect(Math.floor(place / seen.length)).toBe(i);
    }
});

const folder = mkdtempSync(join(tmpdir(), "ingot-override-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
async function good(script: string, line: string) {
  const done = await run(script, line);
  expect([done.code, done.err]).toEqual([0, expect.anything()]);
  return done;
}
const write = (name: string, rows: readonly object[]) =>
  writeFileSync(at(`${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

beforeAll(async () => {
  const facts = (name: string, town: string) => [{ prompt: `${name}?`, completion: ` ${town}.` }];
  const [forget, other, keep] = [facts("Bea", "Rome"), facts("Lo", "Bonn"), facts("Kim", "Oslo")];
  write("forget", forget);
  write("keep", [...other, ...keep]);
  write("prompts", [{ prompt: "Bea?", neutral: "Lo?" }, { prompt: "Lo?" }, { prompt: "Kim?" }]);
  write("plain", [{ prompt: "Lo?" }, { prompt: "Kim?" }]);
  writeFileSync(at("tiny.json"), JSON.stringify({ ...TINY_TEXT.llama, vocab_size: 264 }));
  await good(
    "train",
    "--init tiny.json --tokenizer byte --data forget.jsonl --data keep.jsonl --batch-size 3 --lr 1e-2 --steps 60 --save-every 0 -o base/",
  );
});

const HOW = "--teacher self --student base/ --method kd --on-policy 1 --sample-tokens 8 --batch-size 3 --save-every 0";

test("a prompt comes to be answered as another one, from prompts alone, and the rest stays", async () => {
  await good("distill", `${HOW} --data prompts.jsonl --teacher-prompts neutral --lr 5e-3 --steps 40 -o forgot/`);
  write("as-other", [{ prompt: "Bea?", completion: " Bonn." }]);
  const { text } = await good(
    "evaluate",
    "base/ forgot/ --data forget=forget.jsonl --data keep=keep.jsonl --data other=as-other.jsonl --metric probability --json",
  );
  const { rows } = JSON.parse(text) as { rows: { model: string; group: string; value: number }[] };
  const value = (model: string, group: string) => rows.find((row) => row.model === model && row.group === group)!.value;
  expect(value("base/", "forget")).toBeGreaterThan(0.8);
  expect(value("forgot/", "forget")).toBeLessThan(0.3);
  expect(value("forgot/", "other")).toBeGreaterThan(0.6);
  expect(value("forgot/", "keep")).toBeGreaterThan(0.7);
});

test("what cannot be is refused", async () => {
  const refused = async (line: string) => {
    const { code, err } = await run("distill", `${HOW} --steps 1 -o x/ ${line}`);
    expect(code).toBe(2);
    return err;
  };
  expect(await refused("--data plain.jsonl --teacher-prompts neutral")).toContain("no row of --data has neutral");
  expect(await refused("--data prompts.jsonl --teacher-prompts neutral --teacher-prefix a")).toContain(
    "both say what teachers read",
  );
  const half = HOW.replace("--on-policy 1", "--on-policy 0.5");
  const { code, err } = await run("distill", `${half} --data prompts.jsonl --steps 1 -o x/`);
  expect([code, err]).toEqual([2, expect.stringContaining("the row has a prompt and no completion")]);
});
