/** `merge moe`: builds a mixture of experts of dense models. */
import {
  asksForPrompts,
  type ExpertRecipe,
  type GateMode,
  type MoeRecipe,
  parseMoeRecipe,
} from "../../checkpoint/lineage/recipe/experts-recipe.ts";
import { recipeDtype } from "../../checkpoint/lineage/recipe/read-recipe.ts";
import { parseReference } from "../../checkpoint/reference.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { readText } from "../../cli/sources.ts";
import { UserError } from "../../errors.ts";
import { flagOf } from "../../method/options.ts";
import { quote } from "../../text/quote.ts";
import { DenseModels } from "../experts/dense-model.ts";
import type { MOE } from "../experts/options.ts";
import { buildMixture } from "./build-mixture.ts";

type MoeContext = Context<typeof MOE>;

const isRecipe = (name: string): boolean => /\.ya?ml$/i.test(name);

/** Options that a recipe has keys for. */
const IN_RECIPES = [
  "experts",
  "experts_per_token",
  "gate_mode",
  "noise",
  "residual_scale",
  "shared",
  "architecture",
] as const;

/** A type that a mixture may have. Throws UserError. */
export function outputDtype(text: string | undefined) {
  const dtype = text === undefined ? undefined : recipeDtype(text);
  if (text !== undefined && dtype === undefined)
    throw new UserError(`--dtype ${text} is no type of a mixture`, "use float32, float16 or bfloat16");
  return dtype;
}

function recipeText(file: string): string {
  try {
    return readText(file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${file} cannot be read: ${(error as Error).message}`, "check the path");
  }
}

async function fromFile(context: MoeContext, file: string): Promise<{ recipe: MoeRecipe; text: string }> {
  if (context.args.length > 1)
    throw new UserError(
      `a recipe takes no further arguments, found ${context.args.filter((arg) => arg !== file).join(" ")}`,
      "name the models in the recipe, and the result with -o",
    );
  const said = IN_RECIPES.find((name) => context.options[name] !== undefined);
  if (said !== undefined) throw new UserError(`${flagOf(said)} is for a recipe to say`, `write it in ${file}`);
  const text = recipeText(file);
  const recipe = await parseMoeRecipe(text, file);
  const dtype = outputDtype(context.options.dtype);
  return { recipe: dtype ? { ...recipe, dtype } : recipe, text };
}

/** Whether copies of a model need a shared one beside them. */
const wantsShared = (architecture: string | undefined, type: string): boolean =>
  architecture === undefined ? type === "qwen2" : /^qwen(_?-?2|$|_?-?moe)/i.test(architecture);

/** A recipe made of flags. Copies of one model begin as that model: halves of two of them stand beside each other. */
async function fromFlags(context: MoeContext, models: DenseModels): Promise<MoeRecipe> {
  const { options, args } = context;
  const [base = "-", ...others] = args;
  if (others.length > 0 && options.experts !== undefined)
    throw new UserError(
      `--experts makes copies of one model, and ${args.length} were named`,
      "leave it out: each model after the first is an expert",
    );
  if (others.length === 0 && options.experts === undefined)
    throw new UserError(
      "a mixture needs experts",
      "give a recipe, models after the base, or --experts 8 for copies of one model",
    );
  const mode = options.gate_mode ?? "small_random";
  const { noise = 0 } = options;
  const reference = parseReference(base);
  const upcycles = others.length === 0;
  const type = upcycles ? (await models.open(reference)).type : "";
  const shared = options.shared ?? (upcycles && wantsShared(options.architecture, type) ? base : undefined);
  const halves = upcycles && shared === base && options.residual_scale === undefined;
  if (halves)
    context.info(
      "routed and shared experts are copies that add up: each is halved, so that the result begins as the model",
    );
  const expert = (ref: string, scale: number, deviation = 0): ExpertRecipe => ({
    ...{ ref: parseReference(ref), positive: [], negative: [], noise: deviation, scale },
  });
  const names = upcycles ? Array.from({ length: options.experts! }, () => base) : others;
  const gated = wantsShared(options.architecture, type); // a gate of zeros lets half through
  const dtype = outputDtype(options.dtype);
  return {
    file: "command line",
    base: reference,
    mode,
    perToken: options.experts_per_token ?? Math.min(2, names.length),
    experts: names.map((ref) => expert(ref, options.residual_scale ?? (halves ? 0.5 : 1), noise)),
    shared: shared === undefined ? [] : [expert(shared, halves && !gated ? 0.5 : 1)],
    ...(options.architecture !== undefined && { architecture: options.architecture }),
    ...(dtype && { dtype }),
    warnings: [],
  };
}

function checkFlags({ options }: MoeContext, { mode }: MoeRecipe): void {
  if ((mode === "centroid") !== (options.calib !== undefined))
    throw mode === "centroid"
      ? new UserError("gate mode centroid clusters the states of rows, and there are none", "give --calib rows.jsonl")
      : new UserError(`--calib has no effect with gate mode ${mode}`, "leave it out, or give --gate-mode centroid");
  const looks = mode === "centroid" || mode.startsWith("hidden");
  if (options.gate_input !== "ffn" && !looks)
    throw new UserError(`--gate-input has no effect with gate mode ${mode}`, "leave it out");
}

/** Throws UserError for experts without prompts, or all with the same ones. */
function checkPrompts({ experts, mode, file }: MoeRecipe, allowed: boolean, warn: (text: string) => void): void {
  if (!asksForPrompts(mode as GateMode)) return;
  const without = experts.findIndex(({ positive }) => positive.length === 0);
  if (without >= 0)
    throw new UserError(
      `${file}: expert ${without} (${experts[without]!.ref.path}) has no positive_prompts, and gate_mode is ${mode}`,
      "write some, or set gate_mode to random",
    );
  const keys = new Set(experts.map(({ positive, negative }) => JSON.stringify([positive, negative])));
  if (experts.length > 1 && keys.size === 1) {
    const text = `${file}: the prompts of all experts are the same, so that the router cannot tell them apart`;
    if (!allowed) throw new UserError(text, "give each its own, or --allow-identical to train the router afterwards");
    warn(text);
  }
}

export async function mergeMoe(context: MoeContext): Promise<Outcome> {
  const { options } = context;
  const file = context.args.find(isRecipe);
  const models = new DenseModels((text) => context.warn(text));
  context.onExit(() => models.close());
  const { recipe, text } =
    file === undefined ? { recipe: await fromFlags(context, models), text: undefined } : await fromFile(context, file);
  for (const warning of recipe.warnings) context.warn(warning);
  checkFlags(context, recipe);
  const allowed = options.allow_identical === true;
  checkPrompts(recipe, allowed, (warning) => context.warn(warning));
  const outcome = await buildMixture(context, { recipe, text, models, allowed });
  return context.dryRun || context.out === "-"
    ? outcome
    : {
        ...outcome,
        next: `bun run train ${quote(context.out)} --train-only "*.gate.weight" --data rows.jsonl -o trained/`,
      };
}
