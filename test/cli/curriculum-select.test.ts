/** `curriculum select`, as a user runs it, and what sub-commands print. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, symlinkSync } from "node:fs";
import { runScript, runShell } from "../support/command.ts";
import { DATA, HELD, openLab, RUN } from "./curriculum-lab.ts";

const lab = openLab();

describe("what sub-commands print", () => {
  const graph = `graph model ${DATA} ${HELD} --batch-size 4 --graph-steps 2 -q`;
  const run = async (line: string) => {
    const { text, err, code } = await lab.run(line);
    expect(err).toBe("");
    expect(code).toBe(0);
    return text;
  };

  test("--json is the result on stdout; with -o it says what was written", async () => {
    const whole = JSON.parse(await run(`${graph} --json`));
    expect(Object.keys(whole)).toEqual(["groups", "graph", "start", "after"]);
    const told = JSON.parse(await run(`${graph} --json -o told.json`));
    expect(told).toEqual({ file: "told.json", groups: ["a", "b", "c"], runs: 3, steps_per_run: 2 });
    expect(JSON.parse(lab.read("told.json"))).toEqual(whole);
    const hand = JSON.parse(await run(`graph ${DATA} --edges a:b -q --json`));
    expect(hand.graph[0]).toEqual([1, 0.5, 0]);

    const plain = await run("select model --data a.jsonl --keep-rows 4 -q");
    expect(await run("select model --data a.jsonl --keep-rows 4 -q --json")).toBe(plain);
    const chosen = JSON.parse(await run("select model --data a.jsonl --keep-rows 4 -q --json -o told.jsonl"));
    expect(chosen).toMatchObject({ file: "told.jsonl", select_by: "lowest-loss", rows: 16, kept: 4, of: "loss" });
    expect(chosen.groups).toEqual([{ name: "a", rows: 16, kept: 4 }]);
    expect(chosen.mean).toBeLessThan(chosen.mean_of_all);
    expect(lab.read("told.jsonl")).toBe(plain);

    const plan = JSON.parse(await run("plan --parameters 1000 --json -q -o plan.json"));
    expect(plan.file).toBe("plan.json");
    expect(plan).toMatchObject(JSON.parse(lab.read("plan.json")));
    expect(await run("plan --parameters 1000 -q -o plan.txt")).toBe("");
    expect(lab.read("plan.txt")).toContain("train tokens: 20000\n");
  }, 40_000);

  test("--dry-run says what it takes, and neither runs nor writes", async () => {
    const told = await run(`${graph} --exact -n -o never.json --device none`);
    expect(told).toContain("6 runs of 2 steps of 4 rows: 12 steps\n7 evaluations on 12 held-out rows\nweights: ");
    const plan = JSON.parse(await run(`${graph} -n --json --device none`));
    expect(plan).toMatchObject({ runs: 3, steps_per_run: 2, steps: 6, held_out_rows: 12, batch_size: 4 });
    const chosen = await run(
      "select model --data a.jsonl --keep-rows 4 --batch-size 5 -q -n -o never.jsonl --device none",
    );
    expect(chosen).toContain("lowest-loss: keep 4 of 16 rows, 256 tokens\nlosses of 4 batches of 5\nweights: ");
    const rows = JSON.parse(await run("select model --data a.jsonl --select-by craig -q -n --json --device none"));
    expect(rows).toMatchObject({ select_by: "craig", rows: 16, tokens: 256, keep: 4, batches: 2 });
    expect(existsSync(lab.at("never.json")) || existsSync(lab.at("never.jsonl"))).toBe(false);
  }, 40_000);

  test("an input is not replaced", async () => {
    const before = readFileSync(lab.at("a.jsonl"));
    symlinkSync(lab.at("a.jsonl"), lab.at("link.jsonl"));
    for (const [line, other] of [
      ["select model --data ./a.jsonl -q -o link.jsonl", ", as ./a.jsonl"],
      [`graph model ${DATA} ${HELD} -q -o b-held.jsonl`, ""],
    ]) {
      const { err, code } = await lab.run(line!);
      const message = `--out: ${line!.split(" ").at(-1)} is read by this run${other}`;
      expect(err).toBe(`curriculum: ${message}\n  hint: it would be lost; write to another file\n`);
      expect(code).toBe(2);
    }
    expect(readFileSync(lab.at("a.jsonl"))).toEqual(before);
  }, 120_000);

  test("a model that gives no numbers stops the work", async () => {
    const hint = "bun run inspect broken --check looks for NaN in its weights";
    for (const [line, message] of [
      [`graph broken ${DATA} ${HELD} --graph-steps 2`, "broken: the held-out loss of the group a is NaN"],
      ["select broken --data a.jsonl", "broken: the score NaN of a.jsonl:1 is not finite"],
      ["select broken --data a.jsonl --select-by gradient-norm", "broken: the score NaN of a.jsonl:1 is not finite"],
      ["select broken --data a.jsonl --select-by craig", "broken: a hidden state of a.jsonl:1 is not finite"],
    ]) {
      const { err, text, code } = await lab.run(`${line} -q -o nothing`);
      expect(err).toBe(`curriculum: ${message}\n  hint: ${hint}\n`);
      expect(text).toBe("");
      expect(code).toBe(1);
    }
    const { err, code } = await lab.run(
      `graph model ${DATA} ${HELD} --graph-steps 4 --optimizer sgd --lr 1e30 -q -o nothing`,
    );
    expect(err).toMatch(
      /^curriculum: model on a: step \d: .* is NaN, on a.jsonl.*\n {2}hint: lower --lr, or give --clip 1\n$/,
    );
    expect(code).toBe(1);
    expect(existsSync(lab.at("nothing"))).toBe(false);
  }, 40_000);
});

describe("select", () => {
  const lines = (text: string) => text.split("\n").filter((line) => line !== "");
  const source = (names: readonly string[]) => names.flatMap((name) => lines(lab.read(`${name}.jsonl`)));

  /** Rows of a, as no writer of ours would put them, between those of b in to-select.jsonl. */
  const toSelect = (): string[] => {
    const odd = source(["a"]).map((line, i) => `{ "note":"\u00fc${i}",  ${line.slice(1)}`);
    const mixed = source(["b"]).flatMap((line, i) => [line, odd[i]!]);
    lab.write("to-select.jsonl", `${mixed.join("\r\n")}\n`);
    return odd;
  };

  test("rows keep their bytes and their order; those of the group that was learned have the lowest loss", async () => {
    const odd = toSelect();
    const { text, err, code } = await runShell(
      `$CURRICULUM model --method static --mixture 1,0,0 ${DATA} ${RUN} --steps 40 | $CURRICULUM select --data to-select.jsonl --keep-rows 0.5 --log select.log`,
      lab.folder,
    );
    expect(code).toBe(0);
    expect(lines(text)).toEqual(odd);
    expect(err).toMatch(/lowest-loss: kept 16 of 32 rows; mean loss [\d.]+, of all [\d.]+\n/);
    expect(lab.events("select.log", "selected")[0]!.places).toEqual(odd.map((_, i) => `to-select.jsonl:${2 * i + 2}`));
  }, 120_000);

  test("gradients of rows that are known are the smallest", async () => {
    toSelect();
    await lab.succeeds(`model --method static --mixture 1,0,0 ${DATA} ${RUN} --steps 40 -o knows-a/`);
    const { text, code } = await lab.run(
      "select knows-a --data to-select.jsonl --select-by gradient-norm --keep-rows 10 -q",
    );
    expect(code).toBe(0);
    expect(lines(text)).toHaveLength(10);
    for (const line of lines(text)) expect(source(["b"])).toContain(line);
  }, 120_000);

  test("coverage takes rows of a group that is rare; the best come first when asked", async () => {
    // Sixteen copies of one row, told apart by a note, and two others.
    const copies = Array.from({ length: 16 }, (_, i) => `{"note":${i},${source(["b"])[0]!.slice(1)}`);
    const all = [...copies, ...source(["c"]).slice(0, 2)];
    lab.write("rare.jsonl", `${all.join("\n")}\n`);
    for (const by of ["craig", "dp-means --per-cluster 2"]) {
      await lab.succeeds(`select model --data rare.jsonl --select-by ${by} --keep-rows 4 -q -o plain.jsonl`);
      const plain = lines(lab.read("plain.jsonl"));
      expect(plain).toHaveLength(4);
      expect(plain.some((line) => all.indexOf(line) >= 16)).toBe(true);
      expect(plain.map((line) => all.indexOf(line))).toEqual(
        plain.map((line) => all.indexOf(line)).sort((a, b) => a - b),
      );
      await lab.succeeds(`select model --data rare.jsonl --select-by ${by} --keep-rows 4 --ranked -q -o ranked.jsonl`);
      const ranked = lines(lab.read("ranked.jsonl"));
      expect(ranked).not.toEqual(plain);
      expect([...ranked].sort()).toEqual([...plain].sort());
    }
  }, 120_000);

  test("rows are chosen for those of --target, by n-grams and by gradients", async () => {
    lab.write("pool.jsonl", `${["a", "b"].flatMap((name) => source([name])).join("\n")}\n`);
    for (const by of ["dsir --draw top --smoothing 0.1", "less --sketch-width 256"]) {
      const line = `select model --data pool.jsonl --select-by ${by} --keep-rows 8 -q`;
      const { text, code } = await lab.run(`${line} --target b-held.jsonl`);
      expect(code).toBe(0);
      expect(lines(text).filter((row) => source(["b"]).includes(row)).length).toBeGreaterThanOrEqual(7);
      const both = await lab.run(`${line} --target a=a-held.jsonl --target b=b-held.jsonl -n --json`);
      expect(JSON.parse(both.text)).toMatchObject({ keep: 8 });
    }
  }, 120_000);

  test("rows of every direction of gradients are chosen, and rows that are like earlier ones are not", async () => {
    const six = source(["a"]).slice(0, 6);
    lab.write("doubled.jsonl", `${[...source(["a"]), ...source(["b"]), ...six].join("\n")}\n`);
    const spread = await lab.run(
      "select model --data doubled.jsonl --select-by adapt-inf --clusters 2 --keep-rows 10 -q",
    );
    expect([spread.code, lines(spread.text).length]).toEqual([0, 10]);
    const all = lines(lab.read("doubled.jsonl")).length;
    const line = `select model --data doubled.jsonl --select-by unlike --clusters 1 --keep-rows ${all - 6} -q`;
    const { text } = await lab.run(line);
    expect(lines(text)).toEqual(lines(lab.read("doubled.jsonl")).slice(0, -6));
  }, 120_000);

  test("of a classifier each class is covered, and the rows weigh as those that they stand for", async () => {
    const line = "select mlp --data x.jsonl --data y.jsonl --select-by craig --weigh --keep-rows 6 -q";
    const core = lines((await lab.run(line)).text).map(
      (row) => JSON.parse(row) as { label: number; loss_weight: number },
    );
    expect(core).toHaveLength(6);
    expect(core.reduce((sum, row) => sum + row.loss_weight, 0)).toBeCloseTo(6, 9);
    expect(core.every(({ loss_weight }) => loss_weight > 0)).toBe(true);
    lab.write("core.jsonl", `${core.map((row) => JSON.stringify(row)).join("\n")}\n`);
    const trained = await runScript("train", "mlp --data core.jsonl --steps 2 -q -o core/".split(" "), lab.folder);
    expect([trained.code, trained.err]).toEqual([0, ""]);
    const easy = await lab.run("select mlp --data x.jsonl --data y.jsonl --keep-rows 6 -q --json -o easy.jsonl");
    expect(JSON.parse(easy.text)).toMatchObject({ kept: 6, of: "loss" });
  }, 120_000);

  test("what it writes is data", async () => {
    await lab.succeeds(`select model ${DATA} --keep-rows 12 -q -o chosen.jsonl`);
    await lab.succeeds(`model --method stratified --data chosen.jsonl ${RUN} --steps 2 -o from-chosen/`);
  }, 120_000);

  test.each([
    ["model --data -", "select reads its rows twice, which stdin cannot", "write them to a file first"],
    ["model --data a.jsonl --overflow split", "--overflow split makes several of one row", "leave it out"],
    ["mlp --data x.jsonl --select-by less", "less chooses rows of text, and mlp is a classifier", "craig, dp-means"],
    ["mlp --data x.jsonl --weigh", "--weigh: lowest-loss does not say what a row stands for", "craig does"],
    ["model", "--data is missing", "for example --data rows.jsonl"],
    ["model --data none.jsonl", "none.jsonl cannot be read (ENOENT)", "is the path right?"],
    [
      "model --data a.jsonl --select-by best",
      "--select-by: unknown selector best",
      "the selectors are adapt-inf, craig",
    ],
    ["model --data a.jsonl --method lowest-los", "unknown option --method", "did you mean --select-by lowest-loss?"],
    ["model --data a.jsonl --method length", "unknown option --method", "--select-by chooses: adapt-inf, craig"],
    ["model --data a.jsonl --steps 3", "--steps has no effect in curriculum select", "leave it out"],
    [
      "model --data a.jsonl --per-cluster 2",
      "lowest-loss has no option --per-cluster",
      "selectors with --per-cluster: dp-means",
    ],
    ["model --data a.jsonl --select-by dsir", "dsir chooses rows for others, and --target names none", "some.jsonl"],
    ["model --data a.jsonl --target a-held.jsonl", "--target: lowest-loss chooses rows whatever they are for", "leave"],
    [
      "model --data a.jsonl --select-by less --target a-held.jsonl --sketch-width 100",
      "--sketch-width 100 is no power of two from 64 to 16384",
      "for example 1024",
    ],
    ["model --data a.jsonl --exact", "--exact has no effect in curriculum select", "leave it out"],
  ])(
    "refuses %s",
    async (line, message, hint) => {
      const { err, text, code } = await lab.run(`select ${line} -q`);
      const [first, second = ""] = err.split("\n");
      expect(first!.startsWith(`curriculum: ${message}`)).toBe(true);
      expect(second).toContain(hint);
      expect(text).toBe("");
      expect(code).toBe(2);
    },
    20_000,
  );
});
