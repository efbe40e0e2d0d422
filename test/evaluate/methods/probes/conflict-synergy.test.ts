import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gainOf, verdictOf } from "../../../../src/evaluate/methods/probes/conflict-synergy.ts";
import { runScript } from "../../../support/command.ts";

const CONFIG = { model_type: "mlp", input_size: 2, hidden_sizes: [8], num_labels: 2 };
interface Row {
  readonly model: string;
  readonly group: string;
  readonly alone: number;
}
let folder = "";
const run = (script: string, line: string) => runScript(script, [...line.split(" "), "-q"], folder);

/** Rows of a task whose label is a sign of x, or of `-x` where it contradicts. */
const rowsOf = (contradicts: boolean) =>
  Array.from({ length: 16 }, (_, i) => {
    const x = (i - 7.5) / 4;
    return { x: [x, 1], label: Number(x > 0 !== contradicts) };
  });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-conflict-"));
  writeFileSync(join(folder, "mlp.json"), JSON.stringify(CONFIG));
  for (const [name, contradicts] of [
    ["up", false],
    ["down", true],
  ] as const)
    writeFileSync(
      join(folder, `${name}.jsonl`),
      rowsOf(contradicts)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(""),
    );
  const usual = "--init mlp.json --steps 60 --lr 0.05 --batch-size 16 --save-every 0";
  for (const [name, data] of [
    ["up", "--data up.jsonl"],
    ["down", "--data down.jsonl"],
    ["all", "--data up.jsonl --data down.jsonl"],
  ]) {
    const { code, err } = await run("train", `${usual} ${data} -o ${name}.safetensors`);
    if (code !== 0) throw new Error(err);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the gain counts in the direction that is better", () => {
  expect(gainOf(0.5, 0.75, "higher")).toBe(0.25);
  expect(gainOf(0.5, 0.75, "lower")).toBe(-0.25);
  expect([0.1, -0.1, 0].map(verdictOf)).toEqual(["synergy", "conflict", "even"]);
});

test("tasks that contradict each other are in conflict; a model beside itself is even", async () => {
  const data = "--data up=up.jsonl --data down=down.jsonl --probe conflict_synergy --metric class-accuracy --json";
  const { text, err } = await run("evaluate", `up.safetensors down.safetensors ${data} --joint all.safetensors`);
  expect(err).toBe("");
  const { rows } = JSON.parse(text);
  expect(rows.map(({ model, group, alone }: Row) => [model, group, alone])).toEqual([
    ["up.safetensors", "up", 1],
    ["up.safetensors", "down", 0],
    ["down.safetensors", "up", 0],
    ["down.safetensors", "down", 1],
  ]);
  expect(rows[0].together + rows[3].together).toBeCloseTo(1, 9);
  expect(rows.some(({ verdict }: { verdict: string }) => verdict === "conflict")).toBe(true);
  const same = await run(
    "evaluate",
    `up.safetensors ${data.replace("--data down=down.jsonl ", "")} --joint up.safetensors`,
  );
  expect(JSON.parse(same.text).rows[0]).toMatchObject({ gain: 0, verdict: "even" });
});

test.each([
  ["up.safetensors --data up=up.jsonl", "--joint"],
  ["up.safetensors --data up=up.jsonl --joint all.safetensors --gold up.safetensors", "takes no --gold"],
])("refused: %s", async (line, problem) => {
  const { code, err } = await run("evaluate", `${line} --probe conflict_synergy --metric class-accuracy`);
  expect([code, err]).toEqual([2, expect.stringContaining(problem)]);
});
