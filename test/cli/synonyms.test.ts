/** Options as other tools call them. */
import { expect, test } from "bun:test";
import { recipeDtype } from "../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { flagHint, parseArguments } from "../../src/cli/parse.ts";
import { commonOptions, joinTables } from "../../src/cli/shared-options.ts";
import { fromEnvironment, matchConfig } from "../../src/cli/sources.ts";
import { optionValue } from "../../src/method/validate.ts";
import { RUN } from "../../src/run/training/options.ts";
import { SAMPLE } from "../../src/sample/options.ts";
import { runScript } from "../support/command.ts";

const train = { ...RUN, ...commonOptions({ options: RUN }), warmup: { type: "number", help: "" } };

test.each([
  ["--learning-rate", "--lr"],
  ["--output_dir", "--out"],
  ["--batch", "--batch-size"],
  ["--gradient-accumulation-steps", "--accumulate"],
  ["--max-grad-norm", "--clip"],
  ["--warmup-ratio", "--warmup"],
  ["--lora-r", "--lora-rank"],
  ["--num-train-epochs", "--epochs"],
  ["--gradient-checkpointing", "--recompute"],
  ["--per-device-train-batch-size", "--batch-size"],
])("train %s is %s", (typed, flag) => {
  expect(flagHint(typed, train)).toBe(`here it is ${flag}`);
});

test("only what the script has is named", () => {
  expect(flagHint("--temp", SAMPLE)).toBe("here it is --temperature");
  expect(flagHint("--max-new-tokens", SAMPLE)).toBe("here it is --max-tokens");
  expect(flagHint("--learning-rate", SAMPLE)).toBe("see --help all for the options");
  expect(flagHint("--toString", SAMPLE)).toBe("see --help all for the options");
});

test.each([
  ["f32", "f32 F32 fp32 FP32 float32 float torch.float32 Float32"],
  ["bf16", "bf16 BF16 bfloat16 torch.bfloat16"],
  ["f16", "f16 F16 fp16 float16 half torch.half"],
])("%s by all its names: %s", async (word, names) => {
  for (const text of names.split(" "))
    expect([text, await optionValue("out_dtype", RUN.out_dtype, { texts: [text], origin: "--out-dtype" })]).toEqual([
      text,
      word,
    ]);
  const [long] = [{ f32: "F32", bf16: "BF16", f16: "F16" }[word]];
  for (const text of names.split(" ")) expect([text, recipeDtype(text) as string]).toEqual([text, long!]);
});

test("what is no dtype of the option is refused", () => {
  const given = (text: string) => optionValue("dtype", RUN.dtype, { texts: [text], origin: "--dtype" });
  expect(given("fp16")).rejects.toThrow('--dtype: expected "bf16", "f32" or "keep" but found fp16');
  expect(given("auto")).resolves.toBe("keep");
});

test("a name that an option of a method had before still means it in --set", async () => {
  const run = (set: string) => runScript("data", ["facts", "--set", set, "--json", "--dry-run"], import.meta.dir);
  expect((await run("forget=0.5")).text).toBe((await run("forget_share=0.5")).text);
  expect((await run("forgot=0.5")).err).toContain("--set: facts has no option forgot\n");
});

test("a name that an option had before still means it, in commands, configs and the environment", async () => {
  const refused = (flag: string) => Promise.reject(new Error(`unknown ${flag}`));
  for (const flag of ["--mixture", "--weights"]) {
    const { given } = await parseArguments([flag, "0.7,0.3", `${flag}=1`], train, refused);
    expect([...given]).toEqual([["mixture", ["0.7,0.3", "1"]]]);
  }
  const config = (...keys: string[]) => ({ file: "run.yml", entries: new Map(keys.map((key) => [key, ["0.5"]])) });
  const fine = () => Promise.resolve();
  expect([...(await matchConfig(config("weights"), train, fine)).keys()]).toEqual(["mixture"]);
  expect(matchConfig(config("weights", "mixture"), train, fine)).rejects.toThrow("mixture is given twice");
  const [old, present] = [{ INGOT_WEIGHTS: "1,2" }, { INGOT_MIXTURE: "3,4" }];
  const set = (environment: object) => [...fromEnvironment(train, { NODE_ENV: "test", ...environment })];
  expect(set({ ...old, INGOT_MIXTURE: "" })).toEqual([["mixture", { texts: ["1,2"], origin: "INGOT_WEIGHTS" }]]);
  expect(set({ ...old, ...present })).toEqual([["mixture", { texts: ["3,4"], origin: "INGOT_MIXTURE" }]]);
});

test("no option is called what another was called before", () => {
  const number = { type: "number", help: "" };
  expect(() => joinTables({ top_blocks: { ...number, was: ["top"] } }, { top: number })).toThrow(
    "top is defined twice",
  );
});
