/** Aioli against equal shares, and how well the laws fit that it goes by. */
import { all, inLab, Language } from "../curriculum-lab.ts";
import { RUN, SHARED } from "../curriculum-languages.ts";
import { experimentOf } from "../experiment.ts";

/** How far each language is from chance: the last is much harder to learn. */
const SHARPNESS = { easy: 12, middle: 12, hard: 3 };

interface Fitted {
  readonly static_r2: number;
  readonly dynamic_r2: number;
}

export const experiment = experimentOf({
  title: "`aioli` and `--probe mixing-law`: three languages, one much harder",
  about: `Three languages over the same 16 symbols, told apart by the first token, 600 rows each; what follows what is far less sure in the hard one.
A decoder of one layer, 240 steps of 16 rows: shares that \`aioli\` finds (rounds of 60 steps, 4 passes of 3 steps, eta 0.2), or equal
ones. Held-out losses in nats. The laws are fitted to 12 trainings of 40 steps from a fresh model; a line or a curve explains 1 - r2 less than all.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "stratified, mean loss": {},
    "aioli − stratified, mean loss": { below: 0.05 },
    "least r2 of the static laws": { above: 0.6 },
    "least r2 of the dynamic laws": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const made = Object.entries(SHARPNESS).map(([name, sharpness], i) => {
        const language = new Language({ seed: 10 * seed + i, size: 16, sharpness });
        const rows = (count: number, from: number) => language.rows(count, 100 * seed + from + i, { prefix: [20 + i] });
        return [name, rows] as const;
      });
      const of = (count: number, from: number) =>
        Object.fromEntries(made.map(([name, rows]) => [name, rows(count, from)]));
      const data = lab.groups(of(600, 0), of(32, 50));
      const line = `${lab.fresh(SHARED)} ${data} ${RUN} --seed ${seed} --steps 240`;
      const equal = await lab.run(`${line} --method stratified`);
      const found = await lab.run(`${line} --method aioli --round 60 --passes 4 --lp-steps 3 --eta 0.2`);
      const groups = data
        .split(" ")
        .filter((word) => word.includes("-train"))
        .map((word) => `--data ${word}`)
        .join(" ");
      await lab.run(`${lab.fresh(SHARED)} ${data} --lr 1e-9 --steps 1 --method stratified`, "fresh/");
      const settings = "--mixing-law-steps 40 --mixing-law-lr 0.01 --mixing-law-batch 16 --mixing-law-held 0.1";
      const text = await lab.script("evaluate", `fresh ${groups} --probe mixing-law ${settings} --json`);
      const { rows } = JSON.parse(text) as { rows: Fitted[] };
      return {
        "stratified, mean loss": all(equal.losses),
        "aioli − stratified, mean loss": all(found.losses) - all(equal.losses),
        "least r2 of the static laws": Math.min(...rows.map(({ static_r2 }) => static_r2)),
        "least r2 of the dynamic laws": Math.min(...rows.map(({ dynamic_r2 }) => dynamic_r2)),
      };
    }),
});
