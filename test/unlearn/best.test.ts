/** What --best keeps, rows of --pd from a model, and refusals in place of answers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { forgetUtility } from "../../src/unlearn/best.ts";
import { runScript } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-unlearn-best-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const ran = (script: string, line: string) => runScript(script, line.split(" "), folder);
async function run(script: string, line: string): Promise<string> {
  const { text, err, code } = await ran(script, line);
  if (code !== 0) throw new Error(`${script} ${line}: ${err}`);
  return text;
}
const rows = (name: string, list: readonly object[]) =>
  writeFileSync(at(name), list.map((row) => `${JSON.stringify(row)}\n`).join(""));
const read = (name: string) =>
  readFileSync(at(name), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const losses = (forget: number, retain: number, other: number) =>
  [
    { name: "forget", loss: forget },
    { name: "retain", loss: retain },
    { name: "other", loss: other },
  ].map((group) => ({ ...group, counted: 1 }));

test("best is the product of what is forgotten and of the probability of the rest", () => {
  const found = Math.exp(-forgetUtility(losses(0.5, 0.2, 0.4)));
  expect(found).toBeCloseTo((1 - Math.exp(-0.5)) * Math.exp(-0.3), 12);
  const [nothing, all, both] = [losses(0.01, 0.05, 0.05), losses(9, 5, 6), losses(3, 0.2, 0.2)].map(forgetUtility);
  expect(both!).toBeLessThan(Math.min(nothing!, all!));
});

describe("a model that knows four answers", () => {
  beforeAll(async () => {
    writeFileSync(
      at("tiny.json"),
      JSON.stringify({
        ...{ model_type: "llama", hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1 },
        ...{ num_attention_heads: 2, vocab_size: 264, max_position_embeddings: 40 },
      }),
    );
    rows("forget.jsonl", [
      { prompt: "sea?", completion: " deep", refusal: "i pass" },
      { prompt: "sky?", completion: " blue", refusal: "i pass" },
    ]);
    rows("retain.jsonl", [
      { prompt: "cat?", completion: " soft" },
      { prompt: "owl?", completion: " wise" },
    ]);
    rows("all.jsonl", [...read("forget.jsonl"), ...read("retain.jsonl")]);
    await run(
      "train",
      "--init tiny.json --tokenizer byte --data all.jsonl --steps 60 --batch-size 4 --lr 1e-2 -q -o base/",
    );
  });
  const method =
    "unlearn base/ --method grad-diff --forget forget.jsonl --retain retain.jsonl --steps 16 --batch-size 2 --lr 1e-3";
  const held = "--eval-data forget=forget.jsonl --eval-data retain=retain.jsonl --eval-every 2";

  test("the step that is kept is the best by both, which the mean loss is not", async () => {
    const last = async (line: string) => JSON.parse(await run("unlearn", line.slice(8)));
    const both = await last(`${method} ${held} --best both/ --best-by forget-utility --json -q -o a/`);
    const mean = await last(`${method} ${held} --best mean/ --json -q -o b/`);
    expect(both.best_step).toBeGreaterThan(mean.best_step);
    const { rows: found } = JSON.parse(
      await run(
        "evaluate",
        "both mean --data forget=forget.jsonl --data retain=retain.jsonl --metric loss --bootstrap 0 --json -q",
      ),
    ) as { rows: { model: string; group: string; value: number }[] };
    const score = (model: string) => {
      const of = (group: string) => found.find((row) => row.model === model && row.group === group)!.value;
      return (1 - Math.exp(-of("forget"))) * Math.exp(-of("retain"));
    };
    expect(score("both")).toBeGreaterThan(score("mean"));
    expect(Math.exp(-both.best_loss)).toBeCloseTo(score("both"), 4);
  });

  test("groups that do not serve are refused before anything is read", async () => {
    const { err, code } = await ran(
      "unlearn",
      `${method.slice(8)} --eval-data retain.jsonl --best c/ --best-by forget-utility -q -o d/`,
    );
    expect(code).toBe(2);
    expect(err).toContain("--best-by forget-utility needs rows to forget and others; --eval-data has retain");
  });

  test("prepare-pd writes what the model answers, whatever the rows say", async () => {
    rows("asked.jsonl", [{ prompt: "cat?" }, { prompt: "owl?", completion: " old" }]);
    const told = await run("unlearn", "prepare-pd base/ --data asked.jsonl --max-tokens 8 --json -q -o pd.jsonl");
    expect(JSON.parse(told)).toEqual({ file: "pd.jsonl", rows: 2, empty: 0 });
    expect(read("pd.jsonl")).toEqual([
      { prompt: "cat?", completion: " soft" },
      { prompt: "owl?", completion: " wise" },
    ]);
  });

  test("refusal learns the refusal in the place of the answer, and the metrics tell", async () => {
    const line =
      "base/ --method refusal --forget forget.jsonl --retain retain.jsonl --pd pd.jsonl --steps 40 --batch-size 2";
    await run("unlearn", `${line} --lr 5e-3 -q -o refuses/`);
    const { rows: found } = JSON.parse(
      await run(
        "evaluate",
        "base refuses --data forget=forget.jsonl --data retain=retain.jsonl --metric sarr,attack-success --refusal-phrase pass --max-tokens 8 --bootstrap 0 --json -q",
      ),
    ) as { rows: { model: string; group: string; metric: string; value: number }[] };
    const of = (model: string, group: string, metric: string) =>
      found.find((row) => row.model === model && row.group === group && row.metric === metric)!.value;
    expect([of("base", "forget", "attack-success"), of("base", "forget", "sarr")]).toEqual([1, 0]);
    expect([of("refuses", "forget", "attack-success"), of("refuses", "forget", "sarr")]).toEqual([0, 1]);
    expect([of("refuses", "retain", "attack-success"), of("refuses", "retain", "sarr")]).toEqual([1, 0]);
  });
});
