import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { inLab, type Lab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

/** What is tried of each method. */
const GRID: Readonly<Record<string, readonly Readonly<Record<string, number>>[]>> = {
  seq: [{ lr: 0.003 }, { lr: 0.01 }, { lr: 0.03 }],
  er: [{ replay_ratio: 0.1 }, { replay_ratio: 0.3 }, { replay_ratio: 0.5 }],
  "der-plus": [{ alpha: 0.1 }, { alpha: 0.5 }, { alpha: 2 }],
  ewc: [{ lambda: 10 }, { lambda: 100 }, { lambda: 1000 }],
  lwf: [{ lwf_weight: 0.3 }, { lwf_weight: 1 }, { lwf_weight: 3 }],
};
const METHODS = Object.keys(GRID);
const SEEDS = [1, 2];
const COLUMNS = ["tuned", "reported", "rank, tuned", "rank, reported"] as const;

interface Line {
  readonly method: string;
  readonly chosen: Readonly<Record<string, number>>;
  readonly tuned: { readonly mean: number; readonly rank: number };
  readonly reported?: { readonly mean: number; readonly rank: number };
}

async function ran(lab: Lab, script: string, line: string): Promise<string> {
  const { code, text, err } = await runScript(script, line.split(" "), lab.folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
  return text;
}

/** Runs one configuration on a stream under both seeds, and leaves the logs in the folder of the phase. */
async function learn(lab: Lab, phase: string, method: string, options: Readonly<Record<string, number>>) {
  const names = readdirSync(join(lab.folder, phase)).filter((name) => name.endsWith(".jsonl"));
  const files = (folder: string) => names.map((name) => `${folder}/${name}`).join(",");
  const data = `--init net.json --tasks ${files(phase)} --eval-tasks ${files(`${phase}/test`)}`;
  const own = Object.entries({ lr: 0.01, ...options });
  const given = own.map(([name, value]) => `--${name.replaceAll("_", "-")} ${value}`).join(" ");
  for (const seed of SEEDS) {
    const log = `${phase}-logs/${method}-${Object.values(options).join("-")}-${seed}.log`;
    const run = `--epochs 3 --batch-size 20 --save-every 0 --seed ${seed} -q --overwrite -o out.safetensors --log ${log}`;
    await ran(lab, "adapt", `${data} --method ${method} ${given} ${run}`);
  }
}

const linesOf = async (lab: Lab, options: string): Promise<readonly Line[]> =>
  (JSON.parse(await ran(lab, "evaluate", `two-phase ${options} --json -q`)) as { methods: Line[] }).methods;

export const experiment = experimentOf({
  title: "Settings chosen on one stream, scores from another",
  about: `Three permutations of the pixels of ten digits, 200 rows each, and three others: a perceptron with 64 hidden units, three epochs of 20
rows a step. Of each method three settings are tried on the first stream (learning rates of \`seq\`, replay ratios of \`er\`, α of
\`der-plus\`, λ of \`ewc\`, weights of \`lwf\`), two seeds each; \`evaluate two-phase\` chooses, and the chosen one alone runs on the second.
Figures are the mean accuracy that made the choice (tuned), that on the second stream (reported), and the ranks by each. Seeds of the
experiment are other permutations.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(METHODS.flatMap((method) => COLUMNS.map((column) => [`${method}: ${column}`, {}]))),
  run: (seed) =>
    inLab(async (lab) => {
      lab.fresh({ model_type: "mlp", input_size: 81, hidden_sizes: [64], num_labels: 10 }, "net");
      for (const [i, phase] of ["tune", "report"].entries()) {
        mkdirSync(join(lab.folder, `${phase}-logs`));
        const pixels = [1, 2, 3].map((n) => 10 * seed + 3 * i + n).join(",");
        const glyphs = `glyphs --canvas 9 --shift 0 --noise 0.3 --stream pixels=${pixels} --size 200 --seed ${seed}`;
        await ran(lab, "data", `${glyphs} -q -o ${phase}`);
      }
      for (const method of METHODS) for (const options of GRID[method]!) await learn(lab, "tune", method, options);
      for (const { method, chosen } of await linesOf(lab, "--tune tune-logs")) {
        const is = (options: Readonly<Record<string, number>>) =>
          Object.entries(chosen).every(([name, value]) => options[name] === value);
        await learn(lab, "report", method, GRID[method]!.find(is)!);
      }
      const figures: Record<string, number> = {};
      for (const { method, tuned, reported } of await linesOf(lab, "--tune tune-logs --report report-logs"))
        for (const [column, value] of [
          ["tuned", tuned.mean],
          ["reported", reported!.mean],
          ["rank, tuned", tuned.rank],
          ["rank, reported", reported!.rank],
        ] as const)
          figures[`${method}: ${column}`] = value;
      return figures;
    }),
});
