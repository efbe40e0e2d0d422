/** The models that write: one alone, or with `--with` several together. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { tokenClash } from "../data/same-tokens.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Values } from "../method/options.ts";
import { Model } from "../model/model.ts";
import { CombinedSource } from "../run/combining/combined-source.ts";
import type { Rule } from "../run/combining/contract.ts";
import { expertStore } from "../run/expert-store.ts";
import { Decoder } from "../run/generating/decoder.ts";
import { type Continuer, Generator } from "../run/generating/generate.ts";
import { RoutedDecoder } from "../run/generating/routed-decoder.ts";
import { checkSpeculative, SpeculativeGenerator } from "../run/generating/speculative.ts";
import { type DescribedModel, openModel } from "../run/open-model.ts";
import { Cascade } from "./cascade.ts";
import { depthSource, type SampleDepth } from "./depth.ts";
import { Ensemble } from "./ensemble.ts";
import type { SAMPLE } from "./options.ts";
import { Switching } from "./switching.ts";

type Opened = DescribedModel & { readonly checkpoint: Checkpoint };
type SourceOptions = Pick<
  Values<typeof SAMPLE>,
  | "with"
  | "ensemble"
  | "ensemble_discount"
  | "switch_at"
  | "cascade"
  | "conf"
  | "alpha"
  | "cascade_by"
  | "draft"
  | "draft_tokens"
  | "dtype"
  | "load_in"
  | "offload"
  | "expert_store"
  | "expert_slots"
  | "routers"
  | "cache_policy"
> & { readonly seed: number };

/** The rule of --method, and the prompts that it will read as far as they are known. */
export interface ChosenRule {
  readonly rule: Rule;
  readonly prompts: readonly (readonly number[])[];
}

/** Throws UserError unless models that write one after the other have a rising place each. */
function checkSwitches({ with: others = [], ensemble, switch_at: places }: SourceOptions): void {
  if (ensemble !== "switch") return;
  if (places?.length !== others.length)
    throw new UserError(
      `--ensemble switch needs one --switch-at for each --with, and has ${places?.length ?? 0} for ${others.length}`,
      "say after how many tokens each goes on: --switch-at 10, or --switch-at 10,20 for two",
    );
  const odd = places.findIndex((place, i) => i > 0 && place <= places[i - 1]!);
  if (odd > 0)
    throw new UserError(
      `--switch-at ${places.join(",")}: ${places[odd]} comes after ${places[odd - 1]}`,
      "let them rise",
    );
}

/** Throws UserError for models beside a draft, or one that cannot be drafted for. */
function checkDraft(
  first: Opened,
  { draft, with: others, cascade, routers, method }: SourceOptions & { readonly method?: string },
): void {
  if (draft === undefined) return;
  const odd = Object.entries({ with: method === undefined && others?.length, cascade, routers }).find(
    ([, given]) => given,
  )?.[0];
  if (odd) throw new UserError(`--draft writes ahead of one model, not with --${odd}`, `leave out --${odd}`);
  checkSpeculative(first.ref, first.sizes);
}

/** Throws UserError for options that say in another way than --method which tokens are drawn from what. */
export function checkDecoder(
  name: string,
  {
    cascade,
    ensemble,
    skip_layers,
    routers,
  }: Pick<Values<typeof SAMPLE>, "cascade" | "ensemble" | "skip_layers" | "routers">,
): void {
  const other =
    (cascade !== undefined && "--cascade") ||
    (ensemble !== "universal" && `--ensemble ${ensemble}`) ||
    (skip_layers !== undefined && "--skip-layers") ||
    (routers !== undefined && "--routers");
  if (other) throw new UserError(`--method ${name} and ${other} both say how models write`, "leave one out");
}

/** The models of `--cascade weak,strong`. Throws UserError where they are not two. */
export function cascadeModels(text: string): { readonly weak: string; readonly strong: string } {
  const [weak = "", strong = "", ...more] = text.split(",").map((ref) => ref.trim());
  if (weak !== "" && strong !== "" && more.length === 0) return { weak, strong };
  throw new UserError(`--cascade ${text} does not name two models`, "for example --cascade weak/,strong/");
}

/**
 * Opens the models of `--with`, the strong one of `--cascade` and last that of `--draft`, and compares them with the
 * first; reads no weights. Throws UserError where an id means another token to one of them. Whoever asked closes the
 * checkpoints, those too that were opened before an error: `opened` hears of each.
 */
export async function openOthers(
  first: Opened,
  options: SourceOptions & { readonly method?: string },
  { warn, opened }: { warn(message: string): void; opened(checkpoint: Checkpoint): void },
): Promise<Opened[]> {
  checkSwitches(options);
  checkDraft(first, options);
  const others: Opened[] = [];
  const { cascade, draft } = options;
  const together = cascade === undefined ? (options.with ?? []) : [cascadeModels(cascade).strong];
  const refs = draft === undefined ? together : [...together, draft];
  for (const ref of refs) {
    const other = await openModel(ref, { load_in: options.load_in }, warn);
    opened(other.checkpoint);
    if (!other.tools) throw new UserError(`${ref} is a classifier, and language models write together`, "leave it out");
    const speaker = ({ ref: name, sizes, tools }: Opened) => ({
      ...{ ref: name, outputs: sizes.outputs, files: tools?.files },
    });
    const clash = tokenClash(speaker(first), speaker(other));
    if (clash)
      throw new UserError(clash.message, "models that write together need one vocabulary; merge can bring them to one");
    if (draft !== undefined) checkSpeculative(ref, other.sizes);
    others.push(other);
  }
  return others;
}

type LoadOptions = SourceOptions & { readonly depth: SampleDepth; readonly chosen: ChosenRule | undefined };

/** Models that were loaded, in their order. */
export interface LoadedModels {
  readonly models: readonly Model[];
  /** Makes what writes with them; it is freed apart, before the models. */
  writer(): Continuer;
  free(): void;
}

/** Loads models, for one writer or for several. */
export async function loadModels(
  gpu: Gpu,
  models: readonly Opened[],
  { depth, chosen, ...options }: LoadOptions,
  warn?: (message: string) => void,
): Promise<LoadedModels> {
  const { dtype, load_in: loadIn, offload } = options;
  const experts = expertStore(options, options.seed, offload);
  const loading = { dtype, loadIn, freeze: () => true, offload, experts, ...(warn && { warn }) };
  const loaded: Model[] = [];
  for (const { checkpoint } of models) loaded.push(await Model.load(gpu, checkpoint, loading));
  const refs = models.map(({ checkpoint }) => checkpoint.ref);
  return {
    models: loaded,
    writer: () =>
      chosen ? combinedWriter(chosen, loaded, refs, options) : writerOf(loaded, refs, { ...options, depth }),
    free() {
      for (const model of loaded) model.free();
    },
  };
}

/** Loads models and makes what writes with them; what it holds is freed by `free`, the models with it. */
export async function loadWriter(
  gpu: Gpu,
  models: readonly Opened[],
  options: LoadOptions,
  warn?: (message: string) => void,
): Promise<{ writer: Continuer; free(): void }> {
  const loaded = await loadModels(gpu, models, options, warn);
  const writer = loaded.writer();
  return {
    writer,
    free() {
      writer.free();
      loaded.free();
    },
  };
}

/** What writes by a rule; with --draft its model is the last. */
function combinedWriter(
  { rule, prompts }: ChosenRule,
  models: readonly Model[],
  refs: readonly string[],
  { draft, draft_tokens: tokens }: SourceOptions,
): Continuer {
  if (draft === undefined) return new Generator(new CombinedSource(rule, models, { refs, prompts }));
  const target = new CombinedSource(rule, models.slice(0, -1), { refs, prompts });
  return new SpeculativeGenerator(target, new Decoder(models.at(-1)!, refs.at(-1)!), tokens);
}

function writerOf(
  models: readonly Model[],
  refs: readonly string[],
  { depth, ...options }: SourceOptions & { readonly depth: SampleDepth },
): Continuer {
  const first = depthSource(models[0]!, refs[0]!, depth);
  if (models.length === 1 || first instanceof RoutedDecoder) return new Generator(first);
  const decoders = [first, ...models.slice(1).map((model, i) => new Decoder(model, refs[i + 1]!))];
  const second = decoders[1]!;
  if (options.draft !== undefined) return new SpeculativeGenerator(first, second, options.draft_tokens);
  if (options.cascade !== undefined) {
    const { conf: kind, alpha, cascade_by: rule, seed } = options;
    return new Generator(new Cascade(first, second, { kind, alpha, rule, seed }));
  }
  const { ensemble, ensemble_discount: discount, switch_at: switchAt = [] } = options;
  return new Generator(
    ensemble === "switch" ? new Switching(decoders, switchAt) : new Ensemble(decoders, ensemble, discount),
  );
}
