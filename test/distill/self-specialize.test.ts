/**
 * Self-specialization: what is kept of what a model writes, texts that are found, and rows that say where they are
 * from.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bm25 } from "../../src/data/bm25.ts";
import {
  answerPrompt,
  instructionPrompt,
  judgeAnswer,
  judgeInstruction,
  rowPrompt,
} from "../../src/distill/specializing/prompts.ts";
import { runScript } from "../support/command.ts";

const FORM = { ask: "Q: ", reply: "\nA: ", end: "\n\n", given: "T: " };
const SEEDS = [
  { instruction: "name a cat", answer: "tom", place: "s:1" },
  { instruction: "name a dog", answer: "rex", place: "s:2" },
];

describe("BM25", () => {
  const texts = ["the cat sat", "a dog ran", "the cat and the dog", "nothing here"];
  const index = new Bm25(texts);

  test("is the formula, word by word", () => {
    const lengths = [3, 3, 5, 2];
    const mean = lengths.reduce((a, b) => a + b) / 4;
    const score = (f: number, holders: number, length: number) =>
      (Math.log(1 + (4 - holders + 0.5) / (holders + 0.5)) * f * 2.5) / (f + 1.5 * (0.25 + (0.75 * length) / mean));
    const found = index.scores("The cat, the CAT");
    expect(found.get(0)!).toBeCloseTo(score(1, 2, 3) + score(1, 2, 3), 12);
    expect(found.get(2)!).toBeCloseTo(score(2, 2, 5) + score(1, 2, 5), 12);
    expect([...found.keys()].toSorted()).toEqual([0, 2]);
  });

  test("gives the best first, and no text without a word of the query", () => {
    expect(index.best("dog", 3)).toEqual([1, 2]);
    expect(index.best("dog cat", 1)).toEqual([2]);
    expect(index.best("zebra", 3)).toEqual([]);
    expect(new Bm25([]).best("dog", 3)).toEqual([]);
  });
});

test("prompts show seeds, then texts, then the instruction", () => {
  expect(instructionPrompt(SEEDS, FORM)).toBe("Q: name a cat\nA: tom\n\nQ: name a dog\nA: rex\n\nQ: ");
  const asked = rowPrompt("name a fish", ["fish swim"], FORM);
  expect(asked).toBe("T: fish swim\n\nQ: name a fish\nA: ");
  expect(answerPrompt(SEEDS.slice(1), asked, FORM)).toBe(`Q: name a dog\nA: rex\n\n${asked}`);
});

test("instructions are new, whole, and nothing but instructions", () => {
  const pool = SEEDS.map(({ instruction }) => instruction);
  const judge = (written: string) => judgeInstruction(written, pool, FORM, 0.7);
  expect(judge(" spell the word fish\nA: f")).toEqual({ text: "spell the word fish" });
  expect(judge("spell the word fish\n\n")).toEqual({ text: "spell the word fish" });
  expect(judge("spell the word fish")).toEqual({ fault: "unfinished" });
  expect(judge(" ...\nA: x")).toEqual({ fault: "empty" });
  expect(judge("spell Q: it\nA: x")).toEqual({ fault: "shape" });
  expect(judge("name a cat\nA: x")).toEqual({ fault: "alike" });
  expect(judge("name a cow\nA: x")).toEqual({ text: "name a cow" }); // F1 of 2/3
  expect(judge("name a big cat\nA: x")).toEqual({ fault: "alike" }); // F1 of 6/7
});

test("answers are neither empty nor copies", () => {
  const judge = (written: string) => judgeAnswer(written, "name a fish", ["fish swim"], FORM);
  expect(judge("nemo\n\nQ: more")).toEqual({ text: "nemo" });
  expect(judge("nemo")).toEqual({ fault: "unfinished" });
  expect(judge(" \n\n")).toEqual({ fault: "empty" });
  expect(judge("fish swim\n\n")).toEqual({ fault: "copied" });
  expect(judge("name a fish\n\n")).toEqual({ fault: "copied" });
});

interface Row {
  readonly prompt: string;
  readonly completion: string;
  readonly asked: string;
  readonly seeds: readonly string[];
  readonly passages: readonly string[];
}

describe("the command", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-specialize-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const run = (script: string, line: readonly string[]) => runScript(script, line, folder);
  const write = (name: string, rows: readonly object[]) =>
    writeFileSync(join(folder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const form = ["--ask", "Q", "--reply", "A", "--end", "\n", "--given", "T"];
  const specialize = (...more: string[]) =>
    run("distill", [
      ...["self-specialize", "model", "--seeds", "seeds.jsonl", "--size", "6", "--batch-size", "8", "--shown", "2"],
      ...["--attempts", "64", "--instruction-tokens", "6", "--answer-tokens", "6", "--most-alike", "1"],
      ...form,
      ...more,
    ]);

  beforeAll(async () => {
    const config = {
      ...{ model_type: "llama", hidden_size: 32, intermediate_size: 48, num_hidden_layers: 1, num_attention_heads: 2 },
      ...{ num_key_value_heads: 2, vocab_size: 264, max_position_embeddings: 96, initializer_range: 0.1 },
    };
    writeFileSync(join(folder, "model.json"), JSON.stringify(config));
    const letters = ["ab", "ac", "bc", "ca", "da", "bd"];
    write(
      "seeds.jsonl",
      letters.slice(0, 3).map((prompt) => ({ prompt, completion: prompt.toUpperCase() })),
    );
    write("corpus.jsonl", [{ text: "ab cd" }, { text: "da bd" }]);
    const lines = letters.map((word) => `Q${word}A${word.toUpperCase()}\n`);
    write(
      "texts.jsonl",
      Array.from({ length: 24 }, (_, i) => ({
        text: [0, 1, 2].map((k) => lines[(5 * i + 7 * k + (i % 3) * k) % 6]).join(""),
      })),
    );
    const made = await run("train", [
      ...["--init", "model.json", "--tokenizer", "byte", "--data", "texts.jsonl", "--steps", "60", "--lr", "0.02"],
      ...["--batch-size", "8", "-o", "model"],
    ]);
    if (made.code !== 0) throw new Error(made.err);
  });

  test("writes rows that train reads, each with the seeds and texts that it is made from", async () => {
    const { code, err } = await specialize("--corpus", "corpus.jsonl", "-o", "rows.jsonl");
    expect([code, err]).toEqual([0, err]);
    const rows = readFileSync(join(folder, "rows.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Row);
    expect(rows.length).toBeGreaterThan(0);
    const instructions = new Set(rows.map(({ asked }) => asked));
    expect(instructions.size).toBe(rows.length);
    for (const row of rows) {
      expect(row.prompt).toBe(`Q${row.asked}A`);
      expect(row.completion.length).toBeGreaterThan(0);
      expect(["ab", "ac", "bc"]).not.toContain(row.asked);
      expect(row.seeds.length).toBe(2);
      for (const place of row.seeds) expect(place).toMatch(/^seeds\.jsonl:[123]$/);
      for (const place of row.passages) expect(place).toMatch(/^corpus\.jsonl:[12]$/);
    }
    const trained = await run("train", ["model", "--data", "rows.jsonl", "--lora", "--steps", "1", "-o", "adapter"]);
    expect([trained.code, trained.err]).toEqual([0, trained.err]);
  });

  test("with no texts asks the model alone, and says the same again", async () => {
    await specialize("--passages", "0", "-o", "alone.jsonl");
    const bytes = readFileSync(join(folder, "alone.jsonl"));
    expect(bytes.toString()).not.toContain("corpus.jsonl");
    await specialize("--passages", "0", "--corpus", "corpus.jsonl", "-o", "again.jsonl");
    expect(readFileSync(join(folder, "again.jsonl"))).toEqual(bytes);
  });

  test.each([
    [["--end", ""], "--reply and --end are what ends"],
    [["--seeds", "texts.jsonl"], "a seed is an instruction with its answer"],
  ])("refuses %p", async (more, said) => {
    const argv =
      more[0] === "--seeds"
        ? ["self-specialize", "model", ...more]
        : ["self-specialize", "model", "--seeds", "seeds.jsonl", ...more];
    const { code, err } = await run("distill", [...argv, "-o", "none.jsonl"]);
    expect([code, err]).toEqual([2, expect.stringContaining(said)]);
    expect(existsSync(join(folder, "none.jsonl"))).toBe(false);
  });
});
