/** What `sample vectors` opens beside its model: a second denoiser, and rows that are refined. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { loadExamples } from "../data/examples.ts";
import { groupsOf } from "../data/groups.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Values } from "../method/options.ts";
import { Model } from "../model/model.ts";
import { type Denoise, denoiseBy, mixed, switched } from "../run/denoising/sampler.ts";
import { type DescribedModel, openModel } from "../run/open-model.ts";
import type { VECTORS } from "./vector-options.ts";

type VectorOptions = Values<typeof VECTORS>;

/** Where experts of intervals take turns. */
const BOUNDARY = 0.5;

type Second = DescribedModel & { readonly checkpoint: Checkpoint };

/** Opens what --texture or --coop names; undefined without either. Throws UserError where it does not fit. */
export async function openSecond(
  { texture, coop, coop_label: label }: VectorOptions,
  first: DescribedModel,
  warn: (text: string) => void,
): Promise<Second | undefined> {
  if (texture !== undefined && coop !== undefined)
    throw new UserError("--texture and --coop both name a second model", "give one of them");
  const [flag, ref] = texture === undefined ? ["--coop", coop] : ["--texture", texture];
  if (ref === undefined) return undefined;
  const second = await openModel(ref, {}, warn);
  try {
    checkSecond(`${flag} ${ref}`, first, second, texture !== undefined);
    const { outputs: classes } = second.sizes;
    if (label !== undefined && label >= classes)
      throw new UserError(`--coop-label ${label}: ${ref} has ${classes} classes`, "leave it out, or give one of them");
    return second;
  } catch (error) {
    second.checkpoint.close();
    throw error;
  }
}

function checkSecond(flag: string, { sizes, ref }: DescribedModel, second: DescribedModel, turns: boolean): void {
  const [own, other] = [sizes.noise, second.sizes.noise];
  if (!own || !other) throw new UserError(`${flag} is no denoiser, but a ${second.architecture.name}`, "name another");
  if (sizes.example?.[0] !== second.sizes.example?.[0])
    throw new UserError(
      `${flag} denoises rows of ${second.sizes.example?.[0]} numbers, and ${ref} of ${sizes.example?.[0]}`,
      "both are of one space",
    );
  if (turns && sizes.outputs !== second.sizes.outputs)
    throw new UserError(
      `${flag} has ${second.sizes.outputs} classes, and ${ref} ${sizes.outputs}`,
      "both draw the same classes (num_labels)",
    );
  if (other.low > own.low || (!turns && other.high < own.high))
    throw new UserError(
      `${flag} knows levels from ${other.low} to ${other.high}, and ${ref} goes from ${own.high} down to ${own.low}`,
      "both have one sigma_min, and for --coop one sigma_max",
    );
}

/** What the models say together, and what is to be freed. */
export async function denoiseOf(
  gpu: Gpu,
  model: Model,
  second: Second | undefined,
  options: VectorOptions,
): Promise<{ readonly denoise: Denoise; free(): void }> {
  const { guidance, texture, switch_at: at = BOUNDARY, coop_share: share = 0.5, coop_label: label } = options;
  const first = denoiseBy(model, guidance);
  if (!second) return { denoise: first, free() {} };
  const other = await Model.load(gpu, second.checkpoint, { freeze: () => true });
  const free = () => other.free();
  if (texture !== undefined) return { denoise: switched(first, denoiseBy(other, guidance), at), free };
  return { denoise: mixed(first, denoiseBy(other, 1, label ?? other.sizes.outputs), share), free };
}

/** Rows of --draft, with a label each: that of no class where a row or the model has none. Throws UserError. */
export async function readDrafts(
  { draft }: VectorOptions,
  { examples, sizes }: DescribedModel,
): Promise<{ readonly rows: readonly Float32Array[]; readonly labels: Int32Array } | undefined> {
  if (draft === undefined) return undefined;
  const found = await loadExamples(groupsOf([draft], "--draft"), { ...examples, takesNoise: true });
  if (found.length === 0) throw new UserError(`--draft ${draft} has no rows`, "give rows of x");
  return {
    rows: found.flatMap((example) => ("x" in example ? [example.x] : [])),
    labels: Int32Array.from(found, ({ label }) => (label < 0 ? sizes.outputs : label)),
  };
}
