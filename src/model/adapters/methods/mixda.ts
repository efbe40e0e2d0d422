/**
 * Mixture of domain adapters: narrow networks beside the last layer of an MLP, which a gate weighs for each token. Diao
 * et al., ACL 2023, https://arxiv.org/abs/2306.05406
 *
 *   y = W h + b + sum over k of g_k U_k gelu(D_k h)     g = softmax over {MLP, adapters} of V gelu(G h + c) + v
 *
 * h is what the MLP's last layer reads. The sum is added to the MLP, where the paper's text mixes them: with U of zeros
 * a new adapter changes nothing. In the first stage there is one adapter, of a domain. Rows of a group of general text
 * may go along, which teach it to add nothing there: they train (W' h - W h)^2, the mean over channels, in the place of
 * their cross-entropy. In the second stage those domain adapters are frozen, and a new one and a new gate learn a task.
 * PEFT has no such type.
 */
import { readTyped } from "../../../checkpoint/adapter/typed.ts";
import { openPlain } from "../../../checkpoint/open.ts";
import { UserError } from "../../../errors.ts";
import { gelu } from "../../../tensor/ops/activation.ts";
import { splitColumns } from "../../../tensor/ops/columns.ts";
import { add, mul, scale, square, stopGradient, sub } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { dot, rowSum } from "../../../tensor/ops/reduce.ts";
import { mixedFactors } from "../../../tensor/ops/routed-factors.ts";
import { softmax } from "../../../tensor/ops/softmax.ts";
import { rowsOf, type Tensor } from "../../../tensor/tensor.ts";
import type { AdapterType, Making } from "../contract.ts";
import type { Adapted, AdapterDeclaration, TensorSpecs } from "../declaration.ts";
import { adapterType } from "../declared.ts";
import type { LinearPlace } from "../live-adapter.ts";
import { listed } from "../settings.ts";
import { adaptable, LAST_OF_MLP } from "../targets.ts";

const [DOWN, UP, DOMAIN_DOWN, DOMAIN_UP] = ["mixda_down", "mixda_up", "mixda_domain_down", "mixda_domain_up"] as const;
const [GATE, GATE_BIAS, SHARE, SHARE_BIAS] = [
  "mixda_gate.weight",
  "mixda_gate.bias",
  "mixda_share.weight",
  "mixda_share.bias",
] as const;

const OPTIONS = {
  mixda_factor: {
    type: "number.integer >= 1",
    default: 16,
    help: "how much narrower the adapter is than the MLP's inner layer",
    value: "N",
  },
  mixda_gate: { type: "number.integer >= 1", default: 32, help: "width of the gate's inner layer", value: "N" },
  mixda_general: {
    type: "number.integer >= 1",
    help: "the last group of the data, counted from 0: general text, on which the adapter is to add nothing",
    value: "I",
  },
  mixda_old: {
    type: "number > 0",
    default: 2,
    help: "weight of what the adapter adds on general text",
    needs: "mixda_general",
    value: "W",
  },
  mixda_domains: {
    type: "string[]",
    help: "mixda adapters of domains, which stay frozen beside a new one for a task",
    value: "ADAPTER,...",
  },
} as const;

type MixdaOptions = typeof OPTIONS;
type Layer = Adapted<LinearPlace, MixdaOptions>;

/** Shares of the MLP and of the adapters, those of domains first: (N, K + 1). */
function sharesOf({ rec, tensor }: Layer, h: Tensor): Tensor {
  const inner = gelu(rec, linear(rec, h, tensor(GATE), { bias: tensor(GATE_BIAS) }));
  return softmax(rec, linear(rec, inner, tensor(SHARE), { bias: tensor(SHARE_BIAS) }));
}

/** What the adapters add to a layer, (N, out). */
function increment(layer: Layer, h: Tensor): Tensor {
  const { rec, tensor, values } = layer;
  const shares = sharesOf(layer, h);
  layer.choose(layer.module, shares);
  const domains = values.mixda_domains?.length ?? 0;
  const [, ...own] = splitColumns(rec, shares, domains > 0 ? [1, domains, 1] : [1, 1]);
  const task = { a: tensor(DOWN), b: tensor(UP) };
  if (domains === 0) return mixedFactors(rec, h, task, own[0]!, { bend: gelu });
  const known = mixedFactors(rec, h, { a: tensor(DOMAIN_DOWN), b: tensor(DOMAIN_UP) }, own[0]!, { bend: gelu });
  return mixedFactors(rec, h, task, own[1]!, { bend: gelu, add: known });
}

/** (N, 1) of 1 where a token is of the general group, and its share of the batch's tokens, 0 for padding. */
function generalMarks({ rec, inputs, module }: Layer, general: number, rows: number) {
  const marks = inputs.tasks?.(general + 1); // (B, T)
  const shares = inputs.tokenShares?.();
  if (!marks) return undefined;
  const [batch = 0] = marks.shape;
  const each = rows / batch;
  if (!Number.isInteger(each) || (shares && shares.shape[0] !== rows))
    throw new UserError(
      `${module} reads ${rows} rows for ${batch} rows of the batch, and cannot tell which are general text`,
      "leave it out of the targets",
    );
  const last = splitColumns(rec, marks, [general, 1])[1]!; // (B, 1)
  const spread = rec.constant(new Float32Array(each).fill(1), [1, each], "ones");
  const own = rec.reshape(mul(rec, last, spread), [rows, 1]);
  const weights = shares ? mul(rec, own, shares) : scale(rec, own, 1 / rows);
  return { own, weights };
}

/** What a training step adds: on general text it teaches nothing but to add nothing. */
function trainedIncrement(layer: Layer, given: Tensor): Tensor {
  const { rec, values } = layer;
  const { mixda_general: general, mixda_old: weight } = values;
  const { rows, width } = rowsOf(given);
  const marks = general === undefined ? undefined : generalMarks(layer, general, rows);
  if (!marks) return given;
  const squares = rowSum(rec, square(rec, given), 1 / width); // (N)
  layer.lose({ name: "old_loss", value: dot(rec, squares, rec.reshape(marks.weights, [rows])), weight });
  // The same values, without a gradient where a token is general.
  return add(rec, given, sub(rec, stopGradient(rec, mul(rec, given, marks.own)), mul(rec, given, marks.own)));
}

const declared: AdapterDeclaration<MixdaOptions> = {
  name: "mixda",
  title: "Mixture of domain adapters",
  about: "narrow networks of domains and of a task beside MLPs, which a gate weighs for each token",
  cite: "arXiv:2306.05406",
  options: OPTIONS,
  takes: ["linear"],
  fanInFanOut: true,
  usual: ({ module }) => LAST_OF_MLP.test(module),
  groups: ({ mixda_general: general }) =>
    general === undefined ? undefined : { option: "mixda_general", most: general + 1, least: general + 1 },
  parts: [DOMAIN_DOWN, DOMAIN_UP, DOWN, UP, GATE, GATE_BIAS, SHARE, SHARE_BIAS],
  tensors: ({ into, out }, { values }) => tensorsOf(into, out, values),
  linear(layer, h) {
    const { rec } = layer;
    const added = increment(layer, h);
    return add(rec, layer.whole(h), rec.training ? trainedIncrement(layer, added) : added);
  },
};

interface Widths {
  readonly mixda_factor: number;
  readonly mixda_gate: number;
  readonly mixda_domains?: readonly string[] | undefined;
}

/** Domain adapters are as wide as the new one. */
function tensorsOf(into: number, out: number, { mixda_factor, mixda_gate, mixda_domains = [] }: Widths): TensorSpecs {
  const width = Math.ceil(into / mixda_factor);
  const domains = mixda_domains.length;
  const bound = 1 / Math.sqrt(into);
  return {
    ...(domains > 0 && {
      [DOMAIN_DOWN]: { shape: [domains, width, into], begins: "zeros", fixed: true },
      [DOMAIN_UP]: { shape: [domains, width, out], begins: "zeros", fixed: true },
    }),
    [DOWN]: { shape: [1, width, into], begins: { uniform: bound } },
    [UP]: { shape: [1, width, out], begins: "zeros" },
    [GATE]: { shape: [mixda_gate, into], begins: { uniform: bound } },
    [GATE_BIAS]: { shape: [mixda_gate], begins: "zeros" },
    [SHARE]: { shape: [domains + 2, mixda_gate], begins: { uniform: 1 / Math.sqrt(mixda_gate) } },
    [SHARE_BIAS]: { shape: [domains + 2], begins: "zeros" },
  };
}

const type = adapterType(declared);

/** Factors of every module of the domain adapters: (K, width, in) and (K, width, out), zeros where one has none. */
type DomainFactors = ReadonlyMap<string, Readonly<Record<typeof DOWN | typeof UP, Float32Array>>>;

/**
 * Reads adapters of domains. Throws UserError for one that is none, of another width or base, and where targets are
 * given too. Host memory: all of them.
 */
async function readDomains(
  refs: readonly string[],
  values: Widths,
  { model, targets }: Making,
): Promise<DomainFactors> {
  if (targets !== undefined)
    throw new UserError(
      "--mixda-domains and --adapter-targets both say what is adapted",
      "leave out --adapter-targets",
    );
  if (refs.length === 0) throw new UserError("--mixda-domains names no adapter", "name them, separated by commas");
  const known = new Map(adaptable(model.specs).map((target) => [target.module, target]));
  const found = new Map<string, Record<typeof DOWN | typeof UP, Float32Array>>();
  for (const [place, ref] of refs.entries()) {
    const adapter = await openPlain(ref);
    try {
      const { json, modules } = await readTyped(adapter, type.format!);
      if (json.peft_type !== type.peftType || json.mixda_domains || json.mixda_factor !== values.mixda_factor)
        throw new UserError(
          `${ref} is no mixda adapter of a domain whose mixda_factor is ${values.mixda_factor}`,
          "train one of each domain with the same --mixda-factor",
        );
      for (const [module, parts] of modules) {
        const target = known.get(module);
        if (!target) throw new UserError(`${ref} adapts ${module}, which this model lacks`, "is it the right base?");
        const specs = tensorsOf(target.into, target.out, values);
        for (const part of [DOWN, UP] as const) {
          const { shape } = specs[part]!;
          const own = parts.get(part);
          if (own?.shape.join() !== shape.join())
            throw new UserError(`${ref}: ${part} of ${module} does not fit this model`, "is it the right base?");
          const size = own.values.length;
          const all = found.get(module) ?? { [DOWN]: new Float32Array(), [UP]: new Float32Array() };
          if (all[part].length === 0) all[part] = new Float32Array(refs.length * size);
          all[part].set(own.values, place * size);
          found.set(module, all);
        }
      }
    } finally {
      adapter.close();
    }
  }
  return found;
}

export const method: AdapterType<MixdaOptions> = {
  ...type,
  async fresh(values, making) {
    if (!values.mixda_domains) return type.fresh(values, making);
    const refs = listed(values.mixda_domains);
    const domains = await readDomains(refs, values, making);
    const beside = adapterType<MixdaOptions>({
      ...declared,
      tensors(target, setup) {
        const specs = declared.tensors(target, setup);
        const own = domains.get(target.module)!;
        return {
          ...specs,
          [DOMAIN_DOWN]: { ...specs[DOMAIN_DOWN]!, begins: { values: own[DOWN] } },
          [DOMAIN_UP]: { ...specs[DOMAIN_UP]!, begins: { values: own[UP] } },
        };
      },
    });
    return beside.fresh({ ...values, mixda_domains: refs }, { ...making, targets: [...domains.keys()] });
  },
};
