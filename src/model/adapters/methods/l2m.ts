/**
 * L2M: a pool of LoRAs, the slots, of which every sequence takes the one whose key is most like it. Schmied et al.,
 * NeurIPS 2023, https://arxiv.org/abs/2306.14884
 *
 *   q = mean of the embedded tokens     slot = argmax_p cos(q, key_p)     y = W x + (alpha / r) B_slot A_slot x
 *
 * Training adds -lambda cos(q, key_slot), which draws the key that was taken to the query. There a row of task t takes
 * the largest (cos + 1) / 2 times c_p, with c_p as 1 / (rows of earlier tasks that took p + 1e-6), of sum 1: later
 * tasks take free slots. The file holds those counts, by task.
 *
 * The query is of the prompt, the tokens before the first that counts, so that an answer is written with the slot that
 * it is trained with; of rows without one, of all tokens. Classifiers of numbers take the row itself. PEFT has no such
 * type.
 */
import { UserError } from "../../../errors.ts";
import {
  add,
  addScalar,
  div,
  mul,
  neg,
  scale,
  sqrt,
  square,
  stopGradient,
  sumTo,
} from "../../../tensor/ops/elementwise.ts";
import { linear, product } from "../../../tensor/ops/linear.ts";
import { promptSum } from "../../../tensor/ops/prompt-sum.ts";
import { mean, rowSum } from "../../../tensor/ops/reduce.ts";
import { routedFactors } from "../../../tensor/ops/routed-factors.ts";
import { chosenExperts, type RoutePlan, route } from "../../../tensor/ops/router.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../../tensor/tensor.ts";
import type { Adapted, AdaptedPass } from "../declaration.ts";
import { adapterType } from "../declared.ts";
import type { LinearPlace } from "../live-adapter.ts";
import { RANK_KEYS } from "../settings.ts";
import { isUsual } from "../targets.ts";
import { countsSteps } from "../told.ts";

const [A, B, KEYS, COUNTS] = ["l2m_A", "l2m_B", "l2m_key", "l2m_counts"] as const;

/** Of the division by the rows of a slot, and by the length of a vector's square. */
const EPS = 1e-6;

/** Less than any slot is worth. */
const BELOW_ALL = -4;

/** Keys and outputs of attention, which the paper leaves as they are. */
const LEFT_OUT =
  /(^|\.)(k_proj|o_proj|out_proj|k_lin|out_lin|attn\.c_proj|attention\.dense|attention\.output\.dense|self\.key)$/;

const OPTIONS = {
  adapter_rank: { type: "number.integer >= 1", default: 8, help: "rank of the adapter's matrices", value: "R" },
  adapter_alpha: { type: "number > 0", default: 16, help: "strength; the scale is alpha / rank", value: "A" },
  l2m_slots: { type: "number.integer >= 1", default: 30, help: "LoRAs of the pool", value: "P" },
  l2m_pull: {
    type: "number >= 0",
    default: 0.5,
    help: "weight of the loss that draws the key of a slot to the sequences that take it",
    value: "LAMBDA",
  },
  l2m_tasks: {
    type: "number.integer >= 1",
    default: 1,
    help: "tasks that are trained, the groups of the data in their order; later ones take slots that earlier ones left",
    value: "T",
  },
  l2m_partition: {
    type: "boolean",
    default: false,
    help: "divide the pool between the tasks: a row takes slots of its own task alone, where that is known",
  },
} as const;

type L2mOptions = typeof OPTIONS;
type Begin = AdaptedPass<L2mOptions>;

/** What the rows of a forward pass take. */
interface Choice {
  /** (B, P): the slot of a row is where it is largest. */
  readonly worth: Tensor;
  /** By rows for each row of the batch. */
  readonly plans: Map<number, RoutePlan>;
}

const choices = new WeakMap<object, Choice>();

/** Rows of unit length. */
const unit = (rec: Recorder, x: Tensor): Tensor => {
  const lengths = sqrt(rec, addScalar(rec, rowSum(rec, square(rec, x)), EPS ** 2));
  return div(rec, x, rec.reshape(lengths, [rowsOf(x).rows, 1]));
};

/** The sequences as vectors (B, C), whatever their length: embedded tokens x (N, C), or the numbers of a row. */
function queries({ rec, inputs }: Begin, x: Tensor): Tensor {
  const { batch } = inputs;
  const { width } = rowsOf(x);
  if (!("ids" in inputs)) return rec.reshape(x, [batch, width]);
  if ("positions" in inputs && inputs.segments)
    throw new UserError("several texts share a row, and this adapter chooses for each text", "leave them unpacked");
  if ("positions" in inputs && inputs.cache)
    return promptSum(rec, x, inputs.cache.kept("l2m.query", [batch, width]), inputs.positions);
  const rows = rec.reshape(x, [batch, inputs.length, width]);
  const shares = "shares" in inputs ? inputs.shares : inputs.prompts?.();
  const weighed = shares ? mul(rec, rows, rec.reshape(shares, [batch, inputs.length, 1])) : rows;
  return rec.reshape(sumTo(rec, weighed, [batch, 1, width]), [batch, width]);
}

/** What slots are worth to rows in training: their likeness (B, P), and how free earlier tasks left them. */
function freeWorth({ rec, values, shared }: Begin, alike: Tensor, marks: Tensor): Tensor {
  const { l2m_tasks: tasks } = values;
  const before = Float32Array.from({ length: tasks * tasks }, (_, at) => (at % tasks < Math.floor(at / tasks) ? 1 : 0));
  const earlier = linear(rec, marks, rec.constant(before, [tasks, tasks], "earlier tasks"), { transposed: true });
  const taken = linear(rec, earlier, shared(COUNTS), { transposed: true }); // (B, P)
  const ones = rec.constant(new Float32Array(taken.shape[0]!).fill(1), [taken.shape[0]!, 1], "ones");
  const free = div(rec, ones, addScalar(rec, taken, EPS));
  const shares = div(rec, free, rec.reshape(rowSum(rec, free), ones.shape));
  return mul(rec, scale(rec, addScalar(rec, alike, 1), 0.5), shares);
}

/** What slots are worth where each is of one task: those of others are never taken. */
function ownWorth({ rec, values }: Begin, worth: Tensor, marks: Tensor): Tensor {
  const { l2m_tasks: tasks, l2m_slots: slots } = values;
  const foreign = Float32Array.from({ length: tasks * slots }, (_, at) =>
    Math.floor(((at % slots) * tasks) / slots) === Math.floor(at / slots) ? 0 : BELOW_ALL,
  );
  const table = rec.constant(foreign, [tasks, slots], "slots of other tasks");
  return add(rec, worth, linear(rec, marks, table, { transposed: true }));
}

/** The slots of all rows, from the sequences as vectors (B, C); in training with the loss and the counts. */
function choose(pass: Begin, q: Tensor): Choice {
  const { rec, inputs, values, shared } = pass;
  const { l2m_slots: slots, l2m_tasks: tasks, l2m_pull: weight } = values;
  const likeness = linear(rec, unit(rec, q), unit(rec, shared(KEYS))); // (B, P)
  const alike = stopGradient(rec, likeness);
  const [batch = 0] = alike.shape;
  const marks = rec.training || values.l2m_partition ? inputs.tasks?.(tasks) : undefined; // (B, T)
  const free = rec.training && marks ? freeWorth(pass, alike, marks) : alike;
  const worth = values.l2m_partition && marks ? ownWorth(pass, free, marks) : free;
  pass.choose("texts", worth);
  if (rec.training) {
    const ones = rec.constant(new Float32Array(batch).fill(1), [batch, 1], "ones");
    const chosen = chosenExperts(rec, worth, 1, ones); // (B, P)
    pass.lose({ name: "key_loss", value: neg(rec, mean(rec, rowSum(rec, mul(rec, likeness, chosen)))), weight });
    // What a copy of an earlier state takes, as a teacher, is not counted.
    if (marks && countsSteps(rec) && likeness.needsGrad)
      product(rec, { form: "tn", m: tasks, n: slots, k: batch, a: marks, b: chosen, c: shared(COUNTS), accumulate: 1 });
  }
  const plans = new Map([1, "ids" in inputs ? inputs.length : 1].map((each) => [each, planOf(rec, worth, each)]));
  return { worth, plans };
}

/** Where the rows of a layer go, `each` of them for a row of the batch. */
function planOf(rec: Recorder, worth: Tensor, each: number): RoutePlan {
  const [batch = 0, slots = 0] = worth.shape;
  const zeros = rec.constant(new Float32Array(each), [1, each, 1], "zeros");
  const all = add(rec, rec.reshape(worth, [batch, 1, slots]), zeros); // (B, each, P)
  return route(rec, rec.reshape(all, [batch * each, slots]), { k: 1, normalize: true }).plan;
}

function modulated(layer: Adapted<LinearPlace, L2mOptions>, x: Tensor): Tensor {
  const { rec, inputs, values, module, tensor } = layer;
  const { rows } = rowsOf(x);
  const each = rows / inputs.batch;
  const choice = choices.get(layer.pass);
  if (!choice || !Number.isInteger(each))
    throw new UserError(
      choice
        ? `${module} reads ${rows} rows for ${inputs.batch} rows of the batch, and cannot tell their slots`
        : `${module} belongs to a model that embeds no tokens before it, by which L2M could choose a slot`,
      "leave it out of the targets",
    );
  const plan = choice.plans.get(each) ?? planOf(rec, choice.worth, each);
  const weights = rec.constant(new Float32Array(rows).fill(1), [rows, 1], "weights of slots");
  const { adapter_alpha: alpha, adapter_rank: rank } = values;
  const options = { scale: alpha / rank, add: layer.whole(x) };
  return routedFactors(rec, x, { a: tensor(A), b: tensor(B) }, { weights, plan }, options);
}

export const method = adapterType({
  name: "l2m",
  title: "L2M",
  about: "a pool of LoRAs, of which every sequence takes the one whose key is most like its prompt",
  cite: "arXiv:2306.14884",
  options: OPTIONS,
  takes: ["linear"],
  fanInFanOut: true,
  usual: (target) => isUsual(target) && !LEFT_OUT.test(target.module),
  recurrent: () => true,
  groups: ({ l2m_tasks: most }) => ({ option: "l2m_tasks", most }),
  parts: [A, B],
  sharedParts: [KEYS, COUNTS],
  keys: RANK_KEYS,
  shared({ values: { l2m_slots: slots, l2m_tasks: tasks, l2m_partition: divided }, sizes, where }) {
    if (divided && slots < tasks)
      throw new UserError(`${where}: ${slots} slots cannot be divided between ${tasks} tasks`, "raise --l2m-slots");
    const width = sizes?.example ? sizes.example.reduce((a, b) => a * b, 1) : (sizes?.width ?? 0);
    return {
      [KEYS]: { shape: [slots, width], begins: { uniform: 1 }, decays: false },
      [COUNTS]: { shape: [tasks, slots], begins: "zeros", fixed: true },
    };
  },
  // Decay would change slots that no row takes, and with them what earlier tasks say.
  tensors: ({ into, out }, { values: { l2m_slots: slots, adapter_rank: rank } }) => ({
    [A]: { shape: [slots, rank, into], begins: { uniform: 1 / Math.sqrt(into) }, decays: false },
    [B]: { shape: [slots, rank, out], begins: "zeros", decays: false },
  }),
  begin(pass) {
    const { rec, inputs } = pass;
    if (!("ids" in inputs)) {
      const [batch = 0, ...shape] = inputs.x.shape;
      const width = shape.reduce((a, b) => a * b, 1);
      choices.set(pass.pass, choose(pass, queries(pass, rec.reshape(inputs.x, [batch, width]))));
    }
  },
  note(pass, name, x) {
    if (name === "hidden.0" && "ids" in pass.inputs) choices.set(pass.pass, choose(pass, queries(pass, x)));
    return x;
  },
  linear: modulated,
});
