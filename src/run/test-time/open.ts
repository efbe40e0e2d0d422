/**
 * From options to learners: the source model, rows, views of rows, and one learner after the other on the same model.
 */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import type { ImageShape } from "../../data/corrupting/contract.ts";
import { type Example, loadExamples } from "../../data/examples.ts";
import { type GroupReference, groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { type Bound, bindDefaults } from "../../method/bind.ts";
import type { Values } from "../../method/options.ts";
import { loadMethod } from "../../method/registry.ts";
import type { ParameterSpec } from "../../model/architecture.ts";
import { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { type DescribedModel, openModel } from "../open-model.ts";
import type { Optimizer } from "../training/optimizer.ts";
import { type AugmentKind, augmenter } from "./augment.ts";
import { type Learner, type TestTimeMethod, trainsWeight } from "./contract.ts";
import type { TEST_TIME } from "./options.ts";
import { SourceRows } from "./source-rows.ts";
import { WeightCopies } from "./weight-copies.ts";

export type TestTimeValues = Values<typeof TEST_TIME>;

/** What is asked of the command line. */
export interface Asking {
  readonly seed: number;
  readonly signal: AbortSignal;
  info(text: string): void;
  warn(text: string): void;
}

/** A source model that is described, and not loaded yet. */
export type OpenedSource = DescribedModel & { readonly checkpoint: Checkpoint };

/** Opens a classifier. Throws UserError for another kind of model. The caller closes the checkpoint. */
export async function openSource(ref: string, options: TestTimeValues, asking: Asking): Promise<OpenedSource> {
  const opened = await openModel(ref, options, asking.warn);
  const refuse = (problem: string, hint: string): never => {
    opened.checkpoint.close();
    throw new UserError(`${ref} ${problem}`, hint);
  };
  if (opened.task !== "classifier")
    refuse(`is a ${opened.task}, and a stream at test time is answered by a classifier`, "name a model with classes");
  if (opened.checkpoint.live)
    refuse("has an adapter beside its weights", "merge it first: bun run merge model+adapter --method passthrough");
  return opened;
}

/** Reads rows whose labels may be missing; they are measured where they are there. */
export const readStream = (groups: readonly GroupReference[], { examples }: OpenedSource): Promise<Example[]> =>
  loadExamples(groups, { ...examples, unlabelled: "some" });

/** Reads the labelled rows of --source. */
export async function readSource(
  { source, columns }: TestTimeValues,
  { examples }: OpenedSource,
  seed: number,
): Promise<SourceRows | undefined> {
  if (!source) return undefined;
  return new SourceRows(await loadExamples(groupsOf(source, "--source", columns), examples), seed);
}

/** The sides of an image. Throws UserError for what is none. */
export function imageShape(shape: readonly number[] | undefined): ImageShape | undefined {
  if (!shape) return undefined;
  const [channels = 0, height = 0, width = 0] = shape;
  if (shape.length === 3 && shape.every((side) => Number.isInteger(side) && side >= 1))
    return [channels, height, width];
  throw new UserError(`--shape ${shape.join(",")} is no image`, "give channels, height and width: --shape 3,32,32");
}

/** What views of rows are like. Throws UserError for those that the model's rows cannot have. */
function viewsOf(
  { augment, augment_strength: strength, shape }: TestTimeValues,
  { examples, ref }: OpenedSource,
  seed: number,
) {
  const own = examples.shape?.length === 3 ? imageShape(examples.shape) : undefined;
  const image = own ?? imageShape(shape);
  const size = examples.shape?.reduce((a, b) => a * b, 1);
  if (image && size !== undefined && image.reduce((a, b) => a * b, 1) !== size)
    throw new UserError(`--shape ${image.join(",")} is not of the ${size} numbers that ${ref} takes`, "leave it out");
  const kind: AugmentKind = augment === "auto" ? (examples.text ? "tokens" : image ? "image" : "noise") : augment;
  if ((kind === "tokens") !== (examples.text !== undefined) && kind !== "none")
    throw new UserError(`--augment ${kind}: ${ref} takes ${examples.text ? "texts" : "numbers"}`, "leave it out");
  if (kind === "image" && !image)
    throw new UserError(`--augment image: ${ref} takes vectors`, "say what image they are: --shape C,H,W");
  const tokenizer = examples.text?.tokenizer;
  const mask = tokenizer && ["[MASK]", "<mask>"].flatMap((token) => tokenizer.idOf(token) ?? [])[0];
  return augmenter({ kind, shape: image, strength, mask, seed });
}

/** Gains and biases of norms: vectors that begin at 1, with the biases beside them. */
export function normNames(specs: readonly ParameterSpec[]): Set<string> {
  const gains = specs.filter(({ shape, init, buffer }) => shape.length === 1 && init === "ones" && !buffer);
  const modules = new Set(gains.map(({ name }) => name.replace(/\.weight$/, "")));
  const isBias = ({ name, buffer }: ParameterSpec) => !buffer && modules.has(name.replace(/\.bias$/, ""));
  return new Set([...gains, ...specs.filter(isBias)].map(({ name }) => name));
}

const hasBatchNorm = (specs: readonly ParameterSpec[]): boolean => specs.some(({ running }) => running);

/** Throws UserError for methods that the model, or what is given, does not go with. */
export function checkMethods(
  methods: readonly Bound<TestTimeMethod>[],
  { architecture, config, json, ref }: OpenedSource,
  { source }: Pick<TestTimeValues, "source">,
): void {
  const specs = architecture.parameters(config);
  const given = { hasSource: source !== undefined, hasBatchNorm: hasBatchNorm(specs), json };
  for (const { method, values } of methods) {
    if (method.trains === "norms" && normNames(specs).size === 0)
      throw new UserError(`${method.name} adapts the gains of norms, and ${ref} has no norms`, "take another method");
    method.check?.(values, given);
  }
}

const optimizerOf = async (name: "adam" | "sgd"): Promise<Bound<Optimizer>> =>
  name === "adam"
    ? bindDefaults(await loadMethod("optimizer", "adamw"), { beta2: 0.999, weight_decay: 0 })
    : bindDefaults(await loadMethod("optimizer", "sgd"));

/** A model that one learner after the other begins at. */
export class SourceModel {
  readonly model: Model;
  readonly #opened: OpenedSource;
  readonly #options: TestTimeValues;
  readonly #asking: Asking;
  readonly #source: SourceRows | undefined;
  readonly #trainable: readonly Parameter[];
  readonly #weights: WeightCopies;

  private constructor(
    model: Model,
    given: {
      readonly opened: OpenedSource;
      readonly options: TestTimeValues;
      readonly asking: Asking;
      readonly source: SourceRows | undefined;
    },
  ) {
    this.model = model;
    this.#opened = given.opened;
    this.#options = given.options;
    this.#asking = given.asking;
    this.#source = given.source;
    this.#trainable = model.trainable();
    this.#weights = new WeightCopies(model.gpu, [...this.#trainable, ...model.running()], "untouched");
  }

  static async load(
    gpu: Gpu,
    given: {
      readonly opened: OpenedSource;
      readonly options: TestTimeValues;
      readonly asking: Asking;
      readonly source: SourceRows | undefined;
    },
  ): Promise<SourceModel> {
    return new SourceModel(await Model.load(gpu, given.opened.checkpoint, { dtype: "f32" }), given);
  }

  /** A learner at the untouched model. The one before it must be freed. */
  async begin({ method, values }: Bound<TestTimeMethod>): Promise<Learner> {
    const { model } = this;
    const [options, { seed, signal, info }] = [this.#options, this.#asking];
    this.#weights.give();
    const norms = normNames(model.specs);
    for (const parameter of this.#trainable) parameter.trainable = trainsWeight(method, parameter.name, norms);
    return method.begin({
      ...{ gpu: model.gpu, model, values, classes: model.sizes.outputs, batchSize: options.batch_size, seed },
      rate: options.lr ?? method.rate ?? 0,
      optimizer: await optimizerOf(options.optimizer),
      source: this.#source,
      augment: viewsOf(options, this.#opened, seed),
      ...{ signal, info },
    });
  }

  free(): void {
    this.#weights.free();
    this.model.free();
  }
}
