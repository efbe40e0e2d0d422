/** Attacks and probes through the script, on models of which one has forgotten what another never knew. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadMethods, methodNames } from "../../src/method/registry.ts";
import { runScript } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-techniques-"));
const run = (name: string, ...argv: string[]) => runScript(name, argv, folder);
const write = (name: string, rows: readonly unknown[]) =>
  writeFileSync(join(folder, name), `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`);
const DATA = ["--data", "forget.jsonl", "--data", "retain.jsonl", "-q"];

interface Row {
  readonly model: string;
  readonly group: string;
  readonly metric: string;
  readonly value: number;
  readonly values: readonly number[];
  readonly area: number;
  readonly r?: readonly number[];
  readonly before: number;
  readonly after: number;
  readonly q: number | null;
  readonly goal: number;
  readonly steps: number | null;
  readonly s: number;
  readonly bound?: string;
  readonly curve: readonly number[];
}
async function measure(...argv: string[]) {
  const { text, err } = await run("evaluate", ...argv, ...DATA, "--json");
  expect(err).toBe("");
  const { rows } = JSON.parse(text) as { rows: Row[] };
  return (model: string, metric: string, group?: string): Row => {
    const is = (row: Row) => row.model === model && row.metric === metric && (!group || row.group === group);
    const found = rows.find(is);
    if (!found) throw new Error(`no ${metric} of ${model} in ${text}`);
    return found;
  };
}

beforeAll(async () => {
  const config = {
    model_type: "llama",
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    vocab_size: 264,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  const digits = Array.from({ length: 10 }, (_, i) => ({
    prompt: `${i}>`,
    completion: `${(i + 1) % 10}${(i + 4) % 10}`,
    subject: `${i}`,
  }));
  const letter = (i: number) => String.fromCharCode(97 + (i % 20));
  const letters = Array.from({ length: 20 }, (_, i) => ({
    prompt: `${letter(i)}>`,
    completion: letter(i + 1) + letter(i + 4),
  }));
  write("forget.jsonl", digits);
  write("retain.jsonl", letters);
  write("both.jsonl", [...digits, ...letters]);
  const common = ["--init", "config.json", "--tokenizer", "byte", "--batch-size", "10", "--lr", "0.01", "-q"];
  for (const [name, data] of [
    ["original", "both.jsonl"],
    ["gold", "retain.jsonl"],
  ] as const) {
    const made = await run("train", ...common, "--data", data, "--steps", "200", "-o", `${name}/`);
    expect(made.err).toBe("");
  }
  const ascent = ["--method", "grad-ascent", "--forget", "forget.jsonl", "--batch-size", "10", "--steps", "6"];
  const made = await run("unlearn", "original", ...ascent, "--lr", "0.001", "-o", "ascent/", "-q");
  expect(made.err).toBe("");
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const RELEARN = ["--attack", "relearn", "--relearn-lr", "0.002", "--metric", "probability,loss"];
const METRICS = ["probability", "loss"];

test("relearning begins from the same weights at every budget; without rows it is an evaluation", async () => {
  const many = await measure("ascent", ...RELEARN, "--relearn-rows", "10,3,3,6");
  const one = await measure("ascent", ...RELEARN, "--relearn-rows", "10");
  const none = await measure("ascent", ...RELEARN, "--relearn-rows", "0");
  const plain = await measure("ascent", "--metric", "probability,loss", "--bootstrap", "0");
  for (const metric of METRICS) {
    for (const group of ["all", "forget", "retain"]) {
      const { values } = many("ascent", metric, group);
      expect(values).toHaveLength(4);
      expect(values[0]).toBe(plain("ascent", metric, group).value);
      expect(none("ascent", metric, group).values).toEqual([values[0]!]);
      expect(one("ascent", metric, group).values).toEqual([values[0]!, values[3]!]);
      expect(new Set(values).size).toBe(4);
    }
  }
  expect(one("ascent", "probability", "forget").area).toBeCloseTo(
    one("ascent", "probability", "forget").values.reduce((a, b) => a + b, 0) / 2,
    12,
  );
});

test("a model that only hides its rows regains more of them than one that never saw them learns", async () => {
  const argv = [...RELEARN, "--relearn-rows", "5,10", "--gold", "gold"];
  const of = await measure("ascent", "gold", ...argv);
  const [hidden, gold] = [of("ascent", "probability", "forget"), of("gold", "probability", "forget")];
  expect(hidden.values[2]! - hidden.values[0]!).toBeGreaterThan(0.1);
  expect(gold.values[2]! - gold.values[0]!).toBeLessThan(0.05);
  expect(hidden.r!.at(-1)).toBeLessThan(0.5);
  expect(hidden.r![0]).toBe(1);
  // Gold as a candidate regains just what gold learns.
  expect(gold.r).toEqual([1, 1, 1]);
});

test("the rows may be others, and the result depends on inputs and seed alone", async () => {
  const argv = [...RELEARN, "--gold", "gold", "--relearn-rows", "5", "--relearn-group", "retain"];
  const texts = [[], [], ["--seed", "1"]].map((more) => run("evaluate", "ascent", ...argv, ...DATA, ...more));
  const [first, again, other] = await Promise.all(texts);
  expect(first!.text).toContain("5 rows");
  expect(again!.out).toEqual(first!.out);
  expect(other!.text).not.toBe(first!.text);
});

test("before and after rounding are the evaluations with and without it", async () => {
  const of = await measure("ascent", "--attack", "quantize", "--gold", "gold", "--metric", "probability,loss");
  const plain = await measure("ascent", "--metric", "probability,loss", "--bootstrap", "0");
  const four = await measure("ascent", "--metric", "probability,loss", "--bootstrap", "0", "--quantize", "4");
  for (const metric of METRICS) {
    const { before, after, q } = of("ascent", metric, "forget");
    expect(before).toBe(plain("ascent", metric, "forget").value);
    expect(after).toBe(four("ascent", metric, "forget").value);
    expect(q).toBe(metric === "loss" ? null : Math.min(1, before / after));
  }
  expect(of("gold", "probability").before).not.toBe(of("gold", "probability").after);
});

test("what was hidden is revived in a few steps, what was never there is not", async () => {
  const argv = ["--probe", "revive", "--gold", "gold", "--original", "original", "--revive-lr", "0.002"];
  const of = await measure("ascent", "original", "gold", ...argv, "--revive-batch", "10", "--revive-steps", "30");
  const [hidden, original, gold] = ["ascent", "original", "gold"].map((model) => of(model, "accuracy"));
  expect(hidden!.goal).toBeCloseTo(0.9, 12);
  expect(hidden!.steps).toBeLessThanOrEqual(8);
  expect(hidden!.curve).toHaveLength(hidden!.steps! + 1);
  expect(gold!.steps).toBeNull();
  expect(gold!.curve).toHaveLength(31);
  expect(hidden!.bound).toBe("at least");
  expect(hidden!.s).toBeGreaterThan(3);
  // The original itself is as far from gold as can be.
  expect(original).toMatchObject({ steps: 0, s: 31, bound: "at least" });
  expect(original!.s).toBeGreaterThanOrEqual(hidden!.s);
  expect(gold).toMatchObject({ s: 1, bound: "none" });
});

test("a goal takes the original's place; the table says what was not reached", async () => {
  const argv = ["--probe", "revive", "--gold", "gold", "--revive-goal", "0.99", "--revive-steps", "2"];
  const { text, err } = await run(
    "evaluate",
    "ascent",
    ...argv,
    "--metric",
    "probability",
    "--revive-rows",
    "4",
    ...DATA,
  );
  expect(err).toBe("");
  const lines = text.trimEnd().split("\n");
  expect(lines[0]!.split(/\s{2,}/)).toEqual(["model", "metric", "at first", "at last", "goal", "steps", "S"]);
  expect(lines[1]).toMatch(/^ascent {2}probability .* 0\.9900 +> 2 +\? 1\.00$/);
  expect(lines[2]).toMatch(/^gold .* > 2$/);
});

const TRACE = ["--probe", "trace"];
test("tracing tells what of a block brings answers back, by inputs and seed alone", async () => {
  const argv = [...TRACE, "--trace-rows", "6", "--trace-batch", "8", ...DATA];
  const lines = [["--json"], ["--json"], ["--json", "--seed", "1"], ["--json", "--trace-all"], []].map((more) =>
    run("evaluate", "original", "gold", ...argv, ...more),
  );
  const [first, again, other, whole, plain] = await Promise.all(lines);
  for (const { err } of [first!, again!, other!, whole!, plain!]) expect(err).toBe("");
  expect(again!.out).toEqual(first!.out);
  expect(other!.text).not.toBe(first!.text);
  const { probe, group, rows } = JSON.parse(first!.text);
  expect([probe, group]).toEqual(["trace", "forget"]);
  const [known, unknown] = rows;
  expect(known).toMatchObject({ model: "original", facts: 6 });
  expect(known.clean).toBeGreaterThan(0.8);
  expect(known.corrupted).toBeLessThan(0.5 * known.clean);
  expect(unknown.clean).toBeLessThan(0.2);
  const { state, mlp, attn } = known.effects;
  expect([state, mlp, attn].map((part) => Object.keys(part))).toEqual(Array(3).fill(["subject", "end"]));
  // Nothing reads what the only block makes of the subject but the block itself, which has read it.
  expect([state, mlp, attn].map(({ subject }) => subject)).toEqual([[0], [0], [0]]);
  expect(known.layers).toBeUndefined();
  for (const { end } of [state, attn]) expect(end[0]).toBeGreaterThan(0.1);
  // Prompts are "3>": there is no token before the two that are always told.
  expect(JSON.parse(whole!.text).rows).toEqual(rows);
  const table = plain!.text
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/));
  expect(table[0]).toEqual(["model", "restored", "block", "subject", "end", "holds 80 %"]);
  expect(table.map((row) => row.slice(0, 2).join())).toEqual([
    "model,restored",
    ...["original", "gold"].flatMap((name) => ["everything", "state", "mlp", "attn"].map((part) => `${name},${part}`)),
  ]);
  expect(table[3]).toEqual(["original", "mlp", "0", "0.0000", mlp.end[0].toFixed(4)]);
});

test("tracing a group whose rows name no subject takes whole prompts, and tells the blocks that hold their facts", async () => {
  const argv = [...TRACE, "--trace-group", "retain", "--trace-draws", "1", ...DATA];
  const [told, table] = await Promise.all(
    [["--json"], []].map((more) => run("evaluate", "original", ...argv, ...more)),
  );
  const { group, rows } = JSON.parse(told!.text);
  expect(group).toBe("retain");
  expect(rows[0]).toMatchObject({ facts: 20, layers: "0-0", share: 1 });
  const { mlp } = rows[0].effects;
  expect(mlp).toEqual({ subject: [expect.any(Number)] });
  expect(table!.text).toMatch(new RegExp(`^original {2}mlp +0 +${mlp.subject[0].toFixed(4)} +\\*$`, "m"));
});

const REVIVE = ["--probe", "revive"];
test.each([
  [["--attack", "relern"], "--attack: unknown attack relern\n  hint: did you mean relearn?"],
  [["--probe", "x"], `--probe: unknown probe x\n  hint: the probes are ${methodNames("probe").join(", ")}`],
  [["--attack", "relearn", ...REVIVE], "--attack and --probe are both given"],
  [["--relearn-rows", "3"], "--relearn-rows has no effect without --attack relearn"],
  [
    ["--attack", "quantize", "--relearn-lr", "1"],
    "quantize has no option --relearn-lr\n  hint: attacks with --relearn-lr: relearn",
  ],
  [["--original", "original"], "--original has no effect without --probe prune or revive"],
  [["--attack", "relearn", "--original", "original"], "--original has no effect without --probe prune or revive"],
  [["--attack", "relearn", "--relearn-rows", "11"], "--relearn-rows 11: the group forget has 10 rows to learn"],
  [["--attack", "relearn", "--relearn-rows", "-1"], "--relearn-rows: expected a non-negative number but found -1"],
  [
    ["--attack", "relearn", "--forget-group", "forgotten"],
    "--attack relearn needs a group named forgotten; the data has forget, retain\n  hint: name it, --data forgotten=rows.jsonl, or say which it is: --forget-group forget",
  ],
  [["--attack", "relearn", "--relearn-group", "x"], "or say which it is: --relearn-group forget"],
  [["--attack", "relearn", "--relearn-rows", "10", "--relearn-lr", "1e30"], "hint: lower --relearn-lr", 1],
  [["--attack", "relearn", "--pass"], "--pass cannot be combined with --attack"],
  [["--attack", "relearn", "--dump", "x"], "--dump cannot be combined with --attack"],
  [
    [...TRACE, "--metric", "loss"],
    "--metric has no effect with --probe trace, which measures the answers' probability",
  ],
  [
    [...TRACE, "--gold", "gold"],
    "--gold has no effect with --probe trace\n  hint: give the model as one more argument",
  ],
  [[...TRACE, "--original", "gold"], "trace has no option --original\n  hint: probes with --original: prune, revive"],
  [[...TRACE, "--trace-rows", "11"], "--trace-rows 11: the group forget has 10 rows"],
  [
    [...TRACE, "--trace-group", "x"],
    "--probe trace needs a group named x; the data has forget, retain\n  hint: name it, --data x=rows.jsonl, or say which it is: --trace-group",
  ],
  [[...TRACE, "--trace-noise", "0"], "--trace-noise: expected a positive number but found 0"],
  [["--trace-all"], "--trace-all has no effect without --probe trace"],
  [[...REVIVE, "--dtype", "bf16"], "--probe works on weights in f32, not bf16"],
  [REVIVE, "compares with a model that never had the capability, and needs --gold\n  hint: train one"],
  [[...REVIVE, "--gold", "gold"], "--probe revive has no score to be reached\n  hint: give the model before"],
  [
    [...REVIVE, "--gold", "gold", "--original", "original", "--revive-goal", "1"],
    "--original and --revive-goal both say",
  ],
  [[...REVIVE, "--gold", "gold", "--original", "original", "--metric", "loss"], "waits for a score to rise, and loss"],
  [
    [...REVIVE, "--gold", "gold", "--original", "original", "--holdout-group", "retain", "--metric", "mia-loss"],
    "and mia-loss compares groups",
  ],
  [[...REVIVE, "--gold", "gold", "--revive-goal", "1", "--metric", "accuracy,probability"], "there are 2 metrics"],
  [[...REVIVE, "--gold", "gold", "--original", "gold", "--metric", "exact-match"], "there is nothing to revive"],
  [
    [...REVIVE, "--gold", "gold", "--original", "original", "--revive-rows", "99"],
    "--revive-rows 99: the group forget has 10 rows to learn",
  ],
] as [string[], string, number?][])("%j is refused", async (argv, message, status = 2) => {
  const { err, code } = await run("evaluate", "ascent", ...argv, ...DATA);
  expect(err).toContain(message);
  expect(code).toBe(status);
});

test("--list says what attacks and probes are, help shows the options of one", async () => {
  const { text } = await run("evaluate", "--list");
  for (const kind of ["attack", "probe"] as const)
    for (const { name, about } of await loadMethods(kind))
      expect(text).toMatch(new RegExp(`^  ${name} +${RegExp.escape(about)} `, "m"));
  const help = await run("evaluate", "--help", "--attack", "relearn");
  expect(help.text).toContain("--relearn-rows N,...");
  expect(help.text.replace(/\s+/g, " ")).toContain("(default 5,10,20)");
});
