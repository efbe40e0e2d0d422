/** `merge --search` as users run it: trials in one process, recipes and checkpoints that are merged alike by hand. */
import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { searchLab } from "./search-lab.ts";

const { at, script } = searchLab();
const ROWS = "llama-tied.jsonl";

beforeAll(async () => {
  first = await search(`${SEARCH} --budget 5 --trials a.jsonl --recipes a.yml -o a/ --json`);
}, 120_000);

/** What the search of most tests printed. */
let first: Awaited<ReturnType<typeof script>>;

const MERGE = "math code --base llama-tied --method task_arithmetic";
const SEARCH = `${MERGE} --search random --data ${ROWS} --objective loss`;

const search = (args: string) => script("merge", args);
const linesOf = (file: string) =>
  readFileSync(at(file), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
const trialsOf = (file: string) => linesOf(file).slice(1);
const bytesOf = (file: string) => readFileSync(at(file));

/** The loss that `evaluate` finds. */
async function lossOf(model: string, rows = ROWS): Promise<number> {
  const { code, text, out } = await script("evaluate", `${model} --data ${rows} --metric loss --json`);
  expect(code, text).toBe(0);
  return JSON.parse(out).loss;
}

test("the best trial is a recipe, whose merge has the bytes of -o and the score of the trial", async () => {
  expect(first.code, first.text).toBe(0);
  const found = JSON.parse(first.out);
  const trials = trialsOf("a.jsonl");
  expect(trials.map(({ trial }) => trial)).toEqual([0, 1, 2, 3, 4]);
  expect(trials[0].point).toEqual({ "weight.math": 0.5, "weight.code": 0.5 });
  const best = Math.min(...trials.map(({ scores }) => scores.loss));
  expect(found.best.scores.loss).toBe(best);
  expect(await lossOf("a")).toBe(best);
  const merged = await search("a.yml -o by-hand/");
  expect(merged.code, merged.text).toBe(0);
  expect(bytesOf("by-hand/model.safetensors").equals(bytesOf("a/model.safetensors"))).toBe(true);
}, 120_000);

test("every trial scores as its merge does in processes of its own", async () => {
  const trials = trialsOf("a.jsonl");
  for (const { point, scores } of trials.slice(1, 3)) {
    const weights = `${point["weight.math"]},${point["weight.code"]}`;
    await search(`${MERGE} --weight ${weights} -o one/ --overwrite`);
    expect(await lossOf("one")).toBe(scores.loss);
  }
}, 120_000);

test("a search that was killed goes on to the same result", async () => {
  const whole = readFileSync(at("a.jsonl"), "utf8").split("\n");
  writeFileSync(at("killed.jsonl"), `${whole.slice(0, 4).join("\n")}\n{"trial":3,"po`);
  const { code, text } = await search(`${SEARCH} --budget 5 --trials killed.jsonl --recipes killed.yml`);
  expect(code, text).toBe(0);
  const bare = (lines: { seconds?: number }[]) => lines.map(({ seconds, ...line }) => line);
  expect(bare(linesOf("killed.jsonl"))).toEqual(bare(linesOf("a.jsonl")));
  expect(bytesOf("killed.yml").equals(bytesOf("a.yml"))).toBe(true);
}, 120_000);

test("shares of the trials are made apart, and a last step finds what one process finds", async () => {
  for (const share of [1, 2]) {
    const { code, text } = await search(`${SEARCH} --budget 5 --trial ${share}/2 --trials w${share}.jsonl`);
    expect(code, text).toBe(0);
  }
  expect(trialsOf("w1.jsonl").map(({ trial }) => trial)).toEqual([0, 2, 4]);
  const { code, text } = await search(`${SEARCH} --budget 5 --trials w1.jsonl --trials w2.jsonl --recipes w.yml`);
  expect(code, text).toBe(0);
  expect(bytesOf("w.yml").equals(bytesOf("a.yml"))).toBe(true);
  expect(trialsOf("w1.jsonl")).toHaveLength(3); // nothing was left to try
}, 120_000);

test("without a place for it the recipe is what stdout has", async () => {
  const { code, out } = await search(`${SEARCH} --budget 1`);
  expect(code).toBe(0);
  expect(out).toStartWith("# trial 0 of merge --search random --budget 1 --seed 0: loss ");
  writeFileSync(at("piped.yml"), out);
  expect((await search("piped.yml -o piped/")).code).toBe(0);
}, 120_000);

test("models that do not stay in memory score the same", async () => {
  const { code, text } = await search(`${SEARCH} --budget 3 --trials read.jsonl --keep-models 1`);
  expect(code, text).toBe(0);
  expect(trialsOf("read.jsonl").map(({ scores }) => scores)).toEqual(
    trialsOf("a.jsonl")
      .slice(0, 3)
      .map(({ scores }) => scores),
  );
}, 120_000);

test("groups of layers with one value are all layers", async () => {
  const space = "--search-space weight=0.5:0.5 --budget 1";
  const { code, text } = await search(
    `${SEARCH} ${space} --layer-granularity 1 --trials layers.jsonl --recipes layers.yml -o layers/`,
  );
  expect(code, text).toBe(0);
  expect(Object.keys(trialsOf("layers.jsonl")[0].point).length).toBeGreaterThan(2);
  expect(trialsOf("layers.jsonl")[0].scores).toEqual(trialsOf("a.jsonl")[0].scores);
  expect(await lossOf("layers")).toBe(trialsOf("a.jsonl")[0].scores.loss);
}, 120_000);

test("several objectives have a front: a table, a folder of recipes", async () => {
  const rows = `--data whole=${ROWS} --data first=llama-tied-first.jsonl --objective loss@whole,loss@first`;
  const { code, text, out } = await search(
    `${MERGE} --search random --budget 6 --pareto ${rows} --recipes front --json`,
  );
  expect(code, text).toBe(0);
  const { front } = JSON.parse(out) as { front: { trial: number; scores: Record<string, number> }[] };
  expect(readdirSync(at("front")).sort()).toEqual(front.map(({ trial }) => `trial-${trial}.yml`).sort());
  for (const one of front)
    for (const other of front)
      if (one !== other)
        expect(Object.keys(one.scores).some((name) => one.scores[name]! < other.scores[name]!)).toBe(true);
}, 120_000);

test("a genome of mergekit-evolve is read, its tasks from local rows", async () => {
  const genome = [
    "genome:",
    "  models: [math, code]",
    "  base_model: llama-tied",
    "  merge_method: dare_ties",
    "  layer_granularity: 1",
    "  normalize: true",
    "  filters: [mlp]",
    "tasks:",
    "  - name: sums",
    "    weight: -1",
    "    metric: loss",
    "random_init: true",
  ];
  writeFileSync(at("evolve.yml"), `${genome.join("\n")}\n`);
  writeFileSync(at("mistyped.yml"), `${genome.join("\n")}\n`.replace("weight: ", "wieght: "));
  const missing = await search("evolve.yml --search random --budget 2 --data other=llama-tied.jsonl");
  expect(missing.code).toBe(2);
  expect(missing.text).toContain("evolve.yml:9:5: the task sums has no rows");
  expect(missing.text).toContain("--data sums=rows.jsonl");
  const command = `evolve.yml --search random --budget 2 --data sums=${ROWS} --trials genes.jsonl --recipes genes.yml`;
  const { code, text } = await search(command);
  expect(code, text).toBe(0);
  expect(text).toContain("without effect here: random_init");
  const names = Object.keys(trialsOf("genes.jsonl")[0].point);
  expect(names).toContain("weight:mlp.math.0");
  expect(names).toContain("density.code.1");
  expect((await search("genes.yml -o genes/")).code).toBe(0);
  const best = Math.min(...trialsOf("genes.jsonl").map(({ scores }) => Object.values(scores)[0] as number));
  expect(await lossOf("genes")).toBe(best);
}, 120_000);

test("a search with --align merges what was put in order, and its recipe says so", async () => {
  const asked = `${SEARCH} --budget 2 --align weights --post lines --trials aligned.jsonl --recipes aligned.yml -o aligned/`;
  const { code, text } = await search(asked);
  expect(code, text).toBe(0);
  expect(text.split("is aligned with llama-tied")).toHaveLength(3); // each of two models once
  expect(readFileSync(at("aligned.yml"), "utf8")).toContain("its merge has the options --align weights --post lines");
  const best = Math.min(...trialsOf("aligned.jsonl").map(({ scores }) => scores.loss));
  expect(await lossOf("aligned")).toBe(best);
}, 120_000);

test("adapters alone, whose merge is an adapter and no model, are refused with and without --dry-run", async () => {
  const { code, text } = await script("train", "llama-tied --data llama-tied-first.jsonl --steps 1 --lora -o lora/");
  expect(code, text).toBe(0);
  for (const ending of ["", " --dry-run"]) {
    const odd = await search(`lora --method linear --search random --budget 2 --data ${ROWS}${ending}`);
    expect([odd.code, odd.text]).toEqual([2, expect.stringContaining("all that it merges are adapters")]);
  }
}, 120_000);

test("--dry-run says what it would take, and does nothing", async () => {
  const { code, out } = await search(`${SEARCH} --budget 50 --dry-run --json --trials dry.jsonl`);
  expect(code).toBe(0);
  const plan = JSON.parse(out);
  expect(plan).toMatchObject({
    search: "random",
    budget: 50,
    genes: ["weight.math", "weight.code"],
    keeps_models: true,
  });
  expect(plan.gpu_memory).toBeGreaterThan(0);
  expect(existsSync(at("dry.jsonl"))).toBe(false);
}, 120_000);

describe("refused before work", () => {
  test.each([
    [`${MERGE} --search random --data ${ROWS}`, "--search needs --budget"],
    [`${SEARCH} --budget 0`, "budget"],
    [`${MERGE} --search random --budget 3`, "--data is missing"],
    [`${MERGE} --search randon --budget 3 --data ${ROWS}`, "did you mean random?"],
    [`${MERGE} --budget 3`, "--budget has no effect without --search"],
    [`${MERGE} --search grid --budget 3 --data ${ROWS}`, "a grid of 2 values for each of 2 numbers has 4 points"],
    [`${SEARCH} --budget 3 --search-space density=0:1`, "task_arithmetic has no parameter density"],
    [
      `math code --base llama-tied --method ties --search random --budget 3 --data ${ROWS} --search-space density=-1:1`,
      "density",
    ],
    [`${MERGE} --search random --budget 3 --data ${ROWS} --objective choice`, "a metric of choices needs a tokenizer"],
    [`${MERGE} --search random --budget 3 --data ${ROWS} --objective mia-loss`, "needs a group named forget"],
    [`${MERGE} --search random --budget 3 --data -`, "stdin cannot be"],
    [`- code --base llama-tied --method task_arithmetic --search random --budget 3 --data ${ROWS}`, "stdin"],
    [`${SEARCH} --budget 3 --trial 1/2`, "--trial leaves its trials in a file"],
    [`${SEARCH} --budget 3 --trial 3/2 --trials x.jsonl`, "--trial 3/2 is not I/N"],
    [`${SEARCH} --budget 3 --pareto --recipes y`, "--pareto weighs several objectives, found 1"],
    [`${SEARCH} --budget 3 --shard 1/2 -o z/`, "--shard is for one merge"],
    [`${SEARCH} --budget 3 --trials ${ROWS}`, "holds trials of another search"],
    [`${SEARCH} --budget 3 --recipes ${ROWS}`, "is read by this run"],
    [`${SEARCH} --budget 3 --seed 7 --trials a.jsonl`, "its seed is 0, this one's 7"],
    [`${SEARCH} --budget 3 --seed 7 --trials a.jsonl --dry-run`, "its seed is 0, this one's 7"],
    ["evolve.yml -o evolved/", "add --search, --budget and --data"],
    [`mistyped.yml --search random --budget 2 --data sums=${ROWS}`, "did you mean weight?"],
  ])("merge %s", async (command, message) => {
    const { code, text } = await search(command);
    expect([code, text]).toEqual([2, expect.stringContaining(message)]);
  });
});
