import { inLab } from "../curriculum-lab.ts";
import { type Bound, experimentOf } from "../experiment.ts";
import { normal, uniform } from "../support.ts";

const [ROWS, TEST] = [1000, 2000];
const COLUMNS = ["accuracy", "gap of parity", "gap of odds"] as const;
const PLAYERS = ["1e-4", "1.3e-4", "1.6e-4", "2e-4", "3e-4"] as const;
const WEIGHTS = [3, 7, 15, 40] as const;
const WAYS: readonly (readonly [string, string])[] = [
  ["labels alone", ""],
  ...PLAYERS.map((rate) => [`two players, rate ${rate}`, `--loss distraction --distraction-lr ${rate}`] as const),
  ...WEIGHTS.map(
    (eta) =>
      [
        `one objective, eta ${eta}`,
        `--loss distraction --distraction-players one --distraction-weight ${eta}`,
      ] as const,
  ),
];

const bounds: Readonly<Record<string, Bound>> = {
  "labels alone: gap of parity": { above: 0.3 },
  "one objective, eta 15: gap of parity": { below: 0.18 },
  "two players, rate 3e-4: gap of parity": { below: 0.18 },
};

/** Rows by the value of an attribute that has a correlation of 0.8 with the label; two numbers tell each of them. */
function table(seed: number, part: number, count: number) {
  const [draw, unit] = [normal(9000 * seed + part), uniform(77 * seed + part + 1)];
  const groups: Record<"a" | "b", { x: number[]; label: number }[]> = { a: [], b: [] };
  for (let i = 0; i < count; i++) {
    const attribute = i % 2;
    const label = unit() < 0.9 ? attribute : 1 - attribute;
    const means = [label, 0.8 * label, 1.2 * attribute, attribute].map((x, at) => 2 * x - [1, 0.8, 1.2, 1][at]!);
    const x = [...means, 0, 0].map((mean) => Number((mean + draw()).toFixed(4)));
    groups[attribute ? "b" : "a"].push({ x, label });
  }
  return groups;
}

export const experiment = experimentOf({
  title: "Outputs that should not depend on an attribute",
  about: `Six numbers, two of which tell the label, two an attribute that has a correlation of 0.8 with it. ${ROWS} rows, a perceptron of 16 units, AdamW at 5e-3,
30 epochs of 100 rows a step. \`--loss distraction\` with two layers for the player of fairness, by that player's rate, and one objective that adds eta times the
gap to the labels' loss, with the same layers. On ${TEST} other rows: the largest |mean output of a group − mean of all|, and the same among rows of one label.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    WAYS.flatMap(([row]) => COLUMNS.map((column) => `${row}: ${column}`)).map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const files = (part: number, count: number) =>
        Object.entries(table(seed, part, count))
          .map(([name, rows]) => `--data ${name}=${lab.rows(`${name}-${part}`, rows)}`)
          .join(" ");
      const [known, other] = [files(1, ROWS), files(2, TEST)];
      const net = lab.fresh({ model_type: "mlp", input_size: 6, hidden_sizes: [16], num_labels: 2 });
      const fit = `${net} ${known} --epochs 30 --batch-size 100 --lr 5e-3 --save-every 0 --seed ${seed}`;
      const found: Record<string, number> = {};
      for (const [row, way] of WAYS) {
        await lab.script("train", `${fit} ${way} --overwrite -o fair/`.replaceAll(/ +/g, " "));
        const text = await lab.script("evaluate", `fair/ ${other} --metric accuracy,parity-gap,odds-gap --json`);
        const { rows } = JSON.parse(text) as { rows: { group: string; metric: string; value: number }[] };
        const [accuracy, parity, odds] = ["accuracy", "parity-gap", "odds-gap"].map(
          (name) => rows.find(({ group, metric }) => group === "all" && metric === name)!.value,
        );
        Object.assign(found, {
          [`${row}: accuracy`]: accuracy,
          [`${row}: gap of parity`]: parity,
          [`${row}: gap of odds`]: odds,
        });
      }
      return found;
    }),
});
