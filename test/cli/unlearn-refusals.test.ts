/** What the unlearn script refuses. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { Workshop } from "./unlearn-models.ts";

setDefaultTimeout(120_000);
const shop = await Workshop.make();
await shop.classifier();
shop.write("tokens.jsonl", [{ input_ids: [1, 2, 3, 4] }]);
shop.write("whole.jsonl", [{ text: "all of it" }]);
shop.write("silent.jsonl", [{ input_ids: [1, 2, 3, 4], labels: [-100, -100, -100, -100] }]);
shop.write("strange.jsonl", [{ question: "?" }]);
shop.write("far.jsonl", [{ x: [0, 0, 0, 0, 0, 0, 0, 0], label: 7 }]);
afterAll(() => shop.close());
const { at, unlearn } = shop;

describe("refusals", () => {
  test.each([
    ["base other", "unexpected argument other", "it takes [model]"],
    ["nothing", "nothing: no such file or folder", "check the spelling"],
    ["base --method nppo", "--method: unknown method nppo", "did you mean npo?"],
    ["base --forget lost.jsonl", "lost.jsonl does not exist", "give a file of rows"],
    ["base --forget strange.jsonl", "strange.jsonl:1: unknown row with the keys question", "a row holds text"],
    ["base --forget silent.jsonl", "the group silent has 4 tokens, and the loss would count none of them", ""],
    ["base ~forget", "--forget is missing", "for example --forget rows.jsonl"],
    ["base ~retain", "--retain is missing", "give rows to keep, or --retain-weight 0 for npo without them"],
    ["base ~retain --method ssd", "--retain is missing", "ssd compares the rows to forget with the others"],
    [
      "base --retain forget.jsonl",
      "--forget forget.jsonl and --retain forget.jsonl are the same rows",
      "give --retain rows",
    ],
    [
      "base --retain ./forget.jsonl --method ssd",
      "--forget forget.jsonl and --retain ./forget.jsonl are the same rows",
      "",
    ],
    ["base ~retain --method grad-ascent --anchor retain", "--anchor retain needs --retain", ""],
    ["base --forget-weight 0 --retain-weight 0", "--forget-weight 0 leaves npo nothing to learn", ""],
    [
      "base ~retain --method grad-ascent --term-weights pareto",
      "--term-weights pareto weighs a forget and a retain term, and here is one term",
      "give --retain",
    ],
    ["base --method pdu --retain-loss none", "--retain-loss none leaves pdu nothing to follow", "its weights change"],
    ["base --rho 0.1", "--rho has no effect without --smooth cr, gp, rs or sam", "give both"],
    ["base --rho 0.1 --smooth wa", "wa has no option --rho", "smoothings with --rho: cr, gp, rs, sam"],
    ["base --smooth sam --smooth-weight 3", "sam has no option --smooth-weight", "smoothings with"],
    ["base --smooth sam --average-from 2", "sam has no option --average-from", "smoothings with"],
    ["base --pd-weight 1", "--pd-weight has no effect without --pd", "give both"],
    ["base --answers refusal", "npo has no option --answers", "methods with --answers: dpo"],
    ["base --method altpo --answers refusal", "altpo has no option --answers", "methods with --answers: dpo"],
    [
      "base --method altpo --temperature 0.01",
      "every sampled answer is the one to forget",
      "raise --temperature, give an --instruction, or write other answers into the rows for --method dpo",
    ],
    [
      "base --method altpo --max-length 12 --instruction Answer!otherwise!",
      "forget.jsonl:1: the prompt leaves no room for an answer in 12 tokens",
      "shorten it, or raise --max-length",
    ],
    ["base --method dpo --forget -", "rows from stdin cannot be read twice, as dpo asks for", "write them to a file"],
    ["base --smooth wa --average-from 9", "--average-from 9: the run has 2 steps", ""],
    ["base --method isolate --lora", "isolate chooses the weights it trains, and --lora trains others", "leave out"],
    ["base --method isolate --layers 0-5", "--layers 0-5 is not a range of blocks", "the model has the blocks 0-1"],
    [
      "base --method isolate --layers auto --forget whole.jsonl",
      "whole.jsonl:1: tracing follows a prompt to its answer, and the row has no prompt",
      "rows hold prompt and completion",
    ],
    ["base --method isolate --layers auto --forget -", "rows from stdin cannot be read twice, as tracing asks for", ""],
    [
      "base --method isolate --layers auto --forget first.jsonl",
      "--layers auto: no block's MLP brings an answer back at the last token of its subject",
      "bun run evaluate MODEL --data FILE --probe trace shows what each block does",
    ],
    ["base --method rmu --layer 2", "--layer 2: the model has blocks 0 to 1", ""],
    ["base --skip-tokens 50", "the first 50 tokens left out, no row of --forget has any", "give a smaller"],
    ["base --method dpo --answers alternative", "forget.jsonl:1: the row has no alternative", "add a field"],
    [
      "base --method altpo --forget whole.jsonl",
      "whole.jsonl:1: altpo needs rows of prompt and completion, found a row of text",
      "",
    ],
    [
      "base --method dpo --forget tokens.jsonl",
      "tokens.jsonl:1: dpo needs rows of prompt and completion, found a row of tokens",
      "",
    ],
    ["base --method ssd --lora", "an edit changes weights, not an adapter", "leave out --lora"],
    ["base --method ssd --smooth sam", "--smooth is for methods that train", "leave it out"],
    [
      "base --method ssd --importance mlp/model.safetensors ~retain",
      "mlp/model.safetensors holds no importances",
      "write them with",
    ],
    [
      "mlp --forget zero.jsonl --retain others.jsonl",
      "npo is for language models; this is a classifier",
      "take analytic, bad-teacher, ce-u",
    ],
    [
      "mlp --method ssd --forget far.jsonl --retain others.jsonl",
      "far.jsonl:1: label 7, but the model has 4 classes",
      "",
    ],
    [
      "mlp --method grad-diff --forget zero.jsonl --retain far.jsonl",
      "far.jsonl:1: label 7, but the model has 4 classes",
      "",
    ],
    [
      "mlp --method grad-diff --forget zero.jsonl --retain others.jsonl --pd pd.jsonl",
      "--pd is for language models; this is a classifier",
      "",
    ],
  ])("%s", async (argv, message, hint) => {
    const own = (flag: string, file: string) =>
      argv.includes(`~${flag}`) || argv.includes(`--${flag} `) ? "" : ` --${flag} ${file}`;
    const rows = `${own("forget", "forget.jsonl")}${own("retain", "retain.jsonl")}`;
    const steps = argv.includes("ssd") ? "" : " --steps 2";
    const { err, code } = await unlearn(`${argv.replace(/ ~\w+/, "")}${rows}${steps} -q -o refused/`);
    const [first, second = ""] = err.split("\n");
    expect(first).toBe(`unlearn: ${message}`);
    expect(second).toStartWith(hint && `  hint: ${hint}`);
    expect(code).toBe(2);
    expect(existsSync(at("refused"))).toBe(false);
  });
});

test.each([
  ["base other --retain retain.jsonl", "unexpected argument other"],
  ["base", "--retain is missing"],
  ["base --retain retain.jsonl --forget forget.jsonl", "--forget has no effect in unlearn importance"],
])("importance %s", async (argv, message) => {
  const { err, code } = await unlearn(`importance ${argv} -q -o refused.safetensors`);
  expect(err).toStartWith(`unlearn: ${message}\n`);
  expect(code).toBe(2);
});
