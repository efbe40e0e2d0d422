/** `curriculum weights`, and what the weights of rows do in the scripts that learn labels. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-weights-"));
const at = (name: string) => join(folder, name);
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
afterAll(() => rmSync(folder, { recursive: true }));

const write = (name: string, rows: readonly unknown[]) =>
  writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
const rowsOf = (name: string) =>
  readFileSync(at(name), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const lossOf = (log: string) => rowsOf(log).findLast(({ event }) => event === "step").loss;

const SEEN = Array.from({ length: 40 }, (_, i) => ({
  x: [Math.sin(i) + 0.5, Math.cos(2 * i)],
  label: i % 3,
  tag: `t${i}`,
}));

beforeAll(() => {
  write("seen.jsonl", SEEN);
  write(
    "pool.jsonl",
    Array.from({ length: 60 }, (_, i) => ({ x: [Math.sin(i), Math.cos(2 * i)] })),
  );
  writeFileSync(at("mlp.json"), JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 3 }));
  writeFileSync(at("tiny.json"), JSON.stringify({ ...TINY_TEXT.llama!, vocab_size: 264 }));
});

test("rows keep what they hold and get weights of mean 1; both ways tell of it", async () => {
  for (const [how, more] of [
    ["dual", ""],
    ["gap", " --weigh-by gap --gap-steps 40"],
  ] as const) {
    const done = await run("curriculum", `weights --data seen.jsonl --pool pool.jsonl${more} -o ${how}.jsonl --json`);
    expect([done.code, done.err]).toEqual([0, expect.stringContaining("of equal weight")]);
    const rows = rowsOf(`${how}.jsonl`);
    expect(rows.map(({ loss_weight: _, ...row }) => row)).toEqual(SEEN);
    expect(rows.reduce((sum, { loss_weight: weight }) => sum + weight, 0) / rows.length).toBeCloseTo(1, 5);
    const told = JSON.parse(done.text);
    expect(told.effective_rows).toBeLessThan(40);
    expect(told.discrepancy).toBeLessThan(told.before);
  }
});

test("a loss is the mean of rows' losses by their weights, of classifiers and of texts", async () => {
  const asked = "--steps 1 --batch-size 3 --no-shuffle --save-every 0 -q --overwrite";
  const cases = [
    ["mlp.json", "", SEEN.slice(0, 3)],
    ["tiny.json", "--tokenizer byte", [{ text: "one" }, { text: "two and" }, { text: "three of them" }]],
  ] as const;
  for (const [config, more, rows] of cases) {
    const found: number[] = [];
    for (const weights of [
      [1, 1, 1],
      [3, 0, 0],
      [0, 3, 0],
      [0, 0, 3],
      [0.5, 2, 0.25],
    ]) {
      write(
        "own.jsonl",
        rows.map((row, i) => ({ ...row, loss_weight: weights[i] })),
      );
      const done = await run(
        "train",
        `--init ${config} ${more} --data own.jsonl ${asked} --log own.log -o out/`.replace(/ +/g, " "),
      );
      expect([done.code, done.err]).toEqual([0, expect.anything()]);
      found.push(lossOf("own.log"));
    }
    const [all, a, b, c, mixed] = found as [number, number, number, number, number];
    expect(all).toBeCloseTo((a + b + c) / 3, 5);
    expect(mixed).toBeCloseTo((0.5 * a + 2 * b + 0.25 * c) / 3, 5);
  }
  const teach = `--student out/ --teacher out/ --method kd --label-weight 1 --distill-weight 0 ${asked}`;
  write("own.jsonl", [
    { text: "one", loss_weight: 0 },
    { text: "two and", loss_weight: 0 },
  ]);
  expect((await run("distill", `${teach} --data own.jsonl --log own.log -o taught/`)).code).toBe(0);
  expect(lossOf("own.log")).toBe(0);
});

test.each([
  ["--data seen.jsonl", "--pool is missing"],
  ["--data seen.jsonl --pool pool.jsonl --feature-key tag", "seen.jsonl:1: tag should be numbers, in lists"],
  ["--data seen.jsonl --pool pool.jsonl --feature-key z", "seen.jsonl:1: z should be numbers, in lists"],
  ["--data seen.jsonl --pool pool.jsonl --anchors adaptive", "--anchors adaptive goes by the rows' losses"],
  ["--data seen.jsonl --pool pool.jsonl --prior-key tag", "seen.jsonl:1: tag should be a number of at least 0"],
  ["--data seen.jsonl --pool pool.jsonl --gap-steps 4", "--gap-steps"],
])("refused: %s", async (line, message) => {
  const { code, err } = await run("curriculum", `weights ${line}`);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});

test("a weight that is no number is refused by its row", async () => {
  write("odd.jsonl", [SEEN[0], { ...SEEN[1], loss_weight: -1 }]);
  const { code, err } = await run("train", "--init mlp.json --data odd.jsonl --steps 1 --save-every 0 -o odd/");
  expect([code, err]).toEqual([
    2,
    expect.stringContaining("odd.jsonl:2: loss_weight should be a number of at least 0"),
  ]);
});
