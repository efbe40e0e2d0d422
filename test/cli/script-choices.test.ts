/** What options choose: methods of every kind, options that need others, sub-commands. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./fixtures/run.ts";

const TOOL = join(import.meta.dir, "fixtures", "tool.ts");
const tool = (argv: readonly string[], env: Record<string, string> = {}) => run(argv, env, TOOL);
const shown = async (argv: readonly string[], env: Record<string, string> = {}) => {
  const { out, err } = await tool([...argv, "--json"], env);
  expect(err).toBe("");
  return JSON.parse(out);
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("methods that options choose", () => {
  test("are bound to what was given and to their own defaults", async () => {
    const { picks, options } = await shown(["--optimizer", "sgd", "--momentum", "0.5", "--warmup", "10"]);
    expect(picks).toEqual({
      optimizer: [{ name: "sgd", values: { momentum: 0.5, nesterov: false, weight_decay: 0 } }],
      schedule: [{ name: "cosine", values: { warmup: 10, min_ratio: 0 } }],
      smooth: [],
      metric: [],
    });
    expect(options).toMatchObject({ optimizer: "sgd", schedule: "cosine", momentum: 0.5, warmup: 10 });
    expect(options).not.toContainKey("nesterov");
  });

  test("what was given stands where the table wants it, for logs and lineage", async () => {
    const argv = ["--clip", "1", "--momentum", "0.9", "--warmup", "1", "--lr", "0.1", "--optimizer", "sgd"];
    const { chosen } = await shown(argv);
    expect(Object.keys(chosen)).toEqual(["optimizer", "lr", "warmup", "momentum", "clip"]);
  });

  test("are named by the environment or a config as well as by a flag", async () => {
    const config = join(folder, "run.yml");
    writeFileSync(config, "optimizer: adan\nbeta3: 0.5\nmetric: [loss, ece]\n");
    const { picks } = await shown(["--config", config], { INGOT_SCHEDULE: "wsd", INGOT_DECAY: "0.2" });
    expect(picks.optimizer).toMatchObject([{ name: "adan", values: { beta3: 0.5, beta1: 0.98 } }]);
    expect(picks.schedule).toMatchObject([{ name: "wsd", values: { decay: 0.2 } }]);
    expect(picks.metric).toMatchObject([{ name: "loss" }, { name: "ece" }]);
  });

  test("may be several, by commas and repeated, in either spelling", async () => {
    const { picks } = await shown(["--metric", "mia-min-k++,exact_match", "--metric", "loss"]);
    expect(picks.metric.map(({ name }: { name: string }) => name)).toEqual(["mia-min-k-plus", "exact-match", "loss"]);
  });

  test("are listed under their option in help, with the options of the default or of the one asked for", async () => {
    const plain = (await tool(["--help"])).out;
    expect(plain).toContain(
      "\n  --optimizer NAME          how weights move: adafactor, adam-mini, adamw,\n                            adamw-8bit, adan, apollo, frugal, galore, lion,\n                            muon, schedule-free, sgd, sophia (default adamw)\n",
    );
    expect(plain).toContain("\nOptions of --optimizer adamw\n  --beta1 N ");
    expect(plain).toContain("\nOptions of --schedule cosine\n  --warmup N ");
    const { out } = await tool(["--help", "--optimizer", "adan"]);
    expect(out).toContain("\nOptimizer adan: Adan, arXiv:2208.06677\n  adaptive Nesterov momentum");
    expect(out).toContain("\n  --beta3 N ");
  });

  const MISTAKES: [string[], string, string][] = [
    [["--optimizer", "adamv"], "--optimizer: unknown optimizer adamv", "did you mean adamw?"],
    [["--metric", "loss,eec"], "--metric: unknown metric eec", "did you mean ece?"],
    [["--momentum", "0.5"], "adamw has no option --momentum", "optimizers with --momentum: muon, sgd"],
    [
      ["--momentum", "x", "--optimizer", "sgd"],
      "--momentum: expected a number but found x",
      "--momentum: share of the last step that is kept",
    ],
  ];
  test.each(MISTAKES)("%p is refused", async (argv, message, hint) => {
    const { code, err } = await tool(argv);
    expect(err).toBe(`tool: ${message}\n  hint: ${hint}\n`);
    expect(code).toBe(2);
  });

  test("a config's key for a method that was not chosen is refused as the flag is", async () => {
    const config = join(folder, "idle.yml");
    writeFileSync(config, "momentum: 0.5\n");
    expect((await tool(["--config", config])).err).toBe(
      `tool: adamw has no option momentum in ${config}\n  hint: optimizers with --momentum: muon, sgd\n`,
    );
  });
});

describe("an option that needs another", () => {
  const HINT = "give both or neither";
  const IDLE: [string[], string][] = [
    [["--rank", "3"], "--rank has no effect without --lora"],
    [["--focus", "3"], "--focus has no effect without --replay or --loss focal"],
    [["--focus", "3", "--loss", "rows"], "--focus has no effect without --replay or --loss focal"],
  ];
  test.each(IDLE)("%p is refused", async (argv, message) => {
    expect(await tool(argv)).toEqual({ code: 2, out: "", err: `tool: ${message}\n  hint: ${HINT}\n` });
  });

  test("is taken with it, and at its default", async () => {
    for (const argv of [
      ["--rank", "3", "--lora"],
      ["--rank", "16"],
      ["--focus", "3", "--loss", "focal"],
    ])
      expect((await tool(argv)).err).toBe("");
    expect((await tool(["--focus", "3", "--replay", "x"])).code).toBe(0);
  });
});

describe("sub-commands", () => {
  test("have their own arguments, options and values, wherever their name stands", async () => {
    for (const argv of [
      ["choose", "model/", "--keep", "3"],
      ["--keep", "3", "choose", "model/"],
    ]) {
      const { args, options, picks } = await shown(argv);
      expect(args).toEqual(["model/"]);
      expect(options.keep).toBe(3);
      expect(options).not.toContainKey("lr");
      expect(picks.select_by).toMatchObject([{ name: "lowest-loss" }]);
    }
    expect((await shown(["plan"], { INGOT_FLOPS: "5" })).options.flops).toBe(5);
  });

  test("have their own help, and the script's help names them", async () => {
    const { out } = await tool(["choose", "--help"]);
    expect(out).toStartWith("tool choose: Choose rows.\n\n  bun run tool choose <model> [options]\n");
    expect(out).toEndWith("\n\nRows stay as they were.\n");
    expect(out).not.toContain("--lr");
    expect(out.split("\n").length).toBeLessThan(40);
    expect((await tool(["--help"])).out).toContain("\n  choose  Choose rows.\n  plan    Say what a budget buys.\n");
  });

  test("are named by the log", async () => {
    const log = join(folder, "run.jsonl");
    await tool(["choose", "model/", "--log", log]);
    const [start] = readFileSync(log, "utf8").split("\n");
    expect(JSON.parse(start!)).toMatchObject({ script: "tool choose", inputs: ["model/"], options: { keep: 0.25 } });
  });

  const MISTAKES: [string[], string, string][] = [
    [
      ["choose", "m", "--method", "lowest-los"],
      "tool: unknown option --method",
      "did you mean --select-by lowest-loss?",
    ],
    [
      ["choose", "m", "--lr", "3"],
      "tool: --lr has no effect in tool choose",
      "leave it out; see --help for the options of tool choose",
    ],
    [["--keep", "3"], "tool: --keep has no effect without tool choose", "give both or neither"],
    [["choos", "m"], "tool: choos is no command of tool, and no file", "did you mean tool choose?"],
    [
      ["choose"],
      "tool: expected <model> but found nothing",
      "for example bun run tool choose model/ --select-by craig",
    ],
    [["choose", "m", "--kep", "1"], "tool: unknown option --kep", "did you mean --keep?"],
  ];
  test.each(MISTAKES)("%p is refused", async (argv, message, hint) => {
    expect((await tool(argv)).err).toBe(`${message}\n  hint: ${hint}\n`);
  });
});
