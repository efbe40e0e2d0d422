/**
 * What the inputs of a lineage stand for: results of earlier steps, what was typed, and adapters on their bases.
 *
 * A lineage names `base+adapter` by one run, `run:ID+PATH`. The run is the adapter's where ingot made it, else the
 * base's, and then the path is all that is known of the adapter. Which base an adapter of ours was put on is not said:
 * it is the one that the adapter was trained on, unless a step that nothing else uses shows that it was another.
 */
import type { LineageEntry } from "../checkpoint/checkpoint.ts";

/**
 * Most adapters on top of each other that are followed: a lineage is hostile input, and what is printed must stay
 * small.
 */
const DEEPEST = 8;

export type Input = LineageEntry["inputs"][number];

export type Source =
  /** The result of a step, counted from 0. */
  | { readonly kind: "step"; readonly step: number }
  /** Something that no step of the lineage made. */
  | { readonly kind: "given"; readonly input: Input }
  | { readonly kind: "adapted"; readonly base: Source; readonly adapter: Source }
  /** The base of the adapter that a step made, where several are possible. */
  | { readonly kind: "lost"; readonly adapter: number };

/**
 * What every input of every step stands for, in the order of the lineage. Only what stands before a step can be its
 * input.
 */
export function sourcesOf(lineage: readonly LineageEntry[]): Source[][] {
  const own = resolve(lineage, () => undefined);
  const used = new Set(own.flat().flatMap(stepsIn));
  const loose = [...lineage.keys()].slice(0, -1).filter((step) => !used.has(step));
  if (loose.length === 0) return own;
  // A step without a use is the base of an adapter that was trained on another.
  const [step] = loose as [number];
  const takers = own.flatMap((sources, at) => sources.filter((source) => at > step && onOwnBase(source)));
  if (loose.length > 1 || takers.length !== 1) {
    return resolve(lineage, (at, adapter) => (at > step ? { kind: "lost", adapter } : undefined));
  }
  const result: Source = { kind: "step", step };
  const base: Source = makesAdapter(lineage[step]!)
    ? { kind: "adapted", base: own[step]![0]!, adapter: result }
    : result;
  return resolve(lineage, (at) => (at > step ? base : undefined));
}

/** The steps that a source is made of, an adapter's base first. */
export function stepsIn(source: Source): number[] {
  if (source.kind === "adapted") return [...stepsIn(source.base), ...stepsIn(source.adapter)];
  return source.kind === "step" ? [source.step] : [];
}

const onOwnBase = (source: Source): boolean => source.kind === "adapted" && source.adapter.kind === "step";

const depthOf = (source: Source): number => (source.kind === "adapted" ? 1 + depthOf(source.base) : 0);

/** Training is what makes adapters; its first input is then the base. */
const makesAdapter = ({ options, inputs }: LineageEntry): boolean =>
  inputs.length > 0 && (options.lora === true || options.lora_continue === true || typeof options.adapter === "string");

/** `otherBase` may give a step another base for an adapter than the adapter's own. */
function resolve(
  lineage: readonly LineageEntry[],
  otherBase: (at: number, adapter: number) => Source | undefined,
): Source[][] {
  const before = new Map<string, number>();
  const all: Source[][] = [];
  const sourceOf = (input: Input, at: number): Source => {
    const given: Source = { kind: "given", input };
    if (!input.ref.startsWith("run:")) return given;
    const name = input.ref.slice("run:".length);
    const whole = before.get(name);
    if (whole !== undefined) return { kind: "step", step: whole };
    const plus = name.indexOf("+"); // a run's name has none
    const step = before.get(name.slice(0, Math.max(plus, 0)));
    if (step === undefined) return given;
    const result: Source = { kind: "step", step };
    if (makesAdapter(lineage[step]!)) {
      const base = otherBase(at, step) ?? all[step]![0]!;
      return depthOf(base) < DEEPEST ? { kind: "adapted", base, adapter: result } : given;
    }
    const adapter = { ref: name.slice(plus + 1) };
    return { kind: "adapted", base: result, adapter: { kind: "given", input: adapter } };
  };
  for (const [at, { inputs, run }] of lineage.entries()) {
    all.push(inputs.map((input) => sourceOf(input, at)));
    if (!before.has(run)) before.set(run, at);
  }
  return all;
}
