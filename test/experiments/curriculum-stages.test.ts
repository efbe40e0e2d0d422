/**
 * What is said of recipes of stages, on little languages that share their symbols and are told apart by the first
 * token.
 *
 * Measured over seeds 1 to 3, held-out loss in nats, mean and spread of the differences from the baseline:
 *   a new language after an old     all new: the old one rises by 2.68; stable-cpt -1.77 (0.04), the new one +0.04
 *     (0.01)
 *   two languages, then a third     mixed-sequential 4.45 on the two; sequential +0.10 (0.14), dmt with a replay of
 *     0.05 -2.46 (0.17),
 *                                   and +0.03 (0.02) on the third
 *   five languages in turn          nothing rehearsed 3.57; recent -0.68 (0.17), exponential -1.66 (0.20), power -1.82
 *     (0.20),
 *                                   uniform -1.82 (0.21); on the last but one less the oldest, power -0.33 (0.2) to
 *                                     uniform
 *   150 steps of 16 rows            2400 rows once; 240 rows ten times +0.26 (0.04)
 *   four languages, four tokens     no cool-down 2.76 on plain rows; a fifth of the steps -0.96 (0.14). Plain rows
 *     alone -1.31 (0.16): at
 *                                   this size metadata do not pay, against what the paper has; so no test says that
 *                                     they do
 * These are from before schedules were numbered as PyTorch's (a warm-up begins at rate 0). Since then, on seed
 * 1: stable-cpt -2.14, the new one +0.07; dmt -2.05 and -1.85 on the two, +0.01 on the third; nothing rehearsed 3.60,
 * recent -0.54, power -1.50; 240 rows ten times +0.21. Each test asks for about half of what was found.
 */
import { afterAll, expect, test } from "bun:test";
import { all, decoder, Lab, Language, type Row } from "./curriculum-lab.ts";

const lab = new Lab();
afterAll(() => lab.close());

const CONFIG = decoder({ hidden_size: 32, intermediate_size: 64, vocab_size: 32 });
const RUN = "--batch-size 16 --lr 0.01 --warmup 10 --seed 1";

/** Languages over the same 16 symbols, each row headed by a token of its own. */
function languages(names: readonly string[], rows: number, held: number, seed = 1): string {
  const made = names.map((_, i) => new Language({ seed: 10 * seed + i, size: 16, sharpness: 12 }));
  const of = (count: number, first: number): Record<string, Row[]> =>
    Object.fromEntries(names.map((name, i) => [name, made[i]!.rows(count, first + i, { prefix: [20 + i] })]));
  return lab.groups(of(rows, 100 * seed), of(held, 100 * seed + 50));
}

test("stable-cpt: the old language hardly suffers, the new one is learnt all the same", async () => {
  const data = languages(["old", "new"], 800, 32);
  const { losses: before } = await lab.run(
    `${lab.fresh(CONFIG)} ${data} ${RUN} --steps 150 --method static --mixture 1,0`,
    "base/",
  );
  const after = async (method: string) => {
    const { losses, course } = await lab.run(`base ${data} ${RUN} --steps 100 --eval-every 10 --method ${method}`);
    const old = course.filter(({ group }) => group === "old").map(({ value }) => value);
    return { gap: Math.max(...old) - before.old!, new: losses.new! };
  };
  const alone = await after("static --mixture 0,1");
  const stable = await after("stable-cpt --domain new --domain-share 0.7");
  expect(stable.gap).toBeLessThan(alone.gap - 0.9);
  expect(stable.new).toBeLessThan(alone.new + 0.1);
}, 60_000);

test("dmt: a little of the special abilities in the second stage keeps them, and costs the general one little", async () => {
  const options = `${lab.fresh(CONFIG)} ${languages(["one", "two", "general"], 400, 32)} ${RUN} --schedule constant --steps 240`;
  const after = async (strategy: string) =>
    (await lab.run(`${options} --method dmt --special one,two ${strategy}`)).losses;
  const without = await after("--strategy mixed-sequential");
  const dmt = await after("--replay 0.05");
  for (const name of ["one", "two"]) expect(dmt[name]!).toBeLessThan(without[name]! - 1.2);
  expect(dmt.general!).toBeLessThan(without.general! + 0.12);
}, 60_000);

test("powerlaw: rehearsal keeps what was learnt; a power beats the last task alone, and an even share on what is recent", async () => {
  const options = `${lab.fresh(CONFIG)} ${languages(["a", "b", "c", "d", "e"], 400, 16, 2)} ${RUN} --schedule constant`;
  const after = async (kernel: string) =>
    (await lab.run(`${options} --steps 300 --method powerlaw --budget 0.4 --kernel ${kernel}`)).losses;
  const none = await after("none");
  const recent = await after("recent");
  const uniform = await after("uniform");
  const power = await after("power");
  expect(all(recent)).toBeLessThan(all(none) - 0.3);
  expect(all(power)).toBeLessThan(all(recent) - 0.5);
  expect(Math.abs(all(power) - all(uniform))).toBeLessThan(0.2);
  // Between the oldest and the last but one the power leans to the latter.
  expect(power.d! - power.a!).toBeLessThan(uniform.d! - uniform.a! - 0.15);
}, 180_000);

test("one epoch of fresh rows beats ten over a tenth of them", async () => {
  const language = new Language({ seed: 11, size: 32, sharpness: 8 });
  const held = { all: language.rows(48, 109) };
  const after = async (rows: number) => {
    const data = lab.groups({ all: language.rows(rows, 100) }, held);
    return (await lab.run(`${lab.fresh(CONFIG)} ${data} ${RUN} --steps 150 --method static`)).losses.all!;
  };
  expect(await after(2400)).toBeLessThan((await after(240)) - 0.12);
}, 60_000);

test("meco: without a cool-down the model needs its metadata, and believes false ones", async () => {
  const made = [0, 1, 2, 3].map((i) => new Language({ seed: 10 + i, size: 12, sharpness: 14 }));
  const rows = (count: number, seed: number, mark: (i: number) => number[]) =>
    made.flatMap((language, i) => language.rows(count, seed + i, { prefix: mark(i) }));
  const held = {
    plain: rows(12, 150, () => []),
    right: rows(12, 150, (i) => [20 + i]),
    wrong: rows(12, 150, (i) => [20 + ((i + 1) % 4)]),
  };
  const data = lab.groups({ right: rows(400, 100, (i) => [20 + i]), plain: rows(400, 120, () => []) }, held);
  const after = async (share: number) =>
    (
      await lab.run(
        `${lab.fresh(CONFIG)} ${data} ${RUN} --steps 300 --method meco --conditioned right --plain plain --cooldown-share ${share}`,
      )
    ).losses;
  const [cooled, hot] = [await after(0.2), await after(0)];
  expect(cooled.plain!).toBeLessThan(hot.plain! - 0.45);
  for (const { right, plain, wrong } of [cooled, hot]) {
    expect(right!).toBeLessThan(plain! - 0.2);
    expect(plain!).toBeLessThan(wrong! - 0.6);
  }
}, 60_000);
