import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const RULES: Readonly<Record<string, string>> = {
  "softmax gate": "",
  "softmax gate, mixture": "--soft",
  "nearest environment": "--gate nearest",
};
const ROWS_OF = ["the cause alone", "both values", ...Object.keys(RULES)];
const COLUMNS = ["proxy holds", "proxy is broken", "all"] as const;
const GAP = "softmax gate − the better of both in each environment: all";
const bounds: Readonly<Record<string, Bound>> = { [GAP]: { below: 0.02 } };

interface Found {
  readonly environments: readonly { readonly risk: number; readonly risks: readonly [number, number] }[];
}

const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length;

export const experiment: Experiment = {
  title: "Which values to trust, told from unlabelled rows of an environment",
  about: `The world of \`data environments\`: 40 environments of 100 rows with answers, 30 new ones. Mean squared errors in environments in which the second value
stands for a cause that is not seen, and in which it does not; the least that can be is 0.09 with that cause known. The kind of an environment is told here by which of the two fits is
better in it.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [...ROWS_OF.flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)), GAP].map((name) => [
      name,
      bounds[name] ?? {},
    ]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      await run("data", `environments --size 4000 --seed ${seed} -o known.jsonl`);
      await run("data", `environments --size 3000 --seed ${seed} --split test -o new.jsonl`);
      const figures: Record<string, number> = {};
      for (const [row, options] of Object.entries(RULES)) {
        const line = `select known.jsonl --test new.jsonl --sets 0 --sets 0,1 ${options} --json`.replace(/ +/g, " ");
        const { environments } = JSON.parse(await run("adapt", line)) as Found;
        const kinds = {
          "proxy holds": environments.filter(({ risks: [cause, both] }) => both < cause),
          "proxy is broken": environments.filter(({ risks: [cause, both] }) => both >= cause),
          all: environments,
        };
        for (const [kind, list] of Object.entries(kinds)) {
          figures[`${row}: ${kind}`] = mean(list.map(({ risk }) => risk));
          figures[`the cause alone: ${kind}`] = mean(list.map(({ risks }) => risks[0]));
          figures[`both values: ${kind}`] = mean(list.map(({ risks }) => risks[1]));
        }
        const best = mean(environments.map(({ risks }) => Math.min(...risks)));
        if (row === "softmax gate") figures[GAP] = figures["softmax gate: all"]! - best;
      }
      return figures;
    }),
};
