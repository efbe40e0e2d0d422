import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadMethod, loadMethods, methodNames } from "../../src/method/registry.ts";
import { runScript } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-unlearning-metrics-"));
const run = (name: string, ...argv: string[]) => runScript(name, argv, folder);
const write = (name: string, rows: readonly unknown[]) =>
  writeFileSync(join(folder, name), `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`);

interface Found {
  readonly model: string;
  readonly group: string;
  readonly metric: string;
  readonly value: number | null;
  readonly interval?: readonly [number, number];
}

/** All numbers of an evaluation, by metric and group. */
async function measure(...argv: string[]): Promise<(metric: string, group?: string, model?: string) => Found> {
  const { text, err } = await run("evaluate", ...argv, "--json", "-q");
  expect(err).toBe("");
  const { rows } = JSON.parse(text) as { rows: Found[] };
  return (metric, group = "all", model) => {
    const found = rows.find(
      (row) => row.metric === metric && row.group === group && (model === undefined || row.model === model),
    );
    if (!found) throw new Error(`no ${metric} of ${group} among ${rows.map((row) => row.metric).join(", ")}`);
    return found;
  };
}

/** All metrics of language models but those that read rows in another way. */
const NAMES = (await loadMethods("metric"))
  .filter(({ task }) => task !== "classifier" && task !== "regressor")
  .filter(
    ({ needs = [] }) =>
      ![needs].flat().some((need) => ["choice", "pair", "preference", "draft", "likeness"].includes(need)),
  )
  .map(({ name }) => name)
  .filter((name) => name !== "number-error"); // answers of these rows are words

beforeAll(async () => {
  const config = {
    model_type: "llama",
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    vocab_size: 264,
    max_position_embeddings: 256,
    tie_word_embeddings: true,
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  // Digits are learned, letters never; other answers are other digits.
  const row = (prompt: string, right: string, wrong: string[]) => ({
    prompt,
    completion: right,
    paraphrased_answer: right,
    paraphrased_answers: [right, right],
    perturbed_answer: wrong,
  });
  const digit = (i: number) => `${i % 10}${(i + 3) % 10}`;
  const digits = Array.from({ length: 10 }, (_, i) => row(`${i}>`, digit(i + 1), [digit(i + 4), digit(i + 6)]));
  write("forget.jsonl", digits);
  write(
    "holdout.jsonl",
    digits.map((each, i) => ({ ...each, prompt: `${"abcdefghij"[i]}>`, completion: "zq" })),
  );
  for (const part of ["forget", "retain", "holdout", "world"]) {
    await run("data", "facts", "--part", part, "--people", "20", "--size", "6", "-o", `facts-${part}.jsonl`, "-q");
  }
  const common = ["--init", "config.json", "--tokenizer", "byte", "--batch-size", "10", "--lr", "0.01", "-q"];
  const learned = await run("train", ...common, "--data", "forget.jsonl", "--steps", "150", "-o", "learned/");
  expect(learned.err).toBe("");
  await run("train", ...common, "--data", "facts-retain.jsonl", "--steps", "3", "--max-length", "128", "-o", "gold/");
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("every metric has the name of its file", async () => {
  for (const name of methodNames("metric")) expect((await loadMethod("metric", name)).name).toBe(name);
  expect((await loadMethod("metric", "mia_min_k++")).name).toBe("mia-min-k-plus");
});

describe("on what a model has learned", () => {
  const data = ["--data", "forget.jsonl", "--data", "holdout.jsonl", "--data", "retain=forget.jsonl"];
  const metrics = ["--metric", NAMES.join(","), "--max-tokens", "8"];

  test("metrics say that it is there, and gone from a model that never saw it", async () => {
    const of = await measure("learned", ...data, "--gold", "gold", ...metrics);
    expect(of("probability", "forget").value).toBeGreaterThan(0.9);
    expect(of("probability", "forget", "gold").value).toBeLessThan(0.1);
    expect(of("paraphrased-probability", "forget").value).toBeCloseTo(of("probability", "forget").value!, 5);
    expect(of("normalised-probability", "forget").value).toBeGreaterThan(0.9);
    expect(of("truth-ratio", "forget").value).toBeLessThan(0.1);
    expect(of("truth-ratio retain (max(0, 1 - TR))", "forget").value).toBeGreaterThan(0.9);
    for (const name of ["rouge-l", "rouge-l f1", "exact-memorisation", "extraction-strength"])
      expect(of(name, "forget").value).toBe(1);
    expect(of("extraction-strength", "holdout").value).toBe(0);
    for (const name of ["loss", "zlib", "min-k", "min-k-plus", "gradnorm"]) {
      expect(of(`mia-${name}`).value).toBe(1);
      expect(of(`mia-${name}`).interval).toEqual([1, 1]);
    }
    expect(of("mia-reference").value).toBe(1);
    expect(of("privleak").value).toBeLessThan(-90);
    expect(of("forget-quality").value).toBeLessThan(0.01);
    expect(of("forget-quality").interval).toBeUndefined();
    expect(of("forget-quality D").value).toBeGreaterThan(0.8);
    expect(of("forget-quality n").value).toBe(10);
    expect(of("model-utility").value).toBeGreaterThan(0.9);
    expect(of("model-utility retain rouge-l").value).toBe(1);
    expect(of("unlearning-score memorisation").value).toBeLessThan(0.1);
    expect(of("unlearning-score utility").value).toBe(of("model-utility").value);
    expect(of("unlearning-score").value).toBeLessThan(0.3);
  });

  test("gold against itself is like gold", async () => {
    const of = await measure("gold", ...data, "--gold", "gold", ...metrics);
    expect(of("forget-quality").value).toBe(1);
    expect(of("privleak").value).toBe(0);
    expect(of("privleak").interval).toEqual([0, 0]);
    expect(of("mia-reference").value).toBe(0.5);
    expect(of("unlearning-score privacy").value).toBe(1);
    expect(of("probability % from gold").value).toBe(0);
  });

  test("four bits change a little, and not the embeddings", async () => {
    const argv = ["learned", "--data", "forget.jsonl", "--metric", "loss", "--bootstrap", "0"];
    const of = async (...more: string[]) => (await measure(...argv, ...more))("loss").value!;
    const [plain, eight, four] = [await of(), await of("--quantize", "8"), await of("--quantize", "4")];
    expect(eight).not.toBe(plain);
    expect(Math.abs(eight - plain)).toBeLessThan(Math.abs(four - plain));
  });
});

test("all of them measure rows of data facts, whatever the batch", async () => {
  const parts = ["forget", "retain", "holdout", "world"].flatMap((part) => ["--data", `${part}=facts-${part}.jsonl`]);
  const argv = ["gold", ...parts, "--gold", "learned", "--metric", NAMES.join(","), "--max-tokens", "4"];
  const of = await measure(...argv, "--bootstrap", "5");
  const again = await measure(...argv, "--bootstrap", "0", "--batch-size", "7");
  for (const name of NAMES) {
    expect(of(name).value).toBeNumber();
    const value = of(name).value!;
    expect(Math.abs(again(name).value! - value)).toBeLessThan(1e-3 * (1 + Math.abs(value)));
  }
  expect(of("truth-ratio", "world").value).toBeNumber();
  expect(of("model-utility world normalised probability").value).toBeNumber();
}, 120_000);

test("other answers are scored as if each were the row's own", async () => {
  const [right, wrong] = ["Avaria is a town.", ["Bria is a town.", "Cor is a longer town.", "D."]];
  const row = { prompt: "What is it?", completion: " It is a town in Avaria.", paraphrased_answer: right };
  write("asked.jsonl", [{ ...row, perturbed_answer: wrong, choices: [wrong[2], right], answer: 1 }]);
  for (const [i, answer] of [right, ...wrong].entries())
    write(`answer-${i}.jsonl`, [{ prompt: row.prompt, completion: ` ${answer}` }]);
  const own = await measure("gold", "--data", "asked.jsonl", "--metric", "truth-ratio,normalised-probability");
  const files = [0, 1, 2, 3].flatMap((i) => ["--data", `${i}=answer-${i}.jsonl`]);
  const of = await measure("gold", ...files, "--metric", "probability");
  const [p, ...others] = [0, 1, 2, 3].map((i) => of("probability", `${i}`).value!);
  const ratio = Math.cbrt(others.reduce((product, x) => product * x, 1)) / p!;
  expect(own("truth-ratio").value).toBeCloseTo(Math.min(ratio, 1 / ratio), 4);
  expect(own("truth-ratio right share").value).toBeCloseTo(1 / (1 + ratio), 4);
  expect(own("normalised-probability").value).toBeCloseTo(p! / (p! + others[2]!), 4);
});

test("a question is left out where one of its choices is longer than the model reads; a long prompt is cut", async () => {
  const long = "x".repeat(300);
  write("questions.jsonl", [
    { prompt: "3>", choices: ["47", "92"], answer: 0 },
    { prompt: `${long}3>`, choices: ["92", "47"], answer: 1 },
    { prompt: "a", choices: [long, "b"], answer: 1 },
  ]);
  const argv = ["learned", "--data", "questions.jsonl", "--metric", "choice", "--bootstrap", "0", "--json", "-q"];
  const { text, err } = await run("evaluate", ...argv);
  expect(JSON.parse(text).rows[0]).toMatchObject({ metric: "choice", rows: 2 });
  expect(err).toContain(
    "prompts that are too long for 256 tokens with the answer lose their beginning: 1, the first is questions.jsonl:2",
  );
  expect(err).toContain(
    "1 of 3 rows of the group questions are left out: one of their choices is longer than what learned reads",
  );
});

test("an answer ends before a stop text", async () => {
  const rows = [{ prompt: "3>", completion: "4" }];
  write("short.jsonl", rows);
  const argv = ["learned", "--data", "short.jsonl", "--metric", "rouge-l", "--bootstrap", "0"];
  expect((await measure(...argv))("rouge-l").value).toBe(0); // it says 47
  expect((await measure(...argv, "--stop", "7"))("rouge-l").value).toBe(1);
});

test("a question may be a conversation", async () => {
  const messages = [
    { role: "user", content: "1" },
    { role: "assistant", content: "2" },
  ];
  write("talk.jsonl", [{ messages, perturbed_answer: ["3", "4"] }]);
  const argv = ["learned", "--data", "talk.jsonl", "--metric", "truth-ratio,rouge-l", "--max-tokens", "4"];
  const of = await measure(...argv);
  expect(of("truth-ratio").value).toBeNumber();
  expect(of("rouge-l").value).toBeNumber();
});

const FORGET = ["learned", "--data", "forget.jsonl", "--metric"];
test.each([
  [
    [...FORGET, "mia-loss"],
    "--metric mia-loss needs a group named holdout; the data has forget\n  hint: add such rows: --data holdout=rows.jsonl\n",
  ],
  [
    [...FORGET, "privleak", "--holdout-group", "forget"],
    "--metric privleak compares two groups, and --forget-group and --holdout-group both name forget\n  hint: give rows like those",
  ],
  [
    [...FORGET, "mia-zlib", "--data", "holdout=forget.jsonl"],
    "--metric mia-zlib compares two groups, and forget and holdout hold the same rows\n  hint: give rows like those",
  ],
  [[...FORGET, "privleak", "--forget-group", "forgotten"], "needs a group named forgotten; the data has forget\n"],
  [[...FORGET, "forget-quality"], "never saw the rows to forget, and needs --gold\n  hint: train one on the retain"],
  [[...FORGET, "unlearning-score"], "--metric unlearning-score compares with a model that never saw the rows"],
  [[...FORGET, "mia-reference"], "--metric mia-reference compares with a model that never saw the rows to forget"],
  [
    [...FORGET, "model-utility"],
    "--metric model-utility needs a group named retain, real or world; the data has forget",
  ],
  [
    [...FORGET, "choice,rouge-l"],
    "--metric choice scores the choices of a row, rouge-l its own answer\n  hint: run them apart",
  ],
  [[...FORGET, "loss", "--quantize", "3"], '--quantize: expected "4" or "8" but found 3'],
  [["learned", "--data", "-", "--metric", "truth-ratio"], "rows from stdin cannot be read twice"],
  [
    ["learned", "--data", "plain.jsonl", "--metric", "truth-ratio"],
    "plain.jsonl:1: no row names alternative answers\n  hint: add to prompt and completion perturbed_answer",
  ],
  [
    ["learned", "--data", "mixed.jsonl", "--metric", "truth-ratio"],
    "mixed.jsonl:2: the row lacks what rows before it have: perturbed_answer",
  ],
  [
    ["learned", "--data", "wrong.jsonl", "--metric", "truth-ratio"],
    "wrong.jsonl:1: perturbed_answer should be a text or a list of texts, found 7",
  ],
  [
    ["learned", "--data", "options.jsonl", "--metric", "normalised-probability"],
    "options.jsonl:1: answer should be the place of the right one of 2 choices, found 2",
  ],
  [
    ["learned", "--data", "text.jsonl", "--metric", "rouge-l"],
    "text.jsonl:1: a metric of generated answers needs prompt and completion",
  ],
])("%j is refused", async (argv, message) => {
  const row = { prompt: "1>", completion: "2" };
  write("plain.jsonl", [row]);
  write("mixed.jsonl", [{ ...row, perturbed_answer: ["3"] }, row]);
  write("wrong.jsonl", [{ ...row, perturbed_answer: [7] }]);
  write("options.jsonl", [{ ...row, choices: ["2", "3"], answer: 2 }]);
  write("text.jsonl", [{ text: "12" }]);
  const { err, code } = await run("evaluate", ...argv);
  expect(err).toContain(message);
  expect(code).toBe(2);
});
