/** What the distill script refuses, before any work. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { TEXT, Workshop } from "./distill-models.ts";

const shop = await Workshop.make();
afterAll(() => shop.close());
const { at, distill } = shop;

describe("refusals", () => {
  test.each([
    ["--teacher - --student -", "student and teacher are both read from stdin\n  hint: name one of them"],
    ["--teacher -", "student and teacher are both read from stdin"],
    ["", "no teacher was named\n  hint: give --teacher MODEL, or --cache FILE"],
    ["large large --student small --method mtard", "the teacher large is named twice\n  hint: name each teacher once"],
    [
      "small --student small/",
      "small/ is teacher and student, so there is nothing to learn\n  hint: name another model",
    ],
    [
      "large other --student small",
      "kd takes 1 teacher, got 2\n  hint: several teachers: --method fusion-x, logit-ensemble, mtard or smooth-mix",
    ],
    ["large --student small --init small.json", "both --student and --init say what learns"],
    ["large --student small --cache x.safetensors", "both --teacher and --cache say what to learn from"],
    [
      "--student small --cache x.safetensors --method akl",
      "akl has no option --cache\n  hint: methods with --cache: jsd, kd,",
    ],
    [
      "large --student small --method mtard",
      "mtard takes 2 to 8 teachers, got 1\n  hint: give --teacher once for each",
    ],
    [
      "large --student small --method bd-kd --teacher-out x/",
      "--teacher-out has no effect without --online\n  hint: give both or neither",
    ],
    ["large --student small --top 3", "kd has no option --top\n  hint: methods with --top: hinge-rank, logistic-rank"],
    ["large --student small --top-logprobs 3", "--top-logprobs has no effect without distill cache"],
    ["large --student small --online", "kd has no option --online\n  hint: methods with --online: bd-kd, competitive"],
    ["large --student small --online --method bd-kd", "--online needs --teacher-out, and a teacher that is not the"],
    ["large --student small --method hidden --layers 1", '--layers: "1" is not a pair of layers'],
    [
      "large --student small --method hidden --layers 2:1",
      "--layers: the student has no layer 2\n  hint: it has 0 to 1, and last",
    ],
    [
      "large --student small --method attention --layers 0:1",
      "--layers: the student has no attention in layer 0\n  hint: it has 1 to 1, and last",
    ],
    [
      "mlp-large --student mlp-small --data points.jsonl --method attention",
      "the student has no attention over the tokens of a row alone\n  hint: take --method hidden, or kd for what it answers",
    ],
    ["large --student small --method self-further", "self-further: the teacher is 24 wide, the student 16"],
    ["large --student small --distill-weight 0", "--distill-weight and --label-weight are both 0"],
    ["large --student small --smoothing 0.1", "--smoothing changes the loss of the labels, whose weight is 0"],
    ["large --student small --pack --on-policy 0.5", "--pack and samples do not go together"],
    ["self --student large --lora --method seq-kd", "the base under an adapter does not sample"],
    [
      "mlp-large --student mlp-small --data points.jsonl --method hidden --layers 1:1",
      "--layers 1:1: the student's is 4 wide, the teacher's 9\n  hint: choose layers as wide as the last: 4 and 5",
    ],
    ["mlp-large --student small", "the teacher mlp-large is a classifier, the student a causal-lm"],
  ])(
    "%s",
    async (argv, message) => {
      const { err, code } = await distill(
        `${argv ? `${argv} ` : ""}${argv.includes("--data") ? "-q" : TEXT} --steps 2 -o refused/`,
      );
      expect(err).toContain(`distill: ${message}`);
      expect(code).toBe(2);
      expect(existsSync(at("refused"))).toBe(false);
    },
    30_000,
  );

  test.each([
    ["large --method taid", "--method: unknown decoder taid"],
    ["large --steps 3", "--steps has no effect in distill cache"],
  ])("cache %s", async (argv, message) => {
    const { err, code } = await distill(`cache ${argv} --data rows.jsonl -o refused/`);
    expect(err).toContain(`distill: ${message}`);
    expect(code).toBe(2);
  });

  test("a classifier samples nothing", async () => {
    const { err, code } = await distill("mlp-large --student mlp-small --data points.jsonl --on-policy 1 -o refused/");
    expect(err).toContain("distill: a classifier samples nothing");
    expect(code).toBe(2);
  });
});
