/** Training under orderings, as a user runs it: rows of every pass, and rows that cannot be learned from. */
import { describe, expect, test } from "bun:test";
import { orderings } from "../curriculum/world.ts";
import { openLab, RUN } from "./curriculum-lab.ts";

const lab = openLab();

const VIT = {
  ...{ model_type: "vit", image_size: 8, patch_size: 4, num_channels: 1, num_labels: 2 },
  ...{ hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2 },
};
/** Names of orderings that are for images alone. */
const OF_IMAGES = orderings.filter(({ images, augments }) => images ?? augments).map(({ name }) => name);
/** The model and the rows of an ordering. */
function givenTo(name: string): string {
  if (!OF_IMAGES.includes(name)) return "model --data mixed.jsonl";
  const pixels = (i: number) => Array.from({ length: 64 }, (_, k) => ((i + 1) * k) % 5);
  const rows = Array.from({ length: 24 }, (_, i) => JSON.stringify({ x: pixels(i), label: i % 2 }));
  lab.write("pictures.jsonl", `${rows.join("\n")}\n`);
  lab.write("vit.json", JSON.stringify(VIT));
  return "--init vit.json --data pictures.jsonl --eval-split 0.25";
}

test("orderings of images refuse models of text", async () => {
  expect(OF_IMAGES).toEqual(["efficienttrain", "madaug"]);
  for (const name of OF_IMAGES) {
    const held = "--eval-data mixed.jsonl";
    const { err, code } = await lab.run(`model --method ${name} --data mixed.jsonl ${held} ${RUN} --steps 2 -o no/`);
    expect([code, err]).toEqual([2, expect.stringMatching(/model takes none of another size|reads text/)]);
  }
}, 120_000);

describe.each(orderings.map(({ name }) => [name] as const))("%s", (name) => {
  test("runs, and logs the rows of every pass", async () => {
    await lab.succeeds(`${givenTo(name)} --method ${name} ${RUN} --steps 12 --log ${name}.log -o ${name}/`);
    if (!OF_IMAGES.includes(name)) expect(await lab.apart("model", name)).toBeGreaterThan(1e-3);
    const passes = lab.events(`${name}.log`, "pass");
    expect(passes.length).toBeGreaterThan(0);
    expect(passes.map((pass) => pass.epoch)).toEqual(passes.map((_, i) => i));
    for (const { rows } of passes) expect(rows).toBeGreaterThan(0);
    expect(lab.mixtures(`${name}.log`)).toEqual([]);
  }, 120_000);
});

test.each([
  ["competence --c0 0.1 --over 1 --pass 0.5", [4, 12, 20]],
  ["cyclical", [10, 20, 40]],
  ["cyclical-live --score hard", [10, 20, 40]],
  ["length --start-length 8 --pass 0.2", [8, 8, 8, 8]],
  ["quality --subset 0.25", [10, 10, 10, 10]],
  ["self-paced --start 0.3 --over 0.5", [12, 26, 40]],
] as const)(
  "%s: passes have as many rows as asked for",
  async (options, rows) => {
    const log = `passes-${options.split(" ")[0]}.log`;
    await lab.succeeds(
      `model --method ${options} --data mixed.jsonl ${RUN} --steps 12 --log ${log} --overwrite -o passes.safetensors`,
    );
    const passes = lab.events(log, "pass");
    expect(passes.map((pass) => pass.rows).slice(0, rows.length)).toEqual([...rows]);
    if (!options.startsWith("length")) return;
    const counted = lab.events(log, "step").map((step) => step.counted as number);
    for (const tokens of counted.slice(0, 2)) expect(tokens).toBeLessThanOrEqual(4 * (8 - 1));
    expect(Math.max(...counted)).toBeGreaterThan(4 * (8 - 1));
  },
  60_000,
);

test("cyclical says in advance what share of the rows its passes have, cut to the length of the training", async () => {
  const line = "model --method cyclical --data mixed.jsonl --batch-size 4 --steps 30";
  const { err, code } = await lab.run(`${line} --log shares.log -n`);
  expect(code).toBe(0);
  // 30 batches of 4 of 40 rows are three epochs.
  expect(err).toContain("6 passes over 25, 50, 100, 50, 25, 50 % of the rows\n");
}, 120_000);

describe("rows whose answer is cut away", () => {
  // The first two rows have prompts that fill the length alone: no token of them counts.
  const cut = () => {
    const long = JSON.stringify({
      input_ids: Array.from({ length: 24 }, () => 3),
      labels: [...Array(20).fill(-100), 3, 3, 3, 3],
    });
    lab.write("cut.jsonl", `${[long, long, ...lab.lines("a.jsonl").slice(0, 6)].join("\n")}\n`);
  };
  const line = "--data cut.jsonl --max-length 16 --overflow truncate --batch-size 2 --lr 0.01 -q";

  test.each(["quality --subset 0.25", "self-paced --start 0.25 --over 1", "competence --c0 0.25 --over 1", "cyclical"])(
    "%s does not take them for the easiest",
    async (method) => {
      cut();
      await lab.succeeds(`model --method ${method} ${line} --steps 3 --log cut.log --overwrite -o cut.safetensors`);
      const [first] = lab.events("cut.log", "step");
      expect(first!.counted).toBe(2 * 15);
    },
    60_000,
  );

  test("competence --toward easy does not take them for the hardest", async () => {
    cut();
    await lab.succeeds(
      `model --method competence --toward easy --c0 0.25 ${line} --steps 1 --log hard.log -o hard.safetensors`,
    );
    expect(lab.events("hard.log", "step")[0]!.counted).toBe(15); // a pass has a tenth of the rows
  }, 120_000);

  test("select keeps them last, whatever selects", async () => {
    cut();
    for (const by of ["lowest-loss", "gradient-norm", "craig", "dp-means"]) {
      await lab.succeeds(
        `select model --data cut.jsonl --max-length 16 --overflow truncate --select-by ${by} --keep-rows 6 -q -o kept.jsonl`,
      );
      expect(lab.lines("kept.jsonl")).toEqual(lab.lines("a.jsonl").slice(0, 6));
    }
    await lab.succeeds(
      "select model --data cut.jsonl --max-length 16 --overflow truncate --keep-rows 7 --ranked -q -o kept.jsonl",
    );
    expect(lab.lines("kept.jsonl").at(-1)).toBe(lab.lines("cut.jsonl")[0]!);
  }, 120_000);
});

test("plain training is what one group, and all rows in every pass, come down to", async () => {
  const line = "--data mixed.jsonl --batch-size 8 --lr 0.01 --steps 13 -q";
  await Promise.all([
    lab.succeeds(`model ${line} --mixture 1 -o plain-drawn/`, "train"),
    lab.succeeds(`model ${line} -o plain/`, "train"),
    lab.succeeds(`model ${line} --method static -o one-group/`),
    lab.succeeds(`model ${line} --method cyclical --start 1 -o whole-passes/`),
  ]);
  expect(await lab.apart("plain-drawn", "plain")).toBeGreaterThan(1e-4);
  expect(await lab.apart("plain-drawn", "one-group")).toBe(0);
  expect(await lab.apart("plain", "whole-passes")).toBe(0);
}, 120_000);
