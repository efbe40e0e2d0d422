/**
 * An adapter's matrices as PEFT's files hold them. Those of experts are held as stacks here and lie one by one, or
 * turned and side by side, in files; an embedding's A is turned.
 */
import { embeddingName, tensorName } from "../../../checkpoint/adapter/keys.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import type { AdapterTensor } from "../live-adapter.ts";
import type { Target } from "../targets.ts";

/** A (r, in) and B (out, r), or as `heldShapes` says. */
export interface Pair {
  readonly a: Parameter;
  readonly b: Parameter;
}

/** Name and shape of A and B as they are held: of experts (E, r, in) and (E, out, r), of embeddings (V, r), (C, r). */
export function heldShapes(
  { module, kind, into, out, experts }: Target,
  rank: number,
): { readonly a: readonly [string, readonly number[]]; readonly b: readonly [string, readonly number[]] } {
  const name = (letter: "A" | "B") =>
    kind === "embedding" ? embeddingName(module, letter) : tensorName(module, `lora_${letter}`);
  if (kind === "embedding") return { a: [name("A"), [into, rank]], b: [name("B"), [out, rank]] };
  const stack = kind === "linear" ? [] : [experts];
  return { a: [name("A"), [...stack, rank, into]], b: [name("B"), [...stack, out, rank]] };
}

/**
 * How A and B, and what is taken out beside them, lie in the file. `nested`: the level of a stack below its module,
 * `.base_layer` or nothing.
 */
export function fileTensors(
  { names, kind, into, out, experts }: Target,
  { a, b, frozen }: Pair & { readonly frozen?: Pair | undefined },
  nested = "",
): AdapterTensor[] {
  const rank = kind === "embedding" ? a.shape[1]! : a.shape.at(-2)!;
  const whole = { start: 0 };
  if (kind === "embedding")
    return [
      { name: a.name, shape: [rank, into], parameter: a, ...whole, turned: [into, rank] },
      { name: b.name, shape: b.shape, parameter: b, ...whole },
    ];
  if (kind === "stack") {
    const module = names[0]!.replace(/\.\w+$/, nested);
    return [
      { name: tensorName(module, "lora_A"), shape: [experts * rank, into], parameter: a, ...whole },
      {
        ...{ name: tensorName(module, "lora_B"), shape: [out, rank * experts], parameter: b, ...whole },
        turned: [experts, out * rank],
      },
    ];
  }
  if (frozen)
    return [
      { name: a.name, shape: [2 * rank, into], parameter: a, ...whole, joined: { parameter: frozen.a, by: "rows" } },
      { name: b.name, shape: [out, 2 * rank], parameter: b, ...whole, joined: { parameter: frozen.b, by: "columns" } },
    ];
  return names.flatMap((name, e) => [
    { name: tensorName(name, "lora_A"), shape: [rank, into], parameter: a, start: e * rank * into },
    { name: tensorName(name, "lora_B"), shape: [out, rank], parameter: b, start: e * out * rank },
  ]);
}

/** Two parameters of one module nest in PEFT's files: the first that the module registers is the inner one. */
export const nestingOf = (target: Target, targets: readonly Target[]): string =>
  target.module.endsWith(".gate_up_proj") &&
  targets.some(({ module }) => module === target.module.replace(/gate_up_proj$/, "down_proj"))
    ? ".base_layer"
    : "";

/** (rows, columns) -> (columns, rows) */
export function turn(values: Float32Array, [rows, columns]: readonly [number, number]): Float32Array {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c]!;
  return out;
}
