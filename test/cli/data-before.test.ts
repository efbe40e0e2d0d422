/** `data demos` and `data metadata`: what stands before a prompt or a document. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { byteTokenizer } from "../../src/data/byte-tokenizer.ts";
import { loadSequences } from "../../src/data/dataset.ts";
import { rowsBehind } from "../../src/data/demonstrations/shown.ts";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

type Row = Readonly<Record<string, string>>;
let folder = "";
const SUMS = ["red one", "red two", "blue two", "red one"].map((prompt, i) => ({
  prompt,
  completion: ` ${i}`,
  id: `${i}`,
}));
const TEXTS = Array.from({ length: 60 }, (_, i) => ({ text: `document ${i}`, url: `https://site${i % 3}.org/${i}` }));
const jsonl = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-before-"));
  writeFileSync(join(folder, "sums.jsonl"), jsonl(SUMS));
  writeFileSync(
    join(folder, "bank.jsonl"),
    jsonl([
      { prompt: "blue", completion: "!" },
      { prompt: "two", completion: "?" },
    ]),
  );
  writeFileSync(join(folder, "texts.jsonl"), jsonl(TEXTS));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function rowsOf(line: string): Promise<Row[]> {
  const { code, text, err } = await runScript("data", [...line.split(" "), "-q"], folder);
  expect([line, code, err]).toEqual([line, 0, ""]);
  return text
    .trimEnd()
    .split("\n")
    .map((row) => JSON.parse(row));
}

test("demonstrations share words with the prompt, the best last, and none asks the same", async () => {
  const shown = await rowsOf("demos sums.jsonl --demo-count 2 --separator ;");
  expect(shown.map(({ prompt }) => prompt)).toEqual([
    "red two 1;red one",
    expect.stringMatching(/^(blue two 2;red one 0|red one 0;blue two 2);red two$/),
    "red two 1;blue two",
    "red two 1;red one",
  ]);
  expect(shown.map(({ prompt, ...others }) => others)).toEqual(SUMS.map(({ prompt, ...others }) => others));
  const banked = await rowsOf("demos sums.jsonl --bank bank.jsonl --demo-count 1 --separator ;");
  expect(banked.map(({ prompt }) => prompt)).toEqual([
    "red one",
    "two?;red two",
    expect.stringMatching(/^(two\?|blue!);blue two$/),
    "red one",
  ]);
});

/** A decoder that reads bytes, which has learnt next to nothing. */
async function byteModel(): Promise<void> {
  writeFileSync(join(folder, "byte.json"), JSON.stringify({ ...TINY_TEXT.llama!, vocab_size: 264 }));
  await train("--init byte.json --tokenizer byte --data sums.jsonl --steps 1 -o bytes/");
}

async function train(line: string): Promise<void> {
  const { code, err } = await runScript("train", [...line.split(" "), "--batch-size", "2", "-q"], folder);
  expect([line, code, err]).toEqual([line, 0, ""]);
}

test("a model tells which prompts are alike, and train shows what data demos would", async () => {
  await byteModel();
  const bank = ["zzzzzz QQQQQ 99999", "blue twe", "((((((())))"].map((prompt) => ({ prompt, completion: "!" }));
  writeFileSync(join(folder, "odd.jsonl"), jsonl(bank));
  const by = (flag: string) => `${flag}retriever bytes/`;
  const alike = await rowsOf(`demos sums.jsonl --bank odd.jsonl --demo-count 1 ${by("--")} --separator ;`);
  expect(alike[2]!.prompt).toBe("blue twe!;blue two");
  const weights = async (name: string) => [...(await tensorsOf(join(folder, name))).values()].flatMap((x) => [...x]);
  for (const [how, given] of [
    ["--demo-count 2 --separator ;", "--demo-count 2 --demo-separator ;"],
    [`--bank odd.jsonl ${by("--")} --separator ;`, `--demo-count 4 ${by("--demo-")} --demo-separator ;`],
  ]) {
    const own = how!.includes("--bank") ? "odd.jsonl" : "sums.jsonl";
    writeFileSync(join(folder, "shown.jsonl"), jsonl(await rowsOf(`demos sums.jsonl ${how}`)));
    await train(`bytes/ --data shown.jsonl --steps 2 --overwrite -o from-shown/`);
    await train(`bytes/ --data sums.jsonl --demos ${own} ${given} --steps 2 --overwrite -o from-demos/`);
    expect(await weights("from-demos")).toEqual(await weights("from-shown"));
  }
  await train("bytes/ --data sums.jsonl --steps 2 --overwrite -o from-shown/");
  await train("bytes/ --data sums.jsonl --demos odd.jsonl --demo-count 0 --steps 2 --overwrite -o from-demos/");
  expect(await weights("from-demos")).toEqual(await weights("from-shown"));
});

test("where demonstrations do not fit, the farthest are left out", async () => {
  const bank = ["aa", "bb", "cc"].map((prompt) => ({ row: {}, prompt, completion: "!" }));
  const settings = { bank, retrieve: () => [0, 1, 2], count: 3, separator: ";" };
  const row = { row: { form: "completion", prompt: "dd", completion: "??", extra: {} }, place: "x" } as const;
  const forms = await rowsBehind(row, settings);
  const prompts = forms.map(({ row }) => (row.form === "completion" ? row.prompt : ""));
  expect(prompts).toEqual(["cc!;bb!;aa!;dd", "bb!;aa!;dd", "aa!;dd", "dd"]);
  writeFileSync(join(folder, "dd.jsonl"), jsonl([{ prompt: "dd", completion: "??" }]));
  const group = { name: "x", path: join(folder, "dd.jsonl") };
  const lengthUnder = async (maxLength: number) => {
    const encode = { tokenizer: byteTokenizer(), maxLength, eos: false };
    const { sequences } = await loadSequences([group], { ...encode, shown: (one) => rowsBehind(one, settings) });
    return sequences[0]!.ids.length;
  };
  const [whole, fewer] = [await lengthUnder(99), await lengthUnder(13)];
  expect(whole - fewer).toBe(4); // "cc!;"
  expect(fewer - (await lengthUnder(9))).toBe(4);
});

test("no demonstrations leave the rows alone; random ones follow the seed", async () => {
  expect(await rowsOf("demos sums.jsonl --demo-count 0")).toEqual(SUMS);
  const any = await rowsOf("demos sums.jsonl --demo-count 1 --retriever random --separator ;");
  expect(any.every(({ prompt }) => /^[a-z ]+ \d;[a-z ]+$/.test(prompt!))).toBe(true);
  expect(await rowsOf("demos sums.jsonl --demo-count 1 --retriever random --separator ;")).toEqual(any);
});

test("metadata are a prompt, and the parts share no row", async () => {
  const all = await rowsOf("metadata texts.jsonl --field url --written-as host --layout <{v}>");
  expect(all[4]).toEqual({ url: TEXTS[4]!.url, prompt: "<site1.org>", completion: "document 4" });
  const given = "metadata texts.jsonl --field url --cooldown 0.3 --part";
  const [marked, plain] = [await rowsOf(`${given} marked`), await rowsOf(`${given} plain`)];
  expect(plain.every((row) => "text" in row)).toBe(true);
  expect([...marked.map(({ completion }) => completion!), ...plain.map(({ text }) => text!)].sort()).toEqual(
    TEXTS.map(({ text }) => text).sort(),
  );
  expect(plain.length).toBeGreaterThan(8);
  expect(plain.length).toBeLessThan(28);
  const ids = await rowsOf("metadata texts.jsonl --field url --written-as id --layout {v}");
  expect(ids.every(({ prompt }) => /^[0-9a-f]{8}$/.test(prompt!))).toBe(true);
  expect(new Set(ids.map(({ prompt }) => prompt)).size).toBe(60);
  const same = await rowsOf("metadata sums.jsonl --constant here --layout {v}:");
  expect(same[0]).toEqual({ prompt: "here:red one", completion: " 0", id: "0" });
});

test.each([
  ["metadata texts.jsonl", "metadata come from --field or from --constant"],
  ["metadata texts.jsonl --field nothing", "texts.jsonl:1: nothing should be a text"],
  ["metadata texts.jsonl --field url --layout x", "--layout x has no {v}"],
  ["metadata texts.jsonl --field text --written-as host", "document 0 is no address"],
  ["demos texts.jsonl", "texts.jsonl:1: prompt should be a string"],
  ["demos sums.jsonl --retriever chooser/", "--retriever chooser/ is no language model with a tokenizer"],
])("refuses %s", async (line, message) => {
  const chooser = { model_type: "mlp", input_size: 2, hidden_sizes: [], num_labels: 2 };
  writeFileSync(join(folder, "chooser.json"), JSON.stringify(chooser));
  writeFileSync(join(folder, "points.jsonl"), jsonl([{ x: [1, 2], label: 0 }]));
  if (line.includes("chooser")) await train("--init chooser.json --data points.jsonl --steps 1 -o chooser/");
  const { code, err } = await runScript("data", line.split(" "), folder);
  expect([code, err.includes(message) || err]).toEqual([2, true]);
});

test.each([
  [
    "--init chooser.json --data points.jsonl --demos bank.jsonl",
    "--demos stand before the prompts of a language model",
  ],
  ["--init byte.json --tokenizer byte --data texts.jsonl --demos bank.jsonl", "this row has none"],
  ["--init byte.json --tokenizer byte --data sums.jsonl --demos texts.jsonl", "prompt should be a string"],
])("train refuses %s", async (line, message) => {
  const { code, err } = await runScript("train", [...line.split(" "), "--steps", "1", "-o", "no/"], folder);
  expect([code, err.includes(message) || err]).toEqual([2, true]);
});
