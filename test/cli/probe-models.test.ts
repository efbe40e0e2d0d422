/** Probes of `evaluate` that look at inner values say what `train --probe` says; heads that are held; scaled outputs */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { openPlain } from "../../src/checkpoint/open.ts";
import { Random } from "../../src/data/random.ts";
import { trainLab } from "./train-lab.ts";

setDefaultTimeout(120_000);
const { at, run } = trainLab();
const split = (line: string) => line.split(" ");

/** Three clouds of rows, and a perceptron for them. */
function blobs(): void {
  const random = new Random(1, "blobs");
  const rows = Array.from({ length: 24 }, (_, i) => {
    const x = [0, 1, 2, 3].map((k) => (k === i % 3 ? 2 : 0) + random.normal());
    return JSON.stringify({ x, label: i % 3 });
  });
  writeFileSync(at("blobs.jsonl"), `${rows.join("\n")}\n`);
  const config = { model_type: "mlp", input_size: 4, hidden_sizes: [8], num_labels: 3 };
  writeFileSync(at("mlp.json"), JSON.stringify(config));
}

const events = (log: string) =>
  readFileSync(at(log), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === "probe");

test("they say of a result what training said of it at its last step", async () => {
  blobs();
  const probes = "neural-collapse,kernel-alignment,activations";
  const line = `--init mlp.json --data blobs.jsonl --steps 4 --probe ${probes} --probe-every 4 --probe-rows 24 --log seen.log -o net/ -q`;
  const trained = await run("train", split(line));
  expect([trained.code, trained.err]).toEqual([0, ""]);
  const last = (name: string) => events("seen.log").findLast(({ probe }) => probe === name);
  const told = async (line: string) => {
    const { text, err } = await run("evaluate", split(`net/ --data blobs.jsonl --json -q ${line}`));
    expect(err).toBe("");
    return JSON.parse(text).rows[0];
  };
  const near = (found: number, expected: number) =>
    expect(Math.abs(found - expected)).toBeLessThan(1e-3 * Math.max(0.01, Math.abs(expected)));
  const collapse = await told("--probe neural-collapse --neural-collapse-mixup 30");
  for (const name of ["nc1", "nc2_norms", "nc3", "nc4", "ece"]) near(collapse[name], last("neural-collapse")[name]);
  expect(collapse.off_the_line).toBeGreaterThan(0);
  const kernel = await told("--probe kernel-alignment");
  near(kernel.alignment, last("kernel-alignment").alignment);
  expect([kernel.movement, kernel.exact]).toEqual([0, false]);
  const growth = await told("--probe variance-growth");
  near(growth.massive, last("activations").massive);
  near(growth.gradient_spread, last("activations").gradient_spread);
});

test("a head that is held is a simplex frame, in the result too", async () => {
  const trained = await run("train", split("--init mlp.json --data blobs.jsonl --steps 4 --head etf -o held/ -q"));
  expect([trained.code, trained.err]).toEqual([0, ""]);
  const checkpoint = await openPlain(at("held/"));
  const bytes = new Uint8Array(4 * 24);
  await checkpoint.tensors.get("classifier.weight")!.read(bytes, 0);
  checkpoint.close();
  const w = decodeFloats(bytes, "F32"); // (3, 8)
  const product = (a: number, b: number) =>
    Array.from({ length: 8 }, (_, i) => w[8 * a + i]! * w[8 * b + i]!).reduce((x, y) => x + y, 0);
  for (let a = 0; a < 3; a++) for (let b = 0; b < 3; b++) expect(product(a, b)).toBeCloseTo(a === b ? 1 : -0.5, 5);
  const refused = await run("train", split("llama-tied --data llama-tied.jsonl --steps 1 --head etf -o x/"));
  expect(refused.err).toContain("--head etf is for classifiers, and llama is a causal-lm");
});

test("scaled outputs are measured on held-out rows, too", async () => {
  const line =
    "--init mlp.json --data blobs.jsonl --eval-split 0.25 --steps 3 --output-scale 0.5 --log scaled.log -o scaled/ -q";
  const found = await run("train", split(line));
  expect([found.code, found.err]).toEqual([0, ""]);
  const lines = readFileSync(at("scaled.log"), "utf8")
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text));
  expect(lines.find(({ event }) => event === "step").loss).toBeCloseTo(Math.log(3), 5);
  expect(lines.filter(({ event, name }) => event === "eval" && name === "accuracy")).toHaveLength(1);
  const refused = await run("train", split("--init mlp.json --data blobs.jsonl --output-scale 2 --mixup 1 -o x/"));
  expect(refused.err).toContain("--mixup and --output-scale are two objectives");
});
