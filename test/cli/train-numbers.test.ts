/** Models that predict numbers: learnt by `train`, measured by `evaluate`, refused where labels are asked for. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-numbers-"));
const at = (name: string) => join(folder, name);
const text = new TextDecoder();

async function run(script: string, ...argv: string[]) {
  const { code, out, err } = await runScript(script, argv, folder);
  return { code, out: text.decode(out), err };
}

beforeAll(async () => {
  const config = { model_type: "mlp", input_size: 4, hidden_sizes: [24], num_labels: 2 };
  writeFileSync(at("numbers.json"), JSON.stringify({ ...config, problem_type: "regression" }));
  writeFileSync(at("classes.json"), JSON.stringify(config));
  const task = ["numbers", "--dims", "4", "--outputs", "2", "--waves", "0.5"];
  await run("data", ...task, "--size", "400", "-o", "rows.jsonl");
  await run("data", ...task, "--size", "200", "--split", "test", "-o", "test.jsonl");
  await run("data", ...task, "--size", "4", "-o", "few.jsonl");
});
afterAll(() => rmSync(folder, { recursive: true }));

const train = (...more: string[]) => run("train", "--init", "numbers.json", "--data", "rows.jsonl", ...more);

describe("a model that predicts numbers", () => {
  test("learns them: held-out errors fall to what noise leaves, and evaluate says the same as the log", async () => {
    const trained = await train(
      ...["--loss", "mse", "--steps", "200", "--batch-size", "50", "--lr", "0.02"],
      ...["--eval-data", "test.jsonl", "--eval-every", "200", "--log", "run.jsonl", "-o", "out"],
    );
    expect([trained.code, trained.err]).toEqual([0, trained.err]);
    const { code, out, err } = await run("evaluate", "out", "--data", "test.jsonl", "--metric", "mse,mae,r2", "--json");
    expect([code, err]).toEqual([0, err]);
    const { mse, mae, r2 } = JSON.parse(out) as Record<string, number>;
    expect(mse).toBeLessThan(0.2); // the noise is 0.01 of it
    expect(mae).toBeLessThan(Math.sqrt(mse!));
    expect(r2).toBeGreaterThan(0.8);
    const end = JSON.parse(readFileSync(at("run.jsonl"), "utf8").trim().split("\n").at(-1)!) as {
      held_out_loss: number;
    };
    expect(end.held_out_loss).toBeCloseTo(mse!, 5);
  });

  test.each(["mae", "huber", "pseudo-huber"])("learns by %s", async (loss) => {
    const { code, err } = await train("--loss", loss, "--steps", "3", "-o", `by-${loss}`);
    expect([code, err]).toEqual([0, err]);
  });
});

describe("refusals", () => {
  test.each([
    [["--steps", "1"], "--loss ce is a loss of labels"],
    [["--loss", "mse", "--steps", "1", "--mixup", "0.2"], "--mixup is for labels"],
    [["--loss", "mse", "--steps", "1", "--smoothing", "0.1"], "--smoothing is for labels"],
    [["--loss", "mse", "--steps", "1", "--adversarial"], "--adversarial is for labels"],
    [["--loss", "mse", "--steps", "1", "--certified", "ibp"], "--certified is for labels"],
  ])("%p", async (argv, said) => {
    const { code, err } = await train(...argv, "-o", "none");
    expect([code, err]).toEqual([2, expect.stringContaining(said)]);
  });

  test("rows without numbers, with too few, and a loss of numbers for classes", async () => {
    writeFileSync(at("bare.jsonl"), `${JSON.stringify({ x: [1, 2, 3, 4], label: 1 })}\n`);
    writeFileSync(at("one.jsonl"), `${JSON.stringify({ x: [1, 2, 3, 4], y: 0.5 })}\n`);
    const of = (data: string, init = "numbers.json") =>
      run("train", "--init", init, "--data", data, "--loss", "mse", "--steps", "1", "-o", "none");
    expect((await of("bare.jsonl")).err).toContain("bare.jsonl:1: the model predicts 2 numbers, and the row has no y");
    expect((await of("one.jsonl")).err).toContain("one.jsonl:1: the model predicts 2 numbers, and y has 1");
    expect((await of("bare.jsonl", "classes.json")).err).toContain("--loss mse is a loss of numbers");
  });

  test("metrics and scripts of labels", async () => {
    await train("--loss", "mse", "--steps", "1", "-o", "small");
    const said = async (script: string, ...argv: string[]) => (await run(script, ...argv)).err;
    expect(await said("evaluate", "small", "--data", "few.jsonl")).toContain("--metric loss is not for small");
    expect(await said("evaluate", "small", "--data", "few.jsonl", "--probe", "fisher")).toContain("predicts numbers");
    await train("--loss", "mse", "--steps", "1", "--seed", "1", "-o", "other");
    const teach = ["--teacher", "other", "--student", "small", "--data", "few.jsonl", "--steps", "1", "-o", "none"];
    expect(await said("distill", ...teach)).toContain("predicts numbers");
    expect(await said("adapt", "--init", "numbers.json", "--tasks", "few.jsonl", "-o", "none")).toContain(
      "predicts numbers",
    );
    expect(
      await said(
        "unlearn",
        "small",
        "--method",
        "grad-ascent",
        "--forget",
        "few.jsonl",
        "--retain",
        "test.jsonl",
        "-o",
        "none",
      ),
    ).toContain("predicts numbers");
  });
});
