/** `evaluate stream` and `adapt stream` as commands. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../../src/data/random.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-streams-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = async (line: string) => {
  const [script, ...argv] = line.split(" ");
  return runScript(script!, argv, folder);
};
const jsonOf = async (line: string) => {
  const { text, err, code } = await run(`${line} --json -q`);
  expect([err, code]).toEqual([expect.any(String), 0]);
  return JSON.parse(text);
};
/** Rows of 9 pixels whose class is the brighter half. */
const rows = (name: string, count: number) =>
  Array.from({ length: count }, (_, i) => {
    const random = new Random(name, i);
    const label = random.below(2);
    const x = Array.from({ length: 9 }, (_, at) => (at < 4 === (label === 0) ? 0.8 : 0.2) + 0.1 * random.uniform());
    return { x: x.map((value) => Number(value.toFixed(3))), label };
  });

beforeAll(async () => {
  const lines = (all: readonly object[]) => all.map((row) => `${JSON.stringify(row)}\n`).join("");
  writeFileSync(join(folder, "train.jsonl"), lines(rows("train", 60)));
  writeFileSync(join(folder, "held.jsonl"), lines(rows("held", 20)));
  writeFileSync(join(folder, "bare.jsonl"), lines(rows("held", 20).map(({ x }) => ({ x }))));
  const net = { model_type: "mlp", input_size: 9, hidden_sizes: [8], num_labels: 2, hidden_norm: "batch" };
  writeFileSync(join(folder, "net.json"), JSON.stringify(net));
  const { code } = await run(
    "train --init net.json --data train.jsonl --epochs 12 --lr 1e-2 --save-every 0 -o net/ -q",
  );
  expect(code).toBe(0);
});

test("one command gives methods by streams, and no row is answered after it was learnt from", async () => {
  const { results } = await jsonOf(
    "evaluate stream net/ --data held.jsonl --test-time source,tent --corruption gaussian-noise,blur --repetitions 2 --batch-size 8",
  );
  const table = results.map((one: Record<string, unknown>) => [one.method, one.stream, one.rows]);
  expect(table).toEqual(
    ["source", "tent"].flatMap((method) =>
      Object.entries({ continual: 40, gradual: 360, recurring: 80, mixed: 40 }).map((of) => [method, ...of]),
    ),
  );
  const of = (method: string, stream: string) =>
    results.find((one: Record<string, unknown>) => one.method === method && one.stream === stream);
  expect(of("source", "recurring").collapse).toBe(0);
  expect(of("source", "mixed").error).toBeCloseTo(of("source", "continual").error, 10);
  expect(
    of("source", "gradual")
      .domains.map(({ domain }: { domain: string }) => domain)
      .slice(0, 10),
  ).toEqual([...[1, 2, 3, 4, 5, 4, 3, 2, 1].map((severity) => `gaussian-noise ${severity}`), "blur 1"]);
  expect(of("source", "continual").source_error).toBeLessThan(0.1);
  const twice = of("tent", "recurring").domains;
  expect(twice.map((one: { repetition: number }) => one.repetition)).toEqual([0, 0, 1, 1]);
});

test("a stream is answered with and without labels alike, and leaves the same weights", async () => {
  const line = "adapt stream net/ --method tent --batch-size 8";
  const told = await jsonOf(`${line} --data a=held.jsonl --predictions a.jsonl -o a/`);
  const bare = await jsonOf(`${line} --data a=bare.jsonl --predictions b.jsonl -o b/`);
  const answers = (file: string) =>
    readFileSync(join(folder, file), "utf8")
      .trim()
      .split("\n")
      .map((one) => (({ domain, answer, scores }) => ({ domain, answer, scores }))(JSON.parse(one)));
  expect(answers("a.jsonl")).toEqual(answers("b.jsonl"));
  expect([told.labelled, bare.labelled, bare.error]).toEqual([20, 0, null]);
  const { text } = await run("inspect a --diff b");
  expect(text).toContain("8 tensors compared, all bit-identical");
});

test("prototypes and importances of files stand for source rows", async () => {
  const line = "adapt stream net/ --data held.jsonl --batch-size 8 --warmup-rows 0";
  const { error } = await jsonOf(
    `${line} --method rmt --source train.jsonl --source-free --save-prototypes means.safetensors -o d/`,
  );
  expect((await jsonOf(`${line} --method rmt --source-free --prototypes means.safetensors -o e/`)).error).toBe(error);
  expect((await run("inspect d --diff e")).text).toContain("8 tensors compared, all bit-identical");
  await run("evaluate net/ --data train.jsonl --probe fisher --fisher-save net.fisher.safetensors -q");
  await jsonOf("adapt stream net/ --data held.jsonl --method psmt --fisher net.fisher.safetensors --views 2 -o f/");
  const { err } = await run("adapt stream net/ --data held.jsonl --method psmt --fisher means.safetensors -o g/");
  expect(err).toContain("means.safetensors has no importances of");
});

test("refuses what a stream cannot be", async () => {
  for (const [line, message] of [
    ["evaluate stream net/ --data held.jsonl --test-time tent --stream gradul", "did you mean gradual?"],
    ["evaluate stream net/ --data held.jsonl --test-time tent --corruption word-dropout", "does not go with 9 numbers"],
    ["evaluate stream net/ --data held.jsonl --test-time eata", "give --source rows.jsonl, or --eata-anchor 0"],
    ["adapt stream net/ --data held.jsonl --method tent --augment tokens -o c/", "net/ takes numbers"],
    ["adapt stream net/ --data held.jsonl --method tnt -o c/", "did you mean tent?"],
  ] as const) {
    const { code, err } = await run(line);
    expect([line, code, err]).toEqual([line, 2, expect.stringContaining(message)]);
  }
});
