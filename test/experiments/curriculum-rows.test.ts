/**
 * What is said of orderings and of weights by row, on little languages and on points with wrong labels.
 *
 * Measured over seeds 1 to 3, held-out loss above the least possible, mean and spread of the differences from the
 * baseline:
 *   half the rows noise     all rows 0.42; best half -0.33 (0.04), self-paced -0.23 (0.03), competence -0.15 (0.04),
 *                           cyclical by easiness -0.07 (0.02)
 *   copies and noise        uniform 0.36; linupper -0.06 (0.002), quadratic +0.03 (0.03), extremes +0.04 (0.02)
 *   three labels in ten     ordinary epochs 0.58; cyclical-live -0.08 (0.03), self-paced -0.20 (0.10); growing -0.00
 *     (0.01)
 *   rows of 8 to 64 symbols all lengths 0.10; short first -0.01 (0.005) at the same number of tokens (twice as many
 *     steps), +0.06 (0.001) at the
 *                           same number of steps
 * These are from before schedules were numbered as PyTorch's (a warm-up begins at rate 0). Since then, on seed
 * 1: best half -0.33, self-paced -0.23, competence -0.14, cyclical -0.08 of 0.42; linupper -0.06 of 0.36; cyclical-live
 * -0.12, self-paced -0.31 of 0.54. Each test asks for half of what was found, or less.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { decoder, Lab, Language, rowOf } from "./curriculum-lab.ts";
import { uniform } from "./support.ts";

const lab = new Lab();
afterAll(() => lab.close());

describe("half of the rows are noise, and the model has seen a little trusted text", () => {
  const language = new Language({ seed: 11, size: 16, sharpness: 12 });
  const noise = new Language({ seed: 12, size: 16, sharpness: 0 });
  const held = { all: language.rows(48, 109) };
  const rows = { all: [...language.rows(150, 101), ...noise.rows(150, 102)] };
  const line = "--batch-size 16 --lr 0.01 --warmup 10 --seed 1";
  let options: string | undefined;

  /** Loss above the least possible after 100 steps from the shared base. */
  async function after(method: string): Promise<number> {
    if (options === undefined) {
      const trusted = lab.groups({ all: language.rows(100, 100) }, held);
      await lab.run(`${lab.fresh(decoder({ vocab_size: 16 }))} ${trusted} ${line} --steps 40 --method static`, "base/");
      options = lab.groups(rows, held);
    }
    const { losses } = await lab.run(`base ${options} ${line} --steps 100 --method ${method}`);
    return losses.all! - language.least(held.all);
  }

  test("the best half, the easiest first, and easy rows more often all beat all rows alike", async () => {
    const ordinary = await after("quality --subset 1");
    expect(await after("quality --subset 0.5")).toBeLessThan(ordinary - 0.2);
    expect(await after("self-paced --start 0.3 --over 1")).toBeLessThan(ordinary - 0.12);
    expect(await after("competence --c0 0.3 --over 1")).toBeLessThan(ordinary - 0.07);
    expect(await after("cyclical")).toBeLessThan(ordinary - 0.03);
    // The other way round it is the noise that comes first.
    expect(await after("competence --c0 0.3 --over 1 --toward easy")).toBeGreaterThan(ordinary);
  }, 90_000);
});

describe("six rows in ten are copies of four, one in ten is noise", () => {
  test("linupper learns the text among them better; extremes, which look at the noise, do not", async () => {
    const text = new Language({ seed: 11, size: 32, sharpness: 12 });
    const next = uniform(77);
    const strange = (first: number) => rowOf(Array.from({ length: 16 }, () => first + Math.floor(16 * next())));
    const few = Array.from({ length: 4 }, () => strange(32));
    const noise = Array.from({ length: 60 }, () => strange(48));
    const held = { all: text.rows(48, 101) };
    const rows = [...Array.from({ length: 360 }, (_, i) => few[i % 4]!), ...text.rows(180, 100), ...noise];
    const options = `${lab.fresh(decoder())} ${lab.groups({ all: rows }, held)}`;
    const after = async (kind: string) => {
      const line = `${options} --batch-size 32 --lr 0.01 --warmup 10 --steps 150 --seed 1 --method static`;
      const how = kind === "uniform" ? "" : ` --sample-weight ${kind} --reweight-temp 0.4`;
      const { losses } = await lab.run(`${line}${how}`);
      return losses.all! - text.least(held.all);
    };
    const plain = await after("uniform");
    expect(await after("linupper")).toBeLessThan(plain - 0.03);
    expect(await after("extremes")).toBeGreaterThan(plain - 0.01);
  }, 60_000);
});

describe("three labels in ten are drawn by lot", () => {
  test("passes over the easy points now and then, or over them first, overfit less than ordinary epochs", async () => {
    const next = uniform(98);
    const centres = Array.from({ length: 4 }, () => Array.from({ length: 6 }, () => 2 * next() - 1));
    const point = (wrong: number) => {
      const label = Math.floor(4 * next());
      const x = centres[label]!.map((value) => value + 0.9 * (next() + next() + next() - 1.5));
      return { x, label: next() < wrong ? Math.floor(4 * next()) : label };
    };
    const train = { all: Array.from({ length: 96 }, () => point(0.3)) };
    const options = lab.groups(train, { all: Array.from({ length: 200 }, () => point(0)) });
    const config = lab.fresh({ model_type: "mlp", input_size: 6, hidden_sizes: [64], num_labels: 4 }, "mlp");
    const after = async (method: string) =>
      (await lab.run(`${config} ${options} --batch-size 16 --lr 0.02 --steps 180 --seed 3 --method ${method}`)).losses
        .all!;
    const ordinary = await after("cyclical --start 1");
    expect(await after("cyclical-live")).toBeLessThan(ordinary - 0.04);
    expect(await after("self-paced --start 0.3 --over 1")).toBeLessThan(ordinary - 0.1);
  }, 60_000);
});

describe("rows of 8, 16, 32 and 64 symbols, asked for 64", () => {
  test("short ones first, as many steps take half of the tokens, and as many tokens serve as well", async () => {
    const language = new Language({ seed: 11, size: 24, sharpness: 12 });
    const rows = [8, 16, 32, 64].flatMap((length, i) => language.rows(150, 100 + i, { length }));
    const config = lab.fresh(decoder({ vocab_size: 24, max_position_embeddings: 64 }), "long");
    const data = lab.groups({ all: rows }, { all: language.rows(24, 109, { length: 64 }) });
    const after = (options: string) =>
      lab.run(`${config} ${data} --batch-size 16 --lr 0.01 --warmup 10 --seed 1 --method length ${options}`);
    const ordinary = await after("--steps 100 --start-length 64 --pass 1");
    const short = await after("--steps 100 --start-length 8 --over 0.8");
    const longer = await after("--steps 195 --start-length 8 --over 0.8");
    expect(short.tokens).toBeLessThan(0.6 * ordinary.tokens);
    expect(longer.tokens).toBeLessThan(ordinary.tokens);
    expect(longer.losses.all!).toBeLessThan(ordinary.losses.all! + 0.005);
  }, 60_000);
});
