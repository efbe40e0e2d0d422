/** `adapt gain` through the script: an adapter of IA3's form from unlabelled rows. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-gain-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
async function done(name: string, ...argv: string[]): Promise<string> {
  const { code, text, err } = await runScript(name, argv, folder);
  expect(err).toBe("");
  expect(code).toBe(0);
  return text;
}

interface Row {
  readonly x: number[];
  readonly label: number;
}
const rowsOf = (name: string) =>
  readFileSync(join(folder, name), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);
const write = (name: string, rows: readonly object[]) =>
  writeFileSync(join(folder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

/** Digits with a bar of light over their lower rows, as bright as it says: the same for all classes. */
const lit = (rows: readonly Row[], bright: number) =>
  rows.map(({ x, label }, i) => ({ x: x.map((v, at) => (at >= 63 ? v + bright * Math.sin(i * 12.9898) : v)), label }));

beforeAll(async () => {
  const config = { model_type: "mlp", input_size: 81, hidden_sizes: [32], num_labels: 10 };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  const glyphs = ["glyphs", "--canvas", "9", "--shift", "1", "--noise", "0.1"];
  await done("data", ...glyphs, "--size", "1000", "-o", "train.jsonl", "-q");
  await done("data", ...glyphs, "--size", "400", "--split", "test", "-o", "test.jsonl", "-q");
  const common = ["--batch-size", "50", "--steps", "100", "--lr", "0.01", "-q"];
  await done("train", "--init", "config.json", "--data", "train.jsonl", ...common, "-o", "base/");
  const shifted = lit(rowsOf("test.jsonl"), 1.5);
  write("shifted.jsonl", shifted);
  write(
    "unlabelled.jsonl",
    shifted.map(({ x }) => ({ x })),
  );
});

async function accuracy(model: string, data: string): Promise<number> {
  const text = await done(
    "evaluate",
    model,
    "--data",
    data,
    "--metric",
    "accuracy",
    "--json",
    "--bootstrap",
    "0",
    "-q",
  );
  return (JSON.parse(text) as { accuracy: number }).accuracy;
}

test("gains from unlabelled rows of a new kind help there, and come off again", async () => {
  const files = ["--data", "unlabelled.jsonl", "--reference", "train.jsonl", "-q"];
  const text = await done("adapt", "gain", "base/", ...files, "--alpha", "0.3", "--json", "-o", "gains/");
  const { layers } = JSON.parse(text) as { layers: { module: string; least: number; most: number }[] };
  expect(layers.map(({ module }) => module)).toEqual(["layers.0"]);
  expect(layers[0]!.least).toBeLessThan(layers[0]!.most);
  const before = await accuracy("base/", "shifted.jsonl");
  const after = await accuracy("base/+gains/", "shifted.jsonl");

  expect(before).toBeLessThan(0.99);
  expect(after).toBeGreaterThanOrEqual(before);
  const json = JSON.parse(readFileSync(join(folder, "gains", "adapter_config.json"), "utf8"));
  expect(json).toMatchObject({ peft_type: "IA3", feedforward_modules: [] });
  await done("adapt", "gain", "base/", ...files, "--beta", "1e9", "-o", "none/");
  expect(await accuracy("base/+none/", "shifted.jsonl")).toBe(before);
});

test("what cannot be is refused", async () => {
  const { code, err } = await runScript(
    "adapt",
    ["gain", "base/", "--data", "unlabelled.jsonl", "--reference", "train.jsonl", "--targets", "nothing", "-o", "x/"],
    folder,
  );
  expect(code).toBe(2);
  expect(err).toContain("nothing");
});
