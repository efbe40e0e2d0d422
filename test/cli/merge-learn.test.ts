/** `merge` with coefficients that are learnt: tables, lineage, heads of different tasks, and what is refused. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Json } from "../../src/model/architecture.ts";
import { bytesOf } from "../checkpoint/sample.ts";
import { checkpointOf, LLAMA, mlp, Rows } from "../merge/tuning/world.ts";
import { runShell } from "../support/command.ts";
import { merge, readTensors, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

const rows = new Rows();
const at = (name: string) => join(rows.folder, name);
afterAll(() => rows[Symbol.dispose]());

/** Bytes of the tensors of what was written, by model and name. */
const given = new Map<string, Uint8Array>();

async function write(name: string, json: Json, seed = 0): Promise<void> {
  const { tensors } = await checkpointOf(name, json, { seed, change: seed === 0 ? 0 : 0.3 });
  const made = await Promise.all(
    [...tensors.values()].map(async (entry) => ({ ...entry, shape: [...entry.shape], data: await bytesOf(entry) })),
  );
  for (const { name: tensor, data } of made) given.set(`${name} ${tensor}`, data);
  writeModel(at(name), made, { "config.json": json });
}

beforeAll(async () => {
  for (const [i, name] of ["one", "two"].entries()) {
    rows.tokens(name, 11, i + 1);
    rows.numbers(`x-${name}`, i + 1);
  }
  await write("base", LLAMA);
  await write("a", LLAMA, 2);
  await write("b", LLAMA, 3);
  await write("trunk", mlp(2));
  await write("three", mlp(3), 2);
  await write("four", mlp(4), 3);
});

const TEXT = "a b --base base --method adamerging --tune-data one.jsonl --tune-data two.jsonl";
const CLASSES = "three four --base trunk --method adamerging --tune-data x-one.jsonl --tune-data x-two.jsonl";

const run = (line: string) => merge(line.split(" "), { cwd: rows.folder });

/** Runs what must work. */
async function good(line: string): Promise<string> {
  const { code, err } = await run(line);
  expect([line, code, err]).toEqual([line, 0, expect.any(String)]);
  return err;
}

const tensorsIn = (folder: string) => readTensors(readFileSync(at(`${folder}/model.safetensors`)));

test("the result is that of task arithmetic with the table's weights, and lineage makes the same bytes again", async () => {
  await good(`${TEXT} --granularity task --tune-steps 4 --tune-rate 0.05 -o learnt/ -q`);
  const table = JSON.parse(readFileSync(at("learnt/merge_coefficients.json"), "utf8"));
  expect([table.method, table.option, table.steps, ...table.models]).toEqual(["adamerging", "weight", 4, "a", "b"]);
  const weights = table.coefficients.all as number[];
  expect(weights.every((one) => one !== 0.3)).toBe(true);
  await good(`a b --base base --method task_arithmetic --weight ${weights.join(",")} -o plain/ -q`);
  expect(tensorsIn("learnt")).toEqual(tensorsIn("plain"));

  const { text } = await runShell("$INSPECT learnt --command", rows.folder);
  expect(text).toContain("--tune-data one.jsonl --tune-data two.jsonl --tune-steps 4 --tune-rate 0.05");
  const [command] = text.split("\n").filter((line) => line.startsWith("bun run merge"));
  const table2 = "--method adamerging --granularity task --coefficients learnt/merge_coefficients.json -q";
  for (const ending of ["-o swapped/", "-o swapped/ --dry-run"]) {
    const { code, err } = await run(`b/ a --base base ${table2} ${ending}`);
    expect([code, err]).toEqual([2, expect.stringContaining("give the models in the order of the table: a b")]);
  }
  const words = command!.replace("bun run merge", "$MERGE").replace('"$out"', "again/");
  const again = await runShell(`${words} -q`, rows.folder);
  expect([again.code, again.err]).toEqual([0, ""]);
  const bytes = (name: string) => readFileSync(at(`${name}/model.safetensors`));
  expect(bytes("again").equals(bytes("learnt"))).toBe(true);
});

test("no step is task arithmetic at the first weight; a file has its table beside it", async () => {
  await good("a b --base base --method adamerging --tune-steps 0 -o begun.safetensors -q");
  await good("a b --base base --method task_arithmetic --weight 0.3 -o start.safetensors -q");
  const read = (name: string) => readTensors(readFileSync(at(name)));
  expect(read("begun.safetensors")).toEqual(read("start.safetensors"));
  expect(existsSync(at("begun-merge_coefficients.json"))).toBe(true);
});

test("each task is scored with its own head, and --files says whose goes with the result", async () => {
  await good(`${CLASSES} --tune-steps 2 -o trunks/ -q`);
  expect(tensorsIn("trunks").get("classifier.weight")!.shape).toEqual([2, 6]);
  const table = "--coefficients trunks/merge_coefficients.json";
  await good(`three four --base trunk --method adamerging ${table} --files four -o with-four/ -q`);
  const merged = tensorsIn("with-four");
  expect(merged.get("classifier.weight")!.data).toEqual(given.get("four classifier.weight")!);
  expect(merged.get("layers.0.weight")).toEqual(tensorsIn("trunks").get("layers.0.weight")!);
  expect(JSON.parse(readFileSync(at("with-four/config.json"), "utf8")).num_labels).toBe(4);
  const { text } = await runShell("$INSPECT with-four --command", rows.folder);
  expect(text).toContain(`--coefficients '{"layers.0.weight":[`);
});

test("heads of one shape stay apart where they are named", async () => {
  await good(`${TEXT} --tune-own lm_head.* --tune-steps 1 -o apart/ -q`);
  expect(tensorsIn("apart").get("lm_head.weight")!.data).toEqual(given.get("base lm_head.weight")!);
});

test("a dry run tells the memory of learning", async () => {
  const { text } = await run(`${TEXT} --dry-run --json`);
  expect(JSON.parse(text).learning_memory).toBeGreaterThan(10_000);
  const plain = await run("a b --base base --method task_arithmetic --weight 1 --dry-run --json");
  expect(Object.keys(JSON.parse(plain.text))).not.toContain("learning_memory");
});

test.each([
  ["a b --base base --method adamerging -o no/", "adamerging learns its coefficients from data"],
  ["a b --base base --method adamerging -o no/ --dry-run", "adamerging learns its coefficients from data"],
  [
    "a b --method linear --tune-data one.jsonl -o no/",
    "--tune-data is for methods that learn coefficients, and linear learns none",
  ],
  [`${TEXT} --coefficients x.json -o no/`, "--coefficients takes the place of learning, and --tune-data is for that"],
  [`${TEXT} --shard 1/2 -o no/`, "--shard with coefficients that are learnt: each process would learn its own"],
  [`${TEXT} --search grid --budget 2 -o no/`, "--search and --tune-data both find parameters"],
  [`${TEXT} --tune-own nothing* -o no/`, "--tune-own nothing* names no tensor"],
  ["a b --base base --method adamerging --coefficients x.json -o no/", "--coefficients x.json cannot be read"],
  [
    "three four --base trunk --method adamerging --tune-data x-one.jsonl -o no/",
    "--tune-data is given once, and there are 2 models",
  ],
  ["a b --base base --method adamerging --tune-data x-one.jsonl -o no/", "x-one.jsonl:1"],
])("refuses %s", async (line, message) => {
  const { code, err } = await run(line);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  expect(existsSync(at("no"))).toBe(false);
});
