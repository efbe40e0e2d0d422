import { expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { runShell } from "../support/command.ts";
import { lines, nextModel } from "./next-model.ts";

const { folder, at, run } = await nextModel("sample");

test("one prompt is streamed, several are told apart, rows are lines of JSON", async () => {
  expect((await run("sample", ["next", "3>", "-q"])).text).toBe("4\n");
  expect((await run("sample", ["next", "3>", "7>", "-q"])).text).toBe("3>4\n7>8\n");
  const { text } = await run("sample", ["next", "--prompts", "next.jsonl", "--json", "-q"]);
  const rows = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(rows.map(({ text }) => text)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"]);
  expect(rows[3]).toMatchObject({ prompt: "3>", sample: 0, tokens: 1, ids: [52] });
});

test("rows may hold a prompt alone, or messages with a system message before them", async () => {
  const messages = [{ role: "user", content: "3>" }];
  writeFileSync(at("prompts.jsonl"), lines([{ prompt: "3>" }, { prompt: "7>", id: 1 }]));
  writeFileSync(at("talk.jsonl"), lines([{ messages }]));
  expect((await run("sample", ["next", "--prompts", "prompts.jsonl", "-q"])).text).toBe("3>4\n7>8\n");
  const spoken = ["next", "--prompts", "talk.jsonl", "--system", "x", "-m", "1", "-q"];
  expect((await run("sample", spoken)).code).toBe(0);
});

test("a dry run says what would be answered", async () => {
  const argv = ["next", "--prompts", "next.jsonl", "--samples", "2", "-m", "9", "--dry-run", "-o", "answers"];
  const { text, code } = await run("sample", argv);
  expect(code).toBe(0);
  const plan = JSON.parse((await run("sample", [...argv, "--json"])).text);
  expect(plan).toMatchObject({ prompts: 10, samples: 2 });
  // Keys and values of 8 answers at once, in f32; the weights, and programs of a prompt and of one token beside them.
  const {
    num_hidden_layers: layers,
    num_key_value_heads: heads,
    head_dim,
    ...config
  } = JSON.parse(readFileSync(at("next/config.json"), "utf8"));
  const width = heads * (head_dim ?? config.hidden_size / config.num_attention_heads);
  expect(plan.cache % (8 * layers * 2 * width * 4)).toBe(0);
  expect(plan.gpu_memory).toBeGreaterThan(plan.cache + 75_100);
  expect(text).toMatch(
    /^model {7}next, 75\.1 kB of weights\nprompts {5}10, the longest of 2 tokens\nanswers {5}20 of at most 9 tokens\nGPU memory {2}[\d.]+ [kM]B, [\d.]+ [kM]B of it what is kept of tokens\nwrites {6}answers\n$/,
  );
  expect(existsSync(at("answers"))).toBe(false);
  expect((await run("sample", ["next", "--prompts", "cut.jsonl", "-n"])).code).toBe(2);
});

test("an effort stands behind every prompt, in tokens of its own", async () => {
  const asked = ["next", "3>", "7>", "-m", "1"];
  const { text } = await run("sample", [...asked, "--effort", "0.5", "--json", "-q"]);
  const rows = text.trimEnd().split("\n");
  expect(rows.map((line) => JSON.parse(line).prompt)).toEqual(["3>[effort 0.50]", "7>[effort 0.50]"]);
  const longest = async (argv: readonly string[]) =>
    JSON.parse((await run("sample", [...argv, "-n", "--json"])).text).longest_prompt;
  expect(await longest([...asked, "--effort", "1"])).toBe((await longest(asked)) + "[effort 1.00]".length);
});

test("a prompt may come through a pipe, and so may the model", async () => {
  expect((await runShell("printf '5>' | $SAMPLE next -q", folder)).text).toBe("6\n");
  expect((await runShell("$MERGE next --method passthrough -q | $SAMPLE - '5>' -q", folder)).text).toBe("6\n");
});

test("samples depend on the seed, not on the batch", async () => {
  const draw = async (...more: string[]) =>
    (await run("sample", ["next", "3>", "--samples", "6", "-t", "5", "-m", "5", "--json", "-q", ...more])).text;
  const one = await draw();
  expect(await draw("--batch-size", "2")).toBe(one);
  expect(await draw("--seed", "1")).not.toBe(one);
});

test("several answers stand apart, under their prompt", async () => {
  const { text } = await run("sample", ["next", "3>", "7>", "--samples", "2", "-q"]);
  expect(text).toBe(
    [
      "=== prompt 1 of 2\n3>\n--- answer 1 of 2\n4\n--- answer 2 of 2\n4\n",
      "=== prompt 2 of 2\n7>\n--- answer 1 of 2\n8\n--- answer 2 of 2\n8\n",
    ].join(""),
  );
  const { text: said } = await run("sample", ["next", "3>", "7>", "--chat", "-m", "1", "-q"]);
  expect(said).toMatch(/^=== prompt 1 of 2\n3>\n--- answer 1 of 1\n.*\n=== prompt 2 of 2\n7>\n/s);
}, 120_000);

test("an answer ends before a stop text", async () => {
  expect((await run("sample", ["next", "3>", "--stop", "4", "-q"])).text).toBe("\n");
});

test.each([
  [["golden", "hello"], "golden has no tokenizer.json\n  hint: give --tokenizer and a folder that has the model's"],
  [["next"], "no prompt\n"],
  [["next", "--prompts", "cut.jsonl"], "cut.jsonl:1: a prompt of 64 tokens leaves no room in the 64 positions of next"],
  [["next", "--prompts", "far.jsonl"], "far.jsonl:1: token 999 is outside the vocabulary of 264 of next"],
  [["next", "--prompts", "next.jsonl", "-o", "next.jsonl"], "--out: next.jsonl is read by this run\n"],
  [["next", "3>", "--stop", ""], "--stop is empty, so every answer would end before it begins"],
  [["next", "3>", "--system", "x"], "sample: --system has no effect without --chat"],
  [["next", "--prompts", "next.jsonl", "--system", "x"], "next.jsonl:1: --system has no effect without --chat"],
  [["next", "x".repeat(70)], "a prompt of 70 tokens leaves no room in the 64 positions of next"],
])("%j is refused", async (argv, message) => {
  writeFileSync(at("far.jsonl"), lines([{ input_ids: [999] }]));
  const { err, code } = await run("sample", argv);
  expect(err).toContain(message);
  expect(code).toBe(2);
});
