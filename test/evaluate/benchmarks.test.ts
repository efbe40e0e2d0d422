/** Benchmarks of unlearning from their own files: the table, gold's log, and numbers that are kept. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { asText } from "../../src/evaluate/benchmarks/asked.ts";
import { rwku } from "../../src/evaluate/benchmarks/rwku.ts";
import { runScript } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-benchmarks-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ran = (script: string, line: string) => runScript(script, line.split(" "), folder);
async function run(script: string, line: string): Promise<string> {
  const { text, err, code } = await ran(script, line);
  if (code !== 0) throw new Error(`${script} ${line}: ${err}`);
  return text;
}
const rows = (name: string, list: readonly object[]) => {
  mkdirSync(dirname(at(name)), { recursive: true });
  writeFileSync(at(name), list.map((row) => `${JSON.stringify(row)}\n`).join(""));
};
interface Table {
  readonly rows: readonly ({ readonly model: string; readonly role: string } & Readonly<
    Record<string, number | null>
  >)[];
}
const table = async (line: string): Promise<Table["rows"]> =>
  (JSON.parse(await run("evaluate", `benchmark ${line} --json -q`)) as Table).rows;

const SIZES = { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2 };

beforeAll(async () => {
  const config = { model_type: "llama", ...SIZES, vocab_size: 264, max_position_embeddings: 400 };
  writeFileSync(at("tiny.json"), JSON.stringify(config));
  mkdirSync(at("tofu"));
  const people = "--people 2 --forget-share 0.5 --form tofu";
  for (const [part, name] of [
    ["forget", "forget10_perturbed.json"],
    ["retain", "retain_perturbed.json"],
    ["holdout", "holdout10.json"],
  ])
    await run("data", `facts ${people} --part ${part} --size 4 -q -o tofu/${name}`);
  await run("data", `facts --form tofu --part world --size 3 -q -o tofu/world_facts_perturbed.json`);
  const train = "--init tiny.json --tokenizer byte --data tofu/retain_perturbed.json";
  const how = "--steps 8 --batch-size 4 --lr 1e-2 -q";
  await run("train", `${train} --data tofu/forget10_perturbed.json ${how} -o target/`);
  await run("train", `${train} ${how} -o gold/`);
});

describe("tofu", () => {
  test("rows have the columns of TOFU's files", () => {
    const [row] = readFileSync(at("tofu/forget10_perturbed.json"), "utf8").split("\n");
    const keys = Object.keys(JSON.parse(row!));
    for (const key of ["question", "answer", "paraphrased_question", "paraphrased_answer", "perturbed_answer"])
      expect(keys).toContain(key);
    expect(keys).not.toContain("prompt");
  });

  test("one command sets the model between target and gold, and gold's quality is 1 at distance 0", async () => {
    const [target, model, gold] = await table("gold --target target --gold gold --files tofu --max-tokens 4");
    expect([target!.role, model!.role, gold!.role]).toEqual(["target", "model", "gold"]);
    expect(gold!.forget_quality).toBe(1);
    expect(gold!.d).toBe(0);
    expect(gold!.n).toBe(4);
    expect(gold!.privleak).toBe(0);
    expect({ ...model!, role: "" }).toEqual({ ...gold!, role: "" } as never);
    expect(target!.em!).toBeGreaterThanOrEqual(0);
    for (const heading of ["utility", "truth_ratio", "es", "prob", "rouge_l", "privleak", "d"])
      expect(Number.isFinite(target![heading])).toBe(true);
    const told = await run(
      "evaluate",
      "benchmark --target target --gold gold --files tofu --max-tokens 4 -q -o table.txt --json",
    );
    expect(JSON.parse(told).file).toBe("table.txt");
    const text = readFileSync(at("table.txt"), "utf8");
    expect(text.split("\n").map((line) => line.split("  ")[0])).toEqual(["", "target (target)", "gold (gold)", ""]);
  });

  test("gold's log stands in for the model, as open-unlearning writes it", async () => {
    const own = await table("gold --target target --gold gold --files tofu --max-tokens 4");
    // The log says of every row what gold would have said of the target's rows, or all the same.
    const value_by_index = Object.fromEntries([0.5, 0.7, 1.2, 2].map((score, i) => [i, { score }]));
    const log = {
      forget_truth_ratio: { agg_value: 0.61, value_by_index },
      mia_min_k: { agg_value: 0.5 },
      model_utility: { agg_value: 0.6 },
    };
    writeFileSync(at("TOFU_EVAL.json"), JSON.stringify(log));
    const [target, last] = await table("--target target --gold-log TOFU_EVAL.json --files tofu --max-tokens 4");
    expect(last).toEqual({
      model: "TOFU_EVAL.json",
      role: "gold",
      ...{ forget_quality: 1, d: 0, n: 4, utility: 0.6, truth_ratio: 0.61 },
      ...{ privleak: null, es: null, em: null, prob: null, rouge_l: null },
    } as never);
    expect(target!.em).toBe(own[0]!.em);
    expect(target!.d!).toBeWithin(0, 1.001);
    writeFileSync(at("odd.json"), "{}");
    const { err, code } = await ran("evaluate", "benchmark --target target --gold-log odd.json --files tofu -q");
    expect(code).toBe(2);
    expect(err).toContain("--gold-log odd.json has no truth ratios of rows");
  });

  test("without gold its columns stay empty, and it is said why", async () => {
    const { text, err } = await ran("evaluate", "benchmark target --files tofu --max-tokens 4 --json");
    const [row] = (JSON.parse(text) as Table).rows;
    expect(row!.forget_quality).toBeNull();
    expect(row!.privleak).not.toBeNull();
    expect(err).toContain("forget-quality is left out");
  });

  test("what is kept is read again only where weights, rows and settings are the same", async () => {
    const line = "--target target --gold gold --files tofu --max-tokens 4 --cache kept";
    const first = await table(line);
    const files = readdirSync(at("kept")).sort();
    expect(files).toHaveLength(2);
    // A mark in a file that is kept tells whether it is read.
    const [file] = files;
    const text = readFileSync(at(`kept/${file}`), "utf8");
    const marked = text.replace(/("metric":"exact-memorisation","group":"forget","value":)[^}]*/, "$10.123");
    writeFileSync(at(`kept/${file}`), marked);
    const second = await table(line);
    expect(second.map(({ em }) => em)).toContain(0.123);
    // The same bytes under another time are the same; other rows, and other weights, are not.
    utimesSync(at("tofu/forget10_perturbed.json"), new Date(), new Date());
    expect(await table(line)).toEqual(second);
    expect((await table(line.replace("tokens 4", "tokens 3"))).map(({ em }) => em)).not.toContain(0.123);
    const rowsBefore = readFileSync(at("tofu/forget10_perturbed.json"), "utf8");
    writeFileSync(
      at("tofu/forget10_perturbed.json"),
      rowsBefore.replace('"answer": "', '"answer": "X').replace('"answer":"', '"answer":"X'),
    );
    expect((await table(line)).map(({ em }) => em)).not.toContain(0.123);
    writeFileSync(at("tofu/forget10_perturbed.json"), rowsBefore);
    writeFileSync(at(`kept/${file}`), marked.slice(0, 20)); // cut short: measured again
    expect(await table(line)).toEqual(first);
  });
});

describe("other benchmarks", () => {
  test("muse: verbatim, knowledge behind its examples, and privleak", async () => {
    rows("muse/verbmem/forget.jsonl", [{ prompt: "one two", gt: "three four" }]);
    rows("muse/knowmem/forget_qa.jsonl", [{ question: "who?", answer: "Ada" }]);
    rows("muse/knowmem/forget_qa_icl.jsonl", [{ question: "what?", answer: "a cat" }]);
    rows("muse/knowmem/retain_qa.jsonl", [{ question: "where?", answer: "here" }]);
    for (const name of ["forget", "holdout"])
      rows(`muse/privleak/${name}.jsonl`, [{ text: `${name} text one` }, { text: `two of ${name}` }]);
    const [row] = await table("target --suite muse --files muse --max-tokens 4");
    expect(Object.keys(row!).slice(2)).toEqual(["verbatim_forget", "knowledge_forget", "knowledge_retain", "privleak"]);
    for (const value of Object.values(row!).slice(2)) expect(Number.isFinite(value)).toBe(true);
  });

  test("wmdp: letters are chosen from", async () => {
    rows("wmdp/wmdp-bio/test.jsonl", [
      { question: "what is blue?", choices: ["sky", "grass"], answer: 0 },
      { question: "what is green?", choices: ["sky", "grass"], answer: 1 },
    ]);
    const [row] = await table("target --suite wmdp --files wmdp");
    expect([0, 0.5, 1]).toContain(row!.bio!);
    expect(row!.cyber).toBeNull();
  });

  test("rwku: three levels and neighbours in its own words", async () => {
    const query = { query: "Ada was born in ___.", answer: "London", level: "1", type: "cloze", subject: "Ada" };
    for (const name of ["forget_level1", "forget_level2", "neighbor_level1"]) rows(`rwku/${name}.jsonl`, [query]);
    for (const name of ["forget", "retain"]) rows(`rwku/mia_${name}.jsonl`, [{ text: `${name} of Ada` }]);
    const [row] = await table("target --suite rwku --files rwku --max-tokens 4");
    expect(row!.forget_1).not.toBeNull();
    expect(row!.forget_3).toBeNull();
    expect(row!.loss_forget!).toBeGreaterThan(0);
  });

  test("rwku: prompts of level 3 keep what misleads", async () => {
    const [pass] = await rwku.passes({ split: undefined, read: async () => undefined });
    const { asked } = pass!.groups.find(({ name }) => name === "forget-3")!;
    const row = (type: string) => ({ form: "completion" as const, prompt: "who?", completion: "Ada", extra: { type } });
    const prompt = (type: string) => asText(asked!.turn(row(type))).question;
    const words = "Please briefly answer the following question.\n";
    expect(prompt("affirmative suffix")).toBe(`${words}Question: who?`);
    expect(prompt("incontext learning")).toBe(`${words}who?\nAnswer:`);
    expect(prompt("role play")).toBe(`${words}Question: who?\nAnswer:`);
  });

  test("a folder without the files is refused by the names that are looked for", async () => {
    mkdirSync(at("none"));
    const { err, code } = await ran("evaluate", "benchmark target --suite wmdp --files none -q");
    expect(code).toBe(2);
    expect(err).toContain("--files none has none of the files of WMDP");
    expect((await ran("evaluate", "benchmark target --files none -q")).err).toContain(
      "has no forget10_perturbed.jsonl",
    );
  });
});
