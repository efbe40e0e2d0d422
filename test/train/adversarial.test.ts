/** `train --adversarial` and `evaluate --attack pgd` through the scripts, on rendered digits. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-adversarial-"));
const run = (name: string, ...argv: string[]) => runScript(name, argv, folder);
const PGD = ["--pgd-epsilon", "0.15", "--pgd-range", "0,1"];
const TRAIN = ["--data", "train.jsonl", "--batch-size", "50", "--lr", "0.01", "--steps", "100", "-q"];

async function done(name: string, ...argv: string[]): Promise<string> {
  const { code, text, err } = await run(name, ...argv);
  expect(err).toBe("");
  expect(code).toBe(0);
  return text;
}

beforeAll(async () => {
  const config = { model_type: "mlp", input_size: 81, hidden_sizes: [48], num_labels: 10 };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  const glyphs = ["glyphs", "--canvas", "9", "--shift", "1", "--noise", "0.1"];
  await done("data", ...glyphs, "--size", "1000", "-o", "train.jsonl", "-q");
  await done("data", ...glyphs, "--size", "200", "--split", "test", "-o", "test.jsonl", "-q");
  writeFileSync(join(folder, "text.jsonl"), `${JSON.stringify({ text: "abc" })}\n`);
  await done("train", "--init", "config.json", ...TRAIN, "-o", "plain/");
  await done("train", "--init", "config.json", ...TRAIN, "--adversarial", "--pgd-steps", "5", ...PGD, "-o", "robust/");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Row {
  readonly model: string;
  readonly before: number;
  readonly after: number;
}

/** Accuracy of every model on inputs as they are and moved. */
async function attacked(...argv: string[]): Promise<Record<string, Row>> {
  const text = await done("evaluate", ...argv, "--data", "test.jsonl", "--attack", "pgd", "--json", "-q");
  return Object.fromEntries((JSON.parse(text) as { rows: Row[] }).rows.map((row) => [row.model, row]));
}

test("a model that was trained on moved inputs withstands them, and one that was not does not", async () => {
  const { "plain/": plain, "robust/": robust } = await attacked("plain/", "robust/", ...PGD);
  expect(plain!.before).toBeGreaterThan(0.9);
  expect(plain!.after).toBeLessThan(0.4);
  expect(robust!.after).toBeGreaterThan(plain!.after + 0.2);
  const more = await attacked("plain/", "robust/", ...PGD, "--pgd-restarts", "3");
  for (const [name, row] of Object.entries({ "plain/": plain!, "robust/": robust! }))
    expect(more[name]!.after).toBeLessThanOrEqual(row.after);
});

test("a radius of 0 changes nothing, and the accuracy falls as the radius grows", async () => {
  const at = async (epsilon: string) =>
    (await attacked("robust/", "--pgd-norm", "l2", "--pgd-epsilon", epsilon))["robust/"]!;
  const still = await at("0");
  expect(still.after).toBe(still.before);
  const [near, far] = [await at("0.3"), await at("1.5")];
  expect(near.after).toBeLessThanOrEqual(near.before);
  expect(far.after).toBeLessThan(near.after);
});

test("a gate between both withstands nearly as much, and its weights bound what it takes of each", async () => {
  await done(
    "merge",
    "gate",
    "plain/",
    "robust/",
    "--data",
    "train.jsonl",
    "--epochs",
    "2",
    ...PGD,
    "-o",
    "gate.safetensors",
    "-q",
  );
  const mixed = ["plain/", "--with", "robust/", ...PGD];
  const name = "plain/ with robust/";
  const gated = (await attacked(...mixed, "--mix-gate", "gate.safetensors"))[name]!;
  const sharp = ["--mix-sharpness", "2"];
  const even = (await attacked(...mixed, ...sharp, "--mix-weight", "0.5"))[name]!;
  const alone = (await attacked(...mixed, "--mix-weight", "1"))[name]!;
  const { "plain/": plain, "robust/": robust } = await attacked("plain/", "robust/", ...PGD);
  expect([alone.before, alone.after]).toEqual([robust!.before, robust!.after]);
  const none = (await attacked(...mixed, "--mix-weight", "0"))[name]!;
  expect([none.before, none.after]).toEqual([plain!.before, plain!.after]);
  expect(gated.before).toBeGreaterThanOrEqual(robust!.before);
  expect(gated.after).toBeGreaterThan(even.after);
});

test("a run that is cut and resumed gives the same bytes", async () => {
  const more = ["robust/", ...TRAIN, "--adversarial", "--pgd-steps", "2", "--adversarial-share", "0.5", ...PGD];
  const at = more.indexOf("100");
  const steps = (n: string) => more.with(at, n);
  const cut = [...steps("6"), "--schedule", "constant", "--save-every", "3"];
  await done("train", ...cut, "-o", "whole/");
  await done("train", ...cut, "--state", "half-state", "-o", "half/");
  await done(
    "train",
    ...cut.with(cut.indexOf("6"), "9"),
    "--state",
    "half-state",
    "--resume",
    "--overwrite",
    "-o",
    "half/",
  );
  await done("train", ...cut.with(cut.indexOf("6"), "9"), "--overwrite", "-o", "whole/");
  const bytes = (name: string) => readFileSync(join(folder, name, "model.safetensors"));
  expect(bytes("half").equals(bytes("whole"))).toBe(true);
});

test("what has no effect is refused", async () => {
  const refused = async (script: string, ...argv: string[]) => {
    const { code, err } = await run(script, ...argv);
    expect(code).toBe(2);
    return err;
  };
  expect(await refused("train", "plain/", ...TRAIN, "--pgd-steps", "3", "-o", "x/")).toContain("--adversarial");
  expect(await refused("train", "plain/", ...TRAIN, "--adversarial", "--pgd-range", "0.2,1", "-o", "x/")).toContain(
    "is outside --pgd-range 0.2,1",
  );
  const attack = ["evaluate", "plain/", "--data", "test.jsonl", "--attack", "pgd"] as const;
  expect(await refused(...attack, "--no-pgd-random-start", "--pgd-restarts", "2")).toContain("repeats one search");
});
