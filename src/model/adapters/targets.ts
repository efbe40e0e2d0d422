/** Which weights an adapter changes: names, their ends, globs and regular expressions, as PEFT takes them. */
import { UserError } from "../../errors.ts";
import { compilePattern } from "../../text/pattern/pattern.ts";
import type { ParameterSpec } from "../architecture.ts";
import { targetNames } from "./target-names.ts";

/** A weight that can be adapted, or the experts' matrices of one name, which are adapted together. */
export interface Target {
  /** Name of the layer, without `.weight`; of experts that of their stack. */
  readonly module: string;
  /** experts: linear layers of their own on disk. stack: one parameter on disk, too. */
  readonly kind: "linear" | "embedding" | "experts" | "stack";
  readonly into: number;
  readonly out: number;
  readonly transposed: boolean;
  readonly routes: boolean;
  /** Of a classifier's head, which is trained whole. */
  readonly whole: boolean;
  /** A router that transformers holds as a bare parameter. */
  readonly bare: boolean;
  /** Of a stack: it is (E, in, out). */
  readonly inFirst: boolean;
  /** Name of every layer on disk: one, or one for each expert. */
  readonly names: readonly string[];
  /** Matrices that are held as one. */
  readonly experts: number;
}

/** Names of the last linear layers of MLPs. */
export const LAST_OF_MLP = /(^|\.)(down_proj|mlp\.c_proj|dense_4h_to_h|mlp\.fc2|lin2)$|(^|\.)\d+\.output\.dense$/;

const moduleOf = (name: string): string => name.replace(/\.weight$/, "");

/** Everything that can be adapted, in the model's order. */
export function adaptable(specs: readonly ParameterSpec[]): Target[] {
  return specs.flatMap((spec): Target[] => {
    const { name, shape, parts, transposed = false, routes = false } = spec;
    const module = moduleOf(name);
    const whole = spec.whole ?? false;
    const inFirst = spec.stack === "in-out";
    const common = { module, transposed, whole, inFirst, routes: routes !== false, bare: routes === "parameter" };
    const [first = 0, second = 0] = parts || spec.stack ? shape.slice(1) : shape;
    const one = { names: [module], experts: 1 };
    if (spec.table) return [{ ...common, ...one, kind: "embedding", into: first, out: second }];
    if (spec.stack) {
      const sides = inFirst ? { into: first, out: second } : { into: second, out: first };
      return [{ ...common, ...one, ...sides, experts: shape[0]!, kind: "stack" }];
    }
    if (parts) {
      const own = { names: parts.map(moduleOf), experts: parts.length };
      return [{ ...common, ...own, kind: "experts", into: second, out: first }];
    }
    if (!spec.linear) return [];
    const [out, into] = transposed ? [second, first] : [first, second];
    return [{ ...common, ...one, kind: "linear", into, out }];
  });
}

/** Linear layers as they are when nothing is asked for: without the head, routers and routed experts. */
export const isUsual = (target: Target): boolean => target.kind === "linear" && !target.routes && !isHead(target);

export const isHead = ({ module }: Pick<Target, "module">): boolean =>
  /(^|\.)(lm_head|embed_out|classifier|score)$/.test(module);

/** PEFT's `all-linear`: modules that are linear layers, but for the head. */
const isLinear = (target: Target): boolean =>
  (target.kind === "linear" || target.kind === "experts") && !target.bare && !isHead(target);

const isExpression = (text: string): boolean => /[\\()|^$+]/.test(text) || text.startsWith(".*");
const isGlob = (text: string): boolean => /[*?[\]{}]/.test(text);

/**
 * A test of modules. A regular expression of Python's syntax matches the whole name, a glob too; anything else is a
 * name or its end, from a dot on.
 */
function matcherOf(wanted: string): (module: string) => boolean {
  if (isExpression(wanted)) {
    const pattern = compilePattern(wanted);
    return (module) => pattern.matches(module);
  }
  if (isGlob(wanted)) {
    const glob = new Bun.Glob(wanted);
    return (module) => glob.match(module);
  }
  return (module) => module === wanted || module.endsWith(`.${wanted}`);
}

/** Values of `--lora-targets` apart: at commas that stand in no bracket. */
export function splitTargets(texts: readonly string[]): string[] {
  return texts.flatMap((text) => {
    const parts = [""];
    let depth = 0;
    for (const character of text) {
      if ("([{".includes(character)) depth++;
      if (")]}".includes(character)) depth--;
      if (character === "," && depth <= 0) parts.push("");
      else parts[parts.length - 1] += character;
    }
    return parts.filter((part) => part !== "");
  });
}

/** What one value of `--lora-targets` chooses. Throws UserError where that is nothing, or some experts of several. */
function chosenBy(all: readonly Target[], wanted: string, flag: string): Target[] {
  if (wanted === "all-linear") return all.filter(isLinear);
  const matches = matcherOf(wanted);
  const chosen = all.filter(({ names }) => names.some(matches));
  if (chosen.length === 0) {
    const known = [...new Set(all.map(({ module }) => module.split(".").at(-1)!))].sort();
    throw new UserError(`${flag} ${wanted} matches no linear layer of this model`, `there are ${known.join(", ")}`);
  }
  for (const { module, names } of chosen) {
    const left = names.find((name) => !matches(name));
    if (left !== undefined)
      throw new UserError(
        `${flag} ${wanted} leaves out ${left}; the experts of one matrix are adapted together`,
        `name all of them: ${module.split(".").at(-1)}`,
      );
  }
  return chosen;
}

/** The targets that are asked for, in the model's order. `undefined`: linear layers but head, routers and experts. */
export function targetModules(
  specs: readonly ParameterSpec[],
  targets: readonly string[] | undefined,
  { flag = "--lora-targets", usual = isUsual }: { flag?: string; usual?: (target: Target) => boolean } = {},
): Target[] {
  const all = adaptable(specs).filter(({ whole }) => !whole);
  if (targets === undefined) return all.filter(usual);
  if (targets.length === 0)
    throw new UserError(`${flag} names nothing`, "name modules, or leave it out: is a shell variable unset?");
  const chosen = new Set(targets.flatMap((wanted) => chosenBy(all, wanted, flag)));
  return all.filter((target) => chosen.has(target));
}

/**
 * `target_modules` and `target_parameters` of adapter_config.json: what selects the targets and nothing else. `others`
 * are tensors beside the model's.
 */
export function writtenTargets(
  specs: readonly ParameterSpec[],
  targets: readonly Target[],
  others: readonly string[] = [],
): { readonly modules: readonly string[] | string; readonly parameters: readonly string[] } {
  const all = adaptable(specs);
  const layers = (list: readonly Target[]) =>
    list.filter(({ kind }) => kind !== "stack").flatMap(({ names }) => names.map((module) => ({ module })));
  const stacks = (list: readonly Target[]) => list.filter(({ kind }) => kind === "stack").map(({ module }) => module);
  const chosen = layers(targets);
  const end = (module: string) => module.split(".").slice(-3).join(".");
  const taken = new Set(stacks(targets));
  const left = new Set(
    stacks(all)
      .filter((module) => !taken.has(module))
      .map(end),
  );
  const parameters = new Set([...taken].map((module) => (left.has(end(module)) ? module : end(module))));
  return {
    modules: chosen.length === 0 ? [] : targetNames(layers(all), chosen, others),
    parameters: [...parameters].sort(),
  };
}
