/** Which tensors belong to which module of a recipe that treats the parts of a model (text, vision, ...) apart. */

import type { RecipeModule } from "../../checkpoint/lineage/recipe/recipe.ts";
import { UserError } from "../../errors.ts";
import { layerOf, mainStack, type NamedModel, type Stack } from "../../model/names.ts";

const KINDS: readonly (readonly [in_name: RegExp, in_prefix: RegExp])[] = [
  [/vision|visual|image/i, /vision|visual|image/i],
  [/audio|speech/i, /audio|speech/i],
];
const LANGUAGE = /text|language|llm|default/i;

/** mergekit names inferred modules after the prefix of their layers, and those it knows after what they are. */
function matches(name: string, { prefix }: Stack): boolean {
  if (prefix === name || prefix.startsWith(`${name}.`) || prefix.includes(`.${name}.`) || prefix.endsWith(`.${name}`))
    return true;
  for (const [named, prefixed] of KINDS) if (named.test(name)) return prefixed.test(prefix);
  return LANGUAGE.test(name) && !KINDS.some(([, prefixed]) => prefixed.test(prefix));
}

const shared = (a: string, b: string): number => {
  const [left, right] = [a.split("."), b.split(".")];
  let n = 0;
  while (n < left.length && left[n] === right[n]) n++;
  return n;
};

/**
 * For every tensor name the module it belongs to; undefined for layers that no module claims. Tensors outside of layers
 * go with the stack whose name they share most of, or else with the module of the main stack.
 */
export function assignModules(
  modules: readonly RecipeModule[],
  donor: NamedModel,
): (name: string) => RecipeModule | undefined {
  const only = modules[0]!;
  if (modules.length === 1 && only.name === undefined) return () => only;
  const stacks = [...donor.stacks.values()];
  const owner = new Map<string, RecipeModule>();
  for (const module of modules) {
    const claimed = stacks.filter((stack) => !owner.has(stack.prefix) && matches(module.name!, stack));
    for (const { prefix } of claimed) owner.set(prefix, module);
    if (claimed.length > 0) continue;
    const found = stacks.map(({ prefix }) => prefix).join(", ") || "none";
    throw new UserError(`module ${module.name} matches no layers of ${donor.ref}`, `stacks of layers there: ${found}`);
  }
  const main = mainStack(donor);
  const fallback = (main && owner.get(main.prefix)) ?? only;
  return (name) => {
    const layer = layerOf(name);
    if (layer !== undefined) return owner.get(layer.prefix);
    let best: string | undefined;
    let most = 0;
    for (const prefix of owner.keys()) {
      const parts = shared(name, prefix);
      if (parts > most) [best, most] = [prefix, parts];
      else if (parts === most && best !== undefined && owner.get(best) !== owner.get(prefix)) best = main?.prefix;
    }
    return (best === undefined ? undefined : owner.get(best)) ?? fallback;
  };
}
