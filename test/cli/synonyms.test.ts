/** Options as other tools call them. */
import { expect, test } from "bun:test";
import { flagHint } from "../../src/cli/parse.ts";
import { commonOptions } from "../../src/cli/shared-options.ts";
import { RUN } from "../../src/run/training/options.ts";
import { SAMPLE } from "../../src/sample/options.ts";

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
