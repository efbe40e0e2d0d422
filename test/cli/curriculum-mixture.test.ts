/** Mixtures ranked by averages of models of single parts: `curriculum mixture-search`. */
import { expect, test } from "bun:test";
import { readdirSync, rmSync, statSync } from "node:fs";
import { runScript } from "../support/command.ts";
import { DATA, openLab, words } from "./curriculum-lab.ts";

const lab = openLab();
const LINE = `mixture-search model ${DATA} --eval-data a-held.jsonl --batch-size 4 --lr 0.01 --part-steps 4`;

interface Found {
  readonly start: number;
  readonly mixtures: readonly { parts: string[]; loss: number; perplexity: number }[];
  readonly calibration?: {
    spearman: number;
    bias: number;
    pairs: { parts: string[]; proxy: number; trained: number }[];
  };
}
async function search(more: string): Promise<Found> {
  const { text, err, code } = await lab.run(`${LINE} ${more} -q`);
  expect([code, err.replace(/.*averages do not rank.*\n/, "")]).toEqual([0, ""]);
  return JSON.parse(text) as Found;
}
const lossOf = ({ mixtures }: Found, ...parts: string[]): number =>
  mixtures.find((one) => one.parts.join() === parts.join())!.loss;

/** Held-out loss of a checkpoint, as evaluate measures it. */
async function evaluated(model: string): Promise<number> {
  const { text } = await runScript(
    "evaluate",
    words(`${model} --data a-held.jsonl --metric loss --json -q`),
    lab.folder,
  );
  return (JSON.parse(text) as { rows: { value: number }[] }).rows[0]!.value;
}

test("a part alone scores as its training does, and an average as the merge of the kept models", async () => {
  const found = await search("--mixtures all --calibrate 3 --keep-parts kept");
  expect(found.mixtures).toHaveLength(7);
  const losses = found.mixtures.map(({ loss }) => loss);
  expect(losses).toEqual([...losses].sort((a, b) => a - b));
  // The held-out rows are of part a.
  expect(found.mixtures[0]!.parts).toEqual(["a"]);
  expect(found.mixtures[0]!.perplexity).toBeCloseTo(Math.exp(losses[0]!), 10);
  expect(lossOf(found, "a")).toBe(await evaluated("kept/unit-1"));
  const merge = "kept/unit-1 kept/unit-3 --method linear --weight 1 -o mean.safetensors -q";
  expect((await runScript("merge", words(merge), lab.folder)).code).toBe(0);
  expect(lossOf(found, "a", "c")).toBeCloseTo(await evaluated("mean.safetensors"), 5);
  const { pairs, bias } = found.calibration!;
  expect(pairs.map(({ parts }) => parts.join())).toEqual(["a,b", "a,c", "b,c"]);
  for (const { parts, proxy } of pairs) expect(proxy).toBe(lossOf(found, ...parts));
  expect(pairs[1]!.trained).toBe(await evaluated("kept/pair-1-3"));
  expect(bias).toBeCloseTo(
    pairs.reduce((sum, { proxy, trained }) => sum + (proxy - trained) / 3, 0),
    12,
  );

  // Stopped half-way, it trains what is missing and gives the same.
  rmSync(lab.at("kept/unit-2"), { recursive: true });
  const before = statSync(lab.at("kept/unit-1/model.safetensors")).mtimeMs;
  expect(await search("--mixtures all --calibrate 3 --keep-parts kept")).toEqual(found);
  expect(statSync(lab.at("kept/unit-1/model.safetensors")).mtimeMs).toBe(before);
  expect(readdirSync(lab.at("kept"))).toContain("unit-2");
  const { err, code } = await lab.run(`${LINE.replace("0.01", "0.02")} --keep-parts kept`);
  expect([code, err]).toEqual([2, expect.stringContaining("kept/unit-1 holds another training: its lr is 0.01")]);
}, 120_000);

test("greedy selection looks at n (n + 1) / 2 of them, with the scores of all", async () => {
  const [all, greedy] = [await search("--mixtures all"), await search("")];
  expect(greedy.mixtures).toHaveLength(6);
  for (const { parts, loss } of greedy.mixtures) expect(loss).toBe(lossOf(all, ...parts));
}, 120_000);

test("a part of two units is the average of both", async () => {
  const found = await search("--mixtures all --unit-rows 8 --keep-parts halves");
  expect(readdirSync(lab.at("halves"))).toHaveLength(6);
  await runScript(
    "merge",
    words("halves/unit-1 halves/unit-2 --method linear --weight 1 -o half.safetensors -q"),
    lab.folder,
  );
  expect(lossOf(found, "a")).toBeCloseTo(await evaluated("half.safetensors"), 5);
}, 120_000);

test.each([
  ["--lora", "--lora: the mean of two adapters' factors"],
  ["--calibrate 2", "too few to rank"],
  ["--unit-rows 0", "--unit-rows"],
])("refuses %s", async (more, message) => {
  const { err, code } = await lab.run(`${LINE} ${more}`);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});

test("a dry run counts trainings and averages", async () => {
  const { text } = await lab.run(`${LINE} --mixtures all --calibrate 3 --dry-run`);
  expect(text).toContain("6 trainings, 3 of them on pairs: 36 steps of 4 rows");
  expect(text).toContain("7 averages");
});
