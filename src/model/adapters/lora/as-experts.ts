/** LoRA adapters of one base as experts of one routed adapter: their factors side by side, with their strength in B. */

import { nameInBase } from "../../../checkpoint/adapter/changes.ts";
import { readAdapterConfig, scaleOf } from "../../../checkpoint/adapter/config.ts";
import { typeFile } from "../../../checkpoint/adapter/format.ts";
import { readParts } from "../../../checkpoint/adapter/parts.ts";
import type { Factors } from "../../../checkpoint/adapter/patch.ts";
import { openPlain } from "../../../checkpoint/open.ts";
import { UserError } from "../../../errors.ts";
import { showShape } from "../../../tensor/tensor.ts";
import type { Making } from "../contract.ts";
import { adaptable, type Target } from "../targets.ts";
import { turn } from "./factor-files.ts";

/** A (K, r, in) and B (K, r, out) of a module, with zeros where an adapter has a smaller rank or leaves it alone. */
export interface ExpertValues {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

export interface ReadExperts {
  /** In the model's order. */
  readonly modules: ReadonlyMap<string, ExpertValues>;
  /** The largest rank. */
  readonly rank: number;
  /** K */
  readonly count: number;
}

/** One adapter's factors of a layer; B is times alpha / r. */
interface Pair {
  readonly rank: number;
  /** (r, in) */
  readonly a: Float32Array;
  /** (r, out) */
  readonly b: Float32Array;
}

/**
 * Reads adapters in PEFT's form. Throws UserError for one that is more than low-rank factors of linear layers, or that
 * does not fit the model, and where targets are given too. Host memory: all factors, once for each adapter and once
 * together.
 */
export async function readExperts(refs: readonly string[], { model, targets }: Making): Promise<ReadExperts> {
  if (refs.length === 0) throw new UserError("--experts names no adapter", "name them, separated by commas");
  if (targets !== undefined)
    throw new UserError("--experts and --adapter-targets both say what is adapted", "leave out --adapter-targets");
  const known = new Map(adaptable(model.specs).map((target) => [target.module, target]));
  const read: ReadonlyMap<string, Pair>[] = [];
  for (const ref of refs) read.push(await factorsOf(ref, known));
  const rank = Math.max(...read.flatMap((own) => [...own.values()].map((pair) => pair.rank)));
  const modules = new Map<string, ExpertValues>();
  for (const { module, into, out } of known.values()) {
    if (!read.some((own) => own.has(module))) continue;
    const a = new Float32Array(refs.length * rank * into);
    const b = new Float32Array(refs.length * rank * out);
    for (const [expert, own] of read.entries()) {
      const pair = own.get(module);
      if (!pair) continue;
      a.set(pair.a, expert * rank * into);
      b.set(pair.b, expert * rank * out);
    }
    modules.set(module, { a, b });
  }
  return { modules, rank, count: refs.length };
}

/** Factors of all layers of one adapter, by the model's modules. */
async function factorsOf(ref: string, known: ReadonlyMap<string, Target>): Promise<ReadonlyMap<string, Pair>> {
  const adapter = await openPlain(ref);
  try {
    const bytes = adapter.files.get("adapter_config.json");
    if (bytes && typeFile(adapter) !== "lora")
      throw new UserError(`${ref} is no LoRA adapter`, "--experts takes LoRA adapters");
    const config = readAdapterConfig(bytes, adapter.ref);
    const parts = await readParts(adapter, config);
    if (parts.stacks.size + parts.replaced.size + parts.tokens.size > 0 || parts.modules.size === 0)
      throw new UserError(
        `${ref} holds more than low-rank factors of linear layers, or none`,
        "--experts takes adapters without biases, saved modules and token rows",
      );
    const found = new Map<string, Pair>();
    for (const [name, factors] of parts.modules) {
      const target = known.get(nameInBase(known, name) ?? "");
      if (target?.kind !== "linear")
        throw new UserError(`${ref} adapts ${name}, which is no linear layer of this model`, "is it the right base?");
      found.set(
        target.module,
        pairOf(ref, target, factors, (rank) => scaleOf(config, name, rank)),
      );
    }
    return found;
  } finally {
    adapter.close();
  }
}

function pairOf(
  ref: string,
  { module, into, out }: Target,
  factors: Factors,
  scaleOfRank: (rank: number) => number,
): Pair {
  const { a, b } = factors;
  if (!a || !b || Object.keys(factors).length > 2)
    throw new UserError(
      `${ref}: ${module} has tensors besides lora_A and lora_B, or lacks one of them`,
      "--experts takes plain LoRA adapters",
    );
  const rank = a.shape[0]!;
  if (a.shape.join() !== [rank, into].join() || b.shape.join() !== [out, rank].join())
    throw new UserError(
      `${ref}: ${module} has A ${showShape(a.shape)} and B ${showShape(b.shape)}, and is ${showShape([out, into])}`,
      "the adapter was trained on another base",
    );
  const scale = scaleOfRank(rank);
  return { rank, a: a.values, b: turn(b.values, [out, rank]).map((x) => x * scale) };
}
