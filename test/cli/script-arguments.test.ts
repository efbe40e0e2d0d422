/** What arguments mean to a script, and what it says about those that mean nothing. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { joinTables } from "../../src/cli/shared-options.ts";
import { run, shown } from "./fixtures/run.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe("values", () => {
  test("keep what was typed: digits, a lone dash, negative numbers, names like numbers", async () => {
    const argv = [
      "-",
      "7",
      "--verbose",
      "007",
      "--base",
      "123",
      "--seed",
      "9007199254740991",
      "--layers",
      "-3,4",
      "--layers=5",
    ];
    const { args, options, seed } = await shown([...argv, "--data", "a,b", "--data", "c=d", "--", "--base"]);
    expect(args).toEqual(["-", "7", "007", "--base"]);
    expect(options.base).toBe("123");
    expect(seed).toBe(9007199254740991);
    expect(options.layers).toEqual([-3, 4, 5]);
    expect(options.data).toEqual(["a,b", "c=d"]);
    expect(options.verbose).toBe(true);
  });

  test("letters can be joined, and a switch can be turned off", async () => {
    const { options, out } = await shown(["-vnofile.txt", "--no-normalize"]);
    expect(options).toMatchObject({ verbose: true, dry_run: true, normalize: false });
    expect(out).toBe("file.txt");
    expect((await shown(["--normalize", "false"])).options.normalize).toBe(false);
  });

  test("method options become flags, and per-model ones take one value or a list", async () => {
    const one = await shown(["--method", "task-vector", "--scale", "-0.5", "--weight", "2"]);
    expect(one.method).toBe("task_vector");
    expect(one.settings).toEqual({ scale: -0.5, density: 0.5, weight: 2 });
    const two = await shown(["--method", "task_vector", "--weight", "1,2", "--set", "density=0.25"]);
    expect(two.settings).toEqual({ scale: 1, density: 0.25, weight: [1, 2] });
    expect(two.raw).toEqual({ weight: "1,2", density: "0.25" });
  });

  test("come from flags, then the environment, then the config, then defaults", async () => {
    const config = file(
      "run.yml",
      "method: task-vector\nbase: 0012\nsteps: 3\nscale: 4\nlayers: [1, -2]\ndry-run: true\nseed: 9007199254740991\n",
    );
    const env = { INGOT_STEPS: "5", INGOT_SCALE: "6", INGOT_YES: "1", INGOT_BASE: "" };
    const { options, settings, method } = await shown(["--config", config, "--scale", "7"], env);
    expect(method).toBe("task_vector");
    expect(options).toMatchObject({
      base: "0012",
      steps: 5,
      layers: [1, -2],
      dry_run: true,
      seed: 9007199254740991,
    });
    expect(settings).toEqual({ scale: 7, density: 0.5, weight: 1 });
  });
});

/** Arguments, message, hint. */
const MISTAKES: [string[], string, string][] = [
  [["--bsae", "x"], "unknown option --bsae", "did you mean --base?"],
  [["--drr-run"], "unknown option --drr-run", "did you mean --dry-run?"],
  [["--frobnicate"], "unknown option --frobnicate", "see --help all for the options"],
  [["-nz"], "unknown option -z", "see --help all for the options"],
  [
    ["--base", "--json"],
    "--base: expected a value but found --json",
    "if the value begins with a dash, write --base=VALUE",
  ],
  [["--out"], "--out: expected a value but found nothing", "write --out OUT: where the result goes; - is stdout"],
  [["--json=maybe"], "--json: expected true or false but found maybe", "write --json or --no-json"],
  [["--steps", "1.5"], "--steps: expected an integer but found 1.5", "--steps: how many"],
  [["--steps", "-2"], "--steps: expected a positive number but found -2", "--steps: how many"],
  [["--steps", "1", "--steps", "2"], "--steps: expected one value but found 1 and 2", "give it once"],
  [["--layers", "1,x"], "--layers: expected a number but found x", "--layers: which layers"],
  [
    ["--act", "shwo"],
    '--act: expected "bug", "bytes", "deaf", "evil", "forgotten", "lines", "mistake", "progress", "quits", "show", "stubborn" or "wait" but found shwo',
    "did you mean show?",
  ],
  [
    ["--seed", "9007199254740992"],
    "--seed: expected at most 9007199254740991 but found 9007199254740992",
    "--seed: seed of everything random",
  ],
  [["--seed", "-1"], "--seed: expected a non-negative number but found -1", "--seed: seed of everything random"],
  [["--method", "task-vectro"], "--method: unknown method task-vectro", "did you mean task-vector?"],
  [["--method", "../../x"], "--method: unknown method ../../x", "the methods are average, task-vector"],
  [["--method", "average", "--density", "1"], "average has no option --density", "methods with --density: task_vector"],
  [["--density", "1"], "--density needs a --method", "methods with --density: task_vector"],
  [
    ["--method", "task-vector", "--density", "1.5"],
    "--density: expected at most 1 but found 1.5",
    "--density: fraction kept",
  ],
  [
    ["--method", "task-vector", "--set", "densty=1"],
    "--set: task_vector has no option densty",
    "did you mean density?",
  ],
  [
    ["--method", "average", "--set", "x"],
    "--set: expected KEY=VALUE but found x",
    "leave it out: average has no options",
  ],
  [["--config", "nowhere.yml"], "nowhere.yml: no such file", "--config takes a YAML file whose keys are option names"],
];

describe("mistakes", () => {
  test.each(MISTAKES)("%p", async (argv, message, hint) => {
    const { code, out, err } = await run(argv);
    expect(err).toBe(`shape: ${message}\n  hint: ${hint}\n`);
    expect(out).toBe("");
    expect(code).toBe(2);
  });

  test("in the environment are named by the variable", async () => {
    const { err, code } = await run([], { INGOT_STEPS: "many" });
    expect(err).toBe("shape: INGOT_STEPS: expected a number but found many\n  hint: --steps: how many\n");
    expect(code).toBe(2);
  });

  test("in a config are named by file and key", async () => {
    const mistakes: [string, string][] = [
      ["stpes: 3", "FILE: unknown key stpes\n  hint: did you mean steps?"],
      ["steps: 0", "steps in FILE: expected a positive number but found 0\n  hint: --steps: how many"],
      ["dry-run: true\ndry_run: true", "FILE: dry_run is given twice\n  hint: keep one of the two"],
      [
        "base: {a: 1}",
        "base in FILE: expected a value or a list of values\n  hint: nested maps and lists are not options",
      ],
      ["- 1", "FILE: expected a map of options but found a list\n  hint: write one `option: value` a line"],
      ["help: true", "FILE: unknown key help\n  hint: keys are the names of options; see --help"],
    ];
    for (const [text, message] of mistakes) {
      const path = file("bad.yml", text);
      const { err, code } = await run(["--config", path]);
      expect(err.replaceAll(path, "FILE")).toBe(`shape: ${message}\n`);
      expect(code).toBe(2);
    }
    const path = file("bad.yml", "steps: 1\nsteps: 2");
    const { err } = await run(["--config", path]);
    expect(err.replaceAll(path, "FILE")).toBe(
      "shape: FILE: Map keys must be unique at line 2, column 1\n  hint: steps: 1\n        steps: 2\n        ^\n",
    );
  });

  test("a config without end is cut off", async () => {
    const path = file("long.yml", "# comment\n".repeat(1_700_000));
    for (const endless of existsSync("/dev/zero") ? [path, "/dev/zero"] : [path]) {
      const { err, code } = await run(["--config", endless]);
      expect(err).toBe(
        `shape: ${endless} is larger than 16 MiB\n  hint: expected a YAML file of options or a recipe\n`,
      );
      expect(code).toBe(2);
    }
  });
});

describe("tables of options", () => {
  const spec = { type: "string", help: "a value" };

  test("refuse a name or a letter that stands for two things", () => {
    expect(() => joinTables({ base: spec }, { base: spec })).toThrow("option base is defined twice");
    expect(() => joinTables({ base: { ...spec, short: "b" } }, { b: spec })).toThrow("option -b is defined twice");
    expect(() => joinTables({ no_base: spec })).toThrow("option no_base: not a snake_case name");
  });
});
