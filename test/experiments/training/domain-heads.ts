import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { normal } from "../support.ts";

const [ROWS, TEST] = [300, 600];

/**
 * A cause of the label, a value that goes with it in a way of the domain's own, and two that tell the domain: `link` is
 * what the second value does with the label, `place` where the others lie.
 */
function domainOf(
  seed: number,
  part: number,
  count: number,
  { link, place }: { link: number; place: readonly number[] },
) {
  const draw = normal(31_000 * seed + part);
  return Array.from({ length: count }, (_, i) => {
    const label = i % 2;
    const sign = label ? 1 : -1;
    const x = [0.7 * sign + draw(), 1.5 * link * sign + draw(), ...place.map((p) => 1.2 * p + draw())];
    return { x: x.map((v) => Number(v.toFixed(4))), label };
  });
}

/** Three domains that are learnt, of which two contradict each other, and one between the first two. */
const DOMAINS = {
  a: { link: 1, place: [1, 0] },
  b: { link: -1, place: [-1, 0] },
  c: { link: 0.5, place: [0, 1.5] },
} as const;
const BETWEEN = { link: 0, place: [0, 0] };

const GAMMAS: Readonly<Record<string, number>> = {
  "heads alike (gamma 0)": 0,
  "gamma 0.5": 0.5,
  "gamma 1": 1,
  "gamma 5": 5,
  "the surest head": -1,
};
const COLUMNS = ["learnt domains", "between"] as const;
const BY_ENTROPY = "gamma 1 − heads alike (gamma 0): learnt domains";
const bounds: Readonly<Record<string, Bound>> = { [BY_ENTROPY]: { above: 0.03 } };
const ROWS_OF = ["one head", "shared head", ...Object.keys(GAMMAS), "gamma 1, drm at test time"];

export const experiment: Experiment = {
  title: "Heads for domains whose second value contradicts",
  about: `Two classes. The first value goes with the class everywhere; the second, stronger one goes with it in domain a, against it in b, weakly in c; two more
tell the domain, with overlap. ${ROWS} rows of each are learnt by a perceptron of 16 and 8 units, AdamW at 1e-2, 30 epochs of 32 rows a step: with one head, and with
\`--heads per-domain\`. Accuracy on ${TEST} other rows of each domain, in the mean, and on rows *between*, where the second value says nothing. *Shared head* is that of the
same model without the others.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [...ROWS_OF.flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)), BY_ENTROPY].map((name) => [
      name,
      bounds[name] ?? {},
    ]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const files = Object.entries(DOMAINS).map(([name, how], i) => ({
        name,
        known: lab.rows(`known-${name}`, domainOf(seed, i, ROWS, how)),
        other: lab.rows(`other-${name}`, domainOf(seed, 10 + i, TEST, how)),
      }));
      const between = lab.rows("between", domainOf(seed, 20, TEST, BETWEEN));
      const figures: Record<string, number> = {};
      const measure = async (row: string, folder: string) => {
        const held = [...files.map(({ name, other }) => `--data ${name}=${other}`), `--data between=${between}`].join(
          " ",
        );
        const text = await run("evaluate", `${folder} ${held} --metric accuracy --json`);
        const found = (JSON.parse(text) as { rows: { group: string; value: number }[] }).rows;
        const of = (name: string) => found.find(({ group }) => group === name)!.value;
        figures[`${row}: learnt domains`] = files.reduce((sum, { name }) => sum + of(name) / files.length, 0);
        figures[`${row}: between`] = of("between");
      };
      const net = { model_type: "mlp", input_size: 4, hidden_sizes: [16, 8], num_labels: 2, hidden_norm: "batch" };
      const data = files.map(({ name, known }) => `--data ${name}=${known}`).join(" ");
      const train = `${lab.fresh(net)} ${data} --epochs 30 --batch-size 32 --lr 1e-2 --seed ${seed} --save-every 0`;
      await run("train", `${train} -o one/`);
      await measure("one head", "one/");
      await run("train", `${train} --heads per-domain -o heads/`);
      const file = join(lab.folder, "heads/config.json");
      const config = JSON.parse(readFileSync(file, "utf8"));
      for (const [row, gamma] of Object.entries(GAMMAS)) {
        writeFileSync(file, JSON.stringify({ ...config, domain_heads: { ...config.domain_heads, gamma } }));
        await measure(row, "heads/");
      }
      const { domain_heads: known, ...single } = config;
      writeFileSync(file, JSON.stringify({ ...single, domain_heads: { ...known, gamma: 1 } }));
      const streamed = await run(
        "adapt",
        `stream heads/ --data ${between} --method drm --drm-beta 0.75 -o adapted/ --json`,
      );
      figures["gamma 1, drm at test time: between"] = 1 - (JSON.parse(streamed) as { error: number }).error;
      await measure("adapted", "adapted/");
      figures["gamma 1, drm at test time: learnt domains"] = figures["adapted: learnt domains"]!;
      writeFileSync(file, JSON.stringify(single));
      await measure("shared head", "heads/");
      figures[BY_ENTROPY] = figures["gamma 1: learnt domains"]! - figures["heads alike (gamma 0): learnt domains"]!;
      return Object.fromEntries(Object.entries(figures).filter(([name]) => !name.startsWith("adapted:")));
    }),
};
