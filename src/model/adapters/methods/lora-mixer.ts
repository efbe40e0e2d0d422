/**
 * LoRA-Mixer: several LoRAs on every layer, of which a router takes a few for each token. Li et al., ICLR 2026,
 * https://arxiv.org/abs/2507.00029
 *
 *   p = softmax(W_g x)     y = W x + (alpha / r) sum over the k largest p_i of p~_i B_i A_i x
 *
 * p~ are these k divided by their sum. On the way back the weights count as the whole softmax (straight-through), so
 * that experts which were not taken teach the router, too. Training adds, as means over layers,
 *
 *   balance K sum_i f_i p_i     f_i: share of the tokens whose largest p is expert i's; p_i: its mean probability
 *   entropy mean over tokens of H(p)
 *
 * The authors' code is not public; the losses follow the paper's words. In hard steps, at the beginning, the row's
 * task stands for the router, and each expert learns the rows of its own task alone. PEFT has no such type.
 */
import { UserError } from "../../../errors.ts";
import { flagOf, type Values } from "../../../method/options.ts";
import {
  add,
  addScalar,
  clamp,
  div,
  mul,
  neg,
  scale,
  stopGradient,
  sub,
  sumTo,
} from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { dot, rowMax, rowSum } from "../../../tensor/ops/reduce.ts";
import { mixedFactors, routedFactors } from "../../../tensor/ops/routed-factors.ts";
import { chosenExperts, route } from "../../../tensor/ops/router.ts";
import { logSoftmax, softmax } from "../../../tensor/ops/softmax.ts";
import { dynamic, type Recorder } from "../../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../../tensor/tensor.ts";
import type { AdapterType } from "../contract.ts";
import type { Adapted, AdapterDeclaration } from "../declaration.ts";
import { adapterType } from "../declared.ts";
import type { LinearPlace } from "../live-adapter.ts";
import { readExperts } from "../lora/as-experts.ts";
import { listed, RANK_KEYS, rankAndAlpha } from "../settings.ts";
import { countsSteps } from "../told.ts";

const [A, B, ROUTER] = ["lora_mixer_A", "lora_mixer_B", "lora_mixer_router"] as const;

const OPTIONS = {
  ...rankAndAlpha(8),
  mixer_experts: { type: "number.integer >= 1", default: 4, help: "LoRAs that each layer has", value: "K" },
  mixer_active: {
    type: "number.integer >= 1",
    default: 2,
    help: "LoRAs that count for one token, those of the largest probability; all where there are fewer",
    value: "K",
  },
  mixer_balance: {
    type: "number >= 0",
    default: 0.01,
    help: "weight of the loss that spreads tokens over the LoRAs",
    value: "W",
  },
  mixer_entropy: {
    type: "number >= 0",
    default: 0.01,
    help: "weight of the loss that makes the choice for one token clear",
    value: "W",
  },
  mixer_hard_steps: {
    type: "number.integer >= 0",
    default: 0,
    help: "first steps of a run, in which every row trains the LoRA of its task, its group of the data, alone",
    value: "N",
  },
  mixer_expert: {
    type: "number.integer >= 0",
    help: "LoRA of all tokens, counted from 0, in place of the router's choice",
    value: "I",
  },
  experts: {
    type: "string[]",
    help: "LoRA adapters of the base that are the LoRAs, with their ranks and strengths; the router alone is trained",
    value: "ADAPTER,...",
  },
} as const;

type MixerOptions = typeof OPTIONS;
type Layer = Adapted<LinearPlace, MixerOptions>;

/** k: at most as many as there are. */
const activeOf = ({ mixer_active, mixer_experts }: Values<MixerOptions>): number =>
  Math.min(mixer_active, mixer_experts);

/** Weights of the experts, (N, K): those of the k likeliest, whose gradient is that of all probabilities. */
export function straightThrough(rec: Recorder, logits: Tensor, active: number): Tensor {
  const { rows, width } = rowsOf(logits);
  const likely = softmax(rec, logits);
  if (active >= width) return likely;
  const ones = rec.constant(new Float32Array(rows).fill(1), [rows, 1], "ones");
  const fixed = stopGradient(rec, likely);
  const taken = mul(rec, fixed, chosenExperts(rec, logits, active, ones));
  const shares = div(rec, taken, rec.reshape(rowSum(rec, taken), [rows, 1]));
  return add(rec, likely, sub(rec, shares, fixed));
}

/** 0 in the hard steps, 1 from then on: (1). Undefined where there are none. */
function softness({ rec, values: { mixer_hard_steps: hard } }: Layer): Tensor | undefined {
  if (hard === 0 || !countsSteps(rec)) return undefined;
  return clamp(rec, addScalar(rec, rec.constant(Float32Array.of(-hard), [1], "hard steps"), dynamic("step")), 0, 1);
}

/** Weights of a training step, (N, K): by the router, in hard steps by the task of the row. */
function trainedWeights(layer: Layer, logits: Tensor, soft: Tensor | undefined): Tensor {
  const { rec, inputs, values, module } = layer;
  const { mixer_experts: experts } = values;
  const weights = straightThrough(rec, logits, activeOf(values));
  const marks = soft && inputs.tasks?.(experts); // (B, K)
  if (!soft || !marks) return weights;
  const [rows = 0] = weights.shape;
  const batch = marks.shape[0]!;
  if (rows % batch !== 0)
    throw new UserError(
      `${module} reads ${rows} rows for ${batch} rows of the batch, and cannot tell their tasks`,
      "leave it out of the targets",
    );
  const own = [batch, rows / batch, experts];
  const away = sub(rec, rec.reshape(weights, own), rec.reshape(marks, [batch, 1, experts]));
  const mixed = add(rec, mul(rec, away, rec.reshape(soft, [1, 1, 1])), rec.reshape(marks, [batch, 1, experts]));
  return rec.reshape(mixed, [rows, experts]);
}

/** Hands over the router's losses, and the load of the expert that most tokens go to. */
function addLosses(layer: Layer, logits: Tensor, soft: Tensor | undefined): void {
  const { rec, inputs, values } = layer;
  const { rows, width: experts } = rowsOf(logits);
  const given = inputs.tokenShares?.();
  const weights =
    given?.shape[0] === rows ? given : rec.constant(new Float32Array(rows).fill(1 / rows), [rows, 1], "shares of rows");
  const likely = softmax(rec, logits);
  const load = sumTo(rec, chosenExperts(rec, logits, 1, weights), [1, experts]);
  const balance = scale(rec, dot(rec, sumTo(rec, mul(rec, likely, weights), [1, experts]), load), experts);
  const entropies = neg(rec, rowSum(rec, mul(rec, likely, logSoftmax(rec, logits)))); // (N)
  const entropy = dot(rec, entropies, rec.reshape(weights, [rows]));
  const whole = (x: Tensor) => (soft ? mul(rec, x, soft) : x);
  layer.lose({ name: "router_balance", value: whole(balance), weight: values.mixer_balance });
  layer.lose({ name: "router_entropy", value: whole(entropy), weight: values.mixer_entropy });
  layer.lose({ name: "router_load", value: rowMax(rec, load), weight: 0 });
}

function routed(layer: Layer, x: Tensor): Tensor {
  const { rec, values, tensor } = layer;
  const { adapter_rank: rank, adapter_alpha: alpha, mixer_experts: experts, mixer_expert: one } = values;
  const factors = { a: tensor(A), b: tensor(B) };
  const options = { scale: alpha / rank, add: layer.whole(x) };
  if (one !== undefined) {
    const marks = Float32Array.from({ length: experts }, (_, i) => (i === one ? 1 : 0));
    return mixedFactors(rec, x, factors, rec.constant(marks, [1, experts], "the expert of all"), options);
  }
  const logits = linear(rec, x, tensor(ROUTER)); // (N, K)
  layer.choose(layer.module, logits);
  if (!rec.training)
    return routedFactors(rec, x, factors, route(rec, logits, { k: activeOf(values), normalize: true }), options);
  const soft = softness(layer);
  if (experts > 1) addLosses(layer, logits, soft);
  return mixedFactors(rec, x, factors, trainedWeights(layer, logits, soft), options);
}

const declared: AdapterDeclaration<MixerOptions> = {
  name: "lora-mixer",
  title: "LoRA-Mixer",
  about: "several LoRAs on every layer, of which a router takes a few for each token",
  cite: "arXiv:2507.00029",
  options: OPTIONS,
  takes: ["linear"],
  fanInFanOut: true,
  parts: [A, B, ROUTER],
  groups: ({ mixer_experts: most, mixer_hard_steps: hard }) =>
    hard > 0 ? { option: "mixer_experts", most } : undefined,
  keys: RANK_KEYS,
  tensors({ into, out }, { values, where }) {
    const { adapter_rank: rank, mixer_experts: experts, mixer_expert: one } = values;
    if (one !== undefined && one >= experts)
      throw new UserError(`${where}: mixer_expert ${one} is not among ${experts} experts`, "experts count from 0");
    const fixed = values.experts !== undefined;
    const bound = 1 / Math.sqrt(into);
    return {
      [A]: { shape: [experts, rank, into], begins: { uniform: bound }, fixed },
      [B]: { shape: [experts, rank, out], begins: "zeros", fixed },
      [ROUTER]: { shape: [experts, into], begins: { uniform: bound } },
    };
  },
  linear: routed,
};

const type = adapterType(declared);

/** Settings that adapters bring along which are there. */
const BROUGHT = ["adapter_rank", "adapter_alpha", "mixer_experts"] as const;

/** Throws UserError for settings that would have no effect beside others. */
function refuseIdle(values: Values<MixerOptions>): void {
  const { experts, mixer_expert: one, mixer_hard_steps: hard } = values;
  if (one !== undefined && hard > 0)
    throw new UserError(
      "--mixer-hard-steps chooses LoRAs by task, and --mixer-expert takes one for all tokens",
      "leave one of them out",
    );
  if (!experts) return;
  if (hard > 0)
    throw new UserError(
      "--mixer-hard-steps trains the LoRAs alone, and --experts keeps them as they are",
      "leave out --mixer-hard-steps",
    );
  if (one !== undefined)
    throw new UserError(
      "--experts trains the router alone, and with --mixer-expert nothing asks it",
      "leave out --mixer-expert; mixer_expert in adapter_config.json says it of an adapter that is trained",
    );
  const idle = BROUGHT.find((name) => values[name] !== OPTIONS[name].default);
  if (idle)
    throw new UserError(
      `${flagOf(idle)} has no effect with --experts, whose adapters bring their ranks, strengths and number`,
      `leave out ${flagOf(idle)}`,
    );
}

export const method: AdapterType<MixerOptions> = {
  ...type,
  async fresh(values, making) {
    refuseIdle(values);
    if (!values.experts) return type.fresh(values, making);
    const experts = listed(values.experts);
    const { modules, rank, count } = await readExperts(experts, making);
    const from = adapterType<MixerOptions>({
      ...declared,
      tensors(target, setup) {
        const specs = declared.tensors(target, setup);
        const { a, b } = modules.get(target.module)!;
        return {
          ...specs,
          [A]: { ...specs[A]!, begins: { values: a } },
          [B]: { ...specs[B]!, begins: { values: b } },
        };
      },
    });
    const sized = { ...values, experts, mixer_experts: count, adapter_rank: rank, adapter_alpha: rank };
    return from.fresh(sized, { ...making, targets: [...modules.keys()] });
  },
};
