/** The curriculum script as a user runs it: what goes in and out, and what it refuses. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { runShell } from "../support/command.ts";
import { DATA, GRAPH, HELD, openLab, RUN } from "./curriculum-lab.ts";

const lab = openLab();

describe("what goes in and out", () => {
  const line = `--method aioli --round 5 --passes 1 --lp-steps 1 ${DATA} ${HELD} ${RUN} --steps 6`;
  test("a stream, to a stream", async () => {
    const { err, code } = await runShell(
      `$MERGE model --method passthrough -q | $CURRICULUM ${line} > streamed.safetensors && $CURRICULUM model ${line} -o named/ && cat a.jsonl | $CURRICULUM model ${line.replace("a=a.jsonl", "a=-")} > piped.safetensors`,
      lab.folder,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(await lab.apart("named", "streamed.safetensors")).toBe(0);
    expect(await lab.apart("named", "piped.safetensors")).toBe(0);
  }, 120_000);

  test("--lora trains an adapter, the base stays", async () => {
    const before = readFileSync(lab.at("model/model.safetensors"));
    await lab.succeeds(`model ${line} --lora --lora-rank 2 --log lora.log -o lora/`);
    expect(
      [...(await lab.tensors("lora/adapter_model.safetensors")).keys()].every((key) => /lora_[AB]/.test(key)),
    ).toBe(true);
    expect(readFileSync(lab.at("model/model.safetensors"))).toEqual(before);
    expect(lab.mixtures("lora.log").map(({ step }) => step)).toEqual([0, 1, 2, 3]);
    await lab.succeeds(`model+lora --lora-continue ${line} -o lora-on/`);
    expect(await lab.apart("lora/adapter_model.safetensors", "lora-on/adapter_model.safetensors")).toBeGreaterThan(
      1e-4,
    );
  }, 120_000);

  test.each([
    "--method progress --every 5",
    "--method doremi --every 30 --eta 0.2 --reference-losses 0.5,0.9",
    "--method self-paced",
    "--method stratified --task-loss task-focal",
    "--method stratified --sample-weight linupper",
  ])(
    "a classifier: %s",
    async (options) => {
      const log = `${options.replaceAll(/[^a-z]/g, "")}.log`;
      await lab.succeeds(
        `mlp --data x=x.jsonl --data y=y.jsonl --eval-data x=x-held.jsonl --eval-data y=y-held.jsonl ${options} --batch-size 8 --steps 100 --lr 0.03 -q --log ${log} --overwrite -o mlp-out/`,
      );
      // Far below ln 3, which is knowing nothing.
      for (const loss of Object.values(lab.held(log))) {
        expect(loss).toBeLessThan(0.9);
      }
      if (options.includes("progress")) expect(lab.mixtures(log)).toHaveLength(20);
    },
    20_000,
  );

  test("--dry-run says the memory and writes nothing", async () => {
    const { text, code } = await lab.run(`model ${line} -n -o never/`);
    expect(code).toBe(0);
    expect(text).toContain("data: a 16 rows, 256 tokens; b 16 rows, 256 tokens; c 16 rows, 256 tokens\n");
    expect(text).toMatch(/\nheld out: a \d+ rows; b \d+ rows; c \d+ rows\n6 steps/);
    expect(existsSync(lab.at("never"))).toBe(false);
  });
});

describe("refusals", () => {
  test.each([
    ["--method aioli --round 5 --passes 1 --lp-steps 1", "aioli needs held-out rows of every group", ""],
    [
      `--method progress --eval-data a=a-held.jsonl --eval-data b=b-held.jsonl`,
      "progress needs held-out rows of every group, and there are none of c",
      "give --eval-data c=held-out.jsonl, named as in --data",
    ],
    [
      `--method aioli ${HELD}`,
      "--passes 4 and --lp-steps 4 for 3 groups take 48 steps of a round of 1",
      "a round is 49 steps or more: train longer, give a larger --round, or lower --passes or --lp-steps",
    ],
    [`--method skill-it ${HELD}`, "--method skill-it needs --graph", "curriculum graph ... -o graph.json"],
    ["--method stratified --graph graph.json", "stratified has no option --graph", "methods with --graph: skill-it"],
    [`--method skill-it ${HELD} --graph none.json`, "--graph none.json cannot be read", "make one"],
    [`--method skill-it ${HELD} --graph two.json`, "--graph is 2 x 2 but there are 3 groups", "one row and one column"],
    [
      `--method skill-it ${HELD} --graph named.json`,
      "--graph named.json does not know the group c",
      "it knows a, b, d",
    ],
    ["--method static --mixture 1,2", "--mixture has 2 values but there are 3 groups", "give one for each of a, b, c"],
    ["--method dmt --special aa", "--special: there is no group aa", "did you mean a?"],
    ["--method doremi", "--reference-losses is missing", ""],
    [
      "--method meco --conditioned a",
      "--conditioned names 1 groups, and there are 2 plain ones",
      "every group with metadata needs its counterpart without",
    ],
    ["--schedule-from none.log", "--schedule-from none.log cannot be read", ""],
    ["--schedule-from empty.log", "empty.log has no mixtures", "give the --log of a curriculum run"],
    [
      "--schedule-from pair.log",
      "pair.log, line 1: the groups were a, b, now they are a, b, c",
      "give the same groups in the same order",
    ],
    [
      "--method stratified --sample-weight linupper --accumulate 2",
      "--sample-weight compares the rows of one batch",
      "give a larger --batch-size instead of --accumulate",
    ],
    [
      "--method stratified --sample-weight linupper --task-loss sample-mean",
      "--sample-weight linupper and --task-loss sample-mean both say what rows weigh",
      "leave one of them out",
    ],
    [
      "--method task-balance --strategy equal --sample-weight extremes",
      "--sample-weight extremes and --method task-balance both weigh rows",
      "leave out --sample-weight",
    ],
    ["--method length --start-length 9 --end-length 8", "--end-length 8 is below --start-length 9", "the limit grows"],
    ["--method cyclical --start 0.5 --end 0.4", "--start 0.5 is above --end 0.4", "a pass has at least --start"],
    [
      "--method static --focus 3",
      "--focus has no effect without --schedule-from or --task-loss",
      "give both or neither",
    ],
    [
      "--method static --reweight-temp 2",
      "--reweight-temp has no effect without --sample-weight linupper, quadratic or extremes",
      "give both or neither",
    ],
    [
      "--method static --select-by craig",
      "--select-by has no effect without curriculum select",
      "give both or neither",
    ],
    ["--method static --graph-steps 3", "--graph-steps has no effect without curriculum graph", "give both or neither"],
    [
      "--method sec --schedule-from pair.log",
      "both --schedule-from and --method sec say what is drawn",
      "leave one of them out",
    ],
    [
      "--schedule-from pair.log --graph graph.json",
      "stratified has no option --graph",
      "methods with --graph: skill-it",
    ],
    ["--method length --graph graph.json", "length has no option --graph", "methods with --graph: skill-it"],
    ["--method skilit", "--method: unknown method skilit", "did you mean skill-it?"],
    ["other --method static", "unexpected argument other", "it takes [model]"],
  ])(
    "%s",
    async (options, message, hint) => {
      lab.write("graph.json", JSON.stringify(GRAPH));
      lab.write("two.json", "[[1, 0], [0, 1]]");
      lab.write("named.json", JSON.stringify({ groups: ["a", "b", "d"], graph: GRAPH }));
      lab.write("empty.log", '{"event":"start"}\n');
      lab.write("pair.log", '{"event":"mixture","step":0,"groups":["a","b"],"probs":[0.5,0.5]}\n');
      const { err, code } = await lab.run(`model ${options} ${DATA} ${RUN} --steps 12 -o refused/`);
      const [first, second = ""] = err.split("\n");
      expect(first!.startsWith(`curriculum: ${message}`)).toBe(true);
      expect(second).toContain(hint);
      expect(code).toBe(2);
      for (const left of ["refused", "refused-state"]) expect(existsSync(lab.at(left))).toBe(false);
    },
    20_000,
  );

  test("graph and plan say what they lack", async () => {
    const refused = async (line: string, message: string) => {
      const { err, code } = await lab.run(line);
      expect(err.split("\n")[0]).toBe(`curriculum: ${message}`);
      expect(code).toBe(2);
    };
    await refused(`graph model --data a=a.jsonl ${HELD} -q`, "a graph needs two groups or more");
    await refused(
      `graph model ${DATA} --eval-data a=a-held.jsonl -q`,
      "a graph needs held-out rows of every group, and there are none of b",
    );
    await refused(`graph ${DATA} --edges a:d -q`, "edge a:d does not name two groups");
    await refused("plan --tokens 100", "a plan needs --flops or --parameters");
    await refused(`model --method stratified ${RUN} --steps 2 -o refused/`, "--data is missing");
  }, 120_000);
});
