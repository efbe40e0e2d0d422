import { join } from "node:path";
import { tensorsOf } from "../../support/checkpoint-values.ts";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { Mlp, normal } from "../support.ts";

const [FIELDS, ROWS, HELD] = [6, 400, 1000];
const WIDTH = 2 * FIELDS;
const TRUNKS = [4, 8, 32];
/** Ways of gates, and what is frozen. */
const KINDS = [
  ["", ""],
  [", own part alone", "--freeze gate_pool.* "],
] as const;
const COLUMNS = ["shared bottom", "gates", "gain", "cosine", "own fields", "other fields"] as const;

/** Rows of a task that reads its own half of the fields alone, with noise. */
function rowsOf(seed: number, task: number, first: number, count: number) {
  const draw = normal(60_000 * seed + 1000 * task + first);
  const teacher = Mlp.random([FIELDS, 8, 1], 800 * seed + task);
  return Array.from({ length: count }, () => {
    const x = Array.from({ length: WIDTH }, () => draw());
    const own = Float64Array.from(x.slice(task * FIELDS, (task + 1) * FIELDS), (value) => 2 * value);
    return { x, y: [2 * teacher.forward(own).at(-1)![0]! + 0.2 * draw()] };
  });
}

/** Of a checkpoint: each task's gates, in the mean over rows. */
async function gatesOf(folder: string, rows: readonly (readonly { readonly x: readonly number[] }[])[]) {
  const weights = await tensorsOf(folder);
  const pool = weights.get("gate_pool.weight")!;
  return rows.map((own, task) => {
    const bias = weights.get(`gates.${task}.bias`)!;
    return Array.from(bias, (u, c) => {
      const each = own.map(({ x }) => x.reduce((sum, v, i) => sum + v * pool[c * WIDTH + i]!, 3 + u));
      return each.reduce((sum, logit) => sum + 1 / (1 + Math.exp(-logit)), 0) / own.length;
    });
  });
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, v, i) => sum + v * b[i]!, 0);
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

const bounds: Readonly<Record<string, Bound>> = {
  "4: cosine": { below: 0.985 },
  "8: gain": { above: 0.05 },
  "32: gain": { above: 0.05 },
};

export const experiment: Experiment = {
  title: "Gates of tasks",
  about: `Two tasks read ${WIDTH} numbers; the first depends on ${FIELDS} of them, the second on the others, each by a teacher of its own with noise, and ${ROWS} rows
each. \`mlp-tasks\` with a trunk of one layer (of ${TRUNKS.join(", ")}) and a head for each task, with \`task_gates\` and without (*shared bottom*): 100 rows a step,
800 steps, AdamW at 1e-2. Squared errors on ${HELD} new rows of each, and by how much, relatively, gates are below; the *cosine* of the two tasks' gates (means over new
rows; 1 at first), and the mean gate of fields that are the task's own, and of others (0.95 at first). *Own part alone*:
P stays 0, so that a gate goes by the task and not by the row.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    TRUNKS.flatMap((width) => KINDS.map(([kind]) => `${width}${kind}`)).flatMap((row) =>
      COLUMNS.map((column) => [`${row}: ${column}`, bounds[`${row}: ${column}`] ?? {}]),
    ),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const held = [0, 1].map((task) => rowsOf(seed, task, 500, HELD));
      const data = [0, 1].map((task) => `--data ${lab.rows(`task-${task}`, rowsOf(seed, task, 0, ROWS))}`).join(" ");
      const asked = held.map((rows, task) => `--data ${lab.rows(`held-${task}`, rows)}`).join(" ");
      const errorOf = async (name: string, width: number, frozen?: string) => {
        const net = {
          ...{ model_type: "mlp-tasks", num_tasks: 2, input_size: WIDTH, hidden_sizes: [width], num_labels: 1 },
          ...{ problem_type: "regression", task_heads: true, task_gates: frozen !== undefined },
        };
        const fit = `--loss mse --batch-size 100 --steps 800 --lr 1e-2 --weight-decay 0 --seed ${seed}`;
        await run(
          "train",
          `${lab.fresh(net, name)} ${frozen ?? ""}${data} ${fit} --save-every 0 --overwrite -o ${name}/`,
        );
        const found = JSON.parse(await run("evaluate", `${name}/ ${asked} --metric mse --json`));
        return (found.rows as { value: number }[])[0]!.value;
      };
      const figures: Record<string, number> = {};
      for (const width of TRUNKS) {
        const bottom = await errorOf("bottom", width);
        for (const [kind, frozen] of KINDS) {
          const gated = await errorOf("gated", width, frozen);
          const [one = [], two = []] = await gatesOf(join(lab.folder, "gated"), held);
          const found = {
            "shared bottom": bottom,
            gates: gated,
            gain: 1 - gated / bottom,
            cosine: dot(one, two) / Math.sqrt(dot(one, one) * dot(two, two)),
            "own fields": mean([...one.slice(0, FIELDS), ...two.slice(FIELDS)]),
            "other fields": mean([...one.slice(FIELDS), ...two.slice(0, FIELDS)]),
          };
          for (const column of COLUMNS) figures[`${width}${kind}: ${column}`] = found[column];
        }
      }
      return figures;
    }),
};
