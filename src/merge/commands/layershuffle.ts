/**
 * `merge layershuffle`: a model whose blocks are taken at random from several, as a passthrough recipe. It is all
 * that chance decides: kept in a file, `merge FILE` makes the same bytes of it.
 *
 * Options are those of mergekit-layershuffle (https://github.com/arcee-ai/mergekit).
 */
import { existsSync } from "node:fs";
import { parseRecipe, recipeDtype } from "../../checkpoint/lineage/recipe/read-recipe.ts";
import { open } from "../../checkpoint/open.ts";
import type { Context as CommandContext, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import { mainStack, nameModels } from "../../model/names.ts";
import { quote } from "../../text/quote.ts";
import { runMerge } from "../command.ts";
import { isRecipeAlone, type LAYERSHUFFLE } from "../options.ts";

type Context = CommandContext<typeof LAYERSHUFFLE>;

/** Blocks [first, end) of a model. */
export interface Piece {
  readonly model: number;
  readonly first: number;
  readonly end: number;
}

/**
 * Block l of the result is block l of the model that is drawn for it, by weights; runs of one model are one piece.
 * Every block's draw has a stream of its own.
 */
export function shuffledModels(layers: number, weights: readonly number[], seed: number): Piece[] {
  const pieces: Piece[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const model = new Random(seed, "layershuffle", layer).weighted(weights);
    const last = pieces.at(-1);
    if (last?.model === model) pieces[pieces.length - 1] = { ...last, end: layer + 1 };
    else pieces.push({ model, first: layer, end: layer + 1 });
  }
  return pieces;
}

/**
 * From model k with L blocks, round(L * weight) blocks, each by chance any of the L, all in random order. mergekit
 * draws from a model's first L * weight blocks alone.
 */
export function shuffledBlocks(layers: readonly number[], weights: readonly number[], seed: number): Piece[] {
  const pieces = layers.flatMap((count, model) =>
    Array.from({ length: Math.round(count * weights[model]!) }, (_, n): Piece => {
      const first = new Random(seed, "layershuffle", model, n).below(count);
      return { model, first, end: first + 1 };
    }),
  );
  return new Random(seed, "layershuffle", "order").shuffled(pieces);
}

/** How a recipe names a model: a path that holds what separates adapters and revisions needs the long form. */
function spellModel(path: string): string {
  const text = JSON.stringify(path);
  return existsSync(path) && /[+@]/.test(path) ? `{model: {path: ${text}}}` : text;
}

function recipeText(pieces: readonly Piece[], models: readonly string[], dtype: string | undefined): string {
  const slices = pieces.map(
    ({ model, first, end }) =>
      `  - sources: [{model: ${spellModel(models[model]!)}, layer_range: [${first}, ${end}]}]\n`,
  );
  return `merge_method: passthrough\n${dtype === undefined ? "" : `dtype: ${dtype}\n`}slices:\n${slices.join("")}`;
}

/** Blocks of each model. Throws UserError where a model has no one stack of blocks, or is a stream. */
async function depths(models: readonly string[], warn: (text: string) => void): Promise<number[]> {
  const found: number[] = [];
  for (const ref of models) {
    const checkpoint = await open(ref, { warn });
    try {
      if (checkpoint.kind === "stream")
        throw new UserError("a stream is read in its order, and its blocks are wanted in another", "save it to a file");
      const stack = mainStack(nameModels(new Map([[ref, checkpoint]]), ref, []).get(ref)!);
      if (!stack) throw new UserError(`${ref} has no one stack of blocks`, "shuffle language models");
      found.push(stack.count);
    } finally {
      checkpoint.close();
    }
  }
  return found;
}

function weightsOf({ options }: Context, models: readonly string[]): readonly number[] {
  const even = options.full_random ? 1 / models.length : 1;
  const weights = options.weight ?? models.map(() => even);
  if (weights.length !== models.length)
    throw new UserError(`--weight has ${weights.length} values for ${models.length} models`, "give one per model");
  if (weights.some((weight) => !(weight >= 0 && weight < 1e6)) || weights.every((weight) => weight === 0))
    throw new UserError(`--weight ${weights.join(",")}: expected shares, not all of them 0`, "for example 0.7,0.3");
  return weights;
}

function dtypeOf({ options }: Context): string | undefined {
  if (options.dtype === undefined) return options.fp16 ? "float16" : undefined;
  if (recipeDtype(options.dtype) === undefined)
    throw new UserError(`--dtype ${options.dtype} is no type of a result`, "use float32, float16 or bfloat16");
  if (options.fp16 && recipeDtype(options.dtype) !== "F16")
    throw new UserError(`--fp16 and --dtype ${options.dtype} differ`, "leave out --fp16");
  return options.dtype;
}

/** The recipe that the options and the seed give. */
async function shuffle(context: Context): Promise<string> {
  const { options } = context;
  const models = [...context.args, ...(options.model ?? [])];
  if (models.length === 0) throw new UserError("no models to take blocks from", "name them: layershuffle a/ b/");
  const [place] = context.args;
  if (options.model && place !== undefined && context.out === "-" && !existsSync(place))
    throw new UserError(`${place}: no such model`, `for the result to go there: -o ${quote(place)}`);
  const [weights, dtype] = [weightsOf(context, models), dtypeOf(context)];
  const layers = await depths(models, context.warn);
  const seed = options.random_seed ?? context.seed;
  const odd = layers.findIndex((count) => count !== layers[0]);
  if (odd > 0 && !options.full_random)
    throw new UserError(
      `${models[0]} has ${layers[0]} blocks and ${models[odd]} has ${layers[odd]}`,
      "models of different depth can be shuffled with --full-random",
    );
  const pieces = options.full_random
    ? shuffledBlocks(layers, weights, seed)
    : shuffledModels(layers[0]!, weights, seed);
  if (pieces.length === 0)
    throw new UserError(`--weight ${weights.join(",")} leaves no block of any model`, "raise the weights");
  return recipeText(pieces, models, dtype);
}

/** Runs the sub-command. */
export async function layershuffle(context: Context): Promise<Outcome> {
  const text = await shuffle(context);
  const { print_recipe: print, write_recipe: file } = context.options;
  if (print) context.print(text);
  if (file !== undefined && !context.dryRun) {
    const target = textOutput(file);
    target.write(text);
    target.commit();
  }
  if (isRecipeAlone(context.options) && !context.options.explain && !context.dryRun)
    return file === undefined ? {} : { output: file, next: `bun run merge ${file} -o shuffled/` };
  // The seed has done its work: what follows is the recipe's alone, as when it is read from a file.
  const plain = { ...context, seed: 0, options: { ...context.options, random_seed: undefined } };
  return runMerge(plain, async () => ({ recipes: await parseRecipe(text, file ?? "layershuffle"), text }));
}
