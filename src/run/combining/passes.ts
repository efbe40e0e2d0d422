/** The views of a rule as passes: views of one model that read the same tokens with the same experts are one. */
import type { View } from "./contract.ts";

export interface Pass {
  readonly model: number;
  readonly prompt: View["prompt"];
  /** Rising. */
  readonly ranks: readonly number[] | undefined;
  /** Layers after which it reads too, rising. */
  readonly early: readonly number[];
}

/** Where a view's logits are: those of a pass, or its early ones. */
export interface Seen {
  readonly pass: number;
  /** Place among `early`; undefined for the logits of the whole model. */
  readonly early: number | undefined;
}

const isSame = (a: Pick<Pass, "model" | "prompt" | "ranks">, b: Pick<Pass, "model" | "prompt" | "ranks">): boolean =>
  a.model === b.model && a.prompt === b.prompt && a.ranks?.join() === b.ranks?.join();

/** `layers` by model: a view after the last layer is one of the whole model. */
export function passesOf(
  views: readonly View[],
  layers: readonly number[],
): { readonly passes: readonly Pass[]; readonly seen: readonly Seen[] } {
  const plain = views.map(({ model, prompt, ranks, layer }) => ({
    ...{ model, prompt, ranks: ranks && [...new Set(ranks)].sort((a, b) => a - b) },
    layer: layer === layers[model] ? undefined : layer,
  }));
  const firsts = plain.filter((view, i) => plain.findIndex((other) => isSame(view, other)) === i);
  const passes = firsts.map(({ layer: _, ...pass }) => {
    const early = plain.flatMap((view) => (isSame(view, pass) && view.layer !== undefined ? [view.layer] : []));
    return { ...pass, early: [...new Set(early)].sort((a, b) => a - b) };
  });
  const seen = plain.map((view) => {
    const pass = passes.findIndex((one) => isSame(one, view));
    return { pass, early: view.layer === undefined ? undefined : passes[pass]!.early.indexOf(view.layer) };
  });
  return { passes, seen };
}
