/** `--align`: the models of a merge, the parts of each in the order that goes best with the base or the first model. */
import { isFloat } from "../../checkpoint/dtype.ts";
import type { Recipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { NamedModel } from "../../model/names.ts";
import { type Anatomy, anatomyOf, spacesBeside } from "../../model/structure/anatomy.ts";
import { counted, Notes } from "../plan/notes.ts";
import { familiesOf, matchWeights } from "./align-weights.ts";
import { permuted } from "./permutations.ts";

/** What is aligned: hidden units and heads, or these and the coordinates of the residual stream. */
export type Alignment = "weights" | "residual";

export interface AlignedModels {
  readonly models: ReadonlyMap<string, NamedModel>;
  /** Finds the orders, which must be known before a weight of `models` is read; says what it moved. */
  prepare(gpu: Gpu): Promise<string[]>;
  /** What `prepare` holds on the host at most. */
  readonly bytes: number;
}

/** Throws UserError where orders cannot be found: slices, streams, models whose parts are not known. */
export function alignedModels(
  recipe: Recipe,
  models: ReadonlyMap<string, NamedModel>,
  first: NamedModel,
  alignment: Alignment,
  warnings: string[],
): AlignedModels {
  if (recipe.modules.some(({ body }) => body.kind === "slices"))
    throw new UserError(
      "--align is for whole models, and this recipe has slices",
      "align models in a recipe of its own",
    );
  const streamed = [...models.values()].find(({ checkpoint }) => isStream(checkpoint));
  if (streamed)
    throw new UserError(
      `--align reads models more than once, and ${streamed.ref} is a stream`,
      "save it to a file first",
    );
  const anatomy = anatomyOf(first);
  const others = [...models].filter(([, model]) => model !== first);
  let prepared = false;
  const orders = others.map(([key, other]) => {
    const spaces = spacesToAlign(first, other, anatomy, alignment, warnings);
    const found = new Map<string, Int32Array>();
    const known = () => {
      if (!prepared) throw new RangeError(`the order of ${other.ref} is not known yet`);
      return found;
    };
    return { key, other, spaces, found, view: permuted(other, anatomy, known, spaces) };
  });
  const units = orders.flatMap(({ spaces }) => [...spaces].map((id) => anatomy.spaces.get(id)!.units));
  return {
    models: new Map([...models].map(([key, model]) => [key, orders.find((one) => one.key === key)?.view ?? model])),
    bytes: 8 * Math.max(0, ...units) ** 2,
    async prepare(gpu) {
      const lines: string[] = [];
      for (const { other, spaces, found } of orders) {
        await matchWeights(gpu, [first, other], anatomy, familiesOf(anatomy, spaces), found);
        lines.push(told(other, first, anatomy, spaces, found));
      }
      prepared = true;
      return lines;
    },
  };
}

/** `b/ is aligned with a/: 130 of 160 units and heads move` */
function told(
  other: NamedModel,
  first: NamedModel,
  { spaces: all }: Anatomy,
  spaces: ReadonlySet<string>,
  found: ReadonlyMap<string, Int32Array>,
): string {
  const count = [...spaces].reduce((sum, id) => sum + all.get(id)!.units, 0);
  const moved = [...found.values()].reduce(
    (sum, order) => sum + order.filter((unit, place) => unit !== place).length,
    0,
  );
  return `${other.ref} is aligned with ${first.ref}: ${moved} of ${counted(count, "unit")} and heads move`;
}

/** The spaces that both models have alike, and whose every tensor is known. */
function spacesToAlign(
  first: NamedModel,
  other: NamedModel,
  anatomy: Anatomy,
  alignment: Alignment,
  warnings: string[],
): Set<string> {
  const notes = new Notes();
  if (alignment === "residual" && anatomy.unknown.length > 0)
    throw new UserError(
      `${first.ref}: what the sides of ${anatomy.unknown[0]} stand for is not known`,
      "give --align weights, which leaves the residual stream as it is",
    );
  const barred = new Set<string>();
  const bar = (id: string, what: string, name: string): void => {
    if (!barred.has(id)) notes.add(what, name);
    barred.add(id);
  };
  for (const name of anatomy.unknown)
    for (const id of spacesBeside(name, anatomy))
      bar(id, "its place is not known: what lies beside it keeps its order", name);
  for (const [name, axes] of anatomy.axes) {
    const [mine, theirs] = [first.tensors.get(name)!, other.tensors.get(name)];
    if (theirs && isFloat(theirs.dtype) && isFloat(mine.dtype) && String(theirs.shape) === String(mine.shape)) continue;
    const what = `${other.ref} has it not, or otherwise: what it belongs to keeps its order`;
    for (const { space } of axes.flat()) if (space !== undefined) bar(space, what, name);
  }
  // Heads go with the heads of keys and values that they read.
  for (const id of barred) barred.add(id.replace(/^(heads|kv)@/, (kind) => (kind === "kv@" ? "heads@" : "kv@")));
  const wanted = [...anatomy.spaces.keys()].filter(
    (id) => !barred.has(id) && (id !== "width" || alignment === "residual"),
  );
  warnings.push(...notes.lines());
  if (wanted.length > 0) return new Set(wanted);
  throw new UserError(
    `${first.ref} and ${other.ref} have no hidden units or heads that can be aligned`,
    first.config ? "leave out --align" : "config.json is missing, which says how many heads there are",
  );
}
