/**
 * Adapters of experts that lie in one parameter, as PEFT writes them since 0.17 (`target_parameters`, ParamWrapper).
 *
 * A parameter (E, d1, d2) has lora_A (E r, x) and lora_B (y, r E): an expert's own A is r rows that follow one another,
 * its own B is every E-th column. PEFT takes x for the inputs; up to 0.18 it always read the parameter as (E, in, out),
 * so that x and y are changed over where it is (E, out, in). Two parameters of one module nest: the one that the module
 * registers first is the innermost.
 *
 *     experts.base_layer.lora_A.weight   gate_up_proj, where both are adapted
 *     experts.lora_A.weight              down_proj, or whichever is alone
 */
import { UserError } from "../../errors.ts";
import type { AdapterConfig } from "./config.ts";
import type { Factors } from "./patch.ts";

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
