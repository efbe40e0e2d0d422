/**
 * Adapters of experts that lie in one parameter, as PEFT writes them since 0.17 (`target_parameters`, ParamWrapper).
 *
 * A parameter (E, d1, d2) has lora_A (E r, x) and lora_B (y, r E): expert e's own A is rows e r to (e + 1) r, its own
 * B is columns e, e + E, e + 2 E ... PEFT takes x for the inputs; up to 0.18 it always read the parameter as (E, in, out),
 * so that x and y are changed over where it is (E, out, in). Two parameters of one module nest: the one that the module
 * registers first is the innermost.
 *
 *     experts.base_layer.lora_A.weight   gate_up_proj, where both are adapted
 *     experts.lora_A.weight              down_proj, or whichever is alone
 */
import { UserError } from "../../errors.ts";
import { isObject, parseJson } from "../../json.ts";
import type { LowRankPatch, TensorEntry } from "../checkpoint.ts";
import { expertNames } from "../expert-layout.ts";
import { nameInBase, notFound, type View } from "./changes.ts";
import { type AdapterConfig, scaleOf } from "./config.ts";
import { viewEntry } from "./entries.ts";
import type { Factors } from "./patch.ts";
import { stackPatches } from "./patch.ts";

/** In the order in which modules of experts register them. */
const REGISTERED = ["gate_up_proj", "down_proj"];

const LEVELS = /((?:\.base_layer)*)$/;

/** The parameters of a module that `target_parameters` names, the innermost first. */
const parametersOf = (module: string, config: AdapterConfig): string[] =>
  REGISTERED.map((name) => `${module}.${name}`).filter((name) =>
    config.targetParameters.some((target) => name === target || name.endsWith(`.${target}`)),
  );

/**
 * Takes the factors of stacked parameters out of `modules`, and gives them by the parameter's name. Throws UserError
 * where the nesting is not that of `target_parameters`.
 */
export function takeStacks(modules: Map<string, Factors>, config: AdapterConfig, where: string): Map<string, Factors> {
  const stacks = new Map<string, Factors>();
  for (const [key, factors] of [...modules]) {
    const nesting = LEVELS.exec(key)![1]!;
    const module = key.slice(0, key.length - nesting.length);
    const parameters = parametersOf(module, config);
    if (parameters.length === 0 && nesting === "") continue;
    const level = nesting.length / ".base_layer".length;
    const parameter = parameters[parameters.length - 1 - level];
    if (parameter === undefined)
      throw new UserError(
        `${where}: ${key} adapts a parameter that target_parameters of adapter_config.json does not name`,
        "the file and its config do not belong together",
      );
    stacks.set(parameter, factors);
    modules.delete(key);
  }
  return stacks;
}

/** The sides of a stacked parameter. */
export interface StackShape {
  readonly experts: number;
  readonly out: number;
  readonly into: number;
  /** Stored (E, in, out). */
  readonly inFirst: boolean;
}

/** Factors of every expert: a (E, r, in), b (E, out, r). */
export interface ExpertFactors {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly rank: number;
}

const text = (shape: readonly number[]): string => `(${shape.join(", ")})`;

/** Whether A and B are changed over, as PEFT up to 0.18 has them where a parameter is (E, out, in). */
function changedOver(a: readonly number[], b: readonly number[], shape: StackShape, peft: string | undefined): boolean {
  const { out, into, inFirst } = shape;
  if (inFirst || out !== into) return a[1] !== into || b[0] !== out;
  const [, major = 0, minor = 0] = /^(\d+)\.(\d+)/.exec(peft ?? "")?.map(Number) ?? [];
  if (peft === undefined)
    throw new UserError(
      "which of its sides are inputs cannot be told of a square matrix without peft_version",
      "add the peft_version that it was made with to adapter_config.json",
    );
  return major === 0 && minor < 19;
}

/** PEFT's matrices by expert. Throws UserError where they do not fit the parameter. */
export function byExpert(
  { a, b, ...others }: Factors,
  shape: StackShape,
  config: AdapterConfig,
  { parameter, where }: { readonly parameter: string; readonly where: string },
): ExpertFactors {
  const { experts, out, into, inFirst } = shape;
  if (!a || !b)
    throw new UserError(`${parameter} in ${where} lacks lora_A or lora_B`, "the adapter file is incomplete");
  if (Object.keys(others).length > 0)
    throw new UserError(
      `${parameter} in ${where} has tensors besides lora_A and lora_B, which PEFT has not for a parameter`,
      "the file is of another kind of adapter",
    );
  let over: boolean;
  try {
    over = changedOver(a.shape, b.shape, shape, config.peftVersion);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${parameter} in ${where}: ${error.message}`, error.hint);
  }
  const rank = a.shape[0]! / experts;
  const [x, y] = over ? [out, into] : [into, out];
  const fits = a.shape.join() === [rank * experts, x].join() && b.shape.join() === [y, rank * experts].join();
  if (!Number.isInteger(rank) || rank < 1 || !fits || (over && inFirst))
    throw new UserError(
      `lora_A ${text(a.shape)} and lora_B ${text(b.shape)} of ${parameter} in ${where} do not fit ${experts} experts of ${text(inFirst ? [into, out] : [out, into])}`,
      "the adapter was trained on another base",
    );
  // (y, r, E) -> (E, y, r), and where they are changed over both turned round: (E, r, y) and (E, x, r).
  const [left, right] = [new Float32Array(experts * rank * into), new Float32Array(experts * out * rank)];
  for (let e = 0; e < experts; e++)
    for (let r = 0; r < rank; r++) {
      const row = (e * rank + r) * x;
      for (let i = 0; i < into; i++)
        left[(e * rank + r) * into + i] = over ? b.values[(i * rank + r) * experts + e]! : a.values[row + i]!;
      for (let o = 0; o < out; o++)
        right[(e * out + o) * rank + r] = over ? a.values[row + o]! : b.values[(o * rank + r) * experts + e]!;
    }
  return { a: left, b: right, rank };
}

/** Models whose stacks are (E, in, out). */
const IN_FIRST = /^(gpt_oss|llama4|llama4_text)$/;

function isInFirst({ base }: View): boolean {
  const bytes = base.files.get("config.json");
  const config = bytes && parseJson(new TextDecoder().decode(bytes), `${base.ref}: config.json`).value;
  return isObject(config) && typeof config.model_type === "string" && IN_FIRST.test(config.model_type);
}

/** Rows of every expert's b. (E, out, r) -> (E, to - from, r) */
function someRows(b: Float32Array, out: number, rank: number, from: number, to: number): (e: number) => Float32Array {
  return (e) => b.slice((e * out + from) * rank, (e * out + to) * rank);
}

/** Patches of the adapter's stacks: on a stack of the base, or on each expert where the base has them one by one. */
export function patchStacks(view: View): void {
  const { base, adapter, config, parts, tensors, touched } = view;
  for (const [parameter, factors] of parts.stacks) {
    const where = adapter.ref;
    const known = nameInBase(tensors, parameter);
    const patch = (entry: TensorEntry, change: LowRankPatch) => {
      tensors.set(entry.name, viewEntry(entry, { patch: stackPatches(entry, change, where) }));
      touched.add(entry.name);
    };
    if (known !== undefined) {
      const entry = tensors.get(known)!;
      if (entry.shape.length !== 3) throw notFound(parameter, base, adapter);
      const inFirst = isInFirst(view);
      const [experts = 0, ...sides] = entry.shape;
      const [out = 0, into = 0] = inFirst ? sides.toReversed() : sides;
      const own = byExpert(factors, { experts, out, into, inFirst }, config, { parameter, where });
      patch(entry, { ...own, experts, scale: scaleOf(config, parameter, own.rank), transposed: inFirst });
      continue;
    }
    const { names, experts } = oneByOne(view, parameter);
    const rows = names.map((name) => name(0).shape[0]!);
    const out = rows.reduce((sum, count) => sum + count, 0);
    const into = names[0]!(0).shape[1]!;
    const own = byExpert(factors, { experts, out, into, inFirst: false }, config, { parameter, where });
    const scale = scaleOf(config, parameter, own.rank);
    let from = 0;
    for (const [i, name] of names.entries()) {
      const b = someRows(own.b, out, own.rank, from, from + rows[i]!);
      from += rows[i]!;
      for (let e = 0; e < experts; e++) {
        const a = own.a.slice(e * own.rank * into, (e + 1) * own.rank * into);
        patch(name(e), { a, b: b(e), rank: own.rank, scale, transposed: false });
      }
    }
  }
}

/** The base's own matrices of a stacked parameter, by expert: gate and up, or down. */
function oneByOne(
  { base, adapter, tensors }: View,
  parameter: string,
): { readonly names: ((expert: number) => TensorEntry)[]; readonly experts: number } {
  const [, layer = "", from = "", which] = /^(.+)\.(\w+)\.experts\.(gate_up_proj|down_proj)$/.exec(parameter) ?? [];
  const layout = expertNames(base);
  if (which === undefined || layout === undefined) throw notFound(parameter, base, adapter);
  const at = `${layer}.${layout.module ?? from}.experts`;
  const found = (e: number, part: string) => nameInBase(tensors, `${at}.${e}.${part}.weight`);
  const kinds = which === "down_proj" ? [layout.down] : [layout.gate, layout.up];
  let experts = 0;
  while (kinds.every((part) => found(experts, part) !== undefined)) experts++;
  if (experts === 0) throw notFound(parameter, base, adapter);
  return { names: kinds.map((part) => (e: number) => tensors.get(found(e, part)!)!), experts };
}
