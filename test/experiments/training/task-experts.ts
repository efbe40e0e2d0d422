import { inLab } from "../curriculum-lab.ts";
import type { Experiment } from "../experiment.ts";
import { Mlp, normal } from "../support.ts";

const [WIDTH, MANY, FEW, HELD] = [12, 1500, 100, 1000];
const HOME = { model_type: "mlp-home", num_tasks: 2, input_size: WIDTH, num_labels: 3, expert_size: 16 };
const PLAIN = {
  ...{ hierarchy: false, self_gates: false, feature_gate_rank: 0, expert_norm: "none", hidden_act: "relu" },
  experts_per_group: 8,
};
const NETS: Readonly<Record<string, object>> = {
  MMoE: PLAIN,
  "MMoE, normed": { ...PLAIN, expert_norm: "batch", hidden_act: "silu" },
  HoME: {},
  "HoME, no norm": { expert_norm: "none" },
  "HoME, no feature gates": { feature_gate_rank: 0 },
  "HoME, no self gates": { self_gates: false },
};
const COLUMNS = ["many rows: error", "few rows: error", "few rows: loss", "largest scale / least"] as const;

/** Rows of a task: a rule of all numbers that both tasks share, and one of its own; inputs of very unlike scales. */
function rowsOf(seed: number, task: number, first: number, count: number) {
  const draw = normal(70_000 * seed + 1000 * task + first);
  const [shared, own] = [Mlp.random([WIDTH, 8, 3], 900 * seed), Mlp.random([WIDTH, 8, 3], 900 * seed + 1 + task)];
  return Array.from({ length: count }, () => {
    const z = Float64Array.from({ length: WIDTH }, () => draw());
    const [a, b] = [shared.forward(z).at(-1)!, own.forward(z).at(-1)!];
    const logits = Array.from(a, (v, i) => v + b[i]! + 0.1 * draw());
    const x = Array.from(z, (v, i) => v * (i % 3 === 0 ? 4 : i % 3 === 1 ? 1 : 0.25));
    return { x, label: logits.indexOf(Math.max(...logits)) };
  });
}

export const experiment: Experiment = {
  title: "Experts of tasks",
  about: `Two tasks of three classes read ${WIDTH} numbers of scales 4, 1 and 1/4; each is a rule that both share and one of its own, of ${MANY} rows for
the first task and ${FEW} for the second. \`mlp-home\` (HoME) with experts of 16, without one of its parts each, and as MMoE with eight experts that both
share (HoME has ten): 1200 steps of 50 rows, AdamW at 3e-3. On ${HELD} new rows of each task; the last column is \`expert-collapse\`'s.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    Object.keys(NETS).flatMap((net) =>
      COLUMNS.map((column) => [`${net}: ${column}`, net === "HoME" && column === COLUMNS[3] ? { below: 4 } : {}]),
    ),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const data = [MANY, FEW].map((n, t) => `--data ${lab.rows(`task-${t}`, rowsOf(seed, t, 0, n))}`).join(" ");
      const held = [0, 1].map((t) => `--data ${lab.rows(`held-${t}`, rowsOf(seed, t, 500, HELD))}`).join(" ");
      const figures: Record<string, number> = {};
      for (const [net, keys] of Object.entries(NETS)) {
        const fresh = lab.fresh({ ...HOME, ...keys }, "net");
        const how = `--batch-size 50 --steps 1200 --lr 3e-3 --weight-decay 0 --seed ${seed} --save-every 0`;
        await lab.script("train", `${fresh} ${data} ${how} --overwrite -o net/`);
        const { rows } = JSON.parse(await lab.script("evaluate", `net/ ${held} --metric accuracy,loss --json`)) as {
          readonly rows: readonly { readonly group: string; readonly metric: string; readonly value: number }[];
        };
        const of = (metric: string, group: string) =>
          rows.find((row) => row.metric === metric && row.group.includes(group))!.value;
        const probe = JSON.parse(await lab.script("evaluate", `net/ ${held} --probe expert-collapse --json`)) as {
          readonly rows: readonly { readonly ratio: number }[];
        };
        figures[`${net}: ${COLUMNS[0]}`] = 1 - of("accuracy", "held-0");
        figures[`${net}: ${COLUMNS[1]}`] = 1 - of("accuracy", "held-1");
        figures[`${net}: ${COLUMNS[2]}`] = of("loss", "held-1");
        figures[`${net}: ${COLUMNS[3]}`] = probe.rows[0]!.ratio;
      }
      return figures;
    }),
};
