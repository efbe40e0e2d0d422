/** Task files on a model whose probabilities are known: every number below is worked by hand. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { writeBigrams } from "./bigrams.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-tasks-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
const rows = (name: string, ...list: object[]) => write(name, list.map((row) => `${JSON.stringify(row)}\n`).join(""));
const evaluate = (...argv: string[]) => runScript("evaluate", ["model", ...argv, "--bootstrap", "0", "-q"], folder);

/** The numbers of a task by metric. */
async function measure(...argv: string[]): Promise<Record<string, number>> {
  const { text, err, code } = await evaluate(...argv, "--json");
  expect(err).toBe("");
  expect(code).toBe(0);
  const { rows: found } = JSON.parse(text) as { rows: { metric: string; value: number }[] };
  return Object.fromEntries(found.map(({ metric, value }) => [metric, value]));
}

beforeAll(() => {
  writeBigrams(join(folder, "model"), { " a": 5, " b": 3, bb: 100, "#4": 50, "42": 50, "2\n": 50, "\nb": 50 });
});

test("multiple choice: acc by sums, acc_norm by sums over characters", async () => {
  // After "=" all 264 bytes are equally likely; after " " an a has 5 of 270, a b 3; after "b" a b has 100 of 363.
  // " a": ln(1/264) + ln(5/270) = -9.565. " bb": ln(1/264) + ln(3/270) + ln(100/363) = -11.365.
  // So a is chosen; by characters a has -9.565 and bb -11.365 / 2 = -5.683, so bb is chosen.
  rows("choices.jsonl", { q: "1", label: 0 }, { q: "2", label: 0 }, { q: "3", label: 1 });
  write(
    "choice.yml",
    `task: small
dataset_path: json
dataset_kwargs: {data_files: {test: choices.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{q}}="
doc_to_choice: "['a', 'bb']"
doc_to_target: label
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
metadata: {version: 1.0}
`,
  );
  const found = await measure("--task", "choice.yml");
  expect(found.acc).toBeCloseTo(2 / 3, 12);
  expect(found.acc_norm).toBeCloseTo(1 / 3, 12);
}, 120_000);

test("log-likelihood: perplexity of whole targets, and acc where every token is the likeliest", async () => {
  // "b" after "b": 100 of 363, the likeliest. " a" after "=": 1/264 times 5/270, and a space is not the likeliest.
  rows("pairs.jsonl", { start: "b", end: "b" }, { start: "=", end: " a" });
  write(
    "pairs.yml",
    `output_type: loglikelihood
validation_split: train
dataset_path: json
dataset_kwargs: {data_files: pairs.jsonl}
doc_to_text: start
doc_to_target: "{{end}}"
`,
  );
  const found = await measure("--task", "pairs.yml");
  const logs = [Math.log(100 / 363), Math.log((1 / 264) * (5 / 270))];
  expect(found.perplexity).toBeCloseTo(Math.exp(-(logs[0]! + logs[1]!) / 2), 3);
  expect(found.acc).toBe(0.5);
}, 120_000);

test("rolling log-likelihood: whole texts by words and bytes, in windows of any length", async () => {
  // The token that begins a text is followed by any of 264 bytes. "bb a": 1/264, then b after b 100/363, a space after
  // b 1/363, a after a space 5/270. "aé": three bytes of 1/264 each. Together 3 words and 7 bytes.
  rows("texts.jsonl", { page: "bb a" }, { page: "aé" });
  write(
    "texts.yml",
    `output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{page}}"
metric_list:
  - {metric: word_perplexity, aggregation: weighted_perplexity}
  - {metric: byte_perplexity, aggregation: weighted_perplexity}
  - {metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}
`,
  );
  const loss = -4 * Math.log(1 / 264) - Math.log(100 / 363) - Math.log(1 / 363) - Math.log(5 / 270);
  for (const more of [[], ["--max-length", "4"], ["--max-length", "3"], ["--max-length", "2"]]) {
    const found = await measure("--task", "texts.yml", "--data", "texts.jsonl", ...more);
    expect(found.word_perplexity! / Math.exp(loss / 3)).toBeCloseTo(1, 4);
    expect(found.byte_perplexity! / Math.exp(loss / 7)).toBeCloseTo(1, 5);
    expect(found.bits_per_byte).toBeCloseTo(loss / 7 / Math.LN2, 5);
  }
}, 120_000);

test("several inputs: the target behind each of them, the right one by its place", async () => {
  // Behind "b" a b has 100 of 363: -1.289. Behind "=" it has 1 of 264: -5.576. So b is chosen; over the inputs' nine
  // and one characters these are -0.620 and -1.289, so the long one is.
  const inputs = ["xxxxxxxx=", "b"];
  rows("inputs.jsonl", ...[2, 1, 2].map((answer) => ({ inputs, answer, end: "b" })));
  const fields = 'doc_to_text: "{{answer - 1}}"\ndoc_to_choice: inputs\ndoc_to_target: end\ntarget_delimiter: ""\n';
  write("inputs.yml", `test_split: test\noutput_type: multiple_choice\n${fields}`);
  const found = await measure("--task", "inputs.yml", "--data", "inputs.jsonl");
  expect(found.acc).toBeCloseTo(2 / 3, 12);
  expect(found.acc_norm).toBeCloseTo(1 / 3, 12);
  write("inputs.yml", `test_split: test\noutput_type: multiple_choice\n${fields.replace("end", "answer")}`);
  const { err, code } = await evaluate("--task", "inputs.yml", "--data", "inputs.jsonl");
  expect(err).toContain(
    "inputs.jsonl:1: doc_to_target should give the text behind each input\n  hint: doc_to_text gives",
  );
  expect(code).toBe(2);
  rows("mixed.jsonl", { inputs, q: 1, end: "b" }, { inputs, q: "b", end: "b" });
  write("mixed.yml", `test_split: test\noutput_type: multiple_choice\n${fields.replace('"{{answer - 1}}"', "q")}`);
  const mixed = await evaluate("--task", "mixed.yml", "--data", "mixed.jsonl");
  expect(mixed.err).toContain("mixed.jsonl:2: doc_to_text gives a text here, and a place among the choices in other");
}, 120_000);

test("generation: greedy until a text, then filters and exact match, with rows of --data", async () => {
  // After "#" come 4, 2 and a line end: the answer is "42", its first digit "4".
  rows("asked.jsonl", { q: "one", a: "42" }, { q: "two", a: "4" }, { q: "three", a: "4 2" });
  write(
    "generate.yml",
    `output_type: generate_until
test_split: test
doc_to_text: "{{q}} #"
doc_to_target: "{{a}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 6, do_sample: false, temperature: 0.0}
metric_list:
  - {metric: exact_match, regexes_to_ignore: [" "], ignore_case: true, ignore_punctuation: true}
filter_list:
  - name: whole
    filter: [{function: take_first}]
  - name: digit
    filter: [{function: regex, regex_pattern: "([0-9])"}, {function: take_first}]
`,
  );
  const found = await measure("--task", "generate.yml", "--data", "test=asked.jsonl");
  expect(found["exact_match,whole"]).toBeCloseTo(2 / 3, 12);
  expect(found["exact_match,digit"]).toBeCloseTo(1 / 3, 12);
}, 120_000);

test.each([
  ["doc_to_text: !function utils.f\n", 'odd.yml:7: "!function" is code of Python, which is not run'],
  ["process_docs: x\n", "process_docs is a key that is not read here"],
  ["num_fewshots: 3\n", "num_fewshots is a key that is not read here\n  hint: did you mean num_fewshot?"],
  ["fewshot_config: {sampler: random}\n", 'fewshot_config: the sampler "random" is not here\n  hint: first_n takes'],
  ["fewshot_config: {sampler: default}\n", 'the sampler "default" is not here'],
  ["fewshot_config: {samples: []}\n", "fewshot_config: expected {sampler: first_n}"],
  [
    "output_type: loglikelihood_roling\n",
    "output_type: expected one of multiple_choice, loglikelihood, loglikelihood_rolling",
  ],
  ["num_fewshot: 3\n", "num_fewshot needs fewshot_config: {sampler: first_n}"],
  ["metric_list: [{metric: bleu}]\n", "metric_list: expected one of exact_match for generate_until"],
  ['doc_to_text: "{{qq}}"\n', "odd.yml: doc_to_text names qq, and the rows have no such column"],
  ['doc_to_text: "{% for i in range(1000000000) %}x{% endfor %}"\n', "odd.yml: its templates take"],
  ["generation_kwargs: {do_sample: true}\n", "generation_kwargs: expected until, max_gen_toks, do_sample: false"],
])(
  "%j is refused",
  async (line, message) => {
    rows("few.jsonl", { q: "a", a: "b" });
    const plain = [
      "dataset_path: json",
      "dataset_kwargs: {data_files: {test: few.jsonl}}",
      "test_split: test",
      "output_type: generate_until",
      "doc_to_target: a",
      "doc_to_text: q",
    ].filter((each) => !line.startsWith(each.split(":")[0]!));
    write("odd.yml", `# a task\n${plain.join("\n")}\n${line}`);
    const { err, code } = await evaluate("--task", "odd.yml");
    expect(err).toContain(message);
    expect(code).toBe(2);
  },
  30_000,
);

test("a pattern that backtracks for ever ends, and says so", async () => {
  rows("few.jsonl", { q: "b", a: "b" });
  const filter = '{name: x, filter: [{function: regex, regex_pattern: "(b+)+c"}]}';
  write(
    "slow.yml",
    `test_split: test\ndoc_to_text: q\ndoc_to_target: a\ngeneration_kwargs: {max_gen_toks: 60}\nfilter_list: [${filter}]\n`,
  );
  const { err, code } = await evaluate("--task", "slow.yml", "--data", "few.jsonl");
  // Where the engine gives up, or where the thread is ended: which comes first depends on the machine.
  expect(err).toMatch(
    /slow\.yml: (its patterns take longer than 3\.001 s|a pattern takes too long on the answer to row 1)/,
  );
  expect(code).toBe(2);
}, 120_000);

test("a task decides its metrics, and data is of a split that it reads", async () => {
  rows("few.jsonl", { q: "b", a: "b" });
  write("task.yml", "test_split: test\ndoc_to_text: q\ndoc_to_target: a\n");
  const both = await evaluate("--task", "task.yml", "--data", "few.jsonl", "--metric", "loss");
  expect(both.err).toContain("--metric cannot be combined with --task, whose file decides it");
  const other = await evaluate("--task", "task.yml", "--data", "test=few.jsonl", "--data", "dev=few.jsonl");
  expect(other.err).toContain("--data dev: the task reads test, and no split of that name");
  const none = await evaluate("--task", "task.yml");
  expect(none.err).toContain("task.yml: there are no files for the split test\n  hint: name them in dataset_kwargs");
  const room = await evaluate("--task", "task.yml", "--data", "few.jsonl");
  expect(room.err).toContain("max_gen_toks 256 leaves no room for a prompt in 128 positions");
  expect([both.code, other.code, none.code, room.code]).toEqual([2, 2, 2, 2]);
}, 120_000);

test("a target that is none of the choices counts as wrong, and is told", async () => {
  rows("lost.jsonl", { label: 0 }, { label: 7 });
  const fields = 'doc_to_text: "="\ndoc_to_target: label\ndoc_to_choice: [a, bb]\n';
  write("lost.yml", `test_split: test\noutput_type: multiple_choice\n${fields}`);
  const { text, err } = await evaluate("--task", "lost.yml", "--data", "lost.jsonl", "--json");
  expect(JSON.parse(text).acc).toBe(0.5);
  expect(err).toContain("rows whose target is none of their choices count as wrong: 1, the first is lost.jsonl:2");
}, 120_000);
