/**
 * IA3: keys, values and what the last layer of every MLP reads, times learnt vectors that begin at 1.
 *
 * Liu et al., NeurIPS 2022, https://arxiv.org/abs/2205.05638, section 3.3; in PEFT's form (peft/tuners/ia3), where the
 * vector of a feed-forward module multiplies its input and that of any other its output, bias included.
 */
import { UserError } from "../../../errors.ts";
import { mul } from "../../../tensor/ops/elementwise.ts";
import { compilePattern, type Pattern } from "../../../text/pattern/pattern.ts";
import type { Setup, Sides } from "../declaration.ts";
import { adapterType } from "../declared.ts";
import { LAST_OF_MLP } from "../targets.ts";

const OPTIONS = {
  feedforward_modules: {
    type: "string[]",
    help: "modules whose input is scaled in place of their output, by ends of names; the MLPs' last layers when left out",
    value: "NAME",
  },
} as const;

const KEYS_AND_VALUES = /(^|\.)(k_proj|v_proj|kv_b_proj|qkv_proj|key|value|k_lin|v_lin|c_attn|query_key_value)$/;

type Where = Pick<Setup<typeof OPTIONS>, "values" | "json">;

/** Expressions of files, compiled once. */
const compiled = new Map<string, Pattern>();

function isMatched(expression: string, module: string): boolean {
  const pattern = compiled.get(expression) ?? compilePattern(expression);
  compiled.set(expression, pattern);
  return pattern.matches(module);
}

/** Whether a module's input is scaled: as PEFT decides, by any end of its name or by one expression for the whole. */
function isFeedforward({ module }: Pick<Sides, "module">, { values, json }: Where): boolean {
  const expression = json?.feedforward_modules;
  if (typeof expression === "string") return isMatched(expression, module);
  const names = values.feedforward_modules;
  return names ? names.some((name) => module.endsWith(name)) : LAST_OF_MLP.test(module);
}

/**
 * Names of the modules whose input is scaled, and of all: PEFT wants the former among the latter. `written` is what
 * selects all of them.
 */
function named(setup: Setup<typeof OPTIONS>, written: readonly string[] | string) {
  const all = setup.targets.map(({ module }) => module);
  const forward = new Set(all.filter((module) => isFeedforward({ module }, setup)));
  const ends = (name: string) => all.filter((module) => module === name || module.endsWith(`.${name}`));
  const pure = (name: string) => new Set(ends(name).map((module) => forward.has(module))).size === 1;
  if (typeof written === "string" || !written.every(pure))
    return { feedforward_modules: [...forward], target_modules: all };
  return { feedforward_modules: written.filter((name) => forward.has(ends(name)[0]!)), target_modules: written };
}

export const method = adapterType({
  name: "ia3",
  title: "IA3",
  about: "scales keys, values and the inner activations of MLPs by learnt vectors",
  cite: "arXiv:2205.05638",
  options: OPTIONS,
  peftType: "IA3",
  takes: ["linear"],
  fanInFanOut: true,
  usual: ({ module }) => KEYS_AND_VALUES.test(module) || LAST_OF_MLP.test(module),
  parts: ["ia3_l"],
  config: (setup, written) => ({ ...named(setup, written), init_ia3_weights: true }),
  check({ feedforward_modules: said }, where) {
    if (typeof said !== "string") return;
    try {
      compilePattern(said);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`${where}: feedforward_modules: ${error.message}`, error.hint);
    }
  },
  tensors: (target, setup) => ({
    ia3_l: { shape: isFeedforward(target, setup) ? [1, target.into] : [target.out, 1], begins: "ones" },
  }),
  linear(layer, x) {
    const { rec, target } = layer;
    const l = layer.tensor("ia3_l");
    if (l.shape[0] === 1 && isFeedforward(target, layer)) return layer.whole(mul(rec, x, l));
    return layer.finish(mul(rec, layer.product(x), rec.reshape(l, [1, target.out])));
  },
  fold(module, setup) {
    const { values: l } = module.tensor("ia3_l");
    const { into, transposed } = module;
    const forward = isFeedforward(module, setup);
    const change = (rows: Float32Array, first: number) => {
      for (let i = 0; i < rows.length; i++) rows[i]! *= l[forward ? i % into : first + Math.floor(i / into)]!;
    };
    if (forward) return { weight: { change, transposed } };
    const bias = (values: Float32Array, first: number) => {
      for (let i = 0; i < values.length; i++) values[i]! *= l[first + i]!;
    };
    return { weight: { change, transposed }, bias };
  },
});
