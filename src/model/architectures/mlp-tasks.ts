/**
 * A perceptron for rows of several tasks: f_t = h(g(e_t(x))). Each task may have an input map e_t of its own
 * (`front_size`) and a head of its own (`task_heads`); the trunk g is shared. The task of a row is the position of its
 * group among those of the data, counted from `first_task` on. Rows of tasks with fewer numbers are padded with zeros.
 * "Multi-Task Multi-Agent Shared Layers are Universal Cognition of Multi-Agent Coordination", 2023.
 *
 * With `task_head_sizes` a task has a hidden layer of so many units of its own before its head.
 *
 * With `task_gates` every task weighs the channels E that the trunk reads, g_t = sigmoid(U_t + P E + 3), near 1 at
 * first: "Adaptive Pattern Extraction Multi-Task Learning for Multi-Step Conversion Estimations", 2023. Its fields are
 * vectors that set attention and squeeze-and-excitation mix; here a field is one number, and neither is there.
 */
import { UserError } from "../../errors.ts";
import { gelu, relu } from "../../tensor/ops/activation.ts";
import { add, addScalar, mul, sigmoid } from "../../tensor/ops/elementwise.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Inputs, Net, ParameterSpec } from "../architecture.ts";
import { ofOwnTask } from "../blocks/own-task.ts";
import { ConfigReader } from "../config.ts";

interface MlpTasksConfig {
  readonly tasks: number;
  /** The task of the first group of the data; those before are kept as they are. */
  readonly first: number;
  readonly input: number;
  /** Undefined where the trunk reads rows as they are. */
  readonly front: number | undefined;
  readonly hidden: readonly number[];
  readonly heads: boolean;
  /** Hidden units before the head of each task; none where it is empty. */
  readonly decoders: readonly number[];
  readonly gates: boolean;
  readonly classes: number;
  readonly act: "relu" | "gelu";
  readonly problem: "single_label_classification" | "regression";
}

/** Added to what a gate begins with: sigmoid(3) is 0.95. */
const OPEN = 3;

/** Modules that each task has of its own. */
export const ofTask = (task: number): readonly string[] => [
  `fronts.${task}`,
  `gates.${task}`,
  `heads.${task}`,
  `decoders.${task}`,
];

const activated = (net: Net, { act }: MlpTasksConfig, h: Tensor): Tensor =>
  act === "gelu" ? gelu(net.rec, h) : relu(net.rec, h);

/** The answer of a task's head, behind its hidden layer where it has one: (B, C) -> (B, classes). */
function answered(net: Net, c: MlpTasksConfig, task: number, x: Tensor): Tensor {
  const [, , head, decoder] = ofTask(task);
  return net.linear(c.decoders.length > 0 ? activated(net, c, net.linear(x, decoder!)) : x, head!);
}

/** The tasks that the groups of the data are. */
const groupsOf = ({ tasks, first }: MlpTasksConfig) => Array.from({ length: tasks - first }, (_, i) => first + i);

/** What each row's own task makes of it, as a choice between the tasks: (B, C). */
const chosen = (net: Net, c: MlpTasksConfig, inputs: Inputs, of: (task: number) => Tensor): Tensor =>
  ofOwnTask(net, groupsOf(c), inputs, of);

export const method: Architecture<MlpTasksConfig> = {
  name: "mlp-tasks",
  title: "Multilayer perceptron of several tasks",
  about: "classifier of vectors for several tasks: a shared trunk between input maps, gates and heads of each",
  cite: "ingot",
  options: {},
  task: "classifier",
  regresses: ({ problem }) => problem === "regression",

  config(json, where) {
    const c = new ConfigReader(json, where);
    const [tasks, first] = [c.count("num_tasks", 2), c.countOrNone("first_task", 0)];
    if (first >= tasks)
      throw new UserError(`${where}: first_task ${first} is not among ${tasks} tasks`, "count from 0");
    const heads = c.flag("task_heads", false);
    const decoders = c.counts("task_head_sizes", []);
    if (decoders.length > 0 && (!heads || decoders.length !== tasks))
      throw new UserError(
        `${where}: task_head_sizes has ${decoders.length} entries${heads ? ` for ${tasks} tasks` : " and task_heads is false"}`,
        "it has the hidden units before the head of each task, which has one of its own: task_heads true",
      );
    return {
      tasks,
      first,
      input: c.count("input_size"),
      front: c.has("front_size") ? c.count("front_size") : undefined,
      hidden: c.counts("hidden_sizes", [128]),
      heads,
      decoders,
      gates: c.flag("task_gates", false),
      classes: c.count("num_labels"),
      act: c.oneOf("hidden_act", ["relu", "gelu"], "relu"),
      problem: c.oneOf("problem_type", ["single_label_classification", "regression"], "single_label_classification"),
    };
  },

  implied: (c) => ({
    num_tasks: c.tasks,
    first_task: c.first,
    input_size: c.input,
    ...(c.front === undefined ? {} : { front_size: c.front }),
    hidden_sizes: c.hidden,
    task_heads: c.heads,
    ...(c.decoders.length > 0 ? { task_head_sizes: c.decoders } : {}),
    task_gates: c.gates,
    num_labels: c.classes,
    hidden_act: c.act,
    problem_type: c.problem,
  }),

  // Heads of tasks answer in the trunk's own pass, where the task of each row is known.
  sizes: (c) => ({
    layers: c.hidden.length,
    width: c.heads ? c.classes : (c.hidden.at(-1) ?? c.front ?? c.input),
    outputs: c.classes,
    maxPositions: 0,
    example: [c.input],
  }),

  parameters(c) {
    const linear = (module: string, into: number, out: number, gain = 2): ParameterSpec[] => [
      { name: `${module}.weight`, shape: [out, into], init: { std: Math.sqrt(gain / into) }, linear: true },
      { name: `${module}.bias`, shape: [out], init: "zeros" },
    ];
    const read = c.front ?? c.input;
    const sizes = [read, ...c.hidden];
    const width = sizes.at(-1)!;
    const ofEach = Array.from({ length: c.tasks }, (_, task) => {
      const [front, gate, head, decoder] = ofTask(task);
      const own: ParameterSpec[] = [
        ...(c.front === undefined ? [] : linear(front!, c.input, c.front, 1)),
        ...(c.gates ? [{ name: `${gate}.bias`, shape: [read], init: "zeros" as const }] : []),
        ...(c.decoders.length > 0 ? linear(decoder!, width, c.decoders[task]!) : []),
        ...(c.heads ? linear(head!, c.decoders[task] ?? width, c.classes) : []),
      ];
      return task < c.first ? own.map(({ name, shape, init }) => ({ name, shape, init, buffer: true })) : own;
    });
    return [
      ...ofEach.flat(),
      ...(c.gates ? [{ name: "gate_pool.weight", shape: [read, read], init: "zeros" as const }] : []),
      ...c.hidden.flatMap((out, i) => linear(`layers.${i}`, sizes[i]!, out)),
      ...(c.heads ? [] : linear("classifier", width, c.classes)),
    ];
  },

  forward(net, c, inputs) {
    if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
    const { rec } = net;
    const rows = rec.reshape(inputs.x, [inputs.batch, c.input]); // (B, D)
    let x = c.front === undefined ? rows : chosen(net, c, inputs, (task) => net.linear(rows, ofTask(task)[0]!));
    if (c.gates) {
      const pooled = net.linear(x, "gate_pool"); // (B, C)
      const own = (task: number) =>
        add(rec, pooled, rec.reshape(net.weight(`gates.${task}.bias`), [1, c.front ?? c.input]));
      const gates = sigmoid(rec, addScalar(rec, chosen(net, c, inputs, own), OPEN));
      x = mul(rec, x, net.note("gates", gates));
    }
    x = net.note("hidden.0", x);
    for (const i of c.hidden.keys()) {
      const h = net.linear(x, `layers.${i}`);
      x = net.note(`hidden.${i + 1}`, activated(net, c, h));
    }
    return c.heads ? chosen(net, c, inputs, (task) => answered(net, c, task, x)) : x;
  },

  // (B, classes)
  head: (net, { heads }, hidden) => (heads ? hidden : net.linear(hidden, "classifier")),
};
