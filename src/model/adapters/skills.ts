/**
 * Adapters of skills: a few LoRAs, the skills, that every task mixes with gates of its own.
 *
 *   g[t, q, s] = sigmoid(Z[t, q, s]) / (sum over s of sigmoid(Z[t, q, s]) + 1e-12)
 *   A_t = for each split q of the input's columns the sum of g[t, q, s] A[q, s]; B_t likewise over the output's
 *   y = W x + B_t A_t x / r
 *
 * One split is Polytropon (Ponti et al., 2022, https://arxiv.org/abs/2202.13914), several are multi-head routing
 * (Caccia et al., NeurIPS 2023, https://arxiv.org/abs/2211.03831). In PEFT's form (peft/tuners/poly): every layer has
 * a Z, and the strength is 1 / r. PEFT draws gates from a relaxed Bernoulli distribution while it trains; here they are
 * the sigmoid throughout, as in the authors' later code.
 */
import { UserError } from "../../errors.ts";
import type { MethodInfo } from "../../method/registry.ts";
import { blockProduct, reorder, timesBlocks } from "../../tensor/ops/blocks.ts";
import { add, addScalar, div, scale, sigmoid } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import type { AdapterType } from "./contract.ts";
import type { Adapted } from "./declaration.ts";
import { adapterType } from "./declared.ts";
import type { LinearPlace } from "./live-adapter.ts";

const [A, B, GATES] = ["poly_lora_A", "poly_lora_B", "poly_router.module_logits"] as const;

/** Of the division by the gates' sum. */
const EPS = 1e-12;

export interface SkillDefaults {
  readonly rank: number;
  readonly skills: number;
  readonly splits: number;
}

const optionsOf = ({ rank, skills, splits }: SkillDefaults) =>
  ({
    adapter_rank: { type: "number.integer >= 1", default: rank, help: "rank of the adapter's matrices", value: "R" },
    poly_tasks: {
      type: "number.integer >= 1",
      default: 1,
      help: "tasks that have gates of their own: the groups of the data, in their order",
      value: "T",
    },
    poly_skills: { type: "number.integer >= 1", default: skills, help: "skills that tasks mix", value: "M" },
    poly_splits: {
      type: "number.integer >= 1",
      default: splits,
      help: "parts of a layer's inputs and outputs that are mixed apart; they divide both",
      value: "H",
    },
    poly_task: {
      type: "number.integer >= 0",
      help: "task of all rows, counted from 0, where it is not that of their group",
      value: "T",
    },
  }) as const;

type SkillOptions = ReturnType<typeof optionsOf>;
type Layer = Adapted<LinearPlace, SkillOptions>;

/** (B, T) of 1 at the task of each row of the batch; (1, T) where all rows are of one task. */
function marksOf({ rec, inputs, values, module }: Layer): Tensor {
  const { poly_tasks: tasks, poly_task: fixed } = values;
  if (fixed === undefined && inputs.tasks) return inputs.tasks(tasks);
  if (fixed === undefined && tasks > 1)
    throw new UserError(
      `the adapter of ${module} mixes its skills by task, and nothing says of which of its ${tasks} tasks these rows are`,
      "bun run sample --task N says it, or poly_task in its adapter_config.json",
    );
  const task = fixed ?? 0;
  return rec.constant(
    Float32Array.from({ length: tasks }, (_, i) => (i === task ? 1 : 0)),
    [1, tasks],
    "the task of all rows",
  );
}

/** Shares of the skills, (B, H M): those of a split sum to 1. */
function gatesOf(layer: Layer): Tensor {
  const { rec, values } = layer;
  const { poly_skills: skills, poly_splits: splits } = values;
  const marks = marksOf(layer);
  const rows = marks.shape[0]!;
  const chosen = linear(rec, marks, layer.tensor(GATES), { transposed: true }); // (B, H M)
  const open = rec.reshape(sigmoid(rec, chosen), [rows * splits, skills]);
  const sums = rec.reshape(addScalar(rec, rowSum(rec, open), EPS), [rows * splits, 1]);
  return rec.reshape(div(rec, open, sums), [rows, splits * skills]);
}

/** What the mixed skills add to a layer's result, (N, out). */
function change(layer: Layer, x: Tensor): Tensor {
  const { rec, values, target, module } = layer;
  const { adapter_rank: r, poly_skills: skills, poly_splits: splits } = values;
  const { into, out } = target;
  const gates = gatesOf(layer);
  const batch = gates.shape[0]!;
  const { rows } = rowsOf(x);
  if (rows % batch !== 0)
    throw new UserError(
      `${module} reads ${rows} rows for ${batch} rows of the batch, and cannot tell their tasks`,
      "leave it out of the targets",
    );
  const a = timesBlocks(rec, gates, rec.reshape(layer.tensor(A), [splits, skills, (into / splits) * r]));
  const b = timesBlocks(rec, gates, rec.reshape(layer.tensor(B), [splits, skills, r * (out / splits)]));
  // B comes split by split, each with r rows; its rows are wanted whole.
  const order = Array.from({ length: r * splits }, (_, at) => (at % splits) * r + Math.floor(at / splits));
  const whole = reorder(rec, b, order);
  const inner = blockProduct(rec, rec.reshape(x, [batch, rows / batch, into]), rec.reshape(a, [batch, into, r]));
  return rec.reshape(blockProduct(rec, inner, rec.reshape(whole, [batch, r, out])), [rows, out]);
}

/** A type with defaults of its own; both are PEFT's POLY. */
export const skillsType = (
  info: Pick<MethodInfo, "name" | "title" | "about" | "cite">,
  defaults: SkillDefaults,
): AdapterType<SkillOptions> =>
  adapterType<SkillOptions>({
    ...info,
    options: optionsOf(defaults),
    peftType: "POLY",
    takes: ["linear"],
    taskKey: "poly_task",
    parts: [A, B, GATES],
    groups: ({ poly_task, poly_tasks: most }) => (poly_task === undefined ? { option: "poly_tasks", most } : undefined),
    keys: { adapter_rank: "r", poly_tasks: "n_tasks", poly_skills: "n_skills", poly_splits: "n_splits" },
    // PEFT knows no such key: it is written where it says something.
    config: ({ values }) => ({ init_weights: true, poly_type: "poly", poly_task: values.poly_task }),
    check(json, where) {
      if (json.poly_type !== undefined && json.poly_type !== "poly")
        throw new UserError(
          `${where}: poly_type ${JSON.stringify(json.poly_type)} is not known`,
          "PEFT has poly alone",
        );
    },
    tensors({ module, into, out }, { values, where }) {
      const { adapter_rank: r, poly_tasks: tasks, poly_skills: skills, poly_splits: splits, poly_task: task } = values;
      if (into % splits !== 0 || out % splits !== 0)
        throw new UserError(
          `${where}: ${module} has ${into} inputs and ${out} outputs, which are not ${splits} equal splits`,
          "choose --poly-splits that divide both, or leave it out with --adapter-targets",
        );
      if (task !== undefined && task >= tasks)
        throw new UserError(`${where}: poly_task ${task} is not among ${tasks} tasks`, "tasks count from 0");
      return {
        [A]: { shape: [splits, skills, into / splits, r], begins: { uniform: 1 / Math.sqrt(into / splits) } },
        [B]: { shape: [splits, skills, r, out / splits], begins: "zeros" },
        [GATES]: { shape: [tasks, splits * skills], begins: { uniform: 1e-3 } },
      };
    },
    linear(layer, x) {
      const y = layer.whole(x);
      return add(layer.rec, y, scale(layer.rec, change(layer, x), 1 / layer.values.adapter_rank));
    },
  });
