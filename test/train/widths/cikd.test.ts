/** `train --supernet cikd`, and `compress extract --prefer` on its result. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { preferences } from "../../../src/compress/commands/prefer.ts";
import { neighbours, preferredWidths } from "../../../src/compress/prefer.ts";
import { operationsOf, type TaskWidths } from "../../../src/model/structure/task-widths.ts";
import { distance, settingsOf } from "../../../src/train/widths/cikd.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-cikd-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const run = async (script: string, line: string) => {
  const ran = await runScript(script, line.split(" "), folder);
  expect(ran.code === 0 ? "" : ran.err).toBe("");
  return ran;
};

const NET = {
  ...{ model_type: "mlp-tasks", num_tasks: 2, input_size: 16, hidden_sizes: [16, 12], num_labels: 10 },
  ...{ task_heads: true, task_head_sizes: [8, 8] },
};
/** Operations of a row: trunk and decoders, as shares of 100 and 20 each. */
const cost = ({ trunk, decoders }: TaskWidths) => 100 * trunk + 20 * decoders.reduce((a, b) => a + b, 0);
const grid = [0.25, 0.5, 0.75, 1];

describe("features that do not change with the width", () => {
  test.each([
    { own: [3, 4], whole: [3, 4, 0], apart: 0 },
    { own: [1, 0], whole: [0, 0, 5], apart: 2 },
    { own: [2, 0], whole: [3, 4, 0], apart: 0.8 },
  ])("%p", async ({ own, whole, apart }) => {
    const { outputs } = await runOp(gpu, {
      inputs: {
        own: { shape: [1, own.length], data: Float32Array.from(own) },
        whole: { shape: [1, 3], data: Float32Array.from(whole) },
      },
      build: (rec, given) => ({
        apart: distance(
          rec,
          new Map([
            ["hidden.0", given.whole!],
            ["hidden.1", given.own!],
          ]),
          new Map([["hidden.1", given.whole!]]),
        ),
      }),
    });
    expect(outputs.apart![0]).toBeCloseTo(apart, 5);
  });
});

describe("settings", () => {
  test("are drawn by the seed alone, without the widest and the narrowest", () => {
    const found = settingsOf([1, 0.75, 0.5], 2, 8, 3);
    expect(found).toEqual(settingsOf([1, 0.75, 0.5], 2, 8, 3));
    expect(found).toHaveLength(8);
    const names = found.map(({ trunk, decoders }) => [trunk, ...decoders].join());
    expect(new Set(names).size).toBe(8);
    expect(names).not.toContain("1,1,1");
    expect(names).not.toContain("0.5,0.5,0.5");
    expect(settingsOf([1, 0.5], 1, 8, 3)).toHaveLength(2);
  });

  test("a task that alone counts gets the widest decoder, and the trunk what is left", () => {
    const search = { grid, cost, budget: 90 };
    expect(preferredWidths({ ...search, preferred: [1, 0] })).toEqual({ trunk: 0.5, decoders: [1, 0.25] });
    expect(preferredWidths({ ...search, preferred: [0, 2] })).toEqual({ trunk: 0.5, decoders: [0.25, 1] });
    expect(preferredWidths({ ...search, preferred: [0.7, 0.3], budget: 1000 })).toEqual({
      trunk: 1,
      decoders: [1, 0.25],
    });
    expect(preferredWidths({ ...search, preferred: [1, 1], budget: 46 })).toEqual({
      trunk: 0.25,
      decoders: [0.5, 0.5],
    });
    expect(preferredWidths({ ...search, preferred: [1, 1], budget: 34 })).toBeUndefined();
  });

  test("what is a step away fits the budget, too", () => {
    const search = { grid, cost, budget: 90, preferred: [1, 0] };
    const found = neighbours({ trunk: 0.5, decoders: [1, 0.25] }, search);
    expect(found[0]).toEqual({ trunk: 0.5, decoders: [1, 0.25] });
    expect(found.every((widths) => cost(widths) <= 90)).toBe(true);
    expect(found).toContainEqual({ trunk: 0.5, decoders: [0.75, 0.5] });
  });

  test("preferences are those of the groups of rows", () => {
    expect(preferences(["b=0.3", "a=0.7"], ["a", "b"], 2)).toEqual([0.7, 0.3]);
    expect(() => preferences(["c=1"], ["a", "b"], 2)).toThrow("expected a number, 0 or more, for a group of --data");
    expect(() => preferences(["a=1"], ["a"], 2)).toThrow("--data has 1 groups (a), and the model 2 tasks");
    expect(() => preferences(["a=0"], ["a", "b"], 2)).toThrow("counts no task");
  });

  test("operations of a row are two for each weight of a matrix", () => {
    expect(
      operationsOf([
        ["w", { shape: [3, 5] }],
        ["b", { shape: [3] }],
      ]),
    ).toBe(30);
  });
});

describe("the scripts", () => {
  const DATA = "--data a=a.jsonl --data b=b.jsonl";
  beforeAll(async () => {
    writeFileSync(at("tasks.json"), JSON.stringify(NET));
    await run("data", "blobs --size 40 --seed 1 -o a.jsonl");
    await run("data", "blobs --size 40 --seed 2 -o b.jsonl");
    await run(
      "train",
      `--init tasks.json ${DATA} --steps 8 --batch-size 16 --lr 0.02 --save-every 0 --supernet cikd --supernet-settings 1 --widths 1,0.5 --log log.jsonl -o nested`,
    );
  });

  test("a step tells its three losses, and how far features are apart", () => {
    const steps = readFileSync(at("log.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const [first] = steps.filter(({ event }) => event === "step");
    for (const name of ["loss", "narrowest_loss", "setting_loss", "invariance"]) expect(first[name]).toBeGreaterThan(0);
  });

  test("widths go by preference, within a budget", async () => {
    const whole = 2 * (16 * 16 + 16 * 12 + 2 * (12 * 8 + 8 * 10));
    const line = `extract nested --prefer a=1,b=0 --widths 1,0.5 ${DATA} --json`;
    const found = JSON.parse((await run("compress", `${line} -o all`)).text);
    expect(found.widths).toEqual({ trunk: 1, decoders: [1, 0.5] });
    expect(found.accuracies).toHaveLength(2);
    const less = JSON.parse((await run("compress", `${line} --budget ${0.7 * whole} -o part`)).text);
    expect(less.operations).toBeLessThanOrEqual(0.7 * whole);
    const config = JSON.parse(readFileSync(at("all/config.json"), "utf8"));
    expect(config).toMatchObject({ hidden_sizes: [16, 12], task_head_sizes: [8, 4] });
    await run("evaluate", `part ${DATA} --metric accuracy`);
  });

  test("what cannot be done is refused", async () => {
    const refused = async (script: string, line: string) => (await runScript(script, line.split(" "), folder)).err;
    expect(await refused("compress", `extract nested --prefer a=1 --budget 10 ${DATA} -o none`)).toContain(
      "the narrowest setting costs",
    );
    expect(await refused("compress", "extract nested --prefer a=1 -o none")).toContain(
      "--prefer compares settings on rows",
    );
    writeFileSync(at("plain.json"), JSON.stringify({ model_type: "mlp", input_size: 16, num_labels: 10 }));
    expect(await refused("train", "--init plain.json --data a.jsonl --steps 1 --supernet cikd -o none")).toContain(
      "for an mlp-tasks with a hidden layer before the head of each task",
    );
  });
});
