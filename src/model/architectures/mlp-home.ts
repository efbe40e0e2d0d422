/**
 * Experts for rows of several tasks, in two levels: HoME, Hierarchy of Multi-Gate Experts, 2024,
 * https://arxiv.org/abs/2408.05430. The task of a row is the position of its group among those of the data.
 *
 *   expert        e(v) = act(norm(W (v * 2 sigmoid(A B v)))), its width `expert_size`
 *   meta level    z_c: a gate of category c over the experts that all share and those of c; z: one over all of them
 *   task level    a gate of task t over the experts of its category and its own, which read z_c and z; then its head
 *   self gates    an expert's group adds its experts once more, weighed by a softmax of its own (a sigmoid where it has
 *                 one), so that experts of a few rows always have a gradient
 *
 * `expert_norm` keeps experts alike in scale (against collapse), `hierarchy` keeps tasks apart that share little
 * (against degradation), `feature_gate_rank` (r of B, 0: none) and `self_gates` feed tasks with few rows (against
 * underfitting). Without all of these it is MMoE (Ma et al. 2018): a gate of each task over shared experts. A gate sees
 * the experts of its level alone, where the paper masks the others.
 */
import { UserError } from "../../errors.ts";
import { relu, silu } from "../../tensor/ops/activation.ts";
import { joinColumns, splitColumns } from "../../tensor/ops/columns.ts";
import { add, mul, scale, sigmoid } from "../../tensor/ops/elementwise.ts";
import { rmsNorm } from "../../tensor/ops/norm.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Inputs, Net, ParameterSpec } from "../architecture.ts";
import { type BatchNorm, batchNormed, batchNormParameters } from "../blocks/batch-norm.ts";
import { ofOwnTask } from "../blocks/own-task.ts";
import { ConfigReader } from "../config.ts";

export interface MlpHomeConfig {
  readonly tasks: number;
  /** The category of each task, from 0. */
  readonly categories: readonly number[];
  readonly input: number;
  /** Experts of a group: shared by all, of a category, or of a task. */
  readonly each: number;
  readonly width: number;
  readonly classes: number;
  readonly act: "silu" | "relu";
  readonly norm: "batch" | "rms" | "none";
  readonly hierarchy: boolean;
  /** 0: no feature gates. */
  readonly rank: number;
  readonly selfGates: boolean;
  readonly problem: "single_label_classification" | "regression";
}

const NORM: BatchNorm = { momentum: 0.1, eps: 1e-5 };

/** Experts that stand together. */
interface Group {
  /** `meta.shared`, `meta.categories.0`, `task.categories.0` or `task.own.0`. */
  readonly name: string;
  /** Whether they begin at what the rows are, or at what the meta level gives. */
  readonly level: "meta" | "task";
}

/** What a mixture is made of: the groups that its gate sees, and the one whose self gate it has. */
interface Mixture {
  readonly gate: string;
  readonly groups: readonly Group[];
  readonly own: Group;
}

const meta = (name: string): Group => ({ name: `meta.${name}`, level: "meta" });
const atTask = (name: string): Group => ({ name: `task.${name}`, level: "task" });
const SHARED = meta("shared");

const categoriesOf = ({ categories }: MlpHomeConfig): number[] => [...new Set(categories)].sort((a, b) => a - b);

/** Mixtures of the meta level: of each category, and of all. */
export function metaMixtures(c: MlpHomeConfig): Mixture[] {
  const own = categoriesOf(c).map((category) => meta(`categories.${category}`));
  return [
    ...own.map((group) => ({ gate: `gates.${group.name}`, groups: [SHARED, group], own: group })),
    { gate: "gates.meta.shared", groups: [SHARED, ...own], own: SHARED },
  ];
}

/** The mixture that a task's head reads. */
export function taskMixture(c: MlpHomeConfig, task: number): Mixture {
  if (!c.hierarchy) return { gate: `gates.task.${task}`, groups: [SHARED], own: SHARED };
  const own = atTask(`own.${task}`);
  return { gate: `gates.task.${task}`, groups: [atTask(`categories.${c.categories[task]}`), own], own };
}

const tasksOf = ({ tasks }: MlpHomeConfig): number[] => Array.from({ length: tasks }, (_, task) => task);

const mixturesOf = (c: MlpHomeConfig): Mixture[] => [
  ...(c.hierarchy ? metaMixtures(c) : []),
  ...tasksOf(c).map((task) => taskMixture(c, task)),
];

/** All groups, each once. */
export const groupsOf = (c: MlpHomeConfig): Group[] => [
  ...new Map(mixturesOf(c).flatMap(({ groups }) => groups.map((group) => [group.name, group] as const))).values(),
];

/** Width of what groups of a level read. */
const readBy = (c: MlpHomeConfig, level: Group["level"]): number => (level === "meta" ? c.input : 2 * c.width);

const names = (c: MlpHomeConfig, { name }: Group): string[] => Array.from({ length: c.each }, (_, e) => `${name}.${e}`);

const hasSelfGate = (c: MlpHomeConfig, { own }: Mixture): boolean => c.selfGates && (c.hierarchy || own !== SHARED);

function expert(net: Net, c: MlpHomeConfig, module: string, given: Tensor, inputs: Inputs): Tensor {
  const { rec } = net;
  let v = given;
  if (c.rank > 0) {
    const logits = net.linear(net.linear(v, `${module}.gate_down`), `${module}.gate_up`);
    v = mul(rec, v, scale(rec, sigmoid(rec, logits), 2));
  }
  let h = net.linear(v, module);
  if (c.norm === "batch") h = batchNormed(net, NORM, `${module}.norm`, h, inputs);
  if (c.norm === "rms") h = rmsNorm(rec, h, net.weight(`${module}.norm.weight`), NORM);
  return net.note(`expert.${module}`, c.act === "silu" ? silu(rec, h) : relu(rec, h));
}

/** sum of weights (B, E) times experts (B, W) each. */
const weighed = (net: Net, weights: Tensor, experts: readonly Tensor[]): Tensor => {
  const each = splitColumns(net.rec, weights, Array(experts.length).fill(1));
  return experts.map((x, i) => mul(net.rec, x, each[i]!)).reduce((a, b) => add(net.rec, a, b));
};

function mixed(
  net: Net,
  c: MlpHomeConfig,
  mixture: Mixture,
  v: Tensor,
  made: ReadonlyMap<string, readonly Tensor[]>,
): Tensor {
  const { rec } = net;
  const { gate, groups, own } = mixture;
  const weights = net.note(`weights.${gate}`, softmax(rec, net.linear(v, gate)));
  const y = weighed(
    net,
    weights,
    groups.flatMap(({ name }) => made.get(name)!),
  );
  if (!hasSelfGate(c, mixture)) return y;
  const logits = net.linear(v, `self_${gate}`);
  const self = c.each === 1 ? sigmoid(rec, logits) : softmax(rec, logits);
  return add(rec, y, weighed(net, self, made.get(own.name)!));
}

export const method: Architecture<MlpHomeConfig> = {
  name: "mlp-home",
  title: "Hierarchy of experts for several tasks",
  about: "classifier of vectors for several tasks: experts that all share, of categories and of tasks, and their gates",
  cite: "arXiv:2408.05430",
  options: {},
  task: "classifier",
  regresses: ({ problem }) => problem === "regression",

  config(json, where) {
    const c = new ConfigReader(json, where);
    const tasks = c.count("num_tasks", 2);
    const categories = c.counts("task_categories", []);
    if (categories.length > 0 && categories.length !== tasks)
      throw new UserError(
        `${where}: task_categories has ${categories.length} entries for ${tasks} tasks`,
        "it has the category of each task, from 0",
      );
    return {
      tasks,
      categories: categories.length > 0 ? categories : Array<number>(tasks).fill(0),
      input: c.count("input_size"),
      each: c.count("experts_per_group", 2),
      width: c.count("expert_size", 32),
      classes: c.count("num_labels"),
      act: c.oneOf("hidden_act", ["silu", "relu"], "silu"),
      norm: c.oneOf("expert_norm", ["batch", "rms", "none"], "batch"),
      hierarchy: c.flag("hierarchy", true),
      rank: c.countOrNone("feature_gate_rank", 8),
      selfGates: c.flag("self_gates", true),
      problem: c.oneOf("problem_type", ["single_label_classification", "regression"], "single_label_classification"),
    };
  },

  implied: (c) => ({
    num_tasks: c.tasks,
    task_categories: c.categories,
    input_size: c.input,
    experts_per_group: c.each,
    expert_size: c.width,
    num_labels: c.classes,
    hidden_act: c.act,
    expert_norm: c.norm,
    hierarchy: c.hierarchy,
    feature_gate_rank: c.rank,
    self_gates: c.selfGates,
    problem_type: c.problem,
  }),

  // Heads of tasks answer in the pass itself, where the task of each row is known.
  sizes: (c) => ({
    layers: c.hierarchy ? 2 : 1,
    width: c.classes,
    outputs: c.classes,
    maxPositions: 0,
    example: [c.input],
  }),

  parameters(c) {
    const linear = (module: string, into: number, out: number, gain = 2): ParameterSpec[] => [
      { name: `${module}.weight`, shape: [out, into], init: { std: Math.sqrt(gain / into) }, linear: true },
      { name: `${module}.bias`, shape: [out], init: "zeros" },
    ];
    const ofExpert = (module: string, into: number): ParameterSpec[] => [
      ...(c.rank > 0
        ? [
            { name: `${module}.gate_down.weight`, shape: [c.rank, into], init: { std: Math.sqrt(1 / into) } },
            // At 0 a gate lets everything through as it is.
            { name: `${module}.gate_up.weight`, shape: [into, c.rank], init: "zeros" as const },
          ]
        : []),
      ...linear(module, into, c.width),
      ...(c.norm === "batch" ? batchNormParameters(NORM, `${module}.norm`, c.width) : []),
      ...(c.norm === "rms" ? [{ name: `${module}.norm.weight`, shape: [c.width], init: "ones" as const }] : []),
    ];
    const gates = mixturesOf(c).flatMap((mixture) => {
      const read = readBy(c, mixture.groups[0]!.level);
      return [
        ...linear(mixture.gate, read, c.each * mixture.groups.length, 0.01),
        ...(hasSelfGate(c, mixture) ? linear(`self_${mixture.gate}`, read, c.each, 0.01) : []),
      ];
    });
    return [
      ...groupsOf(c).flatMap((group) => names(c, group).flatMap((name) => ofExpert(name, readBy(c, group.level)))),
      ...gates,
      ...tasksOf(c).flatMap((task) => linear(`heads.${task}`, c.width, c.classes)),
    ];
  },

  forward(net, c, inputs) {
    if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
    const { rec } = net;
    const rows = rec.reshape(inputs.x, [inputs.batch, c.input]); // (B, D)
    const groups = groupsOf(c);
    const made = (level: Group["level"], v: (group: Group) => Tensor) =>
      new Map(
        groups
          .filter((group) => group.level === level)
          .map((group) => [group.name, names(c, group).map((name) => expert(net, c, name, v(group), inputs))]),
      );
    const low = made("meta", () => rows);
    const answer = (task: number, v: Tensor, from: ReadonlyMap<string, readonly Tensor[]>) =>
      net.linear(mixed(net, c, taskMixture(c, task), v, from), `heads.${task}`);
    if (!c.hierarchy) return ofOwnTask(net, tasksOf(c), inputs, (task) => answer(task, rows, low));
    const all = metaMixtures(c).map((mixture) => mixed(net, c, mixture, rows, low)); // (B, W) each
    const seen = new Map(categoriesOf(c).map((category, i) => [category, joinColumns(rec, [all[i]!, all.at(-1)!])]));
    const ofTask = (task: number) => seen.get(c.categories[task]!)!; // (B, 2 W)
    const high = made("task", ({ name }) => {
      const [, kind, index] = name.split(".");
      return kind === "own" ? ofTask(Number(index)) : seen.get(Number(index))!;
    });
    return ofOwnTask(net, tasksOf(c), inputs, (task) => answer(task, ofTask(task), high));
  },

  head: (_, __, hidden) => hidden, // (B, classes)
};
